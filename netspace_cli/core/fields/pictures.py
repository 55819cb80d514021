"""Pictures as signals: a point of the square to the colour there."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from netspace_models.errors import InputFileError
from torch import Tensor

from .shape import HELD_OUT, SAMPLES, Shape

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")


def channels_of(source: Path) -> int:
    """Colour channels of a picture file: 1 or 3.

    Raises:
        InputFileError: no picture, or of other channels.
    """
    return len(read_picture(source))


def shape_from_picture(name: str, source: Path, generator: torch.Generator) -> Shape:
    """A picture as samples: colours from -1 to 1 at points of the square [-1, 1]², linear between pixels; the
    first coordinate runs down, the second to the right.

    Args:
        generator: draws the points.
    Raises:
        InputFileError: as `read_picture`.
    """
    picture = read_picture(source).float() / 127.5 - 1
    points, held = (2 * torch.rand(n, 2, generator=generator) - 1 for n in (SAMPLES, HELD_OUT))
    return Shape(name, source, points, _colours(picture, points), held, _colours(picture, held))


def read_picture(source: Path) -> Tensor:
    """(C, H, W) in 8 bits.

    Raises:
        InputFileError: no picture, of other channels than 1 or 3, or all of one colour.
    """
    from torchvision.io import ImageReadMode, decode_image

    try:
        picture = decode_image(str(source), ImageReadMode.UNCHANGED)
    except (RuntimeError, OSError) as failure:
        raise InputFileError(source, f"cannot be read as a picture ({failure}).") from failure
    if picture.dtype != torch.uint8 or len(picture) not in (1, 3):
        raise InputFileError(
            source, f"{picture.dtype} with {len(picture)} channels; 8 bits of grey or of red, green, blue are needed."
        )
    if int(picture.max()) == int(picture.min()):
        raise InputFileError(source, "all its pixels are of one colour: there is nothing to fit.", "Leave it out.")
    return picture


def _colours(picture: Tensor, points: Tensor) -> Tensor:
    """(C, H, W) and (S, 2) to (S, C)."""
    # grid_sample takes the coordinate that runs to the right first.
    found = F.grid_sample(picture[None], points.flip(-1)[None, None], align_corners=False, padding_mode="border")
    return found[0, :, 0].T
