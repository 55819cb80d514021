"""Tasks in other processes: each is done once, also where a worker is killed."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from netspace_models.errors import ConfigError, RunFailed
from netspace_models.wording import setting, spoken, worded

from netspace_cli.core.runtime import cluster as clusters
from netspace_cli.core.runtime import executors
from netspace_cli.core.runtime.cluster import Cluster
from netspace_cli.core.runtime.elsewhere import Surroundings, work_in
from netspace_cli.core.runtime.executors import Executor, LocalExecutor, results_of
from netspace_cli.terminal.flags import CommandLineWording

T = TypeVar("T")
R = TypeVar("R")


def noted(task: int, device: str, *, folder: Path, fatal: int | None = None, always: bool = False) -> tuple[int, str]:
    """Notes that a task was begun; the first time, or always, the fatal one kills its process."""
    first = not (folder / f"{task}").exists()
    with (folder / f"{task}").open("a") as file:
        file.write(".")
    if task == fatal and (first or always):
        os.kill(os.getpid(), signal.SIGKILL)
    if task < 0:
        raise ValueError(f"task {task}")
    return task, device


def times(folder: Path) -> dict[int, int]:
    return {int(path.name): len(path.read_text()) for path in folder.iterdir()}


BEGIN = """
import signal, sys
from multiprocessing import forkserver
from pathlib import Path
from netspace_cli.core.runtime.executors import begin_server
begin_server()
told = Path(f"/proc/{forkserver._forkserver._forkserver_pid}/status").read_text()
blocked = int(told.partition("SigBlk:")[2].split()[0], 16)
print(bool(blocked >> signal.SIGINT - 1 & 1), "torch" in sys.modules)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are started anew there")
def test_the_server_begins_while_torch_is_not_imported_yet(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("open('imported', 'w')")
    done = subprocess.run([sys.executable, "-P", "-c", BEGIN], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "True False\n" and done.stderr == ""
    assert not (tmp_path / "imported").exists()


@pytest.mark.slow
def test_a_killed_workers_task_is_done_again_and_no_other(tmp_path: Path) -> None:
    executor = LocalExecutor(["a", "b"])
    found = list(results_of(executor, partial(noted, folder=tmp_path, fatal=2), range(5)))
    assert sorted(task for task, _ in found) == [0, 1, 2, 3, 4]
    assert {device for _, device in found} <= {"a", "b"}
    assert times(tmp_path) == {0: 1, 1: 1, 2: 2, 3: 1, 4: 1}
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_task_that_always_kills_its_worker_is_given_up_and_the_rest_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "TRIES", 2)
    found = []
    with pytest.raises(RunFailed, match=r"a worker process was ended from outside 2 times.* `workers=1`"):
        for result in results_of(LocalExecutor(["a"]), partial(noted, folder=tmp_path, fatal=1, always=True), range(3)):
            found.append(result[0])
    assert found == [0, 2] and times(tmp_path) == {0: 1, 1: 2, 2: 1}


def noted_process(task: float, device: str, *, folder: Path) -> int:
    """Notes its process, and takes so many seconds."""
    (folder / str(os.getpid())).touch()
    time.sleep(task)
    return os.getpid()


@pytest.mark.slow
def test_processes_of_a_context_stay_for_later_tasks(tmp_path: Path) -> None:
    work = partial(noted_process, folder=tmp_path)
    with LocalExecutor(["a"], partial(Path.touch, tmp_path / "begun")) as executor:
        first = list(results_of(executor, work, [0, 0]))
        assert list(results_of(executor, work, [0])) == first[:1] and len(set(first)) == 1
        assert (tmp_path / "begun").exists() and len(multiprocessing.active_children()) == 1
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_what_is_broken_off_ends_at_once(tmp_path: Path) -> None:
    with LocalExecutor(["a", "b"]) as executor:
        results = results_of(executor, partial(noted_process, folder=tmp_path), [0, 300])
        next(results)
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.01)
        began = time.monotonic()
        results.close()
        assert time.monotonic() - began < 60 and len(multiprocessing.active_children()) == 1
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    line = (
        "from functools import partial; from pathlib import Path; from netspace_cli.core.runtime.executors import *\n"
        "from tests.core.runtime.test_executors import noted_process\n"
        f"list(LocalExecutor(['a']).each(partial(noted_process, folder=Path({str(tmp_path)!r})), [300]))"
    )
    parent = subprocess.Popen([sys.executable, "-c", f"if __name__ == '__main__': exec({line!r})"])
    while not (found := list(tmp_path.iterdir())):
        assert parent.poll() is None
        time.sleep(0.01)
    worker = int(found[0].name)
    started_by = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 60
    while is_running(worker) or is_running(started_by):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_temporary_files_may_lie_deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ("deep" * 20)).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("deep" * 20)))
    assert executors._context().get_start_method() == "spawn"  # where a server already runs, it is found in any case
    assert list(results_of(LocalExecutor(["a"]), max, ["b"])) == ["b"]


def hears_ctrl_c(_task: int, _device: str) -> bool:
    """Whether SIGINT reaches this process."""
    return signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.slow
def test_ctrl_c_does_not_reach_workers() -> None:
    assert list(results_of(LocalExecutor(["a"]), hears_ctrl_c, [0])) == [False]
    assert hears_ctrl_c(0, "a")


@pytest.mark.slow
def test_workers_import_nothing_from_the_working_folder(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    for module in ("torch", "signal"):
        (tmp_path / f"{module}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\n")
    (tmp_path / "scripts" / "run.py").write_text(
        "from netspace_cli.core.runtime.executors import *\n"
        "if __name__ == '__main__': assert list(LocalExecutor(['a']).each(max, ['b'])) == [(0, 'b')]"
    )
    path = os.pathsep.join(each for each in sys.path if each)
    run = [sys.executable, str(tmp_path / "scripts" / "run.py")]
    subprocess.run(run, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, check=True, timeout=120)
    assert not (tmp_path / "imported").exists()


def is_running(process: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Here:
    """An executor in this process; these of its tasks are lost, so many times."""

    def __init__(self, lost: dict[int, int]) -> None:
        self.lost, self.stopped = lost, False

    def stop(self) -> None:
        self.stopped = True

    def each(self, work: Callable[[T, str], R], tasks: Sequence[T]) -> Generator[tuple[int, R | executors.Lost]]:
        for place, task in enumerate(tasks):
            if self.stopped:
                return
            number = int(str(task))
            if self.lost.get(number, 0):
                self.lost[number] -= 1
                yield place, executors.Lost("gone")
            else:
                yield place, work(task, "here")


def test_lost_tasks_come_again_each_result_once() -> None:
    here: Executor = Here({1: 1, 3: 2})
    assert list(results_of(here, lambda task, device: task * 10, range(5))) == [0, 20, 40, 10, 30]
    with pytest.raises(RunFailed, match=r"3 times, perhaps for want of memory \(gone\)"):
        list(results_of(Here({1: 3}), lambda task, device: task, range(2)))


def test_nothing_more_begins_after_a_stop() -> None:
    here, found = Here({0: 1}), []
    for result in results_of(here, lambda task, device: task, range(5)):
        found.append(result)
        here.stop()
    assert found == [1]


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Executor]:
    """Makes an executor by submitit on this machine."""
    submitit = pytest.importorskip("submitit")
    monkeypatch.setattr(clusters, "LOOK", 0.05)
    # Seconds for the file of a result to appear, where machines share a slow disk.
    monkeypatch.setattr(submitit.core.core.Job, "_results_timeout_s", 0.2)
    return lambda **parameters: Cluster("local", parameters).executor(tmp_path / "zoo", "auto")


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_does_its_task_again(tmp_path: Path, local: Callable[..., Executor]) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    found = list(results_of(local(timeout_min=1), partial(noted, folder=notes, fatal=1), range(3)))
    assert sorted(found) == [(0, "auto"), (1, "auto"), (2, "auto")]
    assert times(notes) == {0: 1, 1: 2, 2: 1}
    assert (tmp_path / "zoo.jobs").is_dir()
    with pytest.raises(RunFailed, match=r"job \d+ failed: ValueError: task -1"):
        list(results_of(local(timeout_min=1), partial(noted, folder=notes), [-1]))


def test_what_submitit_cannot_do_is_refused(
    tmp_path: Path, local: Callable[..., Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"submitit cannot use 'local' with minutes=5"):
        local(minutes=5)
    monkeypatch.setenv("PATH", "")  # no srun
    with pytest.raises(ConfigError, match="submitit cannot use 'slurm'"):
        Cluster("slurm").executor(tmp_path / "zoo", "auto")
    with pytest.raises(ConfigError, match=r"unknown cluster 'pbs'\. Use one of slurm, local, ray\."):
        Cluster("pbs")
    assert list((tmp_path / "zoo.jobs").iterdir()) == [], "nothing is left of what was refused"


def test_files_of_submitit_lie_beside_the_output_or_where_the_user_says(
    tmp_path: Path, local: Callable[..., Executor], monkeypatch: pytest.MonkeyPatch
) -> None:
    local(folder=str(tmp_path / "elsewhere"))
    assert len(list((tmp_path / "elsewhere").glob("run-*"))) == 1 and not (tmp_path / "zoo.jobs").exists()
    (tmp_path / "zoo").mkdir()
    monkeypatch.chdir(tmp_path / "zoo")
    Cluster("local").executor(Path(), "auto")
    assert len(list((tmp_path / "zoo.jobs").glob("run-*"))) == 1
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"files in .*/file \(File exists\)\. Name a folder .* by folder=PATH"):
        local(folder=str(tmp_path / "file"))


def test_without_submitit_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ConfigError, match=r"needs submitit.*netspace\[cluster\]"):
        Cluster("local").executor(tmp_path / "zoo", "auto")


def test_a_process_elsewhere_has_the_folder_the_words_and_the_trust_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = spoken()
    with worded(CommandLineWording()):
        sent = pickle.dumps(Surroundings.here(partial(Path.touch, Path("begun"))))
    surroundings = pickle.loads(sent)  # noqa: S301
    monkeypatch.chdir(tmp_path.parent)
    with worded(before):
        found = work_in(surroundings, lambda task, device: (task, device, Path.cwd(), setting("data")), 1, "cpu")
    assert found == (1, "cpu", tmp_path, "--data") and (tmp_path / "begun").exists()
    with pytest.raises(ConfigError, match=r"/none cannot be entered on .* \(No such file or directory\)\. Start the"):
        replace(surroundings, folder=tmp_path / "none").enter()
