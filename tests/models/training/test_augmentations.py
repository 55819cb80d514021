"""Augmented views: how much of a network is changed, and that what is not asked for stays."""

from __future__ import annotations

import re
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from netspace_models.training.augmentations import Augmentations, augmented_view, erased

from tests.small_networks import seeded, small_classifier

KINDS: tuple[Literal["block", "scatter"], ...] = ("block", "scatter")


@given(st.integers(1, 40), st.floats(0, 1), st.sampled_from(KINDS), st.integers(0, 5))
def test_just_the_share_is_erased_and_the_rest_stays(
    size: int, share: float, kind: Literal["block", "scatter"], seed: int
) -> None:
    weights = 1 + torch.rand(3, size)
    seen = erased(weights, share, seeded(seed), kind=kind)
    gone = seen == 0
    assert gone.sum(dim=1).tolist() == [round(share * size)] * 3
    assert torch.equal(seen[~gone], weights[~gone])
    if kind == "block":
        assert all(re.fullmatch("0*1*0*", "".join(map(str, row.int().tolist()))) for row in gone)


@pytest.mark.parametrize("kind", KINDS)
def test_each_network_is_erased_elsewhere_and_every_place_has_its_turn(kind: Literal["block", "scatter"]) -> None:
    gone = erased(torch.ones(200, 12), 0.25, seeded(), kind=kind) == 0
    assert not torch.equal(gone[0], gone[1]) or not torch.equal(gone[0], gone[2])
    assert gone.any(dim=0).all()


def test_multiplicative_noise_is_a_share_of_each_weight() -> None:
    architecture, _, _ = small_classifier()
    weights = torch.randn(4, architecture.parameter_count, generator=seeded())
    seen = augmented_view(architecture, weights, Augmentations(shuffle=False, multiplicative_noise=0.1), seeded(1))
    factors = seen / weights - 1
    assert factors.std().item() == pytest.approx(0.1, rel=0.05)
    assert factors.mean().item() == pytest.approx(0, abs=0.01)
    assert torch.equal(
        augmented_view(architecture, 0 * weights, Augmentations(False, 0.0, 0.1), seeded(1)), 0 * weights
    )


def test_what_is_not_asked_for_draws_nothing() -> None:
    architecture, state, _ = small_classifier()
    weights = architecture.spec.flatten(state)[None]
    generator, other = seeded(), seeded()
    assert torch.equal(augmented_view(architecture, weights, Augmentations(shuffle=False), generator), weights)
    assert torch.equal(generator.get_state(), other.get_state())


def test_views_are_a_function_of_the_generator() -> None:
    architecture, state, _ = small_classifier()
    weights = architecture.spec.flatten(state).repeat(2, 1)
    every = Augmentations(noise=0.1, multiplicative_noise=0.1, erase=0.1, erase_kind="scatter")
    one, same, other = (augmented_view(architecture, weights, every, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other) and not torch.equal(one[0], one[1])
