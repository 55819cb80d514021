"""Read input files safely, and recognise file types."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from netspace_models.errors import InputFileError

_SNIFFED_BYTES = 1024

_TAR_MAGIC_AT = 257

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
    """Open an input file for reading bytes. Refuses pipes and devices, so it never waits.

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
            raise error(
                path, f"could not be read ({failure.strerror or failure}).", "Check the disk that it is on."
            ) from failure
        except MemoryError as failure:
            size = os.fstat(file.fileno()).st_size
            raise error(path, f"its {size:,} bytes do not fit in memory.", "Use a machine with more.") from failure


def check_input(path: Path) -> None:
    """Refuse what `open_input` refuses, for a reader that takes a path.

    Raises:
        InputFileError: as `open_input`.
    """
    with open_input(path):
        pass


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        InputFileError: the file cannot be read.
    """
    with open_input(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_bytes(path: Path) -> str | None:
    """Describe a file's type for error messages: "an HTML page", "a git-lfs pointer", "empty".

    Returns:
        None where the first bytes tell nothing, as with anything that may be a checkpoint.
    Raises:
        InputFileError: the file cannot be read.
    """
    with open_input(path) as file:
        return describe_head(file.read(_SNIFFED_BYTES))


def describe_head(head: bytes) -> str | None:
    """Describe a type as `describe_bytes` does, from the first kilobyte or the whole file."""
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
    """The next step for a user who has a file of a type that `describe_bytes` knows."""
    if "git-lfs" in description:
        return "Fetch the real file with: git lfs pull."
    if "HTML" in description:
        return "The download gave a web page; download the file itself."
    if description.endswith("archive"):
        return "Unpack it first."
    if description in ("empty", "nothing but zero bytes"):
        return "Copy or download the file again."
    return "Check where it comes from."


def _open_regular(path: Path, error: type[InputFileError]) -> int:
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for somebody to write to it.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as failure:
        raise _cannot_open(path, failure, error) from failure
    kind = irregular(os.fstat(handle).st_mode)
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


def irregular(mode: int) -> str | None:
    """Name the type of a path that is not a regular file; None for a regular file."""
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
