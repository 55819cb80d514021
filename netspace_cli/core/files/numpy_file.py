"""Arrays in NumPy's files (.npy, .npz), whose headers are parsed here before they are believed."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Collection
from math import prod
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from .inputs import open_input
from .tensor_names import shown
from .zip_file import ArchiveError, check_inflation, read_directory

_MAGIC = b"\x93NUMPY"
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
# Bytes of the length of a header by version; and of a header itself, as NumPy's own limit.
_LENGTHS, _MOST_HEADER_BYTES = {1: 2, 2: 4, 3: 4}, 10_000
_MOST_AXES, _END_OF_COUNTS = 32, 2**60
_PIECE_BYTES = 1 << 24
_FIELD = r"'(descr|fortran_order|shape)'\s*:\s*('[^']*'|True|False|\([\dL,\s]*\)|\[[^\]{}]*\])"
_HEADER = re.compile(rf"\s*\{{\s*{_FIELD}\s*,\s*{_FIELD}\s*,\s*{_FIELD}\s*,?\s*\}}\s*")
_SIZES = re.compile(r"\(\s*(?:\d{1,19}L?\s*,\s*)*(?:\d{1,19}L?\s*)?\)")
_DTYPE = re.compile(r"[<>|=]?([?biufcSUOV])(\d{0,5})")


class ArrayFileError(ValueError):
    """A fault of a .npy or .npz file, as half a sentence; the caller adds the file and the next step."""


def read_npy(path: Path) -> np.ndarray:
    """Read a .npy file.

    Raises:
        ArrayFileError: anything wrong with it; InputFileError: it cannot be opened.
    """
    with open_input(path) as file:
        return _read_array(file, os.fstat(file.fileno()).st_size)


def npz_names(path: Path) -> list[str]:
    """Names of the arrays in a .npz file, in its order.

    Raises:
        ArrayFileError: no such file; InputFileError: it cannot be opened.
    """
    with open_input(path) as file:
        return [name for name, _ in _records(file)]


def read_npz(path: Path, wanted: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Read arrays of a .npz file by name, in its order.

    Args:
        wanted: names; those that the file lacks are left out. None for all.
    Raises:
        ArrayFileError: anything wrong with it, or with one of these arrays; InputFileError: it cannot be opened.
    """
    with open_input(path) as file:
        found = [(name, record) for name, record in _records(file) if wanted is None or name in wanted]
        try:
            check_inflation([record for _, record in found], os.fstat(file.fileno()).st_size)
        except ArchiveError as fault:
            raise ArrayFileError(str(fault)) from fault
        with zipfile.ZipFile(file) as archive:
            return {name: _read_record(archive, name, record) for name, record in found}


def _records(file: BinaryIO) -> list[tuple[str, zipfile.ZipInfo]]:
    head = file.read(len(_MAGIC))
    if head == _MAGIC:
        raise ArrayFileError("it holds a single array")
    if not head.startswith(_ZIP_MAGIC):
        raise ArrayFileError("it is not a zip archive, as a .npz file is")
    try:
        records = read_directory(file)
    except ArchiveError as fault:
        raise ArrayFileError(str(fault)) from fault
    found = [(record.filename.removesuffix(".npy"), record) for record in records]
    if len(dict(found)) < len(found):
        raise ArrayFileError("an array appears in it twice")
    return found


def _read_record(archive: zipfile.ZipFile, name: str, record: zipfile.ZipInfo) -> np.ndarray:
    try:
        with archive.open(record) as stream:
            return _read_array(stream, record.file_size)
    except ArrayFileError as fault:
        raise ArrayFileError(f"{shown(name)}: {fault}") from fault
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, OSError, NotImplementedError) as fault:
        # Of damage inside the archive: a wrong checksum, a stream that ends early, two names of one record.
        raise ArrayFileError(f"{shown(name)}: {fault}") from fault


def _read_array(stream: IO[bytes], size: int) -> np.ndarray:
    """Read an array from a stream of `size` bytes."""
    dtype, shape, fortran, used = _read_header(stream, size)
    count = prod(shape)
    needed, held = count * dtype.itemsize, size - used
    if needed != held:
        problem = "takes" if needed < held else "would take"
        raise ArrayFileError(f"an array of {dtype} {shape} {problem} {needed:,} bytes, the file has {held:,} for it")
    array = np.empty(count, dtype)
    values = array.view(np.uint8) if needed else np.empty(0, np.uint8)
    done = 0
    while done < needed:
        piece = stream.read(min(_PIECE_BYTES, needed - done))  # of a record, the last compares its checksum
        if not piece:
            raise ArrayFileError(f"truncated: {done:,} of {needed:,} bytes")
        values[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def _read_header(stream: IO[bytes], size: int) -> tuple[np.dtype, tuple[int, ...], bool, int]:
    """Dtype, shape, whether the first axis is innermost, and bytes of the header with what is before it."""
    start = stream.read(len(_MAGIC) + 2)
    if len(start) < len(_MAGIC) + 2 or not start.startswith(_MAGIC):
        raise ArrayFileError("it does not begin as an array of NumPy does")
    width = _LENGTHS.get(start[len(_MAGIC)])
    if width is None or start[-1] != 0:
        raise ArrayFileError(f"version {start[-2]}.{start[-1]} of NumPy's format; known: 1.0, 2.0, 3.0")
    length = int.from_bytes(stream.read(width), "little")
    if length > min(_MOST_HEADER_BYTES, size):
        raise ArrayFileError(f"a header of {length:,} bytes, the limit is {min(_MOST_HEADER_BYTES, size):,}")
    header = stream.read(length)
    fields = _fields(header.decode("latin1"))
    return _dtype(fields["descr"]), _shape(fields["shape"]), fields["fortran_order"] == "True", 8 + width + length


def _fields(header: str) -> dict[str, str]:
    match = _HEADER.fullmatch(header)
    fields = dict(zip(match.groups()[::2], match.groups()[1::2], strict=True)) if match else {}
    if len(fields) < 3 or fields["fortran_order"] not in ("True", "False"):
        raise ArrayFileError(f"a header that NumPy does not write: {shown(header.strip())}")
    return fields


def _dtype(description: str) -> np.dtype:
    match = _DTYPE.fullmatch(description.strip("'"))
    if match is None:
        raise ArrayFileError(f"values of the type {shown(description)}, which are not numbers")
    if match.group(1) == "O":
        raise ArrayFileError("pickled objects, which could be programs and are never read")
    try:
        dtype = np.dtype(description.strip("'"))
    except TypeError as failure:
        raise ArrayFileError(f"values of the unknown type {shown(description)}") from failure
    if not dtype.itemsize:
        raise ArrayFileError(f"values of the type {shown(description)}, which have no bytes")
    return dtype


def _shape(text: str) -> tuple[int, ...]:
    if not _SIZES.fullmatch(text):
        raise ArrayFileError(f"a shape that no array has: {shown(text)}")
    shape = tuple(int(size) for size in re.findall(r"\d+", text))
    if len(shape) > _MOST_AXES or prod(size or 1 for size in shape) >= _END_OF_COUNTS:
        raise ArrayFileError(f"a shape that no array has: {shown(text)}")
    return shape
