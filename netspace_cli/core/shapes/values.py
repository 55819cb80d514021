"""Compare neural fields on the voxels of a grid over the box."""

from __future__ import annotations

from netspace_models.architectures import Architecture
from torch import Tensor

from netspace_cli.core.data.points import grid_points
from netspace_cli.core.runtime.runner import Runner

# As published (section 5): values this near to each other count as equal.
WITHIN = 0.01
# Voxels along each axis, by the number of axes: about as many in all.
RESOLUTIONS = {1: 4096, 2: 192, 3: 32}
# Points that a network is asked about at once, where they need not stay in a cache.
BATCH = 16_384
# Values of a point in a layer, by which is judged how much work stays in a processor's cache.
UNITS = 256


def scoring_points(dimensions: int) -> Tensor:
    """(N, D) points where networks are compared, D coordinates each."""
    return grid_points(dimensions, RESOLUTIONS.get(dimensions, 8))


def values_of(architecture: Architecture, weights: Tensor, points: Tensor, runner: Runner) -> Tensor:
    """A network's values at points.

    Args:
        architecture, weights: the network; its flat parameters (P,) on the runner's device.
        points: (N, D) on the same device.
    Returns:
        (N, K) float32, on the processor.
    """
    batch = runner.rows_at_once(BATCH, UNITS)
    return runner.in_batches(
        lambda index: architecture.run(weights, points[index]), len(points), batch=batch, what="points"
    )


def within(target: Tensor, predicted: Tensor) -> float:
    """Share of values (N, K) that differ by less than WITHIN."""
    return ((target - predicted).abs() < WITHIN).double().mean().item()


def mean_error(target: Tensor, predicted: Tensor) -> float:
    """Mean absolute difference of values (N, K)."""
    return (target - predicted).abs().double().mean().item()


def iou(one: Tensor, other: Tensor) -> float | None:
    """Intersection over union of two solids, from (N, K) values each; inside is where the first is below zero.

    None if both are empty.
    """
    a, b = one[:, 0] < 0, other[:, 0] < 0
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else None
