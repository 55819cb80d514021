"""One network's hidden units brought into the order of another's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from netspace_models.architectures import Architecture, FieldIO, ImageIO, build
from netspace_models.errors import ConfigError
from netspace_models.parameters import alignment
from netspace_models.parameters.alignment import align, align_weights
from netspace_models.parameters.spec import NetworkSpec
from netspace_models.parameters.symmetry import HiddenGroup, Member
from torch import Tensor

from tests.small_networks import seeded

IO = ImageIO(1, 16, 3)
ALL = ("lenetlike", "vanillacnn", "resnet8", "resnet20-a", "siren-32x2")


def named(name: str) -> Architecture:
    return build(name, FieldIO(3, 1) if name.startswith("siren") else IO)


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


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_shuffled_network_is_recovered(name: str, seed: int) -> None:
    architecture = named(name)
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

    monkeypatch.setattr("scipy.optimize.linear_sum_assignment", next_order)
    assert torch.equal(aligned(architecture, torch.zeros_like(vector), vector), vector)


def test_aligning_follows_the_generator_and_leaves_its_arguments() -> None:
    architecture = build("lenetlike", IO)
    a, b = network(architecture, 0), network(architecture, 1)
    before = (a.clone(), b.clone())
    assert torch.equal(aligned(architecture, a, b, 3), aligned(architecture, a, b, 3))
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])


@pytest.mark.parametrize("name", ALL)
def test_many_at_once_are_aligned_as_one_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = named(name)
    reference, *others = (network(architecture, seed) for seed in range(4))
    many = align_weights(architecture, reference, torch.stack(others), seeded(2))
    for one, each in zip(many, others, strict=True):
        assert torch.equal(one, aligned(architecture, reference, each, 2))
    monkeypatch.setattr(alignment, "MOST_VALUES", 1)
    assert torch.equal(align_weights(architecture, reference, torch.stack(others), seeded(2)), many)


def test_of_several_tries_the_nearest_is_kept() -> None:
    architecture = build("lenetlike", IO)
    reference, weights = network(architecture, 0), torch.stack([network(architecture, s) for s in range(1, 6)])
    once, often = (align_weights(architecture, reference, weights, seeded(), tries=n) for n in (1, 6))
    nearer = (once - reference).norm(dim=1) - (often - reference).norm(dim=1)
    assert nearer.min() >= -1e-5
    assert nearer.max() > 1e-3
    assert torch.equal(often.sort(dim=1).values, weights.sort(dim=1).values)
    torch.testing.assert_close(outputs(architecture, often[0]), outputs(architecture, weights[0]))


def test_a_parameter_with_the_same_units_on_both_axes_never_goes_further_away() -> None:
    class Tied:
        name = "tied"
        spec = NetworkSpec.of({"w.weight": (5, 5)})
        hidden_groups = (HiddenGroup(5, (Member("w.weight", 0), Member("w.weight", 1))),)

    reference, weights = torch.randn(25, generator=seeded(1)), torch.randn(300, 25, generator=seeded(2))
    found = align_weights(Tied(), reference, weights, seeded())
    gained = (found - weights) @ reference
    assert gained.min() > -1e-4
    assert (gained > 0.1).float().mean() > 0.3
    traces = [weights.view(-1, 5, 5).diagonal(dim1=1, dim2=2), found.view(-1, 5, 5).diagonal(dim1=1, dim2=2)]
    assert torch.equal(traces[0].sort(dim=1).values, traces[1].sort(dim=1).values)


def test_without_hidden_groups_weights_stay_and_are_copied() -> None:
    class Fixed:
        name = "fixed"
        spec = NetworkSpec.of({"w.weight": (2, 2)})
        hidden_groups = ()

    weights = torch.randn(3, 4, generator=seeded())
    found = align_weights(Fixed(), weights[0], weights, seeded())
    assert torch.equal(found, weights)
    assert found.data_ptr() != weights.data_ptr()


def test_no_try_is_refused() -> None:
    architecture = build("lenetlike", IO)
    weights = network(architecture, 0)
    with pytest.raises(ConfigError, match=r"cannot align with 0 tries. Give at least one: `tries=1`"):
        align_weights(architecture, weights, weights[None], seeded(), tries=0)
