"""Points near the surfaces of networks that are shapes."""

from __future__ import annotations

import pytest
import torch

from netspace_cli.core.data.points import field_data
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes.near_surface import (
    CANDIDATES,
    EDGE,
    JITTER,
    KEPT,
    drawn_stretch,
    near_surfaces,
    with_near,
)
from netspace_cli.core.shapes.values import values_of
from tests.worlds import Solids


def test_the_points_kept_are_those_where_each_network_is_nearest_to_zero(solids: Solids) -> None:
    data, architecture, runner = field_data(solids.zoo.data), solids.space.architectures[0], Runner("cpu")
    vectors = torch.stack(solids.zoo.weights(solids.zoo.select(split="test"), architecture))
    near = near_surfaces(architecture, vectors, data, runner)
    assert near.shape == (2, KEPT, 3)
    drawn, _ = data.draw("train", CANDIDATES, runner.generator("near"))
    for vector, points in zip(vectors, near, strict=True):
        kept = values_of(architecture, vector, points, runner).abs()
        everywhere = values_of(architecture, vector, drawn, runner).abs()
        assert (everywhere < kept.max()).sum() == KEPT - 1


@pytest.mark.parametrize(("share", "own"), [(0.25, 2), (1.0, 8)])
def test_so_many_of_a_step_s_points_are_each_network_s_own(share: float, own: int) -> None:
    inputs = torch.full((8, 3), 0.25)
    near = torch.stack([torch.full((5, 3), -0.5), torch.full((5, 3), 1.0)])
    mixed = with_near(inputs, near, share, torch.Generator().manual_seed(0))
    assert mixed.shape == (2, 8, 3)
    assert torch.equal(mixed[:, : 8 - own], inputs[own:].expand(2, -1, -1))
    for each, centre in zip(mixed[:, 8 - own :], (-0.5, 1.0), strict=True):
        moved = (each - centre).abs()
        assert 0 < moved.max() < 6 * JITTER and each.max() <= 1


def test_without_any_the_points_are_those_of_all() -> None:
    inputs = torch.rand(4, 3)
    assert with_near(inputs, None, 0.5, torch.Generator()) is inputs


def test_stretched_surfaces_stay_in_the_box_and_nothing_comes_into_it() -> None:
    generator = torch.Generator().manual_seed(0)
    low, high = -torch.rand(64, 1, 3, generator=generator), torch.rand(64, 1, 3, generator=generator)
    near = torch.cat([low, high], dim=1)
    scale, shift = drawn_stretch(near, 1.5, generator)
    assert scale.shape == shift.shape == (64, 3)
    assert scale.min() >= 1 and scale.max() <= 1.5 and scale.std() > 0.05 and shift.std() > 0.01
    moved = near * scale[:, None] + shift[:, None]
    inside = near.abs().amax(dim=1) <= EDGE
    assert moved.abs().amax(dim=1)[inside].max() <= EDGE + 1e-6
    assert torch.equal(scale[~inside], torch.ones_like(scale)[~inside])
    seen = torch.stack([(corner - shift) / scale for corner in (-1, 1)])
    assert seen.abs().max() <= 1 + 1e-6
