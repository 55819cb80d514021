"""Searches beside latent space optimisation: a random subspace, all weights, and what they minimise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.networks.network import Network, read_network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.search.baselines import (
    all_weights,
    curvature_subspace,
    layer_root_mean_squares,
    random_subspace,
)
from netspace_cli.core.search.image_objective import ImageObjective
from netspace_cli.core.search.search import Parametrisation, SearchResult, search
from tests.worlds import Tiny


@pytest.fixture(scope="module")
def network(tiny: Tiny) -> Network:
    return read_network(tiny.networks["lenetlike"], candidates=tiny.space.architectures)


def run(tiny: Tiny, parametrisation: Parametrisation, **options: Any) -> SearchResult:
    with Runner("cpu") as runner:
        objective = ImageObjective(tiny.data, runner, **options)
        return search(parametrisation, objective, steps=20, lr=0.02, images=16)


def test_the_start_of_each_reach_is_the_network_itself(tiny: Tiny, network: Network) -> None:
    images, _ = tiny.data.batch("train", slice(0, 16))
    directions = curvature_subspace(network, 64, images, torch.Generator().manual_seed(0))
    for parametrisation in (random_subspace(network, 64), directions, all_weights(network)):
        assert torch.equal(parametrisation.build(parametrisation.start), network.weights)


def test_a_subspace_moves_every_weight_in_units_of_its_layer(network: Network) -> None:
    parametrisation = random_subspace(network, 64)
    moved = parametrisation.build(torch.ones(1, 64)) - network.weights
    assert parametrisation.start.shape == (1, 64)
    assert torch.allclose(
        moved.abs(), layer_root_mean_squares(network.architecture, network.weights), rtol=1e-3, atol=1e-6
    )
    assert 0.4 < (moved > 0).double().mean() < 0.6
    one = torch.zeros(1, 64)
    one[0, 3] = 1
    touched = int((parametrisation.build(one) != network.weights).sum())
    assert abs(touched - network.architecture.parameter_count / 64) <= 1


def test_a_layer_of_zeros_can_be_moved(network: Network) -> None:
    empty = torch.zeros_like(network.weights)
    assert torch.equal(layer_root_mean_squares(network.architecture, empty), torch.ones_like(empty))


@pytest.mark.parametrize("parametrisation_of", [lambda n: random_subspace(n, 256), all_weights])
def test_the_loss_falls_and_what_is_told_is_of_the_network_returned(
    tiny: Tiny, network: Network, parametrisation_of: Callable[[Network], Parametrisation]
) -> None:
    parametrisation = parametrisation_of(network)
    found = run(tiny, parametrisation)
    assert found.validation.loss < max(line["loss"] for line in found.history)
    assert torch.equal(found.weights, parametrisation.build(found.variables))
    with Runner("cpu") as runner:
        told = ImageObjective(tiny.data, runner).score(network.architecture, found.weights, "test")
    assert (found.optimised.accuracy, found.optimised.loss) == pytest.approx(told)
    assert found.optimised.arch == "lenetlike"


def test_only_the_images_named_are_learnt_from(tiny: Tiny, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    batch = ImageData.batch

    def noting(self: ImageData, split: str, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        if split == "train":
            assert isinstance(index, Tensor)
            seen.append(index)
        return batch(self, split, index)

    monkeypatch.setattr(ImageData, "batch", noting)
    allowed = torch.tensor([2, 5, 11])
    run(tiny, all_weights(network), index=allowed, augment=False)
    assert seen and set(torch.cat(seen).tolist()) == set(allowed.tolist())


def test_several_teachers_say_what_the_mean_of_their_probabilities_says(tiny: Tiny, network: Network) -> None:
    one = read_network(tiny.teacher, io=tiny.data.io)
    other = replace(one, weights=one.weights.flip(0))
    with Runner("cpu") as runner:
        both = ImageObjective(tiny.data, runner, one, alpha=1.0, augment=False, beside=(other,))
        both.loss(network.architecture, network.weights, 0, 8)
        images, _ = tiny.data.batch("train", slice(None))
        said = [each.architecture.run(each.weights, images).softmax(1) for each in (one, other)]
        assert torch.allclose(both.answers["train"].exp(), torch.stack(said).mean(0), atol=1e-5)
        alone, twice, mixed = (
            ImageObjective(tiny.data, runner, one, alpha=1.0, beside=beside).loss(
                network.architecture, network.weights, 3, 8
            )
            for beside in ((), (one,), (other,))
        )
        assert torch.allclose(alone, twice, atol=1e-5) and not torch.allclose(alone, mixed, atol=1e-4)


def test_without_augmentation_the_teacher_is_asked_once(tiny: Tiny, network: Network) -> None:
    teacher = read_network(tiny.teacher, io=tiny.data.io)
    index = torch.arange(10)
    with Runner("cpu") as runner:
        objective = ImageObjective(tiny.data, runner, teacher, alpha=1.0, index=index, augment=False)
        first = objective.loss(network.architecture, network.weights, 0, 8)
        assert objective.answers["train"].shape == (10, tiny.data.io.classes)
        objective.answers["train"].zero_()  # what is asked again would not notice
        assert objective.loss(network.architecture, network.weights, 0, 8) != first
