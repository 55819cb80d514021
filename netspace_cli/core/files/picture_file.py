"""Picture files, decoded by Pillow: whole, of a bounded number of pixels, or refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .inputs import open_input
from .tensor_names import brief

if TYPE_CHECKING:
    from PIL import Image

T = TypeVar("T")


class PictureError(ValueError):
    """A fault of a picture, as half a sentence; the caller adds the file."""


def read_picture_file(path: Path, look: Callable[[Image.Image], T]) -> T:
    """Open a picture and take what is wanted of it.

    Args:
        look: is given the picture, not decoded yet; the file is closed afterwards.
    Raises:
        PictureError: no picture, a damaged one, or one of more pixels than Pillow takes for harmless (89 million).
        InputFileError: it cannot be opened.
    """
    from PIL import Image

    with open_input(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file) as picture:
                picture.verify()  # checksums, which decoding passes over
            file.seek(0)
            with Image.open(file) as picture:
                return look(picture)
        except Exception as failure:  # decoders of damaged pictures raise a dozen kinds
            raise PictureError(brief(failure)) from failure
