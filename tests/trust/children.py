"""Commands in forked processes, where a file operation can be made to fail, or be the last one.

The parent has imported torch, so that a command starts at once. It must not have started any thread.
"""

from __future__ import annotations

import builtins
import errno
import importlib
import io
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from netspace_cli.cli import cli

# Operations by name that change what is on the disk, as Python tells of them before it does them.
_CHANGES = frozenset(
    ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.link", "os.symlink")
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# Longer than any command here takes, many times over.
PATIENCE = 60.0

Kind = Literal["none", "kill", "half", "full", "gone"]


@dataclass(frozen=True)
class Fault:
    """What befalls a command.

    Attributes:
        kind: "kill" ends the process at its operation `at`, before it is done; "half" likewise, but of a write half
            of the bytes are written first; with "full" every write from operation `at` on fails, as on a full disk;
            "gone" removes the working folder.
        at: counted from 1.
        after: seconds after which the process is killed, whatever it does.
    """

    kind: Kind = "none"
    at: int = 0
    after: float | None = None


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: exit code, or the negative number of the signal.
        operations: how many file operations it came to.
        output: all that it printed.
        seconds: it took.
        modules: that it had imported, where nothing befell it.
    """

    code: int
    operations: int
    output: str
    seconds: float
    modules: tuple[str, ...] = ()

    @property
    def crashed(self) -> bool:
        """Whether it ended otherwise than with a result or in words."""
        return self.code not in (0, 1, 2, 3) or "Traceback" in self.output or "internal error" in self.output


UNHARMED = Fault()


def run(arguments: Sequence[object], folder: Path, fault: Fault = UNHARMED) -> Ended:
    """Run `netspace` in a folder, in a process of its own that ends with it."""
    read, write = os.pipe()
    log = folder.parent / f"{folder.name}.log"
    began = time.monotonic()
    child = os.fork()
    if not child:
        _be_the_command([str(each) for each in arguments], folder, fault, write, log)
    os.close(write)
    code = _wait(child, began, fault.after)
    with os.fdopen(read, "rb") as pipe:
        operations = len(pipe.read())
    seconds = time.monotonic() - began
    names = log.with_suffix(".modules")
    modules = tuple(names.read_text().split()) if names.exists() and not code else ()
    names.unlink(missing_ok=True)
    return Ended(code, operations, log.read_text(errors="replace"), seconds, modules)


def import_for_children(modules: Sequence[str]) -> None:
    """Import here what a command has imported, so that the next ones need not."""
    for name in modules:
        if name not in sys.modules:
            with suppress(Exception):
                importlib.import_module(name)


def _wait(child: int, began: float, after: float | None) -> int:
    limit = PATIENCE if after is None else after
    pause = 0.001
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() - began > limit:
            os.kill(child, signal.SIGKILL)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        time.sleep(pause)
        pause = min(0.01, pause * 1.3)


def _be_the_command(arguments: list[str], folder: Path, fault: Fault, counter: int, log: Path) -> None:
    """What the forked process does; it never returns."""
    try:
        told = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(told, 1)
        os.dup2(told, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        os.chdir(folder)
        _watch(_Meter(fault, counter))
        cli.main(arguments, prog_name="netspace")
    except SystemExit as end:
        if fault == UNHARMED:
            log.with_suffix(".modules").write_text("\n".join(sys.modules))
        _end(end.code if isinstance(end.code, int) else 1)
    except BaseException:  # noqa: BLE001 - the process ends here, whatever it was
        import traceback

        traceback.print_exc()
    _end(70)


def _end(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


class _Meter:
    """Counts operations, a byte each into a pipe that outlives the process, until the fault is due."""

    def __init__(self, fault: Fault, counter: int) -> None:
        self.fault, self._counter, self._count, self._here = fault, counter, 0, os.getcwd()

    def operation(self, half: Callable[[], object] | None = None) -> None:
        """Note an operation that is about to be done.

        Args:
            half: of a write, writes half of it.
        """
        self._count += 1
        os.write(self._counter, b".")
        kind, due = self.fault.kind, self._count >= self.fault.at > 0
        if due and kind in ("kill", "half"):
            if kind == "half" and half is not None:
                half()
            os.kill(os.getpid(), signal.SIGKILL)
        if due and kind == "full" and half is not None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if kind == "gone" and self._count == self.fault.at:
            shutil.rmtree(self._here, ignore_errors=True)


def _watch(meter: _Meter) -> None:
    """Make a meter count this process's operations below its current directory, for the rest of its life."""
    here, real_open, real_sync = os.getcwd(), io.open, os.fsync

    def is_here(path: object) -> bool:
        return isinstance(path, str | bytes | os.PathLike) and os.path.abspath(os.fsdecode(path)).startswith(
            here + os.sep
        )

    def hook(event: str, details: tuple[Any, ...]) -> None:
        if event == "open":
            flags = details[2] if isinstance(details[2], int) else 0
            if flags & _WRITING and is_here(details[0]):
                meter.operation()
        elif event in _CHANGES and is_here(details[0]):
            meter.operation()

    class Raw(io.FileIO):
        def write(self, content: bytes) -> int:  # type: ignore[override]
            view = memoryview(content).cast("B")
            meter.operation(lambda: io.FileIO.write(self, view[: len(view) // 2]))
            return io.FileIO.write(self, view)

    def opened(
        file: int | str | os.PathLike[str],
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Callable[[str, int], int] | None = None,
    ) -> IO[Any]:
        if not set(mode) & set("wax+"):
            return real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = Raw(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        buffered: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline, buffering == 1)

    def synced(handle: int) -> None:
        meter.operation()
        real_sync(handle)

    sys.addaudithook(hook)
    for module, name, changed in ((io, "open", opened), (builtins, "open", opened), (os, "fsync", synced)):
        setattr(module, name, changed)
