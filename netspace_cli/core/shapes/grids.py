"""Shapes from occupancy grids, with signed distances by scipy's distance transform."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy
import torch
from netspace_models.errors import InputFileError
from torch import Tensor

from .samples import HELD_OUT, SAMPLES, Shape, check_distances

# Empty voxels put on each side, so that a solid that fills its grid is closed; and finer voxels, so that
# distances are not steps.
PADDING = 3
FINEST = 96
# How far points near the surface lie from it, in units of the half side: a wide and a narrow band.
BANDS = (0.1, 0.02)


def shape_from_grid(
    name: str, source: Path, grid: np.ndarray, generator: torch.Generator, *, padding: int = PADDING
) -> Shape:
    """Make a shape from an occupancy grid.

    The grid, with some empty voxels around it, fills the box; the surface lies where occupancy, linear between
    the voxels' centres, is one half.

    Args:
        grid: (R, R, R), anything that is not zero is inside.
        generator: draws the points.
        padding: empty voxels around it; 0 for a grid that fills the box itself.
    Raises:
        InputFileError: the grid is not a cube, has NaN, or is empty or full.
    """
    check_grid(name, source, grid)
    distances = signed_distances(grid, padding)

    points, held = _points_to_fit(distances, generator)
    shape = Shape(name, source, points, _interpolated(distances, points), held, _interpolated(distances, held))
    check_distances(name, source, shape.points, shape.values)
    return shape


def check_grid(name: str, source: Path, grid: np.ndarray) -> None:
    """Refuse an array that is not the occupancy of a shape.

    Raises:
        InputFileError: no cube, NaN, empty or full.
    """
    if grid.ndim != 3 or len(set(grid.shape)) != 1 or grid.shape[0] < 2:
        raise InputFileError(source, f"{name}: a grid of {grid.shape} is not a cube.", "Give R x R x R voxels.")
    if not np.isfinite(grid).all():
        wrong = int((~np.isfinite(grid)).sum())
        raise InputFileError(source, f"{name}: {wrong} voxels are NaN or infinite.", "Repair it or leave it out.")
    filled = int((grid != 0).sum())
    if filled in (0, grid.size):
        what = "empty" if filled == 0 else "full"
        raise InputFileError(source, f"{name}: the grid is {what}: there is no surface.", "Leave it out.")


def signed_distances(grid: np.ndarray, padding: int = PADDING) -> np.ndarray:
    """Convert occupancy (R, R, R) to signed distances, negative inside, at centres of finer voxels in the box."""
    padded = np.pad((grid != 0).astype(np.float32), padding)
    finer = max(1, FINEST // len(padded))
    fine = scipy.ndimage.zoom(padded, finer, order=1, grid_mode=True, mode="nearest") > 0.5
    # The surface runs between two voxels' centres, half a voxel from each.
    outside, inside = scipy.ndimage.distance_transform_edt(~fine), scipy.ndimage.distance_transform_edt(fine)
    voxels: np.ndarray = np.where(fine, 0.5 - inside, outside - 0.5)
    return (voxels * (2 / len(fine))).astype(np.float32)


def _interpolated(distances: np.ndarray, points: Tensor) -> Tensor:
    """Interpolate distances (S, 1) at points (S, 3) of the box, linearly between the voxels' centres."""
    places = (points.double().numpy().T + 1) / 2 * len(distances) - 0.5
    found = scipy.ndimage.map_coordinates(distances, places, order=1, mode="nearest")
    return torch.from_numpy(found.astype(np.float32))[:, None]


def _points_to_fit(distances: np.ndarray, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points to fit to, half near the surface: (SAMPLES, 3); and evenly over the box: (HELD_OUT, 3)."""

    def even(count: int) -> Tensor:
        return 2 * torch.rand(count, 3, generator=generator) - 1

    parts, share = [even(SAMPLES // 2)], SAMPLES // 2 // len(BANDS)
    for band in BANDS:
        parts.append(_near_surface(distances, band, share, generator))
    return torch.cat(parts), even(HELD_OUT)


def _near_surface(distances: np.ndarray, band: float, count: int, generator: torch.Generator) -> Tensor:
    """(count, 3) points in voxels with centres within `band` of the surface."""
    voxels = np.argwhere(np.abs(distances) < max(band, 2 / len(distances)))
    drawn = torch.randint(len(voxels), (count,), generator=generator)
    corner = torch.from_numpy(voxels).float()[drawn]
    return (corner + torch.rand(count, 3, generator=generator)) * (2 / len(distances)) - 1
