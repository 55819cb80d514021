"""Objectives for shapes: a whole shape, or points of its surface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import scipy
import torch
from netspace_models.architectures import Architecture
from netspace_models.second_order.gauss_newton import weights_by_distance
from netspace_models.training.losses import output_matching
from torch import Tensor
from torch.func import grad, vmap

from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes.samples import Shape
from netspace_cli.core.shapes.scans import Scan
from netspace_cli.core.shapes.values import WITHIN, values_of

# How much a slope of one weighs against the surface lying at a scan's points (Gropp et al., 2020).
SLOPE_WEIGHT = 0.1
SLOPE_POINTS = 256
# Of a scan with normals: the share of the points asked for at the surface that are moved off it along their normals,
# and how far, as deviations of two halves of them.
MOVED, BANDS = 0.75, (0.05, 0.015)
# A place is on the side of the surface that the normal of the scan's nearest point says, where it lies in or against
# that direction by at least this cosine. Inside that is so as far as THIN only, since the other side may be near; from
# there to DEEP nothing is asked for where the network has no inside.
ALIGNED, THIN, DEEP = 0.7, 0.04, 0.12
# How far off the surface a network is looked at where there are normals: within all but the thinnest shapes.
ASIDE = 0.02


@dataclass(frozen=True)
class ShapeObjective:
    """A shape with known distances.

    Attributes:
        runner: its device is where the samples are.
        points, values: (S, D) and (S, K), what the network is brought to.
        held: (points, values) by split, "val" and "test": nothing is brought to them.
        distances: whether the values are signed distances.
    """

    runner: Runner
    points: Tensor
    values: Tensor
    held: Mapping[str, tuple[Tensor, Tensor]]
    distances: bool
    # The share within 0.01 is noise as long as a shape is far from its target.
    by_loss: bool = True

    def loss(self, architecture: Architecture, weights: Tensor, step: int, count: int) -> Tensor:
        """Mean squared error (eq. 2) at `count` of the samples; the same step draws the same."""
        points, values = self._drawn(step, count)
        return output_matching(architecture.run(weights, points), values)

    def targets(
        self, architecture: Architecture, weights: Tensor, step: int, count: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Draw `count` of the samples; distances near the surface weigh more."""
        points, values = self._drawn(step, count)
        return points, values.flatten(), weights_by_distance(values.flatten()) if self.distances else None

    def score(self, architecture: Architecture, weights: Tensor, split: str) -> tuple[float, float]:
        """Share of a split's values that the network is within 0.01 of, and its mean squared error."""
        points, values = self.held[split]
        off = values_of(architecture, weights, points, self.runner) - values.cpu()
        return (off.abs() < WITHIN).double().mean().item(), off.square().mean().item()

    def _drawn(self, step: int, count: int) -> tuple[Tensor, Tensor]:
        index = torch.randint(len(self.points), (count,), generator=self.runner.generator("lso", step))
        index = index.to(self.points.device)
        return self.points[index], self.values[index]


@dataclass(frozen=True)
class ScanObjective:
    """Points of a surface or part of it. The rest of the shape is constrained as little as possible.

    Attributes:
        runner: its device is where the points are.
        scan: what the surface is brought to.
        held: points by split, "val" and "test": nothing is brought to them.
        nearest: the nearest point of `scan` to any point is quickly had from it.
    """

    runner: Runner
    scan: Scan
    held: Mapping[str, Scan]
    nearest: scipy.spatial.KDTree
    by_loss: bool = True

    def loss(self, architecture: Architecture, weights: Tensor, step: int, count: int) -> Tensor:
        """Mean squared distance at `count` of the points, and deviation of the slope from one at other points.

        Distances grow by one per unit. With normals, also the deviation of slopes at the surface from them.
        """
        generator = self.runner.generator("lso", step)
        index = self._drawn(count, generator)
        at_surface = architecture.run(weights, self.scan.points[index]).square().mean()
        anywhere = (2 * torch.rand(SLOPE_POINTS, 3, generator=generator) - 1).to(index.device)
        off = (_slopes(architecture, weights, anywhere).norm(dim=1) - 1).square().mean()
        if self.scan.normals is not None:
            index = index[:SLOPE_POINTS]
            slopes = _slopes(architecture, weights, self.scan.points[index])
            off = off + (slopes - self.scan.normals[index]).square().sum(dim=1).mean()
        return at_surface + SLOPE_WEIGHT * off

    def targets(
        self, architecture: Architecture, weights: Tensor, step: int, count: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Zero at the scan's points, and elsewhere the network's own values, limited by the scan.

        No point is further from a surface than from the scan's nearest point. If that point's normal tells the side,
        the distance to the point is the target. Half of the places are scan points or near them.
        """
        generator = self.runner.generator("lso", step)
        surface = self._near_the_scan(self._drawn(count // 2, generator), generator)
        anywhere = (2 * torch.rand(count - len(surface), 3, generator=generator) - 1).to(surface.device)
        places = torch.cat([surface, anywhere])
        found, index = self.nearest.query(places.cpu().numpy())
        distances, nearest = torch.from_numpy(found).to(places), torch.from_numpy(index).to(places.device)
        values = architecture.run(weights, places)[:, 0]
        values = torch.maximum(torch.minimum(values, distances), -distances)
        return places, *self._on_their_sides(places, values, distances, nearest)

    def _on_their_sides(
        self, places: Tensor, values: Tensor, distances: Tensor, nearest: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Target values (N,) at places (N, 3) and their weights, after the nearest points' normals are considered."""
        if self.scan.normals is None:
            return values, None
        along = ((places - self.scan.points[nearest]) * self.scan.normals[nearest]).sum(dim=1)
        outside, inside = along > ALIGNED * distances, along < -ALIGNED * distances
        values = torch.where(outside, distances, values)
        values = torch.where(inside & (distances < THIN), -distances, values)
        # Further in, outside may be right or not: to ask for it would leave a shell where there is more.
        unsaid = inside & (distances >= THIN) & (distances < DEEP) & (values > 0)
        return values, weights_by_distance(values).masked_fill(unsaid, 0)

    def score(self, architecture: Architecture, weights: Tensor, split: str) -> tuple[float, float]:
        """Share of a split's points that the surface is within 0.01 of, and the mean squared error.

        With normals, also at points slightly off the surface on both sides.
        """
        scan = self.held[split]
        off = values_of(architecture, weights, scan.points, self.runner)
        errors = [off]
        if scan.normals is not None:
            for side in (ASIDE, -ASIDE):
                places = (scan.points + side * scan.normals).clamp(-1, 1)
                errors.append(values_of(architecture, weights, places, self.runner) - side)
        return (off.abs() < WITHIN).double().mean().item(), torch.cat(errors).square().mean().item()

    def _drawn(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.randint(len(self.scan.points), (count,), generator=generator).to(self.scan.points.device)

    def _near_the_scan(self, index: Tensor, generator: torch.Generator) -> Tensor:
        """Points of the scan; with normals, most are moved a little along them, within the box."""
        points, normals = self.scan.points[index], self.scan.normals
        if normals is None:
            return points
        moved = int(MOVED * len(points))
        by = torch.randn(moved, 1, generator=generator)
        by[: moved // 2] *= BANDS[0]
        by[moved // 2 :] *= BANDS[1]
        near = points[:moved] + by.to(points.device) * normals[index[:moved]]
        return torch.cat([near.clamp(-1, 1), points[moved:]])


def _slopes(architecture: Architecture, weights: Tensor, points: Tensor) -> Tensor:
    """(S, 3) gradients of a network's value at points (S, 3)."""
    return vmap(grad(lambda x: architecture.run(weights, x[None])[0, 0]))(points)


def objective_of_shape(shape: Shape, runner: Runner, *, distances: bool = True) -> ShapeObjective:
    """Objective to become a shape; half of its held-out points choose, the others are scored."""
    half = len(shape.held_points) // 2
    held = {
        "val": (shape.held_points[:half], shape.held_values[:half]),
        "test": (shape.held_points[half:], shape.held_values[half:]),
    }
    placed = {split: (runner.place(points), runner.place(values)) for split, (points, values) in held.items()}
    return ShapeObjective(runner, runner.place(shape.points), runner.place(shape.values), placed, distances)


def objective_of_scan(scan: Scan, runner: Runner) -> ScanObjective:
    """Objective to have a surface at a scan's points; a tenth of them chooses, a tenth is scored."""
    order = torch.randperm(len(scan.points), generator=runner.generator("scan"))
    share = max(1, len(order) // 10)
    held = {"val": order[:share], "test": order[share : 2 * share]}
    towards = scan.part(order[2 * share :])
    placed = {split: scan.part(index).to(runner.device) for split, index in held.items()}
    return ScanObjective(runner, towards.to(runner.device), placed, scipy.spatial.KDTree(towards.points.numpy()))
