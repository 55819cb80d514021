"""Files of lines that grow while work goes on: each new line is there whole or not at all."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

from .outputs import cannot_write
from .structure import parse_json


def append_line(path: Path, line: str, *, sync: bool = True) -> None:
    """Add a JSON line to a file, which is made if needed.

    Args:
        sync: whether the line is on the disk when this returns, and not only with the system.
    Raises:
        RunFailed: as `append_to`.
    """
    with _opened(path) as file:
        append_to(path, file, line, sync=sync)


def append_to(path: Path, file: FileIO, line: str, *, sync: bool = True) -> None:
    """Add a JSON line to a file that is open for reading and adding, without a buffer.

    What a crash left of an unfinished last line is removed first.

    Raises:
        RunFailed: the system refused the bytes, e.g. a full disk; the file is as it was.
    """
    try:
        end = _mended(file)
        try:
            _write_all(file, line.encode() + b"\n")
            if sync:
                os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise
    except OSError as failure:
        raise cannot_write(path, failure) from failure


def whole_lines(content: bytes) -> bytes:
    """Content without the beginning of a JSON object that a crash left as its last line; anything else stays."""
    start = content.rfind(b"\n") + 1
    last = content[start:]
    cut = last.startswith(b"{") and last.isascii() and not _is_json(last)
    return content[:start] if cut else content


def _is_json(line: bytes) -> bool:
    try:
        parse_json(line, finite=False)
    except ValueError:
        return False
    return True


def _opened(path: Path) -> FileIO:
    try:
        return path.open("ab+", buffering=0)
    except OSError as failure:
        raise cannot_write(path, failure) from failure


def _mended(file: FileIO) -> int:
    """End a file's last line, or remove it if it is not whole. Returns the file's size."""
    size = file.seek(0, os.SEEK_END)
    if not size:
        return 0
    file.seek(size - 1)
    if file.read(1) == b"\n":
        return size
    file.seek(0)
    whole = whole_lines(file.readall())
    file.truncate(len(whole))
    if whole and not whole.endswith(b"\n"):
        _write_all(file, b"\n")
    return file.seek(0, os.SEEK_END)


def _write_all(file: FileIO, content: bytes) -> None:
    # A disk that fills up takes a part, and refuses the rest.
    while content:
        content = content[file.write(content) :]
