"""The box cut into the cells of a grid, with a point in each: where shapes are known cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from netspace_models.architectures import Architecture
from torch import Tensor

from netspace_cli.core.runner import Runner

from .data import grid_points
from .scoring import values_of

# Of the box, about.
CELLS = 262_144


@dataclass(frozen=True)
class Cells:
    """Cells of the box.

    Attributes:
        points: (R^D, D) one in each of a grid's R cells along each axis, in the grid's order.
    """

    points: Tensor

    @property
    def sides(self) -> tuple[int, ...]:
        """(R, …), D of them."""
        dimensions = self.points.shape[1]
        return (round(len(self.points) ** (1 / dimensions)),) * dimensions


def scattered(dimensions: int, generator: torch.Generator, *, sides: int | None = None) -> Tensor:
    """(R^D, D) a point anywhere in each cell.

    Args:
        sides: R; by default so many that there are about CELLS.
    """
    sides = sides or round(CELLS ** (1 / dimensions))
    centres = grid_points(dimensions, sides)
    return centres + (torch.rand(centres.shape, generator=generator) - 0.5) * (2 / sides)


def distances_at(points: Tensor, architecture: Architecture, vector: Tensor, runner: Runner) -> Tensor:
    """(M,) what a network (P,) that is a shape says at the cells' points (M, D), on the device of the work."""
    return runner.place(values_of(architecture, vector, points, runner)[:, 0])
