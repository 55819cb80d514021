"""Ctrl-C and SIGTERM for commands without anything to save before they stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

from netspace_models.errors import Interrupted

from netspace_cli.core.runtime.stop import EXIT_CODES

_WORDS = {signal.SIGINT: "interrupted.", signal.SIGTERM: "terminated."}


CONTINUES = "What is finished is kept: run the same command again to continue."


class Halt(BaseException):
    """Request to stop at once. Not an `Exception`, so that no code takes it for a failed file or step.

    Attributes:
        hint: what to do next.
    """

    hint = ""


@contextmanager
def continues(kept: bool = True, how: Callable[[], str] = lambda: CONTINUES) -> Iterator[None]:
    """Tell whoever stops the work in the block how it can go on, if its results are `kept`."""
    try:
        yield
    except Halt as halt:
        halt.hint = how() if kept else ""
        raise


class Interrupts:
    """Inside the block, Ctrl-C and the first SIGTERM raise `Halt`; later SIGTERMs are ignored.

    `error` says which it was, as code that turns whatever is raised into an error of its own must not turn an
    order to stop into, say, a bad checkpoint. Amid an import the process ends at once: what is raised there
    gets lost in callbacks or comes out as an ImportError. Commands that save before they stop install handlers
    of their own. A Ctrl-C that the process was started to ignore (in a script's background) stays ignored.

    Args:
        report: tells the user, and returns the exit code; for the end at once.
    """

    def __init__(self, report: Callable[[Interrupted], int]) -> None:
        self.error: Interrupted | None = None
        self._report = report
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for order in _WORDS:
                if signal.getsignal(order) is not signal.SIG_IGN:
                    self._before[order] = signal.signal(order, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for order, handler in self._before.items():
            signal.signal(order, handler)

    def _stop(self, number: int, frame: FrameType | None) -> NoReturn:
        order = signal.Signals(number)
        if order is signal.SIGTERM:
            signal.signal(order, signal.SIG_IGN)
        self.error = Interrupted(_WORDS[order], exit_code=EXIT_CODES[order])
        if _is_importing(frame):
            _tidy()
            os._exit(self._report(self.error))
        raise Halt


def _tidy() -> None:
    """Remove unfinished files, since nothing unwinds at an immediate end."""
    leftovers = sys.modules.get("netspace_cli.core.files.leftovers")
    if leftovers is not None:
        leftovers.remove_unfinished()


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
