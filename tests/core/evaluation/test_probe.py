"""Linear probes: what is planted in the weights is found, on instances that the regression has not seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from netspace_models.errors import ConfigError

from netspace_cli.core.evaluation.probe import probe
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.zoos.zoo import Zoo
from tests.worlds import Tiny


def test_statistics_tell_what_is_planted_in_them(tiny: Tiny, planted: Zoo) -> None:
    found = {each.features: each for each in probe(planted, tiny.single_space, Runner("cpu"))}
    assert list(found) == ["embeddings", "statistics", "both", "weights"]
    assert all(each.property == "accuracy" and (each.train, each.test) == (20, 10) for each in found.values())
    statistics, weights = found["statistics"], found["weights"]
    assert statistics.r2 > 0.95 and statistics.tau is not None and statistics.tau > 0.9
    assert weights.r2 < 0.3, "single weights tell nothing of their size"


def test_the_regression_learns_from_training_instances_alone(tiny: Tiny, planted: Zoo) -> None:
    wrong = tuple(
        replace(i, accuracy={"test": 1 - i.accuracy["test"]}) if i.split == "test" else i for i in planted.instances
    )
    found = {e.features: e for e in probe(replace(planted, instances=wrong), tiny.single_space, Runner("cpu"))}
    assert found["statistics"].tau is not None and found["statistics"].tau < -0.9


def test_what_cannot_be_probed_is_refused(tiny: Tiny, planted: Zoo) -> None:
    runner = Runner("cpu")
    with pytest.raises(ConfigError, match="has 3 train instances of lenetlike; a probe needs 5"):
        probe(tiny.single_zoo, tiny.single_space, runner)
    with pytest.raises(ConfigError, match="has no instances of resnet8. It has lenetlike."):
        probe(planted, tiny.single_space, runner, arch="resnet8")
    unknown = replace(planted, instances=tuple(replace(i, accuracy={}) for i in planted.instances))
    with pytest.raises(
        ConfigError, match="has nothing to predict: its manifest has no accuracies or epochs that differ"
    ):
        probe(unknown, tiny.single_space, runner)


def test_validation_instances_choose_the_settings(tiny: Tiny, planted: Zoo) -> None:
    train = [i.id for i in planted.select(split="train")]
    held = tuple(replace(i, split="val") if i.id in train[::3] else i for i in planted.instances)
    found = {e.features: e for e in probe(replace(planted, instances=held), tiny.single_space, Runner("cpu"))}
    assert all((each.train, each.test) == (20, 10) for each in found.values())
    assert found["statistics"].share is None and found["both"].share is not None and found["both"].share < 0.5
    assert found["both"].r2 > 0.9
