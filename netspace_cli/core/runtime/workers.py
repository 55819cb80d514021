"""Work on networks that do not depend on each other: in this process, or divided among worker processes.

The work is the same in both cases, and so are its results. What the processes share, a space and a data set, each opens
itself; what is sent are tasks and results, which hold arrays in place of tensors, as torch would send these through
shared memory that a process may not outlive.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from typing import Any, Generic, Protocol, TypeVar

from netspace_models.errors import NetspaceError

from .executors import Executor, Lost, results_of
from .runner import Runner

Opened = TypeVar("Opened")
Opened_co = TypeVar("Opened_co", covariant=True)
T = TypeVar("T")
R = TypeVar("R")

# From a task, what was opened, and a runner, to a result.
Work = Callable[[T, Opened, Runner], R]


class Source(Protocol[Opened_co]):
    """Where inputs come from. Hashable and picklable."""

    def open(self) -> Opened_co:
        """Open them.

        Raises:
            NetspaceError: as when they were opened the first time.
        """
        ...

    def __hash__(self) -> int: ...


@lru_cache(maxsize=1)
def opened(source: Source[Opened]) -> Opened:
    """Open a source, which a worker process does once for all of its tasks."""
    return source.open()


@dataclass(frozen=True)
class _Settings:
    """Settings of a runner, as in `Runner`."""

    precision: str
    threads: int
    seed: int


@dataclass(frozen=True)
class _Outcome(Generic[R]):
    """What became of a task: its result, or why it failed, and the work that was counted."""

    place: int
    results: tuple[R, ...]
    failure: NetspaceError | None
    counted: dict[str, int]


class Workers(Generic[Opened]):
    """Processes that independent work is divided among.

    Args:
        source: what the work needs; each process opens it.
        runner: of this process: its precision and its seed are those of all, and so is its number of threads, which is
            1 where it says none. It counts the work of all.
        executor: runs the processes; a `LocalExecutor` that is used as a context keeps them for later work.
        kept: for the message of a process that was lost again and again: what is finished and stays.
        jobs: of a cluster, whose jobs take long to begin: into how many at most the tasks are put together. None for
            processes that take one task after the other.
    """

    def __init__(
        self,
        source: Source[Opened],
        runner: Runner,
        executor: Executor,
        *,
        kept: str = "",
        jobs: int | None = None,
    ) -> None:
        self._source, self._runner, self._kept = source, runner, kept
        self._executor = executor if jobs is None else _Jobs(executor, jobs)
        # To start a process for a single task would gain nothing, but another machine may be the right one for it.
        self.fewest = 2 if jobs is None else 1

    def each(self, work: Work[T, Opened, R], tasks: Sequence[T]) -> Generator[tuple[int, R]]:
        """Places of tasks with their results, as they come.

        Args:
            work: picklable, like tasks and results.
        Raises:
            NetspaceError: what the first of the tasks that fail raises, as in one process; results of others may come
                before.
            RunFailed: a worker process was killed again and again.
        """
        runner = self._runner
        settings = _Settings(runner.precision_name, runner.threads or 1, runner.seed)
        do = partial(_in_process, work=work, source=self._source, settings=settings)
        left, failures = set(range(len(tasks))), dict[int, NetspaceError]()
        with closing(results_of(self._executor, do, list(enumerate(tasks)), kept=self._kept)) as outcomes:
            for outcome in outcomes:
                left.discard(outcome.place)
                for what, number in outcome.counted.items():
                    runner.count(number, what)
                for result in outcome.results:
                    yield outcome.place, result
                if outcome.failure is not None:
                    failures[outcome.place] = outcome.failure
                    self._executor.stop()
                # Tasks are begun in order: those before the first that failed are under way, and may fail as well.
                if failures and min(failures) < min(left, default=len(tasks)):
                    break
        if failures:
            raise failures[min(failures)]


class _Jobs:
    """An executor that puts tasks together into a number of jobs of another one.

    Each job has tasks from all of the work, as those that follow each other are often alike and take equally long.

    Args:
        executor: runs the jobs.
        most: of them in a round; tasks that were lost are put together anew.
    """

    def __init__(self, executor: Executor, most: int) -> None:
        self._executor, self._most = executor, most
        self.stopped = False

    def stop(self) -> None:
        """Begin no more rounds. Jobs go on, since each has tasks from before the one that failed."""
        self.stopped = True

    def each(self, work: Callable[[T, str], R], tasks: Sequence[T]) -> Generator[tuple[int, R | Lost]]:
        """Places of tasks with their results: see `Executor`."""
        count = max(1, min(self._most, len(tasks)))
        places = [range(first, len(tasks), count) for first in range(count)]
        jobs = [[tasks[place] for place in each] for each in places]
        with closing(self._executor.each(partial(_in_job, work), jobs)) as outcomes:
            for job, found in outcomes:
                if isinstance(found, Lost):
                    yield from ((place, found) for place in places[job])
                else:
                    # Fewer than places after one that failed.
                    yield from zip(places[job], found, strict=False)


def _in_job(work: Callable[[T, str], R], tasks: Sequence[T], device: str) -> list[R]:
    """Results of tasks one after the other, up to the first that fails."""
    found = []
    for task in tasks:
        found.append(work(task, device))
        if isinstance(found[-1], _Outcome) and found[-1].failure is not None:
            break
    return found


def spread(
    work: Work[T, Opened, R], tasks: Sequence[T], inputs: Opened, runner: Runner, workers: Workers[Opened] | None
) -> Generator[tuple[int, R]]:
    """Places of tasks with their results: one after the other in this process, or from workers as they come.

    A single task is not sent to a process of this machine: to start one for it would gain nothing.

    Args:
        inputs: what `workers` open, for work in this process.
        workers: None for this process alone.
    Raises:
        NetspaceError: whatever `work` raises; RunFailed: as `Workers.each`.
    """
    if workers is not None and len(tasks) >= workers.fewest:
        yield from workers.each(work, tasks)
        return
    for place, task in enumerate(tasks):
        yield place, work(task, inputs, runner)


def in_order(outcomes: Iterable[tuple[int, R]]) -> Generator[R]:
    """Results in the order of their tasks, each as soon as those before it are there."""
    waiting: dict[int, R] = {}
    following = 0
    for place, result in outcomes:
        waiting[place] = result
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def spread_and_keep(
    work: Work[T, Opened, R],
    tasks: Sequence[T],
    done: Mapping[int, R],
    keep: Callable[[R], None],
    inputs: Opened,
    runner: Runner,
    workers: Workers[Opened] | None,
) -> Generator[tuple[int, R]]:
    """Places of tasks with their results, as `spread`, where some are done already; these come first.

    Args:
        done: results by place.
        keep: called once for each result, in the order of the tasks. Those that wait for one before them are kept at
            the end, however it comes.
    Raises:
        NetspaceError: as `spread`.
    """
    left = [place for place in range(len(tasks)) if place not in done]
    waiting: dict[int, R] = {}
    following = 0
    with closing(spread(work, [tasks[place] for place in left], inputs, runner, workers)) as outcomes:
        try:
            for place, result in chain(done.items(), ((left[n], each) for n, each in outcomes)):
                waiting[place] = result
                while following in waiting:
                    keep(waiting.pop(following))
                    following += 1
                yield place, result
        finally:
            for place in sorted(waiting):
                keep(waiting[place])


@lru_cache(maxsize=1)
def _runner(device: str, settings: _Settings) -> Runner:
    """The runner of a worker process, which stays as long as that, and so do the inputs on its device."""
    made = Runner(device, precision=settings.precision, threads=settings.threads, seed=settings.seed)
    return made.__enter__()


def _in_process(
    numbered: tuple[int, T], device: str, *, work: Work[T, Any, R], source: Source[Any], settings: _Settings
) -> _Outcome[R]:
    place, task = numbered
    runner = _runner(device, settings)
    before = runner.report()["counted"]
    results: tuple[R, ...] = ()
    failure = None
    try:
        results = (work(task, opened(source), runner),)
    except NetspaceError as error:
        failure = error
    counted = {what: number - before.get(what, 0) for what, number in runner.report()["counted"].items()}
    return _Outcome(place, results, failure, counted)
