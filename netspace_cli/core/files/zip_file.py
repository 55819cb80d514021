"""Directories of zip archives, checked before anything in the archive is read."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Sequence
from typing import BinaryIO

from .tensor_names import shown

_LOCAL_MAGIC, _LOCAL_HEADER_BYTES = b"PK\x03\x04", 30
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_FOLDER = 0x10  # of the attributes that all systems read
_METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}
# Deflating cannot make fewer bytes of any than one in so many.
_MOST_DEFLATED = 1032
# Archives of numbers are seldom made smaller by so much. Below the floor no harm is done.
_MOST_RATIO, _FLOOR_BYTES = 200, 1 << 30


class ArchiveError(ValueError):
    """A fault of an archive, as half a sentence; the caller adds the file."""


def read_directory(file: BinaryIO) -> list[zipfile.ZipInfo]:
    """Read the directory of an archive.

    Raises:
        ArchiveError: a missing one, or one that leads outside the file.
    """
    size = os.fstat(file.fileno()).st_size
    try:
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
    except Exception as failure:  # zipfile raises half a dozen kinds on damaged directories
        raise ArchiveError(f"no directory at the end of its {size:,} bytes") from failure
    for record in records:
        if not 0 <= record.header_offset <= size - _LOCAL_HEADER_BYTES:
            raise ArchiveError(f"its record {shown(record.filename)} lies outside the file")
    if len({record.filename for record in records}) < len(records):
        raise ArchiveError("a record appears in it twice")
    return records


def is_encrypted(record: zipfile.ZipInfo) -> bool:
    """Whether a record is encrypted."""
    return bool(record.flag_bits & _ENCRYPTED)


def is_folder(record: zipfile.ZipInfo) -> bool:
    """Whether a record is marked as a folder, by its name or its attributes."""
    return record.filename.endswith("/") or bool(record.external_attr & _FOLDER)


def check_inflation(records: Sequence[zipfile.ZipInfo], size: int) -> None:
    """Refuse records that cannot be read, or that would fill memory.

    Args:
        size: bytes of the archive.
    Raises:
        ArchiveError: an unknown or a foreign compression, an encrypted record, one that claims more bytes than it can
            have, or records of more than 1 GiB and 200 times the archive's bytes.
    """
    for record in records:
        name = shown(record.filename)
        if is_encrypted(record):
            raise ArchiveError(f"its record {name} is encrypted")
        if record.compress_type not in _METHODS:
            raise ArchiveError(f"its record {name} has the compression {record.compress_type}; known: 0, 8")
        stored = record.compress_type == zipfile.ZIP_STORED
        if record.compress_size > size:
            raise ArchiveError(f"its record {name} lies outside the file")
        most = record.compress_size if stored else record.compress_size * _MOST_DEFLATED
        if record.file_size > most:
            raise ArchiveError(
                f"its record {name} claims {record.file_size:,} bytes, which its {record.compress_size:,} cannot give"
            )
    whole = sum(record.file_size for record in records)
    if whole > max(_FLOOR_BYTES, _MOST_RATIO * size):
        raise ArchiveError(f"its records claim {whole:,} bytes, the file has {size:,}: it may be made to fill memory")


def stored_place(file: BinaryIO, record: zipfile.ZipInfo) -> tuple[int, int]:
    """Where a stored record's bytes begin and end.

    Raises:
        ArchiveError: outside the file.
    """
    file.seek(record.header_offset)
    local = file.read(_LOCAL_HEADER_BYTES)
    if len(local) < _LOCAL_HEADER_BYTES or not local.startswith(_LOCAL_MAGIC):
        raise ArchiveError(f"its record {shown(record.filename)} is not where its directory says")
    start = record.header_offset + _LOCAL_HEADER_BYTES + sum(struct.unpack("<HH", local[-4:]))
    if start + record.file_size > os.fstat(file.fileno()).st_size:
        raise ArchiveError(f"its record {shown(record.filename)} lies outside the file")
    return start, start + record.file_size
