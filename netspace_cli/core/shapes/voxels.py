"""Voxels of a grid over the box, each with a point at which shapes are evaluated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from netspace_models.architectures import Architecture
from torch import Tensor

from netspace_cli.core.data.points import grid_points
from netspace_cli.core.runtime.runner import Runner

from .values import values_of

# Number of voxels of the box, about.
COUNT = 262_144
# Voxels within this distance of a surface are refined, in sides of a voxel: a solution may be off by as much.
BAND = 1.5


@dataclass(frozen=True)
class Voxels:
    """Voxels of the box, all of a grid or those near a surface.

    Attributes:
        points: (M, D) one in each voxel, in the grid's order.
        places: (M,) which voxels of the grid they are; None for all.
        elsewhere: (R, …) what is inside where no point is; None where there is one in each voxel.
    """

    points: Tensor
    places: np.ndarray | None = None
    elsewhere: np.ndarray | None = None

    @property
    def sides(self) -> tuple[int, ...]:
        """(R, …), with D axes."""
        if self.elsewhere is not None:
            return self.elsewhere.shape
        dimensions = self.points.shape[1]
        return (round(len(self.points) ** (1 / dimensions)),) * dimensions

    def inside(self, values: Tensor) -> np.ndarray:
        """(R, …) solid of signed distances (M,) at the points."""
        inside = (values < 0).cpu().numpy()
        if self.elsewhere is None:
            return inside.reshape(self.sides)
        solid = self.elsewhere.copy()
        solid.ravel()[self.places] = inside
        return solid

    def at(self, grid: np.ndarray) -> np.ndarray:
        """(M,) values of a grid (R, …) at the points."""
        return grid.ravel() if self.places is None else grid.ravel()[self.places]


def scattered_points(dimensions: int, generator: torch.Generator, *, sides: int | None = None) -> Tensor:
    """(R^D, D) a random point in each voxel.

    Args:
        sides: R; by default chosen to give about COUNT voxels.
    """
    sides = sides or round(COUNT ** (1 / dimensions))
    centres = grid_points(dimensions, sides)
    return centres + (torch.rand(centres.shape, generator=generator) - 0.5) * (2 / sides)


def refine_near_surface(voxels: Voxels, values: Tensor, parts: int = 2) -> Voxels:
    """Split the voxels near a surface into smaller ones, evaluated at their centres.

    Points scattered in them would show fragments where a smooth surface passes between them.

    Args:
        voxels: all of a grid.
        values: (R^D,) signed distances there.
        parts: smaller voxels along each axis of a voxel.
    """
    places = np.flatnonzero(upsampled(_near(voxels, values), parts))
    points = grid_points(len(voxels.sides), parts * voxels.sides[0])[places]
    return Voxels(points.to(voxels.points), places, upsampled(voxels.inside(values), parts))


def away_from_surface(voxels: Voxels, values: Tensor) -> Voxels:
    """Voxels that `refine_near_surface` leaves out."""
    places = np.flatnonzero(~_near(voxels, values))
    return Voxels(voxels.points[torch.from_numpy(places).to(voxels.points.device)], places, voxels.inside(values))


def _near(voxels: Voxels, values: Tensor) -> np.ndarray:
    return values.abs().cpu().numpy().reshape(voxels.sides) < BAND * 2 / voxels.sides[0]


def upsampled(grid: np.ndarray, parts: int) -> np.ndarray:
    """(parts · R, …) each voxel's value in all smaller voxels that it is split into."""
    for axis in range(grid.ndim):
        grid = grid.repeat(parts, axis)
    return grid


def distances_at(points: Tensor, architecture: Architecture, weights: Tensor, runner: Runner) -> Tensor:
    """(M,) distances of a network (P,) that is a shape at points (M, D) of voxels, on the device of the work.

    There may be no points: no voxel is near a surface if the shape has no surface, and all are if values are small.
    """
    if not len(points):
        return points.new_zeros(0)
    return runner.place(values_of(architecture, weights, points, runner)[:, 0])
