"""Start a command as several processes on this machine, watch them, and end them together.

Process 0 has the terminal; what the others say is kept, for a message. This module does not import torch.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from netspace_models.errors import ConfigError, ProcessLost
from netspace_models.wording import setting

from .places import COUNT, LAUNCHER_PIPE, LOCAL_COUNT, LOCAL_NUMBER, MEETING_FILE, NUMBER
from .stop import EXIT_CODES

# A process that lost another one ends with this and says nothing: the launcher knows which one and how.
LOST = 75
# Seconds between two looks at the processes; for the others to end by themselves; and until they are killed.
LOOK, GRACE, KILL = 0.05, 5.0, 5.0
# Exit codes of a process that is at work, done or stopped as it was asked to.
_FINE = (None, 0, *EXIT_CODES.values())
# gloo would ask for the address of the machine's name, which it may not have.
LOOPBACK = {"linux": "lo", "darwin": "lo0"}
# Processes that any machine may be asked for, however few cores it has.
ALWAYS = 4


@dataclass(frozen=True, eq=False)
class Child:
    """A process that was started: its number among all, and the file that keeps what it says; None of process 0."""

    number: int
    process: subprocess.Popen[bytes]
    said: Path | None


def check_count(count: int) -> None:
    """Refuse more processes than a machine can run: each takes the memory of a whole training.

    Raises:
        ConfigError: says how many cores there are.
    """
    cores = os.cpu_count() or 1
    most = max(ALWAYS, cores)
    if count > most:
        raise ConfigError(
            f"{count:,} processes are too many for this machine, which has {cores} processor cores.",
            f"Give {setting('devices', most)} or less; on several machines start by torchrun.",
        )


def launch(command: Sequence[str], count: int, *, on_start: Callable[[int, int], None] | None = None) -> int:
    """Run a command as several processes, each with its place among them in the environment.

    Signals go on to process 0, which stops the others. If this process is killed, the others stop as at a SIGTERM.

    Args:
        command: the program and its arguments.
        count: of processes.
        on_start: called with the number and the process id of each.
    Returns:
        The exit code of process 0, which has shown its result or its error.
    Raises:
        ProcessLost: a process was killed, or failed where process 0 did not; the others have been ended.
    """
    with tempfile.TemporaryDirectory(prefix="netspace-") as folder:
        children: list[Child] = []
        with _launcher_pipe() as pipe:
            try:
                for number in range(count):
                    children.append(_started(command, number, count, Path(folder), pipe))
                    if on_start is not None:
                        on_start(number, children[-1].process.pid)
                with _signals_to(children[0]):
                    return _outcome(children, _watched(children))
            finally:
                _end(children)


@contextmanager
def _launcher_pipe() -> Iterator[int]:
    """A pipe's end that reads to its end when this process is gone; nobody else has the other end."""
    out, into = os.pipe()
    try:
        yield out
    finally:
        os.close(out)
        os.close(into)


def _started(command: Sequence[str], number: int, count: int, folder: Path, pipe: int) -> Child:
    own = {NUMBER: number, COUNT: count, LOCAL_NUMBER: number, LOCAL_COUNT: count, LAUNCHER_PIPE: pipe}
    environment = {**os.environ, **{name: str(value) for name, value in own.items()}}
    environment[MEETING_FILE] = str(folder / "meeting")
    if sys.platform in LOOPBACK:
        environment.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK[sys.platform])
    said = None if number == 0 else folder / f"process-{number}.txt"
    # A group of its own: Ctrl-C comes to this process alone, which hands it on once.
    if said is None:
        return Child(number, subprocess.Popen(command, env=environment, pass_fds=[pipe], process_group=0), said)
    with said.open("wb") as file:
        process = subprocess.Popen(
            command,
            env=environment,
            pass_fds=[pipe],
            process_group=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
    return Child(number, process, said)


@contextmanager
def _signals_to(first: Child) -> Iterator[None]:
    """Hand signals on to process 0 inside the block; the work is its own to stop."""

    def hand_on(number: int, frame: FrameType | None) -> None:
        first.process.send_signal(number)

    heard = [order for order in EXIT_CODES if signal.getsignal(order) is not signal.SIG_IGN]
    before = {order: signal.signal(order, hand_on) for order in heard}
    try:
        yield
    finally:
        for order, handler in before.items():
            signal.signal(order, handler)


def _watched(children: Sequence[Child]) -> Child | None:
    """Wait until process 0 has ended, or GRACE after another one has failed.

    Returns:
        The first process seen to have failed of itself, not for want of another one; None if none did.
    """
    failed, until = None, float("inf")
    while True:
        codes = {child: child.process.poll() for child in reversed(children)}
        failed = failed or next((child for child, code in codes.items() if code not in (*_FINE, LOST)), None)
        code = codes[children[0]]
        if (code is not None and (code != LOST or failed is not None)) or time.monotonic() > until:
            return failed
        if until == float("inf") and any(code not in _FINE for code in codes.values()):
            until = time.monotonic() + GRACE
        time.sleep(LOOK)


def _outcome(children: Sequence[Child], failed: Child | None) -> int:
    """Exit code of process 0, or an error that says which process failed first and how."""
    code = children[0].process.poll()
    if code is not None and 0 <= code != LOST:
        return code
    silent = next((child for child in children if child.process.poll() is None), children[0])
    failed = failed or silent
    raise ProcessLost(f"process {failed.number} of {len(children)} (counted from 0) {_how(failed)}.")


def _how(child: Child) -> str:
    code = child.process.poll()
    if code is None:
        return "did not answer in time"
    if code == LOST:
        return "lost contact with the others"
    said = _last_words(child)
    if code < 0:
        name = signal.Signals(-code).name
        return f"was ended by {name}{', perhaps for want of memory' if name == 'SIGKILL' else ''}"
    return f"failed with exit code {code}{f' ({said})' if said else ''}"


def _last_words(child: Child) -> str:
    """The error that a process has written, or its last line."""
    if child.said is None:
        return ""
    lines = [line.strip() for line in child.said.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or [""])[-1].removeprefix("error: ").rstrip(".")


def _end(children: Sequence[Child]) -> None:
    """End the processes that are left, if need be by force."""
    succeeded = children and children[0].process.poll() == 0
    if succeeded:
        _wait(children, GRACE)  # the others are ending by themselves
    for each in children:
        if each.process.poll() is None:
            each.process.terminate()
    _wait(children, KILL)
    for each in children:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


def _wait(children: Sequence[Child], seconds: float) -> None:
    until = time.monotonic() + seconds
    while any(c.process.poll() is None for c in children) and time.monotonic() < until:
        time.sleep(LOOK)
