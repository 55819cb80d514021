"""Independent tasks in other processes; a task whose worker is ended from outside is done again."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from netspace_models.errors import RunFailed
from netspace_models.wording import setting, speak, spoken

T = TypeVar("T")
R = TypeVar("R")

# How often a task is given to a worker, at most.
TRIES = 3


@dataclass(frozen=True)
class Lost:
    """In place of a result: the task's worker was ended from outside. `how` says what is known of it, or is empty."""

    how: str = ""


class Executor(Protocol):
    """Runs tasks in processes elsewhere."""

    def each(self, work: Callable[[T, str], R], tasks: Sequence[T]) -> Generator[tuple[int, R | Lost]]:
        """Places of tasks with their results, as they come. Closing it ends what is still running.

        Args:
            work: from a task and the name of a device to a result; picklable, like both.
        Raises:
            Exception: whatever `work` raises.
        """

    def stop(self) -> None:
        """Begin no more tasks; those under way still come to their end."""

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""


def results_of(executor: Executor, work: Callable[[T, str], R], tasks: Sequence[T]) -> Generator[R]:
    """Results of all tasks, as they come, each once.

    Raises:
        RunFailed: a task was lost TRIES times.
        Exception: whatever `work` raises.
    """
    left, how = list(tasks), ""
    for _ in range(TRIES):
        again = []
        with closing(executor.each(work, left)) as outcomes:
            for place, outcome in outcomes:
                if isinstance(outcome, Lost):
                    again.append(left[place])
                    how = outcome.how
                else:
                    yield outcome
        left = again
        if not left or executor.stopped:
            return
    known = f" ({how})" if how else ""
    raise RunFailed(
        f"a worker process was ended from outside {TRIES} times, perhaps for want of memory{known}. "
        "Finished instances are kept.",
        f"Run the same command again to go on, with fewer workers: {setting('workers', 1)}.",
    )


class LocalExecutor:
    """Processes on this machine.

    Args:
        devices: name of the device of each process.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self._lanes = [_Lane(device) for device in devices]
        self.stopped = False

    def stop(self) -> None:
        """Begin no more tasks."""
        self.stopped = True

    def each(self, work: Callable[[T, str], R], tasks: Sequence[T]) -> Generator[tuple[int, R | Lost]]:
        """Places of tasks with their results: see `Executor`."""
        waiting, idle = deque(enumerate(tasks)), list(reversed(self._lanes))
        busy: dict[Future[R], tuple[_Lane, int]] = {}
        try:
            while busy or (waiting and not self.stopped):
                while waiting and idle and not self.stopped:
                    lane, (place, task) = idle.pop(), waiting.popleft()
                    busy[lane.begin(work, task)] = (lane, place)
                finished, _ = wait(busy, return_when=FIRST_COMPLETED)
                for future in finished:
                    lane, place = busy.pop(future)
                    idle.append(lane)
                    outcome: R | Lost = Lost() if lane.is_lost(future) else future.result()
                    yield place, outcome
        finally:
            for lane in self._lanes:
                lane.close()


class _Lane:
    """A process that does one task after the other, and is replaced if it is ended from outside."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._pool: ProcessPoolExecutor | None = None

    def begin(self, work: Callable[[T, str], R], task: T) -> Future[R]:
        if self._pool is None:
            # Spawned, not forked: torch's thread pools do not survive a fork.
            spawn: Any = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=spawn, initializer=speak, initargs=(spoken(),))
        return self._pool.submit(work, task, self.device)

    def is_lost(self, future: Future[Any]) -> bool:
        lost = isinstance(future.exception(), BrokenProcessPool)
        if lost:
            self.close()
        return lost

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None
