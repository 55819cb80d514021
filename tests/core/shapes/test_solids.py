"""Surfaces of networks that are balls: closed, of the right size and place; files, pictures and refusals."""

from __future__ import annotations

import re
import sys
from math import pi
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from matplotlib.figure import Figure
from netspace_models.architectures import FieldIO, ImageIO, NetworkIO, build
from netspace_models.errors import ConfigError, OutputExists, RunFailed

from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes import drawing
from netspace_cli.core.shapes.drawing import draw_surfaces
from netspace_cli.core.shapes.mesh_files import check_surface_output, surface_of, write_surface
from netspace_cli.core.shapes.solids import Solid, check_shape, solid_of, solid_refined_near_surface
from tests.worlds import MakeBall, MakeSolid


def test_the_values_of_a_solid_stand_in_the_order_of_the_axes(solid: MakeSolid) -> None:
    found = solid(0.5, (0.25, -0.25, 0.5), resolution=8).values
    axis = (np.arange(8) + 0.5) / 4 - 1
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    expected = (x - 0.25) ** 2 + (y + 0.25) ** 2 + (z - 0.5) ** 2 - 0.25
    assert found.shape == (8, 8, 8)
    assert found == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("radius", "centre"), [(0.5, (0, 0, 0)), (0.4, (0.2, -0.1, 0.3)), (0.7, (-0.2, 0.2, 0.0))])
def test_the_surface_of_a_ball_is_closed_and_lies_where_the_ball_does(
    radius: float, centre: tuple[float, float, float], solid: MakeSolid
) -> None:
    found = surface_of(solid(radius, centre), "ball")
    assert found.is_watertight and found.is_winding_consistent and found.body_count == 1
    assert found.volume == pytest.approx(4 / 3 * pi * radius**3, rel=0.03)
    assert found.center_mass == pytest.approx(centre, abs=0.01)
    assert np.linalg.norm(found.vertices - centre, axis=1) == pytest.approx(radius, abs=0.02)
    assert found.bounds == pytest.approx(np.add([centre, centre], [[-radius] * 3, [radius] * 3]), abs=0.01)


def test_finer_cells_bring_the_surface_nearer(solid: MakeSolid) -> None:
    errors = [
        abs(np.linalg.norm(surface_of(solid(0.5, resolution=n), "ball").vertices, axis=1) - 0.5).max()
        for n in (8, 16, 32)
    ]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


def test_a_solid_that_the_box_cuts_is_closed(solid: MakeSolid) -> None:
    found = surface_of(solid(1.2), "ball")
    assert found.is_watertight and 6 < found.volume < 8
    assert np.array_equal(found.bounds, [[-1] * 3, [1] * 3]), "no vertex leaves the box"


def test_volume_and_pieces_count_cells() -> None:
    values = np.ones((4, 4, 4))
    assert (Solid(values).volume, Solid(values).pieces, Solid(values).has_surface) == (0, 0, False)
    values[0, 0, 0] = values[1, 1, 0] = values[3, 3, 2:] = -1
    found = Solid(values)
    assert (found.volume, found.pieces, found.has_surface) == (4 / 64, 3, True), "those that touch at an edge are apart"
    assert found.largest == 0.5
    assert not Solid(-np.ones((4, 4, 4))).has_surface
    values[:] = 0
    assert Solid(values).volume == 0


@pytest.mark.parametrize(("radius", "where"), [(-0.5, "outside"), (3.0, "inside")])
def test_a_shape_without_a_surface_is_refused(radius: float, where: str, solid: MakeSolid) -> None:
    with pytest.raises(RunFailed, match=f"it: no surface: all of the box is {where}"):
        surface_of(solid(radius), "it")


def test_without_the_extra_surfaces_are_refused(monkeypatch: pytest.MonkeyPatch, solid: MakeSolid) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ConfigError, match="meshes need skimage, which is not installed"):
        surface_of(solid(0.5), "it")


@pytest.mark.parametrize(
    ("name", "io", "words"),
    [
        ("siren-8x1", FieldIO(2, 1), "points of 2 coordinates, 1 value"),
        ("siren-8x1", FieldIO(3, 3), "points of 3 coordinates, 3 values"),
        ("lenetlike", ImageIO(1, 8, 3), "1x8x8, 3 classes"),
    ],
)
def test_networks_that_are_no_shape_are_refused(name: str, io: NetworkIO, words: str, ball: MakeBall) -> None:
    architecture = build(name, io)
    network = Network(architecture, torch.zeros(architecture.parameter_count))
    with pytest.raises(ConfigError, match=f"{name} is for {words}, so it has no surface"):
        solid_of(network, Runner("cpu"))
    with pytest.raises(ConfigError, match="net.pt is for"):
        check_shape(Network(architecture, network.weights, source="net.pt"))
    check_shape(ball(0.5))


@pytest.mark.parametrize("parts", [2, 3])
def test_what_is_looked_at_twice_is_the_same_solid_exact_near_its_surface(ball: MakeBall, parts: int) -> None:
    network = ball(0.5, (0.1, 0, -0.2))
    found = solid_refined_near_surface(network, Runner("cpu"), resolution=20, parts=parts)
    exact = solid_of(network, Runner("cpu"), resolution=20 * parts)
    assert found.values.shape == exact.values.shape and found.values.dtype == exact.values.dtype
    assert np.array_equal(found.values < 0, exact.values < 0) and exact.has_surface
    near = np.abs(exact.values) < 2 / (20 * parts)
    np.testing.assert_allclose(found.values[near], exact.values[near], atol=1e-6)
    assert not np.allclose(found.values, exact.values, atol=1e-3), "far from it, the coarse grid's values"


def test_a_coarser_solid_is_the_same_nearly(solid: MakeSolid) -> None:
    coarse, exact = solid(0.5, resolution=40).coarser(), solid(0.5, resolution=20)
    assert coarse.values.shape == exact.values.shape
    np.testing.assert_allclose(coarse.values, exact.values, atol=0.01)
    assert coarse.volume == pytest.approx(exact.volume, rel=0.05)


def test_mesh_files_hold_one_shape_and_pictures_any_number() -> None:
    for name in ("a.ply", "a.obj", "a.stl", "a.off", "a.glb"):
        assert check_surface_output(Path(name), 1) is False
        with pytest.raises(ConfigError, match=f"{name}: a mesh file holds one shape; these are 2"):
            check_surface_output(Path(name), 2)
    assert all(check_surface_output(Path(name), 3) for name in ("a.png", "a.svg", "a.pdf"))
    for name in ("a.gif", "a", "a.ply.gz", "a.pt"):
        with pytest.raises(ConfigError, match=re.escape(f"{name}: a surface is written as .ply, .obj,")):
            check_surface_output(Path(name), 1)


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".stl", ".off", ".glb"])
def test_a_written_surface_is_read_again(tmp_path: Path, suffix: str, solid: MakeSolid) -> None:
    surface = surface_of(solid(0.4, (0.3, 0, 0), resolution=16), "ball")
    for name in ("one", "two"):
        write_surface(tmp_path / (name + suffix), surface)
    assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()
    again = trimesh.load_mesh(tmp_path / f"one{suffix}")
    assert isinstance(again, trimesh.Trimesh)
    assert again.is_watertight and len(again.faces) == len(surface.faces)
    assert again.volume == pytest.approx(surface.volume, rel=1e-3)
    assert again.bounds == pytest.approx(surface.bounds, abs=1e-4)
    with pytest.raises(OutputExists):
        write_surface(tmp_path / f"one{suffix}", surface)
    write_surface(tmp_path / f"one{suffix}", surface_of(solid(0.2, resolution=16), "ball"), force=True)
    assert (tmp_path / f"one{suffix}").read_bytes() != (tmp_path / f"two{suffix}").read_bytes()


def test_a_shape_without_a_surface_keeps_its_place_in_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, solid: MakeSolid
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(drawing, "write_figure", lambda figure, path, force: figures.append(figure))
    surface = surface_of(solid(0.5, resolution=8), "ball")
    rows: list[tuple[str, list[tuple[str, trimesh.Trimesh | str]]]] = [
        ("space", [("a", surface), ("b", "nothing inside of it at all"), ("c", surface)]),
        ("weights", [("d", surface)]),
    ]
    draw_surfaces(tmp_path / "rows.png", rows)
    (figure,) = figures
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "c", "d"]
    places = [axes.get_subplotspec() for axes in figure.axes]
    assert [(at.rowspan.start, at.colspan.start) for at in places if at is not None] == [(0, 0), (0, 1), (0, 2), (1, 0)]
    written = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert written == [["space"], ["nothing inside of it\nat all"], [], ["weights"]]
    assert [len(axes.collections) for axes in figure.axes] == [1, 0, 1, 1]


def test_the_same_shapes_give_the_same_picture(tmp_path: Path, solid: MakeSolid) -> None:
    surface = surface_of(solid(0.5, resolution=8), "ball")
    for name in ("one.svg", "two.svg"):
        draw_surfaces(tmp_path / name, [("", [("a", surface), ("b", "nothing")])])
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    with pytest.raises(OutputExists):
        draw_surfaces(tmp_path / "one.svg", [("", [("a", surface)])])
