"""Near-surface points of shapes, which few points of the box are but which decide a solid."""

from __future__ import annotations

import torch
from netspace_models.architectures import Architecture
from netspace_models.sending import sent
from torch import Tensor

from netspace_cli.core.data.data import Data
from netspace_cli.core.runtime.runner import Runner

from .values import values_of

# Number of points of the box from which the nearest to each surface are kept.
CANDIDATES, KEPT = 32_768, 4096
# They are moved by so much each time, so that no two steps ask the same.
JITTER = 0.02
# Surfaces that are stretched stay so near the centre along each axis.
EDGE = 0.95


def near_surfaces(architecture: Architecture, weights: Tensor, data: Data, runner: Runner) -> Tensor:
    """The points of the box nearest to each network's surface.

    Args:
        weights: (B, P) on the runner's device.
    Returns:
        (B, KEPT, D) on the runner's device.
    """
    points, _ = data.draw("train", CANDIDATES, runner.generator("near"))
    points = runner.place(points)
    found = []
    for own in weights:
        values = values_of(architecture, own, points, runner)[:, 0].abs()
        found.append(points[values.topk(KEPT, largest=False).indices.to(points.device)])
    return torch.stack(found)


def drawn_stretch(near: Tensor, most: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw a stretch and shift for each axis that keep a shape's surface in the box.

    The whole box, seen through the stretch, lies within the box, so networks are never evaluated outside it.

    Args:
        near: (B, M, D) points near each surface; most: the largest factor.
    Returns:
        (B, D) scales of 1 or more, evenly by their logarithm, and (B, D) shifts.
    """
    low, high = near.amin(dim=1), near.amax(dim=1)
    room = torch.maximum(-low, high).clamp(max=EDGE)
    draw = sent(torch.rand(2, *room.shape, generator=generator), near.device)
    scale = (EDGE / room).clamp(max=most) ** draw[0]
    least = torch.maximum(-EDGE - scale * low, 1 - scale).clamp(max=0)
    largest = torch.minimum(EDGE - scale * high, scale - 1).clamp(min=0)
    return scale, least + draw[1] * (largest - least)


def with_near(inputs: Tensor, near: Tensor | None, share: float, generator: torch.Generator) -> Tensor:
    """Points of a step, some of them near each network's own surface.

    Args:
        inputs: (N, D) evenly over the box, for all networks.
        near: (B, M, D) of each network; None for none.
        share: of the points that are near.
        generator: draws which of them, and how far they are moved.
    Returns:
        (B, N, D), or `inputs` itself.
    """
    if near is None:
        return inputs
    count = round(share * len(inputs))
    index = sent(torch.randint(near.shape[1], (count,), generator=generator), near.device)
    moved = sent(torch.randn(len(near), count, near.shape[2], generator=generator), near.device)
    own = (near[:, index] + JITTER * moved).clamp(-1, 1)
    return torch.cat([inputs[count:].expand(len(near), -1, -1), own], dim=1)
