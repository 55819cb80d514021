"""What a network does on a split, against the plainest way to compute it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast
from unittest.mock import patch

import numpy as np
import pytest
import torch
from netspace_models.architectures import Architecture, ImageIO, build
from torch import Tensor

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.networks import scores as scoring
from netspace_cli.core.networks.network import Network, read_network
from netspace_cli.core.networks.scores import (
    accuracies_on_test,
    accuracy,
    agreement,
    asked_together,
    at_once,
    cross_entropy,
    labels_of,
    logits_of,
    logits_of_each,
    scores,
)
from netspace_cli.core.runtime.runner import Runner
from tests.small_networks import seeded
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


def drawn(tiny: Tiny, name: str, count: int) -> list[Network]:
    """Networks of one architecture for the tiny images, with weights near zero."""
    architecture = build(name, tiny.data.io)
    shape = (count, architecture.parameter_count)
    return [Network(architecture, own) for own in 0.1 * torch.randn(shape, generator=seeded(count))]


def together(networks: Sequence[Network], tiny: Tiny) -> tuple[list[Tensor], list[Tensor], int]:
    """What each gives alone, what they give together, and how many batches of images that took."""
    with Runner("cpu") as runner:
        alone = [logits_of(n.architecture, n.weights, tiny.data, "test", runner) for n in networks]
        with patch.object(ImageData, "batch", autospec=True, side_effect=ImageData.batch) as batch:
            return alone, [*logits_of_each(networks, tiny.data, "test", runner)], batch.call_count


def test_each_of_several_networks_gives_what_it_gives_alone_in_its_place(tiny: Tiny) -> None:
    networks = [*drawn(tiny, "lenetlike", 3), *drawn(tiny, "resnet8", 2), *drawn(tiny, "lenetlike", 1)]
    alone, found, _ = together(networks, tiny)
    assert len(found) == len(networks)
    for one, other in zip(found, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "prepared"), [("lenetlike", 2), ("resnet8", 10)])
def test_images_are_prepared_once_for_networks_that_are_asked_together(tiny: Tiny, name: str, prepared: int) -> None:
    """Eight LeNets and two, in one batch each; ResNets, which a processor runs faster one by one, each."""
    assert together(drawn(tiny, name, 10), tiny)[2] == prepared


def test_a_network_that_breaks_down_leaves_those_asked_with_it_as_they_are(tiny: Tiny) -> None:
    networks = drawn(tiny, "lenetlike", 3)
    networks[1].weights[:] = 1e30
    alone, found, _ = together(networks, tiny)
    assert [bool(torch.isfinite(one).all()) for one in found] == [True, False, True]
    for i in (0, 2):
        torch.testing.assert_close(found[i], alone[i], rtol=0, atol=1e-6)


def test_neighbours_of_one_architecture_are_asked_together(tiny: Tiny) -> None:
    runner, lenet, resnet = Runner("cpu"), build("lenetlike", tiny.data.io), build("resnet8", tiny.data.io)
    assert [*asked_together([lenet] * 17, runner)] == [8, 8, 1]
    assert [*asked_together([lenet, lenet, resnet, resnet, lenet], runner)] == [2, 1, 1, 1]
    assert [*asked_together([], runner)] == []


def test_several_are_asked_about_fewer_images_at_once() -> None:
    """Their outputs lie in memory at the same time."""
    architecture, runner = build("lenetlike", ImageIO(3, 32, 10)), Runner("cpu")
    assert [at_once([architecture], runner, networks=count) for count in (1, 8, 4096)] == [512, 128, 8]


def test_accuracies_of_a_zoo_prepare_its_images_once(tiny: Tiny) -> None:
    networks = drawn(tiny, "lenetlike", 3)
    with Runner("cpu") as runner:
        labels = labels_of(tiny.data, "test")
        wanted = [accuracy(logits_of(n.architecture, n.weights, tiny.data, "test", runner), labels) for n in networks]
        with patch.object(ImageData, "batch", autospec=True, side_effect=ImageData.batch) as batch:
            assert accuracies_on_test(networks, tiny.data, runner) == wanted
        assert batch.call_count == 1
