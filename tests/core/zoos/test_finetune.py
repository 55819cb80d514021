"""Training further: it begins where the instance was, learns, and stands beside scratch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from netspace_models.errors import ConfigError

from netspace_cli.core.data.datasets import load_data
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.zoos.finetune import FineTuning, Tuned, finetune, restored_module, summarised
from tests.worlds import Tiny


def test_it_begins_with_the_instance_and_improves_on_it(tiny: Tiny) -> None:
    weak = [i for i in tiny.single_zoo.instances if i.epochs == 0]
    found = finetune(tiny.single_zoo, weak, tiny.data, FineTuning((0, 1, 8), lr=3e-3, batch=20), Runner("cpu"))
    own, scratch = found[0], found[1]
    assert (own.start, scratch.start, own.id) == ("zoo", "scratch", weak[0].id) and list(own.accuracy) == [0, 1, 8]
    assert own.accuracy[0] == pytest.approx(weak[0].accuracy["test"], abs=1e-6)
    assert own.accuracy[8] > own.accuracy[0] and scratch.accuracy[8] > 0.4


def test_it_ends_the_same_every_time_and_earlier_epochs_are_on_the_way(tiny: Tiny) -> None:
    some = tiny.zoo.select(arch="resnet8")[:1]
    one, other = (
        finetune(tiny.zoo, some, tiny.data, FineTuning(epochs, batch=20), Runner("cpu"), scratch=False)[0].accuracy
        for epochs in ((0, 1, 2), (2,))
    )
    assert one[2] == other[2]


def test_batch_norms_keep_the_function_and_have_the_statistics_of_images(tiny: Tiny) -> None:
    (architecture,) = (a for a in tiny.zoo.architectures() if a.name == "resnet8")
    weights = tiny.zoo.weights(tiny.zoo.select(arch="resnet8")[:1], architecture)[0]
    images = tiny.data.sample("train", 512, Runner("cpu").generator("norms"))[0]
    module = restored_module(architecture, weights, tiny.data, Runner("cpu"))
    plain = architecture.module
    with torch.no_grad():
        wanted = architecture.run(weights, images)
        assert torch.allclose(module(images), wanted, atol=1e-3)
        # On these images a norm in training mode does what it does in evaluation, but for the variance's divisor.
        trained = module.train()(images)
        plain.load_state_dict(architecture.to_state(weights))
        lost = plain.train()(images)
        plain.eval()
    assert (trained - wanted).abs().max() < 0.1 * (lost - wanted).abs().max()


def test_means_are_of_each_start_and_epoch() -> None:
    found = [Tuned("a", "x", "zoo", {0: 0.2, 1: 0.4}), Tuned("b", "x", "zoo", {0: 0.4, 1: 0.4})]
    first, second = summarised(found)
    assert first["accuracy"] == pytest.approx(0.3) and first["n"] == 2 and second["deviation"] == 0
    assert "deviation" not in summarised(found[:1])[0]


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (FineTuning(()), "epochs none: each must be above the one before, from 0."),
        (FineTuning((5, 1)), "epochs 5, 1: each must be above the one before"),
        (FineTuning(optimizer="adamx"), "unknown optimizer 'adamx'. Use adam or sgd."),
        (FineTuning(lr=0.0), "lr 0 and batch 64 must be above zero"),
    ],
)
def test_plans_that_cannot_be_followed_are_refused(tiny: Tiny, plan: FineTuning, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        finetune(tiny.zoo, tiny.zoo.instances, tiny.data, plan, Runner("cpu"))


def test_other_images_and_empty_zoos_are_refused(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match="is a zoo for 1x8x8, 3 classes; these images are 1x16x16, 10 classes"):
        finetune(tiny.zoo, tiny.zoo.instances, load_data("digits"), FineTuning(), Runner("cpu"))
    with pytest.raises(ConfigError, match="has no instances to train further"):
        finetune(replace(tiny.zoo, instances=()), (), tiny.data, FineTuning(), Runner("cpu"))
