"""The box cut into the cells of a grid, with a point in each: where shapes are known cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from netspace_models.architectures import Architecture
from torch import Tensor

from netspace_cli.core.data.points import grid_points
from netspace_cli.core.runtime.runner import Runner

from .values import values_of

# Of the box, about.
CELLS = 262_144
# How near to a surface cells are cut along each axis, in sides of a cell: what is solved for may lie so far off.
BAND = 1.5


@dataclass(frozen=True)
class Voxels:
    """Cells of the box, all of a grid or those near a surface.

    Attributes:
        points: (M, D) one in each cell, in the grid's order.
        places: (M,) which cells of the grid they are; None for all.
        elsewhere: (R, …) what is inside where no point is; None where there is one in each cell.
    """

    points: Tensor
    places: np.ndarray | None = None
    elsewhere: np.ndarray | None = None

    @property
    def sides(self) -> tuple[int, ...]:
        """(R, …), D of them."""
        if self.elsewhere is not None:
            return self.elsewhere.shape
        dimensions = self.points.shape[1]
        return (round(len(self.points) ** (1 / dimensions)),) * dimensions

    def inside(self, values: Tensor) -> np.ndarray:
        """(R, …) the solid of signed distances (M,) at the points."""
        inside = (values < 0).cpu().numpy()
        if self.elsewhere is None:
            return inside.reshape(self.sides)
        solid = self.elsewhere.copy()
        solid.ravel()[self.places] = inside
        return solid

    def at(self, grid: np.ndarray) -> np.ndarray:
        """(M,) what a grid (R, …) holds where the points are."""
        return grid.ravel() if self.places is None else grid.ravel()[self.places]


def scattered_points(dimensions: int, generator: torch.Generator, *, sides: int | None = None) -> Tensor:
    """(R^D, D) a point anywhere in each cell.

    Args:
        sides: R; by default so many that there are about CELLS.
    """
    sides = sides or round(CELLS ** (1 / dimensions))
    centres = grid_points(dimensions, sides)
    return centres + (torch.rand(centres.shape, generator=generator) - 0.5) * (2 / sides)


def cut(cells: Voxels, values: Tensor, parts: int = 2) -> Voxels:
    """The cells near a surface, each cut into so many along each axis, and the middles of these: scattered points would
    show crumbs where an even surface passes between them.

    Args:
        cells: all of a grid.
        values: (R^D,) signed distances there.
    """
    places = np.flatnonzero(repeated(_near(cells, values), parts))
    points = grid_points(len(cells.sides), parts * cells.sides[0])[places]
    return Voxels(points.to(cells.points), places, repeated(cells.inside(values), parts))


def far(cells: Voxels, values: Tensor) -> Voxels:
    """The other cells, far from every surface; as of `cut`."""
    places = np.flatnonzero(~_near(cells, values))
    return Voxels(cells.points[torch.from_numpy(places).to(cells.points.device)], places, cells.inside(values))


def _near(cells: Voxels, values: Tensor) -> np.ndarray:
    return values.abs().cpu().numpy().reshape(cells.sides) < BAND * 2 / cells.sides[0]


def repeated(grid: np.ndarray, parts: int) -> np.ndarray:
    """(parts · R, …) each cell's value in all of the cells that it is cut into."""
    for axis in range(grid.ndim):
        grid = grid.repeat(parts, axis)
    return grid


def distances_at(points: Tensor, architecture: Architecture, weights: Tensor, runner: Runner) -> Tensor:
    """(M,) what a network (P,) that is a shape says at the cells' points (M, D), on the device of the work. There may
    be no points: without a surface no cell lies near it, with small values all do."""
    if not len(points):
        return points.new_zeros(0)
    return runner.place(values_of(architecture, weights, points, runner)[:, 0])
