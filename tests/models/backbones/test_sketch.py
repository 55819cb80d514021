"""The sketch's plan: the same everywhere for ever, and as even as it can be."""

from __future__ import annotations

import hashlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from netspace_models.backbones.tokens.sketch import sketch_plan


def test_the_plan_is_the_same_for_ever() -> None:
    """Spaces on disk do not hold their plans: another plan would make every saved space useless."""
    places, signs = sketch_plan("resnet8", 1000, 64)
    assert places[:8].tolist() == [33, 18, 6, 34, 22, 1, 52, 18]
    assert signs[:8].tolist() == [-1, 1, 1, -1, -1, -1, 1, 1]
    digest = hashlib.sha256(places.numpy().astype("<i8").tobytes() + signs.numpy().astype("<f4").tobytes())
    assert digest.hexdigest()[:16] == "a19668eb1e6196f8"


def test_the_plan_needs_no_random_stream() -> None:
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    first, second = sketch_plan("x", 500, 32), sketch_plan("x", 500, 32)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(torch.rand(2), expected)


@given(size=st.integers(1, 400), embedding_size=st.integers(1, 80), name=st.text(max_size=8))
def test_every_value_serves_as_many_weights_as_any_other_or_one_more(size: int, embedding_size: int, name: str) -> None:
    places, signs = sketch_plan(name, size, embedding_size)
    served = torch.bincount(places, minlength=embedding_size)
    assert (places.dtype, signs.dtype, len(signs)) == (torch.int64, torch.float32, size)
    assert len(served) == embedding_size
    assert int(served.max() - served.min()) <= 1
    assert set(signs.tolist()) <= {-1.0, 1.0}


@pytest.mark.parametrize("name", ["lenetlike", "vanillacnn", "resnet8", "resnet32", "my.package:factory"])
def test_signs_are_balanced_and_independent_of_places(name: str) -> None:
    size, embedding_size = 60_000, 512
    places, signs = sketch_plan(name, size, embedding_size)
    noise = size**-0.5
    assert abs(signs.mean().item()) < 4 * noise
    assert abs((signs * (1 - 2 * (places % 2))).mean().item()) < 4 * noise
    assert abs((signs[1:] * signs[:-1]).mean().item()) < 4 * noise
    # Sums of independent signs have variance one a weight; equal signs in a bucket would have far more.
    sums = torch.zeros(embedding_size).index_add_(0, places, signs)
    assert sums.square().sum().item() / size == pytest.approx(1, abs=4 * (2 / embedding_size) ** 0.5)


def test_places_are_scattered() -> None:
    places, _ = sketch_plan("resnet32", 60_000, 512)
    neighbours = (places[1:] == places[:-1]).float().mean().item()
    assert neighbours == pytest.approx(1 / 512, rel=0.5)
    centred = (places - places.double().mean()) / places.double().std()
    assert abs((centred[1:] * centred[:-1]).mean().item()) < 0.02
    assert abs((centred * torch.linspace(-1, 1, 60_000).double()).mean().item()) < 0.02


def test_architectures_have_plans_of_their_own() -> None:
    (places, signs), (others, other_signs) = (sketch_plan(n, 20_000, 64) for n in ("resnet8", "resnet14"))
    assert (places == others).float().mean().item() == pytest.approx(1 / 64, rel=0.4)
    assert (signs == other_signs).float().mean().item() == pytest.approx(0.5, abs=0.02)
