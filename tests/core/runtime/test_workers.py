"""Work divided among workers: the results and the errors of one process, each input opened once for each."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from netspace_models.errors import ConfigError, RunFailed

from netspace_cli.core.runtime import executors, workers
from netspace_cli.core.runtime.executors import LocalExecutor, Lost
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.workers import Workers, in_order, spread

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Factor:
    """A source of a number, which counts how often it is opened."""

    value: int
    name: str = "factor"

    def open(self) -> int:
        OPENED.append(self.value)
        return self.value


OPENED: list[int] = []


@dataclass
class Backwards:
    """An executor in this process that ends tasks in another order than it begins them; it loses one the first time."""

    lost: int = -1
    stopped: bool = False
    sizes: list[int] = field(default_factory=list)

    def stop(self) -> None:
        self.stopped = True

    def each(self, work: Callable[[T, str], R], tasks: Sequence[T]) -> Generator[tuple[int, R | Lost]]:
        self.sizes.append(len(tasks))
        for place in reversed(range(len(tasks))):
            lost, self.lost = place == self.lost, -1 if place == self.lost else self.lost
            yield place, Lost() if lost else work(tasks[place], "cpu")


def times(task: int, factor: int, runner: Runner) -> int:
    """Counts its work, and refuses negative numbers."""
    runner.count(task, "things")
    if task < 0:
        raise ConfigError(f"{task} cannot be multiplied.", "Give 0 or more.")
    return task * factor + runner.seed


@pytest.fixture(autouse=True)
def nothing_opened() -> Iterator[None]:
    OPENED.clear()
    yield
    workers.opened.cache_clear()
    workers._runner.cache_clear()


def test_results_counts_and_the_seed_are_those_of_one_process() -> None:
    tasks = [3, 1, 2, 5]
    alone, shared = Runner("cpu", seed=7), Runner("cpu", seed=7)
    wanted = list(in_order(spread(times, tasks, 10, alone, None)))
    assert wanted == [37, 17, 27, 57]
    for executor in (Backwards(), Backwards(lost=2)):
        found = list(spread(times, tasks, 10, shared, Workers(Factor(10), shared, executor)))
        assert [place for place, _ in found] != sorted(place for place, _ in found)
        assert list(in_order(found)) == wanted
    assert OPENED == [10], "once, as it is kept"
    assert (alone.report()["counted"], shared.report()["counted"]) == ({"things": 11}, {"things": 22})


def test_a_single_task_is_not_sent_but_to_a_cluster() -> None:
    runner = Runner("cpu")
    assert list(spread(times, [4], 2, runner, Workers(Factor(10), runner, Backwards()))) == [(0, 8)]
    assert OPENED == []
    assert list(spread(times, [4], 2, runner, Workers(Factor(10), runner, Backwards(), jobs=1))) == [(0, 40)]


@pytest.mark.parametrize("lost", [-1, 1])
def test_tasks_are_put_together_into_a_number_of_jobs(lost: int) -> None:
    runner, executor = Runner("cpu"), Backwards(lost=lost)
    found = list(spread(times, range(7), 10, runner, Workers(Factor(10), runner, executor, jobs=3)))
    assert list(in_order(found)) == [0, 10, 20, 30, 40, 50, 60] and len(found) == 7
    first = [[2, 5], [1, 4], [0, 3, 6]] if lost < 0 else [[2, 5], [0, 3, 6]]
    assert [place for place, _ in found[: sum(map(len, first))]] == [place for job in first for place in job]
    # What was lost is put together anew: its two tasks are two jobs.
    assert executor.sizes == ([3] if lost < 0 else [3, 2])
    few = Backwards()
    list(spread(times, range(2), 10, runner, Workers(Factor(10), runner, few, jobs=100)))
    assert few.sizes == [2], "no job without a task"


def test_jobs_name_the_first_task_that_fails_and_leave_out_what_comes_after_it() -> None:
    # The job of tasks 1, 3, 5 ends first, and fails; the one of 0, 2, 4 has an earlier one that fails, too.
    runner, found = Runner("cpu"), []
    shared = Workers(Factor(2), runner, Backwards(), jobs=2)
    with pytest.raises(ConfigError, match="-2 cannot be multiplied"):
        for result in spread(times, [1, 1, -2, -3, 5, 5], 2, runner, shared):
            found.append(result)
    assert found == [(1, 2), (0, 2)]


def test_the_error_is_that_of_the_first_task_that_fails_in_one_process() -> None:
    tasks = [1, -2, -3, 4]
    runner = Runner("cpu")
    with pytest.raises(ConfigError) as alone:
        list(spread(times, tasks, 2, runner, None))
    executor, found = Backwards(), []
    with pytest.raises(ConfigError) as failure:
        for result in spread(times, tasks, 2, runner, Workers(Factor(2), runner, executor)):
            found.append(result)
    assert str(failure.value) == str(alone.value) == "-2 cannot be multiplied. Give 0 or more."
    assert executor.stopped and found == [(3, 8), (0, 2)], "what others have found is handed on"


def test_a_worker_that_is_lost_again_and_again_is_told_of_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "TRIES", 1)
    runner = Runner("cpu")
    shared = Workers(Factor(2), runner, Backwards(lost=0), kept="Finished groups are kept.")
    with pytest.raises(RunFailed, match=r"want of memory\. Finished groups are kept\. .* fewer workers"):
        list(spread(times, [1, 2], 2, runner, shared))


def test_results_come_in_order_as_soon_as_they_can() -> None:
    seen: list[int] = []

    def outcomes() -> Iterator[tuple[int, str]]:
        for place in (1, 0, 3, 2):
            seen.append(place)
            yield place, f"r{place}"

    order = in_order(outcomes())
    assert (next(order), list(seen)) == ("r0", [1, 0])
    assert (next(order), next(order), list(seen)) == ("r1", "r2", [1, 0, 3, 2])
    assert list(order) == ["r3"]


def test_threads_and_precision_of_workers_are_the_runners(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ThreadPoolExecutor(1)
    monkeypatch.setattr(executors, "ProcessPoolExecutor", lambda count, **settings: pool)
    runner = Runner("cpu", threads=None, precision="bf16", seed=3)
    with LocalExecutor(["cpu"]) as executor:
        shared = Workers(Factor(1), runner, executor)
        found = [result for _, result in spread(settings_of, [0, 0], 1, runner, shared)]
    assert found == [("cpu", "bf16", 1, 3)] * 2


def settings_of(task: int, factor: int, runner: Runner) -> tuple[str, str, int | None, int]:
    return str(runner.device), runner.precision_name, runner.threads, runner.seed
