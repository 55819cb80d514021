"""How far one network that is a signal is from another, on the cells of a grid over the box."""

from __future__ import annotations

from dataclasses import dataclass

from netspace_models.architectures import Architecture
from torch import Tensor

from netspace_cli.core.decode import decode_row, recognised_in
from netspace_cli.core.networks import Network
from netspace_cli.core.runner import Runner
from netspace_cli.core.space import Space

from .data import FieldData, grid_points

# As published (section 5): values this near to each other count as equal.
WITHIN = 0.01
# Cells along each axis, by the number of axes: about as many in all.
RESOLUTIONS = {1: 4096, 2: 192, 3: 32}
# Points that a network is asked about at once, where they need not stay in a cache.
BATCH = 16_384
# Values of a point in a layer, by which is judged how much work stays in a processor's cache.
UNITS = 256


@dataclass(frozen=True)
class FieldFidelity:
    """How a predicted instance compares with its target at the centres of a grid's cells.

    Attributes:
        within: share of values that differ by less than 0.01.
        iou: intersection over union of the solids, where a signed distance is below zero; None where neither has
            an inside, and of signals that are no shapes.
        error: mean absolute difference.
        predicted_arch: the architecture the embedding is recognised as.
        inside: share of the box that is inside the target; None of signals that are no shapes.
    """

    within: float
    iou: float | None
    error: float
    predicted_arch: str
    inside: float | None


def scoring_points(data: FieldData) -> Tensor:
    """(N, D) where networks are compared, on the data's device."""
    dimensions = data.signal.dimensions
    points = grid_points(dimensions, RESOLUTIONS.get(dimensions, 8))
    return points.to(data.device or points.device)


def values_of(architecture: Architecture, vector: Tensor, points: Tensor, runner: Runner) -> Tensor:
    """A network's values at points.

    Args:
        architecture, vector: the network; its flat parameters (P,) on the runner's device.
        points: (N, D) on the same device.
    Returns:
        (N, K) float32, on the processor.
    """
    batch = runner.rows_at_once(BATCH, UNITS)
    return runner.in_batches(
        lambda index: architecture.run(vector, points[index]), len(points), batch=batch, what="points"
    )


def within(target: Tensor, predicted: Tensor) -> float:
    """Share of values (N, K) that differ by less than WITHIN."""
    return ((target - predicted).abs() < WITHIN).double().mean().item()


def mean_error(target: Tensor, predicted: Tensor) -> float:
    """Mean absolute difference of values (N, K)."""
    return (target - predicted).abs().double().mean().item()


def iou(one: Tensor, other: Tensor) -> float | None:
    """Intersection over union of two solids: (N, K) values each, inside where the first is below zero; None
    where neither has an inside."""
    a, b = one[:, 0] < 0, other[:, 0] < 0
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else None


def likeness(target: Tensor, predicted: Tensor, data: FieldData) -> tuple[float, float | None, float]:
    """`within`, `iou` and `mean_error` of values (N, K); no IoU of signals that are no shapes."""
    overlap = iou(target, predicted) if data.has_surface else None
    return within(target, predicted), overlap, mean_error(target, predicted)


def field_fidelity(network: Network, embedding: Tensor, space: Space, data: FieldData, runner: Runner) -> FieldFidelity:
    """Compare a network that is a signal with what its embedding decodes to.

    Args:
        network: the target.
        embedding: (E,).
    """
    space, points = space.to(runner.device), runner.place(scoring_points(data))
    placed = runner.place(embedding)
    built = decode_row(placed, space, arch=network.architecture.name)
    target = values_of(network.architecture, runner.place(network.vector), points, runner)
    predicted = values_of(built.architecture, built.vector, points, runner)
    inside = (target[:, 0] < 0).double().mean().item() if data.has_surface else None
    return FieldFidelity(*likeness(target, predicted, data), recognised_in(placed, space).name, inside)
