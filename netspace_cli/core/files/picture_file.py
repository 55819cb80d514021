"""Picture files, decoded by Pillow: whole, of a bounded number of pixels, or refused."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .inputs import open_input
from .tensor_names import brief

if TYPE_CHECKING:
    from PIL import Image

T = TypeVar("T")

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the type of colour
# First column and row, and steps between them, of the seven passes of an interlaced picture.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PIECE_BYTES = 1 << 20
# Of one colour alone, pictures have some thousands of pixels a byte.
_LARGE, _MOST_PIXELS_A_BYTE = 1 << 22, 10_000


class PictureError(ValueError):
    """A fault of a picture, as half a sentence; the caller adds the file."""


def read_picture_file(path: Path, look: Callable[[Image.Image], T]) -> T:
    """Open a picture and take what is wanted of it.

    Args:
        look: is given the picture, not decoded yet.
    Raises:
        PictureError: no picture, a damaged one, or one of more pixels than Pillow takes for harmless (89 million).
        InputFileError: it cannot be opened.
    """
    from PIL import Image

    with open_input(path) as file:
        content = file.read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(content)) as picture:
                _check_size(picture, len(content))
                # Pillow passes over the checksums of pixels, and takes missing rows for black.
                if content.startswith(_PNG_MAGIC):
                    _check_png(content)
                return look(picture)
        except Exception as failure:  # decoders of damaged pictures raise a dozen kinds
            raise PictureError(brief(failure)) from failure


def _check_size(picture: Image.Image, size: int) -> None:
    """Refuse a large picture that a file of `size` bytes cannot hold. Raises ValueError."""
    width, height = picture.size
    if width * height > max(_LARGE, _MOST_PIXELS_A_BYTE * size):
        raise ValueError(f"its {width} x {height} pixels cannot be in {size:,} bytes")


def _check_png(content: bytes) -> None:
    """Refuse a PNG with a wrong checksum, or with fewer bytes than its pixels take.

    Raises:
        ValueError, zlib.error, struct.error: say which.
    """
    chunks = list(_chunks(content))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise ValueError("its first chunk is not its header")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    bits = depth * _CHANNELS.get(colour, 0)
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    needed = sum(_bytes_of(-(-(width - x) // dx), -(-(height - y) // dy), bits) for x, y, dx, dy in passes)
    found = _inflated(b"".join(data for kind, data in chunks if kind == b"IDAT"), needed)
    if found < needed:
        raise ValueError(f"its {width} x {height} pixels take {needed:,} bytes, it has {found:,}")


def _bytes_of(width: int, height: int, bits: int) -> int:
    """Bytes of rows, each with one for its filter."""
    return max(height, 0) * (1 + (width * bits + 7) // 8) if width > 0 else 0


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(_PNG_MAGIC)
    while place + 12 <= len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        kind, data = content[place + 4 : place + 8], content[place + 8 : place + 8 + size]
        checksum = int.from_bytes(content[place + 8 + size : place + 12 + size], "big")
        if len(data) < size or zlib.crc32(kind + data) != checksum:
            raise ValueError(f"damaged: a wrong checksum at byte {place:,}")
        yield kind, data
        if kind == b"IEND":
            return
        place += 12 + size
    raise ValueError("truncated: it has no end")


def _inflated(packed: bytes, enough: int) -> int:
    """Number of bytes that deflated ones give, counted until there are enough."""
    unpacker, count = zlib.decompressobj(), 0
    while packed and count < enough and not unpacker.eof:
        piece = unpacker.decompress(packed, _PIECE_BYTES)
        count, packed = count + len(piece), unpacker.unconsumed_tail
    return count
