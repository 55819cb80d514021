"""Files of any kind: reading them safely, naming what they are, writing them whole or not at all.

A crash leaves either the old or the complete new file (a promise that network file systems may not keep).
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from netspace_models.errors import ConfigError, InputFileError, OutputExists, RunFailed

_SNIFFED_BYTES = 1024
_TAR_MAGIC_AT = 257
# Temporary files of writes under way.
_unfinished: set[Path] = set()
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_MAGIC = (
    (b"version https://git-lfs", "a git-lfs pointer"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"GGUF", "a GGUF file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program (ELF)"),
)


@contextmanager
def open_input(path: Path, *, error: type[InputFileError] = InputFileError) -> Iterator[BufferedReader]:
    """An input file opened for reading bytes. Never waits: a pipe or a device is refused, not read.

    Args:
        path: the file.
        error: the class of what is raised.
    Raises:
        InputFileError: missing, a directory, not a regular file, or not readable; also whatever
            the system reports while the file is read inside the context.
    """
    with os.fdopen(_open_regular(path, error), "rb") as file:
        try:
            yield file
        except OSError as failure:
            raise error(path, f"could not be read ({failure.strerror or failure}).") from failure
        except MemoryError as failure:
            size = os.fstat(file.fileno()).st_size
            raise error(path, f"its {size:,} bytes do not fit in memory.", "Use a machine with more.") from failure


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        InputFileError: the file cannot be read.
    """
    with open_input(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_bytes(path: Path) -> str | None:
    """What a file evidently is, for error messages: "an HTML page", "a git-lfs pointer", "empty".

    Returns:
        None where the first bytes tell nothing, as with anything that may be a checkpoint.
    Raises:
        InputFileError: the file cannot be read.
    """
    with open_input(path) as file:
        return describe_head(file.read(_SNIFFED_BYTES))


def describe_head(head: bytes) -> str | None:
    """`describe_bytes` for the first bytes of a file, a kilobyte of them or the whole file."""
    if not head:
        return "empty"
    for magic, description in _MAGIC:
        if head.startswith(magic):
            return description
    if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        return "a tar archive"
    if not head.strip(b"\0"):
        return "nothing but zero bytes"
    return _describe_text(head)


def hint_for(description: str) -> str:
    """The next step for somebody who has a file that `describe_bytes` knows, instead of the right one."""
    if "git-lfs" in description:
        return "Fetch the real file with: git lfs pull."
    if "HTML" in description:
        return "The download gave a web page; download the file itself."
    if description.endswith("archive"):
        return "Unpack it first."
    if description in ("empty", "nothing but zero bytes"):
        return "Copy or download the file again."
    return "Check where it comes from."


def check_output(path: Path, *, force: bool) -> None:
    """Refuse an output path that cannot be written, before any work is done for it.

    Args:
        path: where the output shall go.
        force: whether an existing file may be replaced.
    Raises:
        OutputExists: the file is there and `force` is not given.
        ConfigError: no such folder, a folder without write permission, or something at `path`
            that is no regular file (a directory, a device, a pipe).
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
        temporary = _new_file_beside(target)
        _unfinished.add(temporary)
        try:
            mode = stat.S_IMODE((target if target.exists() else temporary).stat().st_mode)
            write(temporary)
            _settle(temporary, mode)
            if not force and os.path.lexists(target):
                raise OutputExists(path)
            os.replace(temporary, target)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
            _unfinished.discard(temporary)
        _sync_directory(target.parent)
    except OSError as failure:
        raise _cannot_write(path, failure) from failure


def remove_unfinished() -> None:
    """Take away the temporary files of writes under way: for an end without unwinding."""
    for temporary in tuple(_unfinished):
        with suppress(OSError):
            temporary.unlink()


def _open_regular(path: Path, error: type[InputFileError]) -> int:
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for somebody to write to it.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as failure:
        raise _cannot_open(path, failure, error) from failure
    kind = _irregular(os.fstat(handle).st_mode)
    if kind:
        os.close(handle)
        raise error(path, f"this is {kind}, not a file.", "Name a regular file.")
    return handle


def _cannot_open(path: Path, failure: Exception, error: type[InputFileError]) -> InputFileError:
    if isinstance(failure, FileNotFoundError | NotADirectoryError):
        return error(path, "no such file.", "Check the path.")
    if isinstance(failure, PermissionError):
        return error(path, "permission denied.", "Make the file readable for yourself.")
    reason = getattr(failure, "strerror", None) or str(failure)
    return error(str(path).replace("\0", "\\0"), f"could not be opened ({reason}).", "Check the path.")


def _irregular(mode: int) -> str | None:
    """What a thing that is no regular file is called; None for a regular file."""
    if stat.S_ISREG(mode):
        return None
    if stat.S_ISDIR(mode):
        return "a directory"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def _describe_text(head: bytes) -> str | None:
    # A character cut in two by the end of the sniffed bytes is no reason to say it is not text.
    for missing in range(4):
        try:
            text = head[: len(head) - missing].decode("utf-8-sig")
            break
        except UnicodeDecodeError:
            continue
    else:
        return None
    if any(not (letter.isprintable() or letter in "\t\r\n\f") for letter in text):
        return None
    start = text.lstrip().lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body")):
        return "an HTML page"
    if start.startswith("<?xml"):
        return "an XML document"
    return "JSON text" if start.startswith(("{", "[")) else "text"


def _checked_target(path: Path, *, force: bool) -> Path:
    """The path behind all links, after every check of `check_output`."""
    try:
        target = path.resolve()
        mode = target.stat().st_mode if target.exists() else None
        parent_mode = target.parent.stat().st_mode if target.parent.exists() else None
    except (OSError, ValueError, RuntimeError) as failure:  # RuntimeError: links in a circle
        shown = str(path).replace("\0", "\\0")
        raise ConfigError(f"{shown} is no path to write to ({failure}).", "Choose another path.") from failure
    kind = None if mode is None else _irregular(mode)
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


def _new_file_beside(target: Path) -> Path:
    """An empty file in the target's folder, with the permissions that the umask gives to new files."""
    temporary = target.parent / f".netspace-{secrets.token_hex(8)}{target.suffix}"
    # tempfile would create it with mode 0600, and reading the umask means changing it for all threads.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return temporary


def _settle(file: Path, mode: int) -> None:
    """Give a written file its permissions and have the disk hold it."""
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


def _cannot_write(path: Path, failure: OSError) -> RunFailed:
    if failure.errno in _NO_ROOM:
        return RunFailed(
            f"{path} could not be written: disk full ({failure.strerror}). Nothing was changed.",
            "Free some space or choose another folder.",
        )
    return RunFailed(f"{path} could not be written ({failure.strerror or failure}). Nothing was changed.")
