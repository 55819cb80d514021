"""What a network does on a split, against the plainest way to compute it."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from netspace_models.architectures import Architecture, ImageIO, build
from torch import Tensor

from netspace_cli.core.networks import scores as scoring
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.networks.scores import accuracy, agreement, at_once, cross_entropy, labels_of, logits_of, scores
from netspace_cli.core.runtime.runner import Runner
from tests.worlds import Tiny


def test_measures_by_hand() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 5.0]])
    other = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0], [0.0, 5.0]])
    labels = torch.tensor([0, 1, 1, 1])
    assert accuracy(logits, labels) == 0.75
    assert agreement(logits, other) == 0.5 == agreement(other, logits)
    assert agreement(logits, logits) == 1.0
    probability = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
    wanted = -np.log(probability[np.arange(4), labels.numpy()]).mean()
    assert cross_entropy(logits, labels) == pytest.approx(wanted)


@pytest.mark.parametrize("batch", [1, 7, 512])
def test_logits_do_not_depend_on_the_batches(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    network = read_network(tiny.networks["resnet8"], io=tiny.data.io)
    images, _ = tiny.data.batch("test", slice(None))
    wanted = network.architecture.run(network.weights, images)
    monkeypatch.setattr(scoring, "at_once", lambda *_: batch)
    with Runner("cpu") as runner:
        found = logits_of(network.architecture, network.weights, tiny.data, "test", runner)
    assert found.shape == (30, 3)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert not found.requires_grad


@pytest.mark.parametrize(
    ("archs", "size", "images"),
    [
        (["lenetlike"], 32, 512),
        (["resnet8"], 32, 128),
        (["lenetlike", "resnet32"], 32, 128),
        (["resnet8"], 64, 32),
        (["resnet8"], 256, 8),
    ],
)
def test_a_processor_asks_about_as_many_images_as_its_memory_takes_at_once(
    archs: list[str], size: int, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16 maps of a ResNet8's first layer, 4 bytes a value: 8 MiB for 128 images of 32 pixels."""
    architectures, runner = [build(name, ImageIO(3, size, 10)) for name in archs], Runner("cpu")
    assert at_once(architectures, runner) == images
    monkeypatch.setattr(runner, "device", torch.device("cuda"))
    assert at_once(architectures, runner) == 512


def test_logits_are_asked_for_in_such_batches(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    network, run = read_network(tiny.networks["resnet8"], io=tiny.data.io), Architecture.run
    asked: list[int] = []

    def counted(architecture: Architecture, weights: Tensor, images: Tensor) -> Tensor:
        asked.append(len(images))
        return run(architecture, weights, images)

    monkeypatch.setattr(scoring, "OUTPUT_VALUES", 8 * network.architecture.largest_output)
    monkeypatch.setattr(Architecture, "run", counted)
    with Runner("cpu") as runner:
        logits_of(network.architecture, network.weights, tiny.data, "test", runner)
    assert asked == [8, 8, 8, 6]


def test_scores_are_of_all_splits_and_survive_a_lack_of_memory(tiny: Tiny) -> None:
    network = read_network(tiny.networks["lenetlike"], io=tiny.data.io)
    with Runner("cpu") as runner:
        wanted = scores(network.architecture, network.weights, tiny.data, runner)
    run, largest = network.architecture.run, []

    class Small:
        """The architecture on a device that holds ten images."""

        largest_output = 1

        def run(self, vector: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
            if len(images) > 10:
                raise torch.OutOfMemoryError("too much")
            largest.append(len(images))
            return run(vector, images)

    with Runner("cpu") as runner:
        found = scores(cast(Architecture, Small()), network.weights, tiny.data, runner)
    assert found == wanted
    assert set(found) == {"train", "val", "test"}
    assert max(largest) <= 10
    assert len(labels_of(tiny.data, "val")) == 24
