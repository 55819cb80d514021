"""--workers: the files and the document of one process, whatever becomes of a worker."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import pickle
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
import torch
from netspace_models.architectures import build

from netspace_cli.core.encoding import refine
from netspace_cli.core.networks.trust import trusting
from netspace_cli.core.runtime import cluster as clusters
from netspace_cli.core.runtime import executors, workers
from netspace_cli.core.runtime.cluster import ClusterExecutor
from netspace_cli.core.runtime.elsewhere import Surroundings, work_in
from netspace_cli.core.runtime.executors import Lost
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.zoos.plan import ZooPlan
from netspace_cli.core.zoos.train import train_zoo
from tests.worlds import DIES_IN_WORKERS, Ask, Cli, ReadTree, Refused, Solids, Tiny

T = TypeVar("T")
R = TypeVar("R")


class Thread(ThreadPoolExecutor):
    """A thread in place of a process, which takes seconds to start. One for all, as they would share torch's state."""

    tasks: int = 0

    def submit(self, *arguments: Any, **rest: Any) -> Future[Any]:
        self.tasks += 1
        return super().submit(*arguments, **rest)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Stay for the next one."""


@pytest.fixture
def thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[Thread]:
    pool = Thread(1)
    monkeypatch.setattr(executors, "ProcessPoolExecutor", lambda count, **settings: pool)
    monkeypatch.setattr(executors, "begin_server", lambda: None)
    yield pool
    ThreadPoolExecutor.shutdown(pool)
    workers.opened.cache_clear()
    workers._runner.cache_clear()


class Near(ClusterExecutor):
    """Jobs in this process, in place of those of a cluster."""

    sizes: ClassVar[list[int]] = []

    def __init__(self, *asked: object) -> None:
        self.stopped = False

    def each(self, work: Callable[[T, str], R], tasks: Sequence[T]) -> Generator[tuple[int, R | Lost]]:
        self.sizes.append(len(tasks))
        for place, task in enumerate(tasks):
            yield place, work_in(pickled(Surroundings.here()), pickled(work), pickled(task), "auto")


def pickled(thing: T) -> T:
    copy: T = pickle.loads(pickle.dumps(thing))  # noqa: S301
    return copy


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of jobs of each round that a cluster was given."""
    monkeypatch.setattr(clusters, "ClusterExecutor", Near)
    Near.sizes.clear()
    return Near.sizes


def without_times(document: dict[str, Any]) -> dict[str, Any]:
    """A document without what differs from one run to the next."""
    report = {k: v for k, v in document.get("report", {}).items() if k in ("device", "threads", "counted", "precision")}
    return {**document, "report": report, "output": None}


def jobs(tiny: Tiny) -> dict[str, tuple[list[object], bool]]:
    """Command lines that divide their work, and whether they take an output."""
    space, data = ["--space", tiny.space.path], ["--data", tiny.npz]
    single = ["--space", tiny.single_space.path, "--zoo", tiny.single_zoo.path, *data, "--top", "all"]
    files = [tiny.networks["lenetlike"], tiny.networks["resnet8"]]
    return {
        "encode": (["encode", *files, *space, *data, "--refine", 2], True),
        "eval": (["eval", tiny.zoo.path, *space, *data], False),
        "merge": (["merge", tiny.zoo.path, *data, "--groups", "seed", "--steps", 2, "--images", 8], True),
        "sample": (["sample", *single, "-n", 3, "--polish", 2, "--rivals", "all"], True),
        "finetune": (["finetune", tiny.single_zoo.path, *data, "--epochs", "0,1", "--batch", 20], True),
        "ensemble": (["ensemble", tiny.zoo.path, *data], False),
    }


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("merge", "sample")]


@pytest.mark.parametrize("name", ["encode", "eval", "finetune", "ensemble", *SLOW])
def test_files_and_document_are_those_of_one_process(
    name: str, tiny: Tiny, thread: Thread, near: list[int], work: Path, ask: Ask, tree: ReadTree
) -> None:
    command, written = jobs(tiny)[name]
    found = []
    ways = (("alone", ["--threads", 1]), ("shared", ["--workers", 2]), ("near", ["--workers", 2, "--cluster", "local"]))
    for folder, options in ways:
        output = ["-o", f"{folder}/out{'.emb' if name == 'encode' else ''}"] if written else []
        Path(folder).mkdir()
        before = thread.tasks
        found.append(without_times(ask(*command, *options, *output)))
        assert (thread.tasks > before) == (folder == "shared") and bool(near) == (folder == "near")
    assert found[0] == found[1] == found[2]
    assert tree(work / "alone") == tree(work / "shared") == tree(work / "near")
    assert not written or tree(work / "alone")
    assert set(near) <= {1, 2}, "jobs of a round"


@pytest.mark.parametrize(
    ("options", "strict"), [(["--workers", 2], False), (["--workers", 2, "--cluster", "local"], True)]
)
def test_an_indexed_zoo_is_that_of_one_process(
    options: list[object],
    strict: bool,
    tiny: Tiny,
    thread: Thread,
    near: list[int],
    work: Path,
    cli: Cli,
    tree: ReadTree,
) -> None:
    """Also what is assumed of files that do not tell their architecture, and what is left out."""
    folder = work / "alone" / "nets"
    folder.mkdir(parents=True)
    for number, instance in enumerate(tiny.zoo.instances):
        shutil.copy(tiny.zoo.file_of(instance), folder / f"{number}.safetensors")
    shutil.copy(folder / "0.safetensors", folder / "again.safetensors")
    torch.save(build("resnet8", tiny.zoo.io).module.state_dict(), folder / "anonymous.pt")
    (folder / "bad.pt").write_bytes(b"bad")
    shutil.copytree(work / "alone", work / "shared")
    said, found = [], []
    for name, more in (("alone", ["--threads", 1]), ("shared", options)):
        with contextlib.chdir(work / name):
            strictly = ["--strict-arch"] if strict else []
            result = cli("zoo", "index", "nets", "--data", tiny.npz, "--json", *strictly, *more)
        assert result.exit_code == 0, result.output
        said.append(result.stderr)
        found.append(without_times(json.loads(result.stdout)))
    assert found[0] == found[1] and len(found[0]["refused"]) == 2 + strict
    assert said[0] == said[1] and strict != ("nets/anonymous.pt: resnet8 assumed" in said[0])
    assert tree(work / "alone") == tree(work / "shared")
    assert near == ([2, 2] if "--cluster" in options else []) and (thread.tasks == 0) == bool(near)


def test_shapes_are_divided_one_by_one(solids: Solids, thread: Thread, work: Path, ask: Ask) -> None:
    command = ["eval", solids.zoo.path, "--space", solids.space.path, "--split", "train", "--refine", 0]
    alone, shared = (without_times(ask(*command, *options)) for options in (["--threads", 1], ["--workers", 2]))
    assert alone == shared and thread.tasks == 5


def test_networks_that_are_refined_together_are_divided_no_further(
    tiny: Tiny, thread: Thread, work: Path, cli: Cli, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tiny.single_zoo.file_of(i) for i in tiny.single_zoo.instances[:4]]
    command = ["encode", *files, "--space", tiny.single_space.path, "--data", tiny.npz, "--workers", 4]
    result = cli(*command, "--refine", 2, "-o", "a.emb")
    assert "--workers 4: this process did all of it. So few networks of one architecture are refined" in result.stderr
    assert thread.tasks == 0 and result.exit_code == 0
    ask(*command, "--refine", 0, "-o", "b.emb")
    assert thread.tasks == 8, "encoded and compared one by one"
    parameters = tiny.single_space.architectures[0].parameter_count
    monkeypatch.setattr(refine, "AT_ONCE", 2 * parameters)
    ask(*command, "--refine", 2, "-o", "c.emb")
    assert thread.tasks == 8 + 2 + 4, "two and two, and all compared"
    ask(*command, "--refine", 2, "--workers", 1, "-o", "d.emb")
    assert Path("c.emb").read_bytes() == Path("d.emb").read_bytes()


def test_one_network_is_left_to_one_process(tiny: Tiny, thread: Thread, work: Path, cli: Cli) -> None:
    command = ["encode", tiny.networks["lenetlike"], "--space", tiny.space.path, "--data", tiny.npz, "-o", "a.emb"]
    assert "this process did all of it. There is one network." in cli(*command, "--workers", 2).stderr
    assert "this process" not in cli(*command, "--force").stderr and thread.tasks == 0


def test_merging_into_one_network_has_nothing_to_divide(tiny: Tiny, work: Path, refused: Refused) -> None:
    command = ["merge", *tiny.networks.values(), "--data", tiny.npz]
    assert "--workers divides groups among processes. Give --groups" in refused(2, *command, "--workers", 2)
    assert "--cluster divides groups among processes. Give --groups" in refused(2, *command, "--cluster", "local")


def test_a_cluster_gets_a_single_network_too(tiny: Tiny, near: list[int], work: Path, cli: Cli) -> None:
    command = ["encode", tiny.networks["lenetlike"], "--space", tiny.space.path, "--data", tiny.npz, "-o", "a.emb"]
    result = cli(*command, "--cluster", "local")
    assert result.exit_code == 0 and near == [1, 1] and "this process" not in result.stderr


@pytest.fixture
def submitit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs by submitit that are looked at often."""
    found = pytest.importorskip("submitit")
    monkeypatch.setattr(clusters, "LOOK", 0.1)
    # Seconds for the file of a result to appear, where machines share a slow disk.
    monkeypatch.setattr(found.core.core.Job, "_results_timeout_s", 0.2)


@pytest.mark.slow
@pytest.mark.usefixtures("submitit")
def test_a_job_of_a_cluster_gives_the_same_bits(tiny: Tiny, work: Path, ask: Ask) -> None:
    command = ["encode", tiny.networks["lenetlike"], tiny.networks["resnet8"], "--space", tiny.space.path]
    command += ["--data", tiny.npz, "--refine", 2]
    alone = without_times(ask(*command, "--threads", 1, "-o", "a.emb"))
    assert alone == without_times(ask(*command, "--cluster", "local", "-o", "b.emb"))
    assert Path("a.emb").read_bytes() == Path("b.emb").read_bytes() and len(list(Path("b.emb.jobs").iterdir())) == 1


DIES_ELSEWHERE = """
import os
from torch import nn

def make():
    if os.path.exists("main") and os.getpid() != int(open("main").read()) and not os.path.exists("killed"):
        open("killed", "w").close()
        os.kill(os.getpid(), 9)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3))
"""
CLUSTERS = [pytest.param("local:timeout_min=5", marks=pytest.mark.trust), pytest.param("ray", marks=pytest.mark.slow)]


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.usefixtures("submitit")
def test_the_groups_of_a_job_that_is_killed_are_merged_again(
    cluster: str, tiny: Tiny, work: Path, cli: Cli, ask: Ask, tree: ReadTree
) -> None:
    """Their architecture is a factory in the current folder that the user has named: jobs find and trust it as well."""
    if cluster == "ray":
        pytest.importorskip("ray")
    (work / "nets_that_die_elsewhere.py").write_text(DIES_ELSEWHERE)
    name = "nets_that_die_elsewhere:make"
    for epochs in (1, 2):
        with trusting(name), Runner("cpu", seed=10 * epochs) as runner:
            train_zoo(work / "zoo", ZooPlan((name,), (2, 0, 0), (epochs, epochs), batch=20), tiny.data, runner)
    command = ["merge", "zoo", "--data", tiny.npz, "--groups", "seed", "--steps", 2, "--images", 8, "--trust", name]
    Path("alone").mkdir()
    Path("shared").mkdir()
    alone = without_times(ask(*command, "--threads", 1, "-o", "alone/zoo"))
    Path("main").write_text(str(os.getpid()))
    result = cli(*command, "--workers", 2, "--cluster", cluster, "-o", "shared/zoo", "--json", "-q")
    assert result.exit_code == 0 and result.stderr == ""
    assert without_times(json.loads(result.stdout)) == alone
    assert Path("killed").exists() and len(alone["merged"]) == 2
    assert tree(work / "alone" / "zoo") == tree(work / "shared" / "zoo")


@pytest.mark.slow
def test_processes_give_the_same_bits_and_the_same_error(
    tiny: Tiny, work: Path, cli: Cli, ask: Ask, tree: ReadTree
) -> None:
    options = ["--space", tiny.space.path, "--data", tiny.npz, "--refine", 2]
    assert without_times(ask("eval", tiny.zoo.path, *options, "--threads", 1)) == without_times(
        ask("eval", tiny.zoo.path, *options, "--workers", 2)
    )
    shutil.copytree(tiny.zoo.path, "zoo")
    instance = tiny.zoo.select(split="test")[1]
    (Path("zoo") / instance.file).write_bytes(b"damaged")
    alone, shared = (cli("eval", "zoo", *options, "--json", "--workers", number) for number in (1, 2))
    assert alone.exit_code == shared.exit_code == 3
    assert "netspace zoo verify" in alone.stdout and alone.stdout == shared.stdout
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("options", "begun"),
    [(["--workers", 2], 1), ([], 0), (["--workers", 2, "--dry-run"], 0), (["--workers", 2, "--cluster", "local"], 0)],
)
def test_processes_are_begun_before_the_work_is_looked_at(
    options: list[object], begun: int, work: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(executors, "begin_server", lambda: seen.append(True))
    (work / "empty").mkdir()
    assert cli("finetune", "empty", *options).exit_code == 3, "no zoo"
    assert len(seen) == begun


@pytest.mark.trust
def test_the_part_of_a_worker_that_is_killed_is_done_again(tiny: Tiny, work: Path, ask: Ask) -> None:
    """Its architecture is a factory that the user has named: workers trust it as well."""
    (work / "nets_that_die_once.py").write_text(DIES_IN_WORKERS)
    name = "nets_that_die_once:make"
    with trusting(name), Runner("cpu") as runner:
        train_zoo(work / "zoo", ZooPlan((name,), (2, 0, 0), (1, 1), batch=20), tiny.data, runner)
    command = ["finetune", "zoo", "--data", tiny.npz, "--epochs", "0,1", "--batch", 20, "--trust", name]
    alone = ask(*command, "--threads", 1)
    assert without_times(ask(*command, "--workers", 2)) == without_times(alone)
    assert Path("killed").exists() and multiprocessing.active_children() == []
