"""Samples of a field to fit a network to, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from netspace_models.errors import InputFileError
from torch import Tensor

# The solid may come this near to the sides of the box, in units of its half side.
EDGE = 0.98
# Samples of one shape to fit to, and to measure the fit on.
SAMPLES, HELD_OUT = 65_536, 16_384


@dataclass(frozen=True, eq=False)
class Shape:
    """Samples of one field on the box [-1, 1]^D.

    Attributes:
        name: unique among those fitted together.
        source: the file it came from.
        points, values: (S, D) and (S, K), what a network is fitted to: of a shape half of them near its surface.
        held_points, held_values: (H, D) and (H, K), evenly over the box; nothing is fitted to them.
    """

    name: str
    source: Path
    points: Tensor
    values: Tensor
    held_points: Tensor
    held_values: Tensor


def check_distances(name: str, source: Path, points: Tensor, values: Tensor) -> None:
    """Refuse samples that are not signed distances to a closed surface inside the box.

    Args:
        points, values: (S, D) and (S, 1).
    Raises:
        InputFileError: not finite, of one sign, outside the box, or a solid that the box cuts.
    """
    wrong = ~(torch.isfinite(points).all(dim=1) & torch.isfinite(values).all(dim=1))
    if bool(wrong.any()):
        raise InputFileError(
            source,
            f"{name}: {int(wrong.sum())} of {len(values)} samples are NaN or infinite.",
            "Leave these samples out.",
        )
    outside = (points.abs() > 1 + 1e-4).any(dim=1)
    if bool(outside.any()):
        raise InputFileError(
            source,
            f"{name}: {int(outside.sum())} of {len(points)} points lie outside the box [-1, 1]; the farthest is "
            f"{float(points.abs().max()):.3g} from its centre.",
            "Scale the points, and the distances with them, to fit.",
        )
    inside = values[:, 0] < 0
    if not bool(inside.any()) or bool(inside.all()):
        what = "inside" if bool(inside.all()) else "outside"
        raise InputFileError(source, f"{name}: every sample is {what}: there is no surface.", "Leave it out.")
    cut = inside & (points.abs() > EDGE).any(dim=1)
    if bool(cut.any()):
        raise InputFileError(
            source,
            f"{name}: the box cuts its surface: {int(cut.sum())} of the samples inside are within {1 - EDGE:.2f} of "
            "its sides.",
            "Scale it to fit, e.g. by 0.9, the distances with it.",
        )
