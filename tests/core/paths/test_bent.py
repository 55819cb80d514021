"""Bent paths: their ends, what stands in between, how evenly it changes, and which paths cannot be bent."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from netspace_models.errors import ConfigError
from netspace_models.training.losses import blended
from torch import Tensor

from netspace_cli.core.data.points import field_data
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.paths import bent as bent_module
from netspace_cli.core.paths.bent import bent, check_bend
from netspace_cli.core.paths.path import straight
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes import fragments as fragments_module
from netspace_cli.core.shapes.components import connected_components
from netspace_cli.core.shapes.fragments import VoxelTargets
from netspace_cli.core.shapes.sdf_blend import BlendEnds, even_gammas
from netspace_cli.core.shapes.values import iou
from netspace_cli.core.shapes.voxels import BAND, Voxels, refine_near_surface, scattered_points, upsampled
from netspace_cli.core.spaces.space import Space
from tests.worlds import Solids, Tiny, with_values


def balls(*radii: float) -> BlendEnds:
    """Two balls of these radii, apart."""
    points = scattered_points(3, torch.Generator().manual_seed(0), sides=34)
    centres = torch.tensor([[-0.5, 0, 0], [0.5, 0, 0]])
    one, other = ((points - c).norm(dim=1) - r for c, r in zip(centres, radii, strict=True))
    return BlendEnds(points, one, other)


def overlaps(ends: BlendEnds, gammas: Tensor) -> list[float]:
    solids = [ends.solid(gamma) for gamma in gammas]
    return [float((a & b).sum() / (a | b).sum()) for a, b in pairwise(solids)]


def test_points_are_scattered_one_in_each_cell() -> None:
    points = scattered_points(2, torch.Generator().manual_seed(1), sides=5)
    voxels = ((points + 1) / 2 * 5).long()
    assert voxels.tolist() == [[i, j] for i in range(5) for j in range(5)]
    assert (points - scattered_points(2, torch.Generator().manual_seed(2), sides=5)).abs().min() > 0


def test_what_stands_between_two_shapes_is_one_solid_where_the_ends_are() -> None:
    # A small ball comes next to a large one, and grows until it touches.
    points = scattered_points(3, torch.Generator().manual_seed(0), sides=40)
    large = (points - torch.tensor([-0.35, 0, 0])).norm(dim=1) - 0.5
    both = torch.minimum(large, (points - torch.tensor([0.6, 0, 0])).norm(dim=1) - 0.2)
    ends = BlendEnds(points, large, both)
    for gamma in (0.0, 0.3, 0.9, 1.0):
        found = ends.blend(torch.tensor(gamma))
        assert ((found < 0) == (large < 0)).all()
        assert (ends.solid(torch.tensor(gamma)).ravel() == (large < 0).numpy()).all()
        plain = blended(large, both, torch.tensor(gamma), width=0.01)
        assert (found >= plain - 0.06).all() and (found <= torch.clamp(large, min=2 / 40) + 2 / 40).all()


def test_steps_are_spaced_so_that_shapes_change_evenly() -> None:
    ends = balls(0.35, 0.45)
    gammas = even_gammas(ends, 6)
    assert gammas[0] == 0 and gammas[-1] == 1 and (gammas.diff() > 0).all()
    even, plain = overlaps(ends, gammas), overlaps(ends, torch.linspace(0, 1, 7))
    assert min(even) > 0.6 > 0.4 > min(plain)
    assert max(even) - min(even) < 0.25


@pytest.mark.parametrize("radii", [(-1.0, -1.0), (9.0, 9.0)])
def test_where_nothing_changes_steps_are_even(radii: tuple[float, float]) -> None:
    torch.testing.assert_close(even_gammas(balls(*radii), 4), torch.linspace(0, 1, 5))


@pytest.mark.slow
@pytest.mark.usefixtures("few_voxels")
def test_a_bent_path_keeps_its_ends_and_blends_them_better(
    solids: Solids, linear: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fragments_module, "STEPS", 3)
    data, (architecture,) = field_data(solids.zoo.data), solids.zoo.architectures()
    networks = [solids.zoo.network(i, architecture) for i in solids.zoo.select(split="test")]
    with Runner("cpu", seed=0) as runner:
        start, end = encode(networks, linear, runner, data=data).vectors
        path = bent(start, end, linear, runner, steps=4)
        again = bent(start, end, linear, runner, steps=4)
        line = torch.stack(straight(start, end, 4))
    assert path.shape == line.shape and torch.equal(path, again)
    assert torch.equal(path[0], start) and torch.equal(path[-1], end)
    points = scattered_points(3, Runner("cpu", seed=0).generator("ends"))
    with torch.no_grad():
        found, plain = (architecture.run_each(linear.model.decode(architecture.name, p), points) for p in (path, line))
    ends = BlendEnds(points, found[0, :, 0], found[-1, :, 0])
    for i, gamma in enumerate(even_gammas(ends, 4)[1:-1], start=1):
        wanted = ends.blend(gamma)[:, None]
        bend, straight_line = iou(found[i], wanted), iou(plain[i], wanted)
        assert bend is not None and straight_line is not None and bend > straight_line + 0.05


@pytest.mark.usefixtures("few_voxels")
def test_fragments_of_every_step_are_removed(solids: Solids, linear: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    (architecture,) = linear.architectures
    networks = [solids.zoo.network(i, architecture) for i in solids.zoo.select(split="test")]
    given: list[tuple[VoxelTargets, Sequence[VoxelTargets]]] = []
    made: list[Tensor] = []

    def remove(embedding: Tensor, wanted: VoxelTargets, fine: Sequence[VoxelTargets], *_: object) -> Tensor:
        given.append((wanted, fine))
        made.append(embedding + 1)
        return made[-1]

    monkeypatch.setattr(bent_module, "remove_fragments", remove)
    with Runner("cpu", seed=0) as runner:
        start, end = encode(networks, linear, runner, data=field_data(solids.zoo.data)).vectors
        path = bent(start, end, linear, runner, steps=3)
    assert len(made) == 2 and torch.equal(path[1:-1], torch.stack(made))
    for embedding, (wanted, fine) in zip(made, given, strict=True):
        with torch.no_grad():
            solved = linear.model.decode(architecture.name, embedding[None] - 1)
        found = architecture.run_each(solved, wanted.voxels.points)[0, :, 0]
        overlap = iou(found[:, None], wanted.values[:, None])
        assert overlap is not None and overlap > 0.5, "the blend is solved for before"
        assert [each.voxels.sides[0] for each in fine] == [2 * wanted.voxels.sides[0], 3 * wanted.voxels.sides[0]]
    assert not torch.equal(given[0][0].values, given[1][0].values)


def test_what_cannot_be_bent_is_refused(solids: Solids, tiny: Tiny, linear: Space) -> None:
    check_bend(linear)
    with pytest.raises(ConfigError, match="only paths between shapes can be bent; the networks of tiny are not shapes"):
        check_bend(tiny.space)
    with pytest.raises(ConfigError, match="only paths between shapes"):
        check_bend(with_values(linear, "colours"))


@pytest.mark.parametrize("parts", [2, 3])
def test_cells_near_a_surface_are_cut_along_each_axis(parts: int) -> None:
    points = scattered_points(2, torch.Generator().manual_seed(0), sides=10)
    values, sides = points.norm(dim=1) - 0.5, 10 * parts
    small = refine_near_surface(Voxels(points), values, parts)
    assert small.sides == (sides, sides) and small.places is not None
    at = ((small.points + 1) / 2 * sides).long()
    assert (at[:, 0] * sides + at[:, 1]).tolist() == small.places.tolist(), "a point in each, in the grid's order"
    near = (values.abs() < BAND * 0.2).reshape(10, 10).numpy()
    assert (small.at(upsampled(near, parts))).all() and len(small.points) == parts**2 * near.sum()
    inside, solid = small.inside(torch.full((len(small.points),), -1.0)), (values < 0).reshape(10, 10).numpy()
    assert (inside == upsampled(near | solid, parts)).all(), "elsewhere as the large voxels say"
    assert upsampled(np.array([1, 2]), parts).tolist() == [1] * parts + [2] * parts


@pytest.mark.parametrize("parts", [2, 3])
def test_fragments_that_only_smaller_voxels_show_are_no_part_of_a_blend(parts: int) -> None:
    points = scattered_points(3, torch.Generator().manual_seed(0), sides=20)
    ball = points.norm(dim=1) - 0.5
    ends, gamma = BlendEnds(points, ball, ball), torch.tensor(0.5)
    wanted = ends.blend(gamma)
    small = refine_near_surface(ends.voxels, wanted, parts)
    values = small.points.norm(dim=1) - 0.5
    fragment = int((values - 0.12).abs().argmin())
    values[fragment] = -0.01
    found = ends.blend_in(small, gamma, wanted, values, values)
    assert found[fragment] >= 0
    kept = torch.arange(len(values)) != fragment
    torch.testing.assert_close(found[kept], values[kept])


@pytest.mark.parametrize("parts", [2, 3])
def test_a_hold_that_larger_cells_show_is_joined_in_smaller_ones(parts: int) -> None:
    points = scattered_points(3, torch.Generator().manual_seed(0), sides=20)

    def bar(p: torch.Tensor) -> torch.Tensor:
        """A cube on the left, and a leg from it to the right."""
        cube = (p - torch.tensor([-0.5, 0, 0])).abs().amax(dim=1) - 0.4
        leg = ((p - torch.tensor([0.2, 0, 0])).abs() / torch.tensor([5.0, 1, 1])).amax(dim=1) - 0.1
        return torch.minimum(cube, leg)

    ends, gamma = BlendEnds(points, bar(points), bar(points)), torch.tensor(0.5)
    wanted = ends.blend(gamma)
    small = refine_near_surface(ends.voxels, wanted, parts)
    values = bar(small.points)
    gap = (small.points[:, 0] - 0.25).abs() < 0.05
    broken = torch.where(gap, values.abs() + 0.01, values)
    assert len(connected_components(small.inside(broken))[1]) == 3, "the leg has come off"
    found = ends.blend_in(small, gamma, wanted, broken, broken)
    assert len(connected_components(small.inside(found))[1]) == 2
    torch.testing.assert_close(found[~gap & (values < 0)], values[~gap & (values < 0)], atol=0.1, rtol=0)
