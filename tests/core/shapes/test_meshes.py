"""Shapes from meshes: distances to a box, open meshes, the box they must lie in, and files that are no mesh."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from netspace_models.errors import ConfigError, InputFileError
from torch import Tensor

from netspace_cli.core.shapes import grids, meshes
from netspace_cli.core.shapes.meshes import read_mesh, shape_from_mesh
from netspace_cli.core.shapes.samples import Shape


@pytest.fixture(autouse=True)
def few_and_coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer points and voxels than usual, in a tenth of the time."""
    for module in (meshes, grids):
        monkeypatch.setattr(module, "SAMPLES", 2048)
        monkeypatch.setattr(module, "HELD_OUT", 1024)
    monkeypatch.setattr(meshes, "RESOLUTION", 32)
    monkeypatch.setattr(grids, "FINEST", 24)


def written(path: Path, mesh: trimesh.Trimesh | trimesh.Scene | trimesh.PointCloud) -> Path:
    mesh.export(path)
    return path


def box(*sides: float, at: tuple[float, float, float] = (0, 0, 0), without: int = 0) -> trimesh.Trimesh:
    """A box of twelve triangles, or of fewer."""
    mesh = trimesh.creation.box(sides)
    mesh.apply_translation(at)
    mesh.update_faces(np.arange(12) >= without)
    return mesh


def bowl(at: tuple[float, float, float] = (0.5, 0.5, 0.5)) -> trimesh.Trimesh:
    """A ball of radius 0.3 with its top off: a hole too wide to be filled."""
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=0.3)
    mesh.update_faces(mesh.triangles_center[:, 2] < 0.2)
    mesh.remove_unreferenced_vertices()
    mesh.apply_translation(at)
    return mesh


def read(path: Path, seed: int = 0, **options: bool) -> Shape:
    return shape_from_mesh(path.stem, path, torch.Generator().manual_seed(seed), **options)


def to_box(points: Tensor, half: list[float], at: tuple[float, float, float] = (0, 0, 0)) -> Tensor:
    """Signed distances of points (N, 3) to a box of these half sides."""
    beyond = (points - torch.tensor(at)).abs() - torch.tensor(half)
    return beyond.clamp(min=0).norm(dim=1) + beyond.max(dim=1).values.clamp(max=0)


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".stl", ".off", ".glb"])
def test_a_box_is_brought_into_the_middle_its_longest_side_1_8(tmp_path: Path, suffix: str) -> None:
    shape = read(written(tmp_path / f"box{suffix}", box(10, 5, 2.5, at=(100, -7, 3))))
    assert (len(shape.points), len(shape.held_points)) == (1024, 512)
    for points, values in ((shape.points, shape.values), (shape.held_points, shape.held_values)):
        torch.testing.assert_close(values[:, 0], to_box(points, [0.9, 0.45, 0.225]), rtol=0, atol=1e-5)


def test_as_it_is_a_box_stays_where_it_lies(tmp_path: Path) -> None:
    at = (0.3, -0.2, 0.1)
    shape = read(written(tmp_path / "box.ply", box(0.4, 0.8, 1.0, at=at)), scale=False)
    torch.testing.assert_close(
        shape.held_values[:, 0], to_box(shape.held_points, [0.2, 0.4, 0.5], at), rtol=0, atol=1e-5
    )


def test_half_of_the_points_lie_near_the_surface(tmp_path: Path) -> None:
    shape = read(written(tmp_path / "box.ply", box(1, 1, 1)))
    even, wide, narrow = shape.values[:512], shape.values[512:768], shape.values[768:]
    # Deviations of the distance from the surface, 0.05 and 0.01, less at edges.
    assert 0.03 < float(wide.square().mean().sqrt()) < 0.06
    assert 0.006 < float(narrow.square().mean().sqrt()) < 0.012
    assert float(even.abs().median()) > 0.1
    assert shape.points.abs().max() <= 1


def test_the_same_generator_draws_the_same_points(tmp_path: Path) -> None:
    path = written(tmp_path / "box.ply", box(1, 1, 1))
    one, same, other = read(path, 0), read(path, 0), read(path, 1)
    assert torch.equal(one.points, same.points) and torch.equal(one.values, same.values)
    assert not torch.equal(one.points, other.points)


def test_parts_of_a_scene_are_one_shape(tmp_path: Path) -> None:
    scene = trimesh.Scene([box(0.4, 0.4, 0.4, at=(-0.5, 0, 0)), box(0.4, 0.4, 0.4, at=(0.5, 0, 0))])
    shape = read(written(tmp_path / "two.glb", scene), scale=False)
    expected = torch.minimum(*(to_box(shape.held_points, [0.2] * 3, at) for at in ((-0.5, 0.0, 0.0), (0.5, 0.0, 0.0))))
    torch.testing.assert_close(shape.held_values[:, 0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("without", "edges"), [(1, 3), (2, 4)])
def test_open_meshes_are_refused_with_the_number_of_edges(tmp_path: Path, without: int, edges: int) -> None:
    assert read_mesh(written(tmp_path / "closed.ply", box(1, 1, 1)), repair=False, scale=True).is_watertight
    path = written(tmp_path / "open.ply", box(1, 1, 1, without=without))
    with pytest.raises(InputFileError) as refused:
        read_mesh(path, repair=False, scale=True)
    assert str(refused.value) == (
        f"{path}: an open mesh ({edges} edges belong to one face only), so nothing is inside it. "
        "Close it, or let `repair=True` fill its holes."
    )


@pytest.mark.parametrize("without", [1, 2])
def test_repairing_fills_holes(tmp_path: Path, without: int) -> None:
    shape = read(written(tmp_path / "open.ply", box(1, 1, 1, without=without)), repair=True)
    torch.testing.assert_close(shape.held_values[:, 0], to_box(shape.held_points, [0.9] * 3), rtol=0, atol=1e-5)


def test_what_cannot_be_filled_is_told_by_the_cells_it_hides(tmp_path: Path) -> None:
    path = written(tmp_path / "bowl.ply", bowl())
    with pytest.raises(InputFileError, match="edges belong to one face only"):
        read(path)
    assert not read_mesh(path, repair=True, scale=True).is_watertight
    shape = read(path, repair=True)
    inside = shape.held_points[shape.held_values[:, 0] < 0]
    assert (shape.values < 0).any() and inside.norm(dim=1).max() < 1.3
    # Nothing is above the rim, and nothing beside a ball that is as wide as the box allows.
    assert inside[:, 2].max() < 0.85 and inside[:, :2].abs().max() < 0.98


@pytest.mark.parametrize("at", [(0.5, 0.5, 0.5), (-0.5, -0.25, 0.1)])
def test_what_cannot_be_filled_stays_in_its_place_if_it_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: tuple[float, float, float]
) -> None:
    told: list[np.ndarray] = []
    monkeypatch.setattr(meshes, "shape_from_grid", lambda name, source, grid, generator, padding: told.append(grid))
    mesh = bowl(at)
    read(written(tmp_path / "bowl.ply", mesh), repair=True, scale=False)
    (voxels,) = told
    places = np.argwhere(voxels)
    # 32 voxels from -1 to 1.
    expected = np.floor((mesh.bounds + 1) * 16)
    assert np.array_equal([places.min(axis=0), places.max(axis=0)], expected)


def test_repaired_as_it_is_a_box_stays_where_it_lies(tmp_path: Path) -> None:
    at = (0.3, -0.2, 0.1)
    path = written(tmp_path / "open.ply", box(0.4, 0.8, 1.0, at=at, without=2))
    shape = read(path, repair=True, scale=False)
    expected = to_box(shape.held_points, [0.2, 0.4, 0.5], at)
    torch.testing.assert_close(shape.held_values[:, 0], expected, rtol=0, atol=1e-5)


def turned(*faces: int) -> trimesh.Trimesh:
    """A box, its half sides 0.6, 0.3 and 0.15, some of whose faces look inwards."""
    mesh = box(1.2, 0.6, 0.3)
    mesh.faces[list(faces)] = mesh.faces[list(faces), ::-1]
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


@pytest.mark.parametrize("faces", [range(12), [0], [3, 4, 9]])
def test_faces_that_look_inwards_are_refused_and_turned_on_request(tmp_path: Path, faces: Sequence[int]) -> None:
    right = read(written(tmp_path / "right.ply", turned()))
    path = written(tmp_path / "wrong.ply", turned(*faces))
    with pytest.raises(InputFileError) as refused:
        read(path)
    assert str(refused.value) == (
        f"{path}: its faces point inwards, or in different directions, so inside and outside cannot be told apart. "
        "Turn them outwards, or let `repair=True` do it."
    )
    shape = read(path, repair=True)
    assert torch.equal(shape.held_points, right.held_points)
    torch.testing.assert_close(shape.held_values, right.held_values, rtol=0, atol=1e-6)
    torch.testing.assert_close(shape.values[:, 0], to_box(shape.points, [0.9, 0.45, 0.225]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("mesh", [box(2.4, 1, 1), box(0.5, 0.5, 0.5, at=(0, 0, 0.95))])
def test_as_it_is_a_mesh_beyond_the_box_is_refused(tmp_path: Path, mesh: trimesh.Trimesh) -> None:
    path = written(tmp_path / "far.ply", mesh)
    with pytest.raises(InputFileError) as refused:
        read_mesh(path, repair=False, scale=False)
    assert str(refused.value) == (
        f"{path}: the box [-1, 1] cuts it: it reaches 1.2 from the centre. Scale it to fit, or leave out `scale=False`."
    )
    assert read(path).values.min() < 0, "scaled, it fits"


def test_as_it_is_a_mesh_that_touches_the_box_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "tight.ply", box(1.999, 1, 1))
    with pytest.raises(InputFileError, match="tight: the box cuts its surface: .* within 0.02 of its sides"):
        read(path, scale=False)


TRIANGLE = "v 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\n"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("letter.ply", "to nobody\n", "cannot be read as a mesh (Not a ply file!)."),
        ("letter.off", "to nobody\n", "cannot be read as a mesh ("),
        ("letter.glb", "to nobody, in more than twenty bytes\n", "cannot be read as a mesh ("),
        ("letter.obj", "to nobody\n", "not a mesh: it has no faces."),
        ("nothing.stl", "", "not a mesh: it has no faces."),
        ("corners.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\n", "not a mesh: it has no faces."),
        ("strange.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "cannot be read as a mesh ("),
        ("point.obj", TRIANGLE, "all its vertices are one point."),
    ],
)
def test_files_that_are_no_mesh_are_refused(tmp_path: Path, name: str, content: str, words: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputFileError) as refused:
        read_mesh(path, repair=True, scale=True)
    assert str(refused.value).startswith(f"{path}: {words}") and refused.value.hint


@pytest.mark.parametrize(
    ("suffix", "count", "wrong", "value"),
    [(".ply", 8, 1, np.nan), (".stl", 36, 5, np.nan), (".off", 8, 1, np.inf), (".glb", 8, 1, -np.inf)],
)
def test_corners_that_are_nowhere_are_refused_and_not_left_out(
    tmp_path: Path, suffix: str, count: int, wrong: int, value: float
) -> None:
    whole = box(1, 1, 1)
    corners = whole.vertices.copy()
    corners[np.bincount(whole.faces.ravel()).argmax(), 1] = value
    path = written(tmp_path / f"box{suffix}", trimesh.Trimesh(corners, whole.faces, process=False))
    with pytest.raises(InputFileError, match=f"{wrong} of its {count} vertices are NaN or infinite"):
        read_mesh(path, repair=True, scale=True)


def test_a_cloud_of_points_is_no_mesh(tmp_path: Path) -> None:
    path = written(tmp_path / "cloud.ply", trimesh.PointCloud(np.random.default_rng(0).random((10, 3))))
    with pytest.raises(InputFileError, match="not a mesh: it has no faces"):
        read_mesh(path, repair=True, scale=True)


@pytest.mark.parametrize("missing", ["trimesh", "rtree", "skimage"])
def test_without_the_extra_meshes_are_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    path = written(tmp_path / "box.ply", box(1, 1, 1))
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=f"meshes need {missing}, which is not installed") as refused:
        read_mesh(path, repair=False, scale=True)
    assert refused.value.hint == "pip install 'netspace[mesh]'"
