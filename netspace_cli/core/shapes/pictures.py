"""Pictures as fields: colours at points of the square."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from netspace_models.errors import InputFileError
from torch import Tensor

from netspace_cli.core.files.picture_file import PictureError, read_picture_file

from .samples import HELD_OUT, SAMPLES, Shape

if TYPE_CHECKING:
    from PIL import Image

MODES = ("L", "RGB")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")


def channels_of(source: Path) -> int:
    """Colour channels of a picture file: 1 or 3.

    Raises:
        InputFileError: no picture, or of other channels.
    """
    return len(read_picture(source))


def shape_from_picture(name: str, source: Path, generator: torch.Generator) -> Shape:
    """Make samples of a picture: colours from -1 to 1 at points of the square [-1, 1]², linear between pixels.

    The first coordinate runs down, the second to the right.

    Args:
        generator: draws the points.
    Raises:
        InputFileError: as `read_picture`.
    """
    picture = read_picture(source).float() / 127.5 - 1
    points, held = (2 * torch.rand(n, 2, generator=generator) - 1 for n in (SAMPLES, HELD_OUT))
    return Shape(name, source, points, _colours(picture, points), held, _colours(picture, held))


def read_picture(source: Path) -> Tensor:
    """Read a picture as (C, H, W) in 8 bits.

    Raises:
        InputFileError: no picture, of other channels than 1 or 3, or all of one colour.
    """
    try:
        picture, mode, frames = read_picture_file(source, _decoded)
    except PictureError as failure:
        raise InputFileError(source, "cannot be read as a picture.", "Give a whole .png or .jpg.") from failure
    if mode not in MODES or frames > 1:
        raise InputFileError(
            source,
            f"{frames} picture{'s' if frames > 1 else ''} of mode {mode}; one of 8 bits of grey (L) or of red, green, "
            "blue (RGB) is needed.",
            "Convert it.",
        )
    if int(picture.max()) == int(picture.min()):
        raise InputFileError(source, "all its pixels are of one colour: there is nothing to fit.", "Leave it out.")
    return picture


def _decoded(opened: Image.Image) -> tuple[Tensor, str, int]:
    """(C, H, W), nothing of other modes; the mode, and how many pictures there are."""
    from torchvision.transforms.v2.functional import pil_to_tensor

    mode, frames = opened.mode, getattr(opened, "n_frames", 1)
    mode += " with transparency" if mode in MODES and "transparency" in opened.info else ""
    return (pil_to_tensor(opened) if mode in MODES else torch.empty(0)), mode, frames


def _colours(picture: Tensor, points: Tensor) -> Tensor:
    """Interpolate (C, H, W) at points (S, 2): (S, C)."""
    # grid_sample takes the coordinate that runs to the right first.
    found = F.grid_sample(picture[None], points.flip(-1)[None, None], align_corners=False, padding_mode="border")
    return found[0, :, 0].T
