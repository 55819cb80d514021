"""--workers: the files and the document of one process, whatever becomes of a worker."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from netspace_cli.core.encoding import refine
from netspace_cli.core.networks.trust import trusting
from netspace_cli.core.runtime import executors, workers
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.zoos.plan import ZooPlan
from netspace_cli.core.zoos.train import train_zoo
from tests.worlds import DIES_IN_WORKERS, Ask, Cli, ReadTree, Refused, Solids, Tiny


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
    yield pool
    ThreadPoolExecutor.shutdown(pool)
    workers.opened.cache_clear()
    workers._runner.cache_clear()


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
        "finetune": (["finetune", tiny.single_zoo.path, *data, "--epochs", "0,1", "--batch", 20], False),
    }


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("merge", "sample")]


@pytest.mark.parametrize("name", ["encode", "eval", "finetune", *SLOW])
def test_files_and_document_are_those_of_one_process(
    name: str, tiny: Tiny, thread: Thread, work: Path, ask: Ask, tree: ReadTree
) -> None:
    command, written = jobs(tiny)[name]
    found = []
    for folder, options in (("alone", ["--threads", 1]), ("shared", ["--workers", 2])):
        output = ["-o", f"{folder}/out{'.emb' if name == 'encode' else ''}"] if written else []
        Path(folder).mkdir()
        found.append(without_times(ask(*command, *options, *output)))
        assert (thread.tasks > 0) == (folder == "shared")
    assert found[0] == found[1]
    assert tree(work / "alone") == tree(work / "shared")
    assert not written or tree(work / "alone")


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
    assert Path("c.emb").read_bytes() == Path("d.emb").read_bytes() != Path("a.emb").read_bytes()


def test_one_network_is_left_to_one_process(tiny: Tiny, thread: Thread, work: Path, cli: Cli) -> None:
    command = ["encode", tiny.networks["lenetlike"], "--space", tiny.space.path, "--data", tiny.npz, "-o", "a.emb"]
    assert "this process did all of it. There is one network." in cli(*command, "--workers", 2).stderr
    assert "this process" not in cli(*command, "--force").stderr and thread.tasks == 0


def test_merging_into_one_network_has_nothing_to_divide(tiny: Tiny, work: Path, refused: Refused) -> None:
    command = ["merge", *tiny.networks.values(), "--data", tiny.npz, "--workers", 2]
    assert "--workers divides groups among processes. Give --groups" in refused(2, *command)


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
