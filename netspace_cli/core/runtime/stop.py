"""Stop on request, but only between two steps."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from netspace_models.errors import Interrupted

if TYPE_CHECKING:
    from .processes import Processes

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class StopRequest:
    """Note SIGINT and SIGTERM inside the block, instead of breaking off the work.

    The work asks `requested` at its own safe points. A second signal is not waited for: it interrupts at
    once, as without this. Outside the main thread, where Python allows no handlers, nothing is noted.

    Args:
        announce: called once, when the first signal comes, from a thread of its own: Python's handlers wait
            for the work to come back to Python, which may take minutes.
    """

    def __init__(self, announce: Callable[[], None] | None = None) -> None:
        self.received: signal.Signals | None = None
        self._announce = announce
        self._before: dict[signal.Signals, Any] = {}
        self._listener: _Listener | None = None

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self.received is not None

    def requested_by_any(self, processes: Processes) -> bool:
        """Whether a signal has come to any of several processes; all of them get the same answer."""
        number = processes.largest(0 if self.received is None else self.received)
        # One that has come here since then is for the next time, when all hear of it.
        if number:
            self.received = signal.Signals(number)
        return number > 0

    def interrupted(self, message: str, hint: str) -> Interrupted:
        """The error to end with; its exit code is that of the signal."""
        assert self.exit_code is not None
        return Interrupted(message, hint, exit_code=self.exit_code)

    @property
    def exit_code(self) -> int | None:
        """That of the signal; None where none has come."""
        return None if self.received is None else EXIT_CODES[self.received]

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            if self._announce is not None:
                self._listener = _Listener(self._announce)
            self._before = {s: signal.signal(s, self._note) for s in EXIT_CODES}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._listener is not None:
            self._listener.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)


class _Listener:
    """Learns of signals at once, through the pipe that Python's C handler writes to."""

    def __init__(self, announce: Callable[[], None]) -> None:
        self._announce = announce
        self._out, self._in = os.pipe()
        os.set_blocking(self._in, False)
        self._before = signal.set_wakeup_fd(self._in, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._listen, name="netspace signals", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; returns when all signals received have been announced."""
        signal.set_wakeup_fd(self._before)
        os.close(self._in)
        self._thread.join()
        os.close(self._out)

    def _listen(self) -> None:
        while heard := os.read(self._out, 1):
            if heard[0] in EXIT_CODES:
                with suppress(OSError):  # stderr may be gone; the work is not to fail of that
                    self._announce()
                return
