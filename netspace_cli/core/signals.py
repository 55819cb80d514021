"""Stop when asked, but only between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from netspace_models.errors import Interrupted

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class StopRequest:
    """Notes SIGINT and SIGTERM while it is entered, instead of breaking the work off where it stands.

    The work asks `requested` at its own safe points. A second signal is not waited for: it interrupts at
    once, as without this. Outside the main thread, where Python allows no handlers, nothing is noted.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self.received is not None

    def interrupted(self, message: str, hint: str) -> Interrupted:
        """The error to end with, its exit code that of the signal."""
        assert self.received is not None
        return Interrupted(message, hint, exit_code=EXIT_CODES[self.received])

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._note) for s in EXIT_CODES}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
