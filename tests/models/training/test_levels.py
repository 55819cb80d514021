"""Networks of further starting points are to be as good as their targets, and free to make mistakes of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from netspace_models.architectures import Architecture, ImageIO
from netspace_models.backbones import Backbone
from netspace_models.parameters.spec import NetworkSpec
from netspace_models.space_model import SpaceModel
from netspace_models.training.losses import level_matching
from netspace_models.training.objectives import Batch, LossConstants, Terms, several_objective, single_objective
from torch import Tensor, nn

from tests.small_networks import seeded

IMAGES, LABELS = torch.randn(5, 3, generator=seeded()), torch.tensor([0, 1, 1, 0, 1])
TARGETS = torch.randn(3, 6, generator=seeded(1))
STARTS = torch.randn(4, 6, generator=seeded(2))
STARTS[0] = 0
DEFAULTS = LossConstants()


@dataclass(frozen=True)
class Linear:
    """Three features in, two logits out."""

    name: str
    parameter_count: int = 6

    io = ImageIO(1, 2, 3)

    def run(self, weights: Tensor, inputs: Tensor) -> Tensor:
        return inputs @ weights.reshape(3, 2)

    def run_several(self, weights: Tensor, inputs: Tensor) -> Tensor:
        return inputs @ weights.reshape(-1, 3, 2)


class Shifted(Backbone):
    """Embeddings are the weights, and a start is added to them; start 0 is nothing."""

    embedding_size = 6
    specs: Mapping[str, NetworkSpec] = {}

    def starts_of(self, arch: str) -> int:
        return 4

    def encode(self, arch: str, weights: Tensor) -> Tensor:
        return weights

    def decode(self, arch: str, embeddings: Tensor, start: int = 0) -> Tensor:
        return embeddings + STARTS[start]


def space(*names: str) -> SpaceModel:
    torch.manual_seed(0)
    architectures = [cast(Architecture, Linear(name, 6 + i)) for i, name in enumerate(names)]
    return SpaceModel(architectures, Shifted(), nn.Linear(6, len(names)) if len(names) > 1 else None)


def single(batch: Batch, constants: LossConstants = DEFAULTS, weights: Tensor = TARGETS) -> Terms:
    return single_objective(space("a"), "a", weights, TARGETS, batch, constants)


BATCH = Batch(IMAGES, LABELS, starts={"a": [2, 1, 2]})


def error(weights: Tensor) -> Tensor:
    return F.cross_entropy(IMAGES @ weights.reshape(3, 2), LABELS)


def test_as_good_with_other_mistakes_costs_nothing() -> None:
    one = torch.tensor([[3.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
    other = one.flip(0)
    labels = torch.zeros(3, dtype=torch.int64)
    assert level_matching(other, one, labels).item() == pytest.approx(0, abs=1e-6)
    assert level_matching(one - torch.tensor([9.0, 0.0]), one, labels).item() > 1


def test_the_level_is_the_squared_difference_of_mean_log_probabilities() -> None:
    target = torch.randn(5, 2, generator=seeded(3), requires_grad=True)
    predicted = torch.randn(5, 2, generator=seeded(4), requires_grad=True)
    chosen = [logits.log_softmax(1)[torch.arange(5), LABELS].mean() for logits in (predicted, target)]
    found = level_matching(predicted, target, LABELS)
    torch.testing.assert_close(found, (chosen[0] - chosen[1]) ** 2)
    found.backward()
    assert target.grad is None and predicted.grad is not None


def test_each_instance_is_matched_from_the_start_drawn_for_it() -> None:
    wanted = [(error(t + STARTS[k]) - error(t)) ** 2 for t, k in zip(TARGETS, [2, 1, 2], strict=True)]
    terms = single(BATCH, LossConstants(level=0.5))
    assert set(terms) == {"pred", "level"}
    torch.testing.assert_close(terms["level"], 0.5 * torch.stack(wanted).mean())


def test_or_learns_the_labels() -> None:
    wanted = [error(t + STARTS[k]) for t, k in zip(TARGETS, [2, 1, 2], strict=True)]
    torch.testing.assert_close(single(BATCH, LossConstants(level_loss="labels"))["level"], torch.stack(wanted).mean())


def test_imitation_from_start_0_is_what_it_was() -> None:
    weights = TARGETS + torch.randn(3, 6, generator=seeded(5))
    without = single(replace(BATCH, starts={}), weights=weights)
    assert set(without) == {"pred"} and without["pred"] > 0.01
    assert torch.equal(single(BATCH, weights=weights)["pred"], without["pred"])
    assert set(single(BATCH, LossConstants(level=0))) == {"pred"}


def test_of_several_architectures_levels_are_summed_and_have_no_teacher() -> None:
    model, given = space("a", "b"), {"a": TARGETS, "b": TARGETS[:1]}
    teacher = torch.randn(5, 2, generator=seeded(6))
    batch = Batch(IMAGES, LABELS, teacher, starts={"a": [2, 1, 2], "b": [3]})
    terms = several_objective(model, given, given, batch, LossConstants())
    pairs = [*zip(TARGETS, [2, 1, 2], strict=True), (TARGETS[0], 3)]
    torch.testing.assert_close(terms["level"], sum((error(t + STARTS[k]) - error(t)) ** 2 for t, k in pairs))
    without = several_objective(model, given, given, replace(batch, starts={}), LossConstants())
    assert set(terms) - set(without) == {"level"}
    assert all(torch.equal(terms[name], without[name]) for name in without)
