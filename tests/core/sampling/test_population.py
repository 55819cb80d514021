"""What samplers learn from: the best by validation, their weights aligned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from netspace_models.errors import ConfigError, WrongSpace

from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.sampling.population import population_of, with_predicted
from netspace_cli.core.spaces.space import Space
from tests.worlds import Solids, Tiny


def test_the_training_instances_come_best_first_with_their_own_embeddings(tiny: Tiny) -> None:
    space = tiny.single_space
    found = population_of(space, zoo=tiny.single_zoo)
    known = {i.id: i for i in tiny.single_zoo.select(split="train")}
    assert set(found.ids) == set(known) and len(found) == 3
    accuracies = [known[i].accuracy["val"] for i in found.ids]
    assert accuracies == found.accuracies.tolist() == sorted(accuracies, reverse=True)
    for name, embedding in zip(found.ids, found.embeddings, strict=True):
        (row,) = [i for i, r in enumerate(space.record["zoo"]) if r["id"] == name]
        assert torch.equal(embedding, space.embeddings[row])


def test_aligned_weights_are_the_same_functions(tiny: Tiny) -> None:
    found = population_of(tiny.single_space, zoo=tiny.single_zoo)
    assert found.weights is not None
    images = tiny.data.batch("test", slice(0, 4))[0]
    known = {i.id: i for i in tiny.single_zoo.instances}
    for name, weights in zip(found.ids, found.weights, strict=True):
        own = tiny.single_zoo.network(known[name], found.architecture)
        assert torch.allclose(
            found.architecture.run(weights, images), found.architecture.run(own.weights, images), atol=1e-4
        )


def test_a_share_is_rounded_up_and_taken_by_validation(tiny: Tiny) -> None:
    found = population_of(tiny.single_space, zoo=tiny.single_zoo)
    assert [len(found.top(share)) for share in (0.01, 1 / 3, 0.34, 0.67, 1)] == [1, 1, 2, 3, 3]
    best = found.top(0.5)
    assert best.ids == found.ids[:2] and best.weights is not None and len(best.weights) == len(best.embeddings) == 2
    for share in (0.0, 1.5):
        with pytest.raises(ConfigError, match=rf"invalid share {share:g}. Give one above 0, up to 1: `top=0.3`"):
            found.top(share)


def _without_accuracies(space: Space) -> Space:
    rows: list[dict[str, Any]] = [{k: v for k, v in row.items() if k != "accuracy"} for row in space.record["zoo"]]
    return replace(space, record={**space.record, "zoo": rows})


def test_without_accuracies_all_are_taken_or_none(tiny: Tiny) -> None:
    found = population_of(_without_accuracies(tiny.single_space))
    assert len(found.top(1)) == 3 and not found.rated
    with pytest.raises(ConfigError, match="the best 30% cannot be chosen: .* accuracy of 3 of 3 .* `top=1.0`"):
        found.top(0.3)


def test_what_cannot_be_drawn_from_is_refused(tiny: Tiny, solids: Solids) -> None:
    with pytest.raises(ConfigError, match='has 3 architectures: lenetlike, vanillacnn, resnet8. .*`arch="lenetlike"`'):
        population_of(tiny.space)
    with pytest.raises(WrongSpace, match="no resnet32"):
        population_of(tiny.space, arch="resnet32")
    with pytest.raises(ConfigError, match="is for neural fields .* Draw from a space of classifiers."):
        population_of(solids.space)
    with pytest.raises(ConfigError, match="lacks 3 of 3 training instances .* Name the zoo .*`zoo=PATH`"):
        population_of(tiny.single_space, zoo=tiny.zoo)
    with pytest.raises(ConfigError, match="the method mix works on the weights .* no zoo was given"):
        population_of(tiny.single_space).aligned_weights("mix")


def test_predicted_instances_take_the_place_of_a_missing_zoo(tiny: Tiny) -> None:
    runner = Runner("cpu")
    found = with_predicted(population_of(tiny.space, arch="resnet8"), tiny.space, runner)
    assert found.predicted and found.weights is not None
    first = tiny.space.model.decode("resnet8", found.embeddings[:1])[0]
    assert torch.allclose(found.weights[0], first)
