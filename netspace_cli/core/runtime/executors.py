"""Independent tasks in other processes; a task whose worker is ended from outside is done again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from typing import Any, Protocol, Self, TypeVar

from netspace_models.errors import RunFailed
from netspace_models.wording import Wording, setting, speak, spoken

from .memory import keep_freed_memory

T = TypeVar("T")
R = TypeVar("R")

# Python's own variable: a script's or the working folder is not searched for modules.
SAFE_PATH = "PYTHONSAFEPATH"
# Bytes: a socket's path has at most 107, of which Python's own names take 32.
LONGEST_FOLDER = 75

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


def results_of(
    executor: Executor, work: Callable[[T, str], R], tasks: Sequence[T], *, kept: str = "Finished instances are kept."
) -> Generator[R]:
    """Results of all tasks, as they come, each once.

    Args:
        kept: what the message says of those that are finished where a task is given up; may be empty.
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
        f"a worker process was ended from outside {TRIES} times, perhaps for want of memory{known}. {kept}".rstrip(),
        f"Run the same command again to go on, with fewer workers: {setting('workers', 1)}.",
    )


class LocalExecutor:
    """Processes on this machine, one for each device; as a context, they stay for later tasks until its end.

    Args:
        devices: name of the device of each process.
        initial: called in each process before its first task; picklable.
    """

    def __init__(self, devices: Sequence[str], initial: Callable[[], None] | None = None) -> None:
        self._lanes = [_Lane(device, initial) for device in devices]
        self._kept = False
        self.stopped = False

    def __enter__(self) -> Self:
        self._kept = True
        return self

    def __exit__(self, *error: object) -> None:
        self._kept = False
        self._close()

    def _close(self) -> None:
        for lane in self._lanes:
            if lane.busy or not self._kept:
                lane.close()

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
            self._close()


class _Lane:
    """A process that does one task after the other, and is replaced if it is ended from outside."""

    def __init__(self, device: str, initial: Callable[[], None] | None) -> None:
        self.device = device
        self._initial = initial
        self._pool: ProcessPoolExecutor | None = None
        self._lifeline: Connection | None = None
        self._task: Future[Any] | None = None

    @property
    def busy(self) -> bool:
        """Whether its process is doing a task."""
        return self._task is not None and not self._task.done()

    def begin(self, work: Callable[[T, str], R], task: T) -> Future[R]:
        if self._pool is not None:
            self._task = future = self._pool.submit(work, task, self.device)
            return future
        context = _context()
        other_end, self._lifeline = context.Pipe(duplex=False)
        arguments = (spoken(), other_end, self._initial)
        with _imports_from_elsewhere():
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_begin_process, initargs=arguments)
            with _without_interrupts():
                self._task = future = self._pool.submit(work, task, self.device)
        other_end.close()  # the process, which is started by now, has its own
        return future

    def is_lost(self, future: Future[Any]) -> bool:
        lost = isinstance(future.exception(), BrokenProcessPool)
        if lost:
            self.close()
        return lost

    def close(self) -> None:
        """End the process: at once if it is doing a task."""
        if self.busy and self._lifeline is not None:
            self._lifeline.close()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        if self._lifeline is not None:
            self._lifeline.close()
        self._pool = self._lifeline = self._task = None


def _context() -> Any:
    """How processes are started: not by a fork of this one, as torch's threads do not survive that.

    Where it is safe they are forks of a server: a process that has imported torch, which takes seconds, and computed
    nothing. Elsewhere each is started anew.
    """
    # macOS's own libraries do not survive a fork. The server is spoken to by a socket in the folder of temporary files.
    if sys.platform != "linux" or len(os.fsencode(tempfile.gettempdir())) > LONGEST_FOLDER:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch"])
    return context


def begin_server() -> None:
    """Start the server that worker processes are forks of, so that it imports torch while this process does."""
    if _context().get_start_method() == "forkserver":
        with _imports_from_elsewhere():
            # It is started with the server otherwise, and lets interrupts through again.
            resource_tracker.ensure_running()
            with _without_interrupts():
                forkserver.ensure_running()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that are started in the block never see Ctrl-C, which reaches all processes of a terminal: their parent
    ends them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _imports_from_elsewhere() -> Iterator[None]:
    """Processes that are started in the block import nothing from the working folder, where a torch.py may lie, until
    they search where this process does.
    """
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        del os.environ[SAFE_PATH]
        if before is not None:
            os.environ[SAFE_PATH] = before


def _begin_process(wording: Wording, lifeline: Connection, initial: Callable[[], None] | None) -> None:
    """Prepare a worker process: it ends when the other end of `lifeline` is closed, also by the death of its parent."""
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    keep_freed_memory()
    speak(wording)
    if initial is not None:
        initial()


def _end_with(lifeline: Connection) -> None:
    lifeline.poll(None)  # nothing is ever sent: there is something to read when it is closed
    os._exit(1)
