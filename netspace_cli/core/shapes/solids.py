"""Surfaces of networks that are shapes, where the signed distance is zero (extra `mesh`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from netspace_models.errors import ConfigError

from netspace_cli.core.data.points import SHAPES, check_grid, grid_points, voxel_centres
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner

from .components import connected_components
from .values import values_of
from .voxels import Voxels, distances_at, refine_near_surface, upsampled

if TYPE_CHECKING:
    pass
# Points of a grid's planes that are laid out at a time.
SLAB = 2**20


@dataclass(frozen=True)
class Solid:
    """A shape on a grid of voxels.

    Attributes:
        values: (R, R, R) signed distances at the voxels' centres.
        volume: share of the voxels that are inside.
        pieces: number of connected components; largest: share of the inside that is in the largest of them.
    """

    values: np.ndarray

    @property
    def volume(self) -> float:
        """Share of the box that is inside."""
        return float((self.values < 0).mean())

    @property
    def pieces(self) -> int:
        """Number of connected components."""
        return len(connected_components(self.values < 0)[1]) - 1

    @property
    def largest(self) -> float | None:
        """Share of the inside in the largest component; None if nothing is inside."""
        _, sizes = connected_components(self.values < 0)
        return float(sizes.max() / sizes.sum()) if len(sizes) > 1 else None

    def coarser(self) -> Solid:
        """The solid on half as many voxels along each axis (means of eight), which is enough for a small picture."""
        half = len(self.values) // 2
        return Solid(self.values.reshape(half, 2, half, 2, half, 2).mean(axis=(1, 3, 5)))

    @property
    def has_surface(self) -> bool:
        """Whether something is inside and something outside."""
        return not self.lack

    @property
    def cut_by_box(self) -> bool:
        """Whether it reaches the sides of the box, where it is closed."""
        inside = self.values < 0
        return any(bool(inside.take((0, -1), axis).any()) for axis in range(3))

    @property
    def lack(self) -> str:
        """The reason why there is no surface, or ""."""
        inside = self.values < 0
        if inside.all():
            return "no surface: all of the box is inside"
        return "" if inside.any() else "no surface: all of the box is outside"


def check_shape(network: Network) -> None:
    """Refuse a network that is not a shape.

    Raises:
        ConfigError: it is not a signed distance at points of three coordinates.
    """
    io = network.architecture.io
    if io != SHAPES:
        raise ConfigError(
            f"{network.source or network.architecture.name} is for {io.describe()}, so it has no surface.",
            "Give a network that is a shape: points of 3 coordinates, 1 value.",
        )


def solid_of(network: Network, runner: Runner, *, resolution: int = 32) -> Solid:
    """Evaluate a network's signed distances on a grid.

    Args:
        network: a shape, on any device.
        resolution: voxels R along each axis.
    Raises:
        ConfigError: the network is not a shape, or the voxels do not fit in memory.
    """
    check_shape(network)
    check_grid(resolution, 3)
    weights = runner.place(network.weights)
    axis = voxel_centres(resolution)
    values = np.empty((resolution,) * 3, dtype=np.float32)
    for planes in torch.arange(resolution).split(max(1, SLAB // resolution**2)):
        points = runner.place(torch.cartesian_prod(axis[planes], axis, axis))
        found = values_of(network.architecture, weights, points, runner)
        values[planes.numpy()] = found.reshape(len(planes), resolution, resolution).numpy()
    return Solid(values)


def solid_refined_near_surface(network: Network, runner: Runner, *, resolution: int, parts: int = 2) -> Solid:
    """Evaluate as `solid_of` does, on a grid `parts` times as fine near the surface.

    Elsewhere it has the coarse grid's values.

    Where a network says distances, no surface is missed: none is nearer to a voxel's centre than it says.

    Args:
        resolution: voxels R of the coarse grid along each axis; the solid has parts · R.
    Raises:
        ConfigError: the network is not a shape, or the voxels do not fit in memory.
    """
    check_grid(parts * resolution, 3)
    coarse = torch.from_numpy(solid_of(network, runner, resolution=resolution).values)
    near = refine_near_surface(Voxels(grid_points(3, resolution)), coarse.flatten(), parts)
    weights, points = runner.place(network.weights), runner.place(near.points)
    values = upsampled(coarse.numpy(), parts)
    values.ravel()[near.places] = distances_at(points, network.architecture, weights, runner).cpu().numpy()
    return Solid(values)
