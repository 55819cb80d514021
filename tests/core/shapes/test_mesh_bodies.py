"""Meshes of several bodies, with seams, hollows and overlaps: what is inside is what anyone would say is inside."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from netspace_models.errors import InputFileError

from netspace_cli.core.shapes import grids, meshes
from netspace_cli.core.shapes.mesh_bodies import winding_numbers
from netspace_cli.core.shapes.meshes import read_mesh, shape_from_mesh

# Corners with a texture coordinate of their own for each face: a solid by its places, all seams by its numbers.
SEAMS = "".join(
    [
        *("v 1 1 1\nv -1 -1 1\nv -1 1 -1\nv 1 -1 -1\n", *(f"vt {k / 16} {k % 3 / 4}\n" for k in range(12))),
        *("f 1/1 3/2 2/3\n", "f 1/4 2/5 4/6\n", "f 1/7 4/8 3/9\n", "f 2/10 3/11 4/12\n"),
    ]
)
# A cube whose texture is in a file that is not there.
PLY = """ply
format ascii 1.0
comment TextureFile gone.jpg
element vertex 4
property float x
property float y
property float z
property float s
property float t
element face 4
property list uchar int vertex_indices
end_header
1 1 1 0 0
-1 -1 1 0 0
-1 1 -1 0 0
1 -1 -1 0 0
3 0 2 1
3 0 1 3
3 0 3 2
3 1 2 3
"""


@pytest.fixture(autouse=True)
def few_and_coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer points and voxels than usual, in a tenth of the time."""
    for module in (meshes, grids):
        monkeypatch.setattr(module, "SAMPLES", 1024)
        monkeypatch.setattr(module, "HELD_OUT", 512)
    monkeypatch.setattr(meshes, "RESOLUTION", 32)
    monkeypatch.setattr(grids, "FINEST", 24)


def box(size: float, x: float, *, inwards: bool = False) -> trimesh.Trimesh:
    mesh = trimesh.creation.box((size, size, size))
    mesh.apply_translation((x, 0, 0))
    if inwards:
        mesh.invert()
    return mesh


def written(path: Path, *parts: trimesh.Trimesh) -> Path:
    trimesh.util.concatenate(parts).export(path)
    return path


def inside(path: Path, *places: tuple[float, float, float], repair: bool = False) -> list[bool]:
    """Whether places in the box are inside the mesh, as the samples nearest to them say."""
    shape = shape_from_mesh("mesh", path, torch.Generator().manual_seed(0), repair=repair, scale=False)
    nearest = torch.cdist(torch.tensor(places), shape.points).argmin(dim=1)
    return (shape.values[nearest, 0] < 0).tolist()


def test_corners_are_one_where_their_places_are(tmp_path: Path) -> None:
    (tmp_path / "seams.obj").write_text(SEAMS)
    for repair in (False, True):
        mesh = read_mesh(tmp_path / "seams.obj", repair=repair, scale=True)
        assert mesh.is_watertight and len(mesh.vertices) == 4
        depth = trimesh.proximity.signed_distance(mesh, [[0.0, 0.0, 0.0]])
        assert depth == pytest.approx(0.9 / 3**0.5)


def test_a_body_that_is_inside_out_is_named_and_turned_on_request(tmp_path: Path) -> None:
    path = written(tmp_path / "three.off", box(0.5, -0.6), box(0.3, 0, inwards=True), box(0.5, 0.6))
    with pytest.raises(InputFileError, match=r"of its 3 bodies, that of 12 faces around \(0, 0, 0\) is inside out"):
        read_mesh(path, repair=False, scale=True)
    places = ((-0.6, 0.0, 0.0), (0.0, 0.0, 0.0), (0.6, 0.0, 0.0), (0.25, 0.0, 0.0))
    assert inside(path, *places, repair=True) == [True, True, True, False]


def test_a_hollow_is_right_as_it_is_and_stays_when_all_is_turned(tmp_path: Path) -> None:
    places = ((0.0, 0.0, 0.0), (0.6, 0.0, 0.0), (0.95, 0.0, 0.0))
    hollow = written(tmp_path / "hollow.ply", box(1.6, 0), box(0.8, 0, inwards=True))
    assert inside(hollow, *places) == [False, True, False]
    turned = written(tmp_path / "turned.ply", box(1.6, 0, inwards=True), box(0.8, 0))
    with pytest.raises(InputFileError, match="is inside out"):
        read_mesh(turned, repair=False, scale=True)
    assert inside(turned, *places, repair=True) == [False, True, False]


def test_bodies_that_overlap_are_refused_and_joined_on_request(tmp_path: Path) -> None:
    path = written(tmp_path / "two.ply", box(0.9, -0.3), box(0.9, 0.3))
    with pytest.raises(InputFileError, match=r"of \d+ points are inside by the nearest face .* bodies overlap") as told:
        inside(path, (0.0, 0.0, 0.0))
    assert "`repair=True`" in told.value.hint
    places = ((0.0, 0.0, 0.0), (-0.6, 0.0, 0.0), (0.6, 0.0, 0.0), (0.1, 0.0, 0.0), (0.9, 0.0, 0.0))
    assert inside(path, *places, repair=True) == [True, True, True, True, False]


def test_an_edge_with_four_faces_is_named(tmp_path: Path) -> None:
    one, other = box(1, 0), box(1, 0)
    other.apply_translation((1, 1, 0))
    path = written(tmp_path / "edge.off", one, other)
    with pytest.raises(InputFileError) as refused:
        read_mesh(path, repair=False, scale=True)
    assert "the edge from (0.5, 0.5, -0.5) to (0.5, 0.5, 0.5) belongs to 4 faces" in str(refused.value)
    assert "Separate or join the bodies" in refused.value.hint


def test_the_mesh_library_s_log_is_not_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.ply").write_text(PLY)
    # As in a program that has set up no logging; pytest has.
    for logger in (logging.getLogger(), logging.getLogger("trimesh")):
        monkeypatch.setattr(logger, "handlers", [])
    logging.getLogger("trimesh.util").warning("shown")
    assert "shown" in capsys.readouterr().err
    assert read_mesh(tmp_path / "a.ply", repair=False, scale=True).is_watertight
    assert capsys.readouterr().err == ""


def test_winding_numbers_count_how_often_a_surface_goes_around() -> None:
    ball = trimesh.creation.icosphere(subdivisions=1)
    points = np.array([[0, 0, 0], [0.5, 0.1, 0], [3, 0, 0]])
    assert winding_numbers(ball.triangles, points) == pytest.approx([1, 1, 0], abs=1e-9)
    twice = np.concatenate([ball.triangles, 2 * ball.triangles])
    assert winding_numbers(twice, points[:1]) == pytest.approx([2])
    assert winding_numbers(ball.triangles[:, ::-1], points[:1]) == pytest.approx([-1])
    assert winding_numbers(ball.triangles[:0], points).tolist() == [0, 0, 0]
