"""Temporary files, and what killed processes have left of them.

A temporary file's name holds the host and the process that writes it, which also holds a lock on it. Whoever next
writes into the folder removes those of processes that have ended.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from pathlib import Path

_PREFIX = ".netspace-"
# Older versions named no process: those names have 16 digits alone.
_NAME = re.compile(r"\.netspace-(?:(?P<host>[0-9a-f]{8})-(?P<process>\d{1,10})-[0-9a-f]{12}|[0-9a-f]{16})(?:\.|$)")
# After so many seconds without a change, a file that nobody has locked is not being written, wherever it was begun.
LONG_AGO = 24 * 3600.0
_LONGEST_SUFFIX = 32  # bytes; a longer one is no extension, and would make a name that is too long

# Temporary files of writes under way in this process.
_unfinished: set[Path] = set()
# Folders that this process has looked through.
_swept: set[Path] = set()
_REMOVED: ContextVar[list[Path] | None] = ContextVar("removed temporary files", default=None)


@contextmanager
def collecting_removed() -> Iterator[list[Path]]:
    """Collect which files of killed processes are removed inside the block."""
    removed: list[Path] = []
    token = _REMOVED.set(removed)
    try:
        yield removed
    finally:
        _REMOVED.reset(token)


def describe_removed(removed: list[Path]) -> str:
    """A sentence on removed files, "" for none."""
    if not removed:
        return ""
    files = "1 unfinished file" if len(removed) == 1 else f"{len(removed):,} unfinished files"
    folders = ", ".join(dict.fromkeys(str(path.parent) for path in removed))
    return f"{files} of an earlier command that was killed removed from {folders}."


@contextmanager
def temporary_beside(target: Path) -> Iterator[Path]:
    """An empty, locked file in a target's folder, with its extension and the permissions that the umask gives.

    It is gone after the block, unless it was renamed. Files of killed processes in the folder are removed first.
    """
    _sweep(target.parent)
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= _LONGEST_SUFFIX else ""
    temporary = target.parent / f"{_PREFIX}{_host()}-{os.getpid()}-{secrets.token_hex(6)}{suffix}"
    # tempfile would create it with mode 0600, and reading the umask means changing it for all threads.
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    _unfinished.add(temporary)
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield temporary
    finally:
        os.close(handle)
        with suppress(FileNotFoundError):
            temporary.unlink()
        _unfinished.discard(temporary)


def is_temporary(path: Path) -> bool:
    """Whether a path has the name of a temporary file of netspace."""
    return _NAME.match(path.name) is not None


def remove_unfinished() -> None:
    """Remove temporary files of unfinished writes, for an end without unwinding."""
    for temporary in tuple(_unfinished):
        with suppress(OSError):
            temporary.unlink()


def _sweep(folder: Path) -> None:
    """Remove files of killed processes from a folder, once in this process."""
    if folder in _swept:
        return
    _swept.add(folder)
    removed = _REMOVED.get()
    with suppress(OSError), os.scandir(folder) as entries:
        for path in [folder / entry.name for entry in entries if entry.name.startswith(_PREFIX)]:
            if _is_abandoned(path):
                with suppress(OSError):
                    path.unlink()
                    if removed is not None:
                        removed.append(path)


def _is_abandoned(path: Path) -> bool:
    """Whether the process that wrote a temporary file has ended; False where that is not certain."""
    named = _NAME.match(path.name)
    if not named or path in _unfinished:
        return False
    try:
        if named["host"] == _host():
            return not _is_alive(int(named["process"])) and not _is_locked(path)
        return time.time() - path.stat().st_mtime > LONG_AGO and not _is_locked(path)
    except OSError:
        return False


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _is_locked(path: Path) -> bool:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@cache
def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
