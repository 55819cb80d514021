"""PRep: a network's flat parameters on an H x W grid, row after row (section "PRep" of the paper)."""

from __future__ import annotations

from math import ceil

import torch.nn.functional as F
from torch import Tensor

from ..errors import DoesNotFit
from ..wording import setting

WIDTH = 10_000
SINGLE_HEIGHT, SINGLE_HEIGHT_LARGE, SEVERAL_HEIGHT = 8, 16, 88


def published_height(*, architectures: int, size: int) -> int:
    """Height of the published grids of width 10,000.

    88 for several architectures, else 8, or 16 for images of 48 pixels and more (Tiny-ImageNet).
    """
    if architectures > 1:
        return SEVERAL_HEIGHT
    return SINGLE_HEIGHT_LARGE if size >= 48 else SINGLE_HEIGHT


def check_fits(
    parameters: int, *, height: int, width: int, owner: str, multiple: int = 1, of_recipe: bool = False
) -> None:
    """Refuse a network that does not fit into a grid.

    Args:
        parameters: how many the network has.
        height, width: of the grid.
        owner: how the network is called in the error.
        multiple: of which heights must be one.
        of_recipe: whether a recipe asks for the height, for the message.

    Raises:
        DoesNotFit: both numbers, and a height that is enough.
    """
    if parameters > height * width:
        enough = multiple * ceil(parameters / (multiple * width))
        raise DoesNotFit(
            f"{owner} has {parameters:,} parameters; a PRep of {height} x {width} holds {height * width:,}.",
            f"A height of {enough} is enough ({setting('backbone.height' if of_recipe else 'height', enough)}).",
        )


def to_prep(weights: Tensor, *, height: int, width: int, owner: str = "the network") -> Tensor:
    """Write flat weights onto the grid, with zeros after the last.

    Args:
        weights: (..., P) in PRep order.
        height, width: of the grid.
        owner: how the network is called in an error.
    Returns:
        (..., H, W). `from_prep` undoes it, bit for bit.
    Raises:
        DoesNotFit: P > H * W.
    """
    parameters = weights.shape[-1]
    check_fits(parameters, height=height, width=width, owner=owner)
    padded = F.pad(weights, (0, height * width - parameters))
    return padded.reshape(*weights.shape[:-1], height, width)


def from_prep(grid: Tensor, *, parameters: int) -> Tensor:
    """Read the first P values of a grid (..., H, W), row after row: (..., P).

    Raises:
        DoesNotFit: the grid holds fewer than P.
    """
    height, width = grid.shape[-2:]
    check_fits(parameters, height=height, width=width, owner="the network")
    return grid.flatten(-2)[..., :parameters]
