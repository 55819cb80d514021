"""Objectives of latent space optimisation in files: shapes, pictures, scans, and what fits no space."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
import trimesh
from netspace_models.architectures import FieldIO, ImageIO, NetworkIO
from netspace_models.errors import ConfigError
from PIL import Image

from netspace_cli.core.requests.shape_objective import read_shape_objective
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.search.shape_objectives import ScanObjective, ShapeObjective, objective_of_scan
from netspace_cli.core.shapes import grids, meshes, pictures
from netspace_cli.core.shapes.scans import Scan
from netspace_cli.core.shapes.sources import find_shapes
from netspace_cli.core.spaces.space import Space

SHAPES = FieldIO(3, 1)


def space(io: NetworkIO = SHAPES) -> Space:
    """All that is asked of a space: its name and its IO."""
    return cast(Space, SimpleNamespace(name="mine", io=io))


def of_grid(path: Path) -> None:
    occupancy = np.zeros((6, 6, 6), dtype=bool)
    occupancy[1:4, 2:5, 1:5] = True
    np.savez(path, occupancy=occupancy)


def of_samples(path: Path) -> None:
    points = np.random.default_rng(0).uniform(-0.9, 0.9, (1500, 3))
    rows = np.column_stack([points, np.linalg.norm(points, axis=1) - 0.5])
    np.savez(path, pos=rows[rows[:, 3] >= 0], neg=rows[rows[:, 3] < 0])


def of_mesh(path: Path) -> None:
    trimesh.creation.box((1, 1, 1)).export(path)


def of_cloud(path: Path) -> None:
    trimesh.PointCloud(cloud()).export(path)


def of_pixels(path: Path) -> None:
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(path)


def cloud(count: int = 30) -> np.ndarray:
    """Points in a corner of the box."""
    return np.random.default_rng(0).uniform(0.5, 0.7, (count, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer points and voxels than usual."""
    for module in (grids, meshes, pictures):
        monkeypatch.setattr(module, "SAMPLES", 512)
        monkeypatch.setattr(module, "HELD_OUT", 128)
    monkeypatch.setattr(grids, "FINEST", 16)


@pytest.mark.parametrize(
    ("name", "make", "io"),
    [
        ("grid.npz", of_grid, SHAPES),
        ("samples.npz", of_samples, SHAPES),
        ("mesh.ply", of_mesh, SHAPES),
        ("mesh.obj", of_mesh, SHAPES),
        ("picture.png", of_pixels, FieldIO(2, 3)),
    ],
)
def test_shapes_and_pictures_are_read_as_for_a_zoo(
    tmp_path: Path, name: str, make: Callable[[Path], None], io: FieldIO
) -> None:
    path = tmp_path / name
    make(path)
    runner = Runner("cpu", seed=5)
    found = read_shape_objective(path, space(io), runner)
    assert isinstance(found, ShapeObjective) and found.runner is runner
    (source,) = find_shapes(path)
    shape = source.read(runner.generator("target"))
    assert torch.equal(found.points, shape.points) and torch.equal(found.values, shape.values)
    assert torch.equal(torch.cat([found.held["val"][0], found.held["test"][0]]), shape.held_points)
    assert torch.equal(torch.cat([found.held["val"][1], found.held["test"][1]]), shape.held_values)


@pytest.mark.parametrize("name", ["cloud.npy", "cloud.xyz", "cloud.ply"])
def test_points_alone_are_a_scan_and_stay_where_they_lie(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".npy":
        np.save(path, cloud())
    elif path.suffix == ".xyz":
        np.savetxt(path, cloud(), fmt="%.9g")
    else:
        of_cloud(path)
    runner = Runner("cpu", seed=5)
    found, expected = (
        read_shape_objective(path, space(), runner),
        objective_of_scan(Scan(torch.from_numpy(cloud())), runner),
    )
    assert isinstance(found, ScanObjective)
    assert torch.equal(found.scan.points, expected.scan.points)
    for split in ("val", "test"):
        assert torch.equal(found.held[split].points, expected.held[split].points)


@pytest.mark.parametrize(
    ("name", "make", "io", "words"),
    [
        (
            "grid.npz",
            of_grid,
            ImageIO(1, 8, 3),
            "space 'mine' is for classifiers (1x8x8, 3 classes), which cannot become a shape. "
            "Give a `teacher`, or nothing for the labels.",
        ),
        (
            "picture.png",
            of_pixels,
            SHAPES,
            "{}: networks for points of 3 coordinates, 1 value cannot become what .png files hold. "
            "Known: .npz, .ply, .obj, .stl, .off, .glb, .binvox, .npy, .xyz.",
        ),
        (
            "picture.png",
            of_pixels,
            FieldIO(2, 1),
            "{} is for points of 2 coordinates, 3 values; space 'mine' is for points of 2 coordinates, 1 value. "
            "Give a file of the space's own kind.",
        ),
        (
            "grid.npz",
            of_grid,
            FieldIO(2, 3),
            "{}: networks for points of 2 coordinates, 3 values cannot become what .npz files hold. "
            "Known: .png, .jpg, .jpeg.",
        ),
        (
            "two.npz",
            lambda path: np.savez(path, occupancy=np.stack([np.eye(4)[:, None] * np.ones((4, 4, 4))] * 2)),
            SHAPES,
            "{} holds 2 shapes, one is needed. Give a file of one.",
        ),
    ],
)
def test_files_that_do_not_fit_a_space_are_refused(
    tmp_path: Path, name: str, make: Callable[[Path], None], io: NetworkIO, words: str
) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(ConfigError) as refused:
        read_shape_objective(path, space(io), Runner("cpu"))
    assert str(refused.value) == words.format(path)


def test_a_space_of_pictures_takes_no_scan(tmp_path: Path) -> None:
    np.save(tmp_path / "cloud.npy", cloud())
    with pytest.raises(ConfigError, match=r"cloud\.npy: networks for .* what \.npy files hold"):
        read_shape_objective(tmp_path / "cloud.npy", space(FieldIO(2, 3)), Runner("cpu"))
    of_cloud(tmp_path / "cloud.ply")
    with pytest.raises(ConfigError, match=r"cloud\.ply: networks for points of 2 .* what \.ply files hold"):
        read_shape_objective(tmp_path / "cloud.ply", space(FieldIO(2, 3)), Runner("cpu"))
