"""Shapes from occupancy grids: distances to a ball and a box, the points that are drawn, and grids that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from netspace_models.errors import InputFileError
from torch import Tensor

from netspace_cli.core.shapes import grids
from netspace_cli.core.shapes.grids import PADDING, shape_from_grid, signed_distances
from netspace_cli.core.shapes.samples import Shape

SOURCE = Path("shapes.npz")


@pytest.fixture(autouse=True)
def few_and_coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer voxels and points than usual: the same in a tenth of the time."""
    for name, value in (("FINEST", 48), ("SAMPLES", 2048), ("HELD_OUT", 1024)):
        monkeypatch.setattr(grids, name, value)


def ball(voxels: int, radius: float) -> np.ndarray:
    places = np.stack(np.meshgrid(*[np.arange(voxels) - (voxels - 1) / 2] * 3, indexing="ij"))
    return (places**2).sum(axis=0) < radius**2


def read(grid: np.ndarray, seed: int = 0) -> Shape:
    return shape_from_grid("it", SOURCE, grid, torch.Generator().manual_seed(seed))


def to_box(points: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Signed distances of points (N, 3) to a box."""
    beyond = torch.maximum(low - points, points - high)
    return beyond.clamp(min=0).norm(dim=1) + beyond.max(dim=1).values.clamp(max=0)


def test_distances_of_a_ball_are_near_the_analytic_ones() -> None:
    shape = read(ball(18, 8.0))  # 24 voxels with those around it: the radius is 8 / 12 of the half side
    voxel = 2 / 24
    for points, values in ((shape.points, shape.values), (shape.held_points, shape.held_values)):
        true = points.norm(dim=1) - 8 / 12
        errors = values[:, 0] - true
        assert errors.abs().max() < voxel
        assert abs(float(errors[true.abs() < 0.1].mean())) < 0.06 * voxel
    near = (shape.held_points.norm(dim=1) - 8 / 12).abs() > voxel / 2
    inside = shape.held_points.norm(dim=1) < 8 / 12
    assert torch.equal((shape.held_values[:, 0] < 0)[near], inside[near])


def test_distances_of_a_box_lie_where_the_grid_s_cells_do() -> None:
    grid = np.zeros((10, 10, 10))
    grid[1:5, 2:8, 0:10] = 1  # of 16 voxels with those around it
    shape = read(grid)
    low, high = ((torch.tensor(voxels) + PADDING) / 8 - 1 for voxels in ([1.0, 2.0, 0.0], [5.0, 8.0, 10.0]))
    errors = (shape.held_values[:, 0] - to_box(shape.held_points, low, high)).abs()
    voxel = 2 / 16
    assert errors.max() < voxel  # edges and corners are rounded off
    beyond = torch.maximum(low - shape.held_points, shape.held_points - high)
    facing = ((beyond > 0).sum(dim=1) == 1) & (beyond.median(dim=1).values < -voxel)
    facing &= shape.held_points.abs().max(dim=1).values < 1 - 1 / 48
    assert facing.sum() > 50 and errors[facing].max() < 1e-5


@pytest.mark.parametrize("finest", [12, 24, 96])
def test_the_number_of_finer_cells_hardly_moves_the_surface(finest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grids, "FINEST", finest)
    grid = np.ones((6, 6, 6))
    grid[:3] = 0
    found = signed_distances(grid)
    assert len(found) == max(finest, 12) and found.shape == (len(found),) * 3
    middle = found[:, len(found) // 2, len(found) // 2]
    crossings = (np.flatnonzero(np.diff(middle < 0)) + 1) * (2 / len(found)) - 1
    assert crossings == pytest.approx([0.0, 0.5], abs=1e-6)


def test_whatever_is_not_zero_is_inside() -> None:
    grid = ball(6, 2.5)
    numbers = np.where(grid, np.random.default_rng(0).choice([-1.0, 0.01, 7.0], grid.shape), 0)
    for other in (grid.astype(np.uint8), numbers):
        assert np.array_equal(signed_distances(other), signed_distances(grid))


def test_half_of_the_points_lie_near_the_surface_and_none_that_are_held_out() -> None:
    shape = read(ball(18, 8.0))
    assert (shape.points.shape, shape.values.shape) == ((2048, 3), (2048, 1))
    assert (shape.held_points.shape, shape.held_values.shape) == ((1024, 3), (1024, 1))
    assert shape.points.abs().max() <= 1 and shape.held_points.abs().max() <= 1
    even, wide, narrow = shape.values[:1024], shape.values[1024:1536], shape.values[1536:]
    voxel = 2 / 48
    assert wide.abs().max() < 0.1 + voxel and wide.abs().max() > 0.1 - voxel
    assert narrow.abs().max() < 0.02 + 2 * voxel
    for drawn in (even, shape.held_values):
        # The shell of that width has about an eleventh of the box.
        assert 0.05 < float((drawn.abs() < 0.1).float().mean()) < 0.35


def test_points_follow_the_generator_alone() -> None:
    torch.manual_seed(0)
    one, other = read(ball(6, 2.5), 3), read(ball(6, 2.5), 3)
    assert torch.equal(one.points, other.points) and torch.equal(one.held_values, other.held_values)
    assert not torch.equal(one.points, read(ball(6, 2.5), 4).points)


def spoilt(value: float) -> np.ndarray:
    grid = ball(6, 2.5).astype(float)
    grid[0, 0, :2] = value
    return grid


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        (np.zeros((4, 4, 4)), "it: the grid is empty: there is no surface. Leave it out."),
        (np.ones((4, 4, 4), dtype=bool), "it: the grid is full: there is no surface. Leave it out."),
        (np.ones((4, 4, 5)), "it: a grid of (4, 4, 5) is not a cube. Give R x R x R voxels."),
        (np.ones((4, 4)), "it: a grid of (4, 4) is not a cube."),
        (np.ones((1, 1, 1)), "it: a grid of (1, 1, 1) is not a cube."),
        (spoilt(float("nan")), "it: 2 voxels are NaN or infinite."),
        (spoilt(float("-inf")), "it: 2 voxels are NaN or infinite."),
    ],
)
def test_grids_that_are_no_shape_are_refused(grid: np.ndarray, words: str) -> None:
    with pytest.raises(InputFileError) as refused:
        read(grid)
    assert str(refused.value).startswith(f"{SOURCE}: {words}")


def test_a_solid_that_fills_its_grid_to_the_sides_is_closed() -> None:
    grid = np.ones((6, 6, 6))
    grid[0, 0, 0] = 0
    shape = read(grid)
    assert shape.values.min() < -0.35 and (shape.values[shape.points.abs().max(dim=1).values > 0.6] > 0).all()
