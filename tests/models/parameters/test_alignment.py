"""One network's hidden units brought into the order of another's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from netspace_models.architectures import Architecture, ImageIO, build
from netspace_models.parameters.alignment import align
from torch import Tensor

from tests.small_networks import seeded

IO = ImageIO(1, 16, 3)


def network(architecture: Architecture, seed: int) -> Tensor:
    generator = seeded(seed)
    return torch.cat(
        [
            torch.randn(p.size, generator=generator) / (p.size / p.shape[0] if len(p.shape) > 1 else 10) ** 0.5
            for p in architecture.spec.parameters
        ]
    )


def aligned(architecture: Architecture, reference: Tensor, vector: Tensor, seed: int = 0) -> Tensor:
    spec = architecture.spec
    state = align(spec.unflatten(reference), spec.unflatten(vector), architecture.hidden_groups, generator=seeded(seed))
    return spec.flatten(state)


def outputs(architecture: Architecture, vector: Tensor) -> Tensor:
    return architecture.run(vector, torch.randn(4, 1, 16, 16, generator=seeded(9)))


@pytest.mark.parametrize("name", ["lenetlike", "vanillacnn"])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_shuffled_network_is_recovered(name: str, seed: int) -> None:
    architecture = build(name, IO)
    a = network(architecture, seed)
    shuffled = architecture.shuffle(a, seeded(seed + 5))
    found = aligned(architecture, a, shuffled, seed)
    assert (shuffled - a).norm() > 0.5 * a.norm()
    assert torch.equal(found, a)


def test_a_shuffled_network_with_noise_is_recovered_as_near_as_the_noise() -> None:
    architecture = build("lenetlike", IO)
    a = network(architecture, 0)
    noise = 0.05 * a.std() * torch.randn(len(a), generator=seeded(3))
    found = aligned(architecture, a, architecture.shuffle(a + noise, seeded(4)))
    assert (found - a).norm() == pytest.approx(noise.norm().item(), rel=1e-4)


@pytest.mark.parametrize("name", ["lenetlike", "vanillacnn", "resnet8", "resnet8-a"])
@pytest.mark.parametrize("seed", [0, 1])
def test_aligning_comes_nearer_and_leaves_the_outputs(name: str, seed: int) -> None:
    architecture = build(name, IO)
    a, b = network(architecture, seed), network(architecture, seed + 10)
    found = aligned(architecture, a, b, seed)
    assert (found - a).norm() < (b - a).norm()
    torch.testing.assert_close(outputs(architecture, found), outputs(architecture, b), rtol=1e-4, atol=1e-4)
    assert torch.equal(found.sort().values, b.sort().values)


@pytest.mark.parametrize("name", ["lenetlike", "resnet8", "resnet8-a"])
def test_what_is_aligned_stays_as_it_is(name: str) -> None:
    architecture = build(name, IO)
    a = network(architecture, 0)
    assert torch.equal(aligned(architecture, a, a), a)
    once = aligned(architecture, a, network(architecture, 1))
    assert torch.equal(aligned(architecture, a, once, seed=8), once)


def test_equal_units_do_not_swap_for_ever() -> None:
    architecture = build("lenetlike", IO)
    constant = torch.ones(architecture.parameter_count)
    assert torch.equal(aligned(architecture, constant, constant), constant)


def test_an_order_that_is_no_better_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = build("lenetlike", IO)
    vector = network(architecture, 0)

    def next_order(gain: np.ndarray, *, maximize: bool) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(len(gain)), np.roll(np.arange(len(gain)), 1)

    monkeypatch.setattr("netspace_models.parameters.alignment.linear_sum_assignment", next_order)
    assert torch.equal(aligned(architecture, torch.zeros_like(vector), vector), vector)


def test_aligning_follows_the_generator_and_leaves_its_arguments() -> None:
    architecture = build("lenetlike", IO)
    a, b = network(architecture, 0), network(architecture, 1)
    before = (a.clone(), b.clone())
    assert torch.equal(aligned(architecture, a, b, 3), aligned(architecture, a, b, 3))
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])
