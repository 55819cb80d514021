"""Write files completely or not at all, and check output paths.

A crash leaves either the old or the complete new file (a promise that network file systems may not keep).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from netspace_models.errors import ConfigError, OutputExists, RunFailed

from .inputs import irregular
from .leftovers import temporary_beside

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_output(path: Path, *, force: bool) -> None:
    """Refuse an output path that cannot be written, before any work.

    Args:
        path: where the output shall go.
        force: whether an existing file may be replaced.
    Raises:
        OutputExists: the file is there and `force` is not given.
        ConfigError: no such folder, a folder without write permission, or something at `path`
            that is not a regular file (a directory, a device, a pipe).
    """
    _checked_target(path, force=force)


def atomic_write(path: Path, write: Callable[[Path], object], *, force: bool) -> None:
    """Write a file completely or not at all.

    A link at `path` is followed. A new file gets the permissions that the umask gives, a replaced one keeps
    those it had.

    Args:
        path: where the file shall be.
        write: fills the temporary file it is given, which lies in the same folder and has the same
            extension; it may replace that file.
        force: whether an existing file may be replaced.
    Raises:
        OutputExists, ConfigError: as `check_output`.
        RunFailed: the system refused the bytes, e.g. a full disk. Whatever `write` raises passes through.
            In all these cases `path` is as it was and the temporary file is gone.
    """
    target = _checked_target(path, force=force)
    try:
        with temporary_beside(target) as temporary:
            mode = stat.S_IMODE((target if target.exists() else temporary).stat().st_mode)
            write(temporary)
            _settle(temporary, mode)
            if not force and os.path.lexists(target):
                raise OutputExists(path)
            os.replace(temporary, target)
        _sync_directory(target.parent)
    except OSError as failure:
        raise cannot_write(path, failure) from failure


def _checked_target(path: Path, *, force: bool) -> Path:
    """Path behind all links, after every check of `check_output`."""
    try:
        target = path.resolve()
        mode = target.stat().st_mode if target.exists() else None
        parent_mode = target.parent.stat().st_mode if target.parent.exists() else None
    except (OSError, ValueError, RuntimeError) as failure:  # RuntimeError: links in a circle
        shown = str(path).replace("\0", "\\0")
        raise ConfigError(f"{shown} cannot be written to ({failure}).", "Choose another path.") from failure
    kind = None if mode is None else irregular(mode)
    if kind:
        raise ConfigError(f"{path} is {kind}; it cannot be replaced by a file.", "Choose another path.")
    if mode is not None and not force:
        raise OutputExists(path)
    if parent_mode is None:
        raise ConfigError(f"{path} cannot be written: there is no folder {target.parent}.", "Create it first.")
    if not stat.S_ISDIR(parent_mode):
        raise ConfigError(f"{path} cannot be written: {target.parent} is not a folder.", "Choose another path.")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise ConfigError(
            f"{path} cannot be written: no permission to write in {target.parent}.", "Choose another folder."
        )
    return target


def _settle(file: Path, mode: int) -> None:
    """Set a written file's permissions and flush it to disk."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.chmod(file, mode)
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_directory(folder: Path) -> None:
    # The file is in place by now; some file systems do not let a folder be synced.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def cannot_write(path: Path, failure: OSError) -> RunFailed:
    """Describe why the system refused to write a file, which is as it was."""
    if failure.errno in _NO_ROOM:
        return RunFailed(
            f"{path} could not be written: disk full ({failure.strerror}). Nothing was changed.",
            "Free some space or choose another folder.",
        )
    return RunFailed(f"{path} could not be written ({failure.strerror or failure}). Nothing was changed.")


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be made or written to, before any work; nothing is made.

    Raises:
        ConfigError: something else is in its place or above it, or permission is missing.
    """
    nearest = next(p for p in (folder, *folder.absolute().parents) if os.path.lexists(p))
    if not nearest.is_dir():
        raise ConfigError(f"{folder} cannot be made: {nearest} is not a folder.", "Choose another path.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ConfigError(f"{folder}: no permission to write in {nearest}.", "Choose another folder.")


def check_no_input(outputs: Sequence[Path | None], inputs: Sequence[Path | str | None]) -> None:
    """Refuse outputs that are also inputs, even if files may be replaced.

    Args:
        outputs, inputs: None and names of what is built in do not count; an input may be a data set, "cifar10:a.npz".
    Raises:
        ConfigError: two outputs of one name, or an output that is an input.
    """
    named = [each for p in inputs if p is not None for each in (str(p), str(p).partition(":")[2]) if each]
    taken = {Path(p).resolve() for p in named if os.path.exists(p)}
    for output in filter(None, outputs):
        if output.resolve() in taken:
            raise ConfigError(f"{output} is an input or another output of this command.", "Choose another output.")
        taken.add(output.resolve())
