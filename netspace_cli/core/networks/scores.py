"""Scores on a split: logits, accuracy, loss, and agreement of two networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import torch
from netspace_models.architectures import Architecture, NetworkIO
from netspace_models.errors import NotFinite
from netspace_models.problems import CLASSIFICATION
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.runtime.runner import Runner

from .network import Network

# Images that networks are asked about at once, at most.
BATCH = 512
# Networks of an architecture that are asked at once, at most.
TOGETHER = 8
# … and at least, on a processor, however large their layers' outputs are.
LEAST = 8
# Values of a layer's output on a processor, at most: 8 MiB. Blocks of 32 MiB and more glibc gives back to the system
# after each layer, which clears the memory anew for the next: that took a third of a ResNet8's time.
OUTPUT_VALUES = 2**21
# Enough for a figure of two digits that nothing is chosen by.
TRAIN_IMAGES = 10_000


def key_of(io: NetworkIO) -> str:
    """What documents and manifests call the score of such networks: accuracy, or r2."""
    return io.problem.key if io.labelled else CLASSIFICATION.key


def logits_of(
    architecture: Architecture,
    weights: Tensor,
    data: LabelledData,
    split: str,
    runner: Runner,
    *,
    most: int | None = None,
) -> Tensor:
    """Logits of a network on a split's images, without augmentation.

    Args:
        architecture, weights: the network; its flat parameters (P,) on the runner's device.
        data: on the runner's device.
        most: use at most this many of the first images; None for all.
    Returns:
        (N, K) float32, on the processor.
    """

    def part(index: slice) -> Tensor:
        images, _ = data.batch(split, index)
        return architecture.run(weights, images)

    return runner.in_batches(part, _count(data, split, most), batch=at_once([architecture], runner), what="images")


def logits_of_each(
    networks: Sequence[Network], data: LabelledData, split: str, runner: Runner, *, most: int | None = None
) -> Iterator[Tensor]:
    """Logits of each of several networks, as `logits_of` gives them, in the order of the networks.

    Neighbours of one architecture are asked together where that is faster: images are prepared once for all of them,
    and a first convolution is one for all.

    Args:
        networks: of any architectures, on any device.
        data, most: as in `logits_of`.
    """
    for size in asked_together([network.architecture for network in networks], runner):
        group, networks = networks[:size], networks[size:]
        architecture = group[0].architecture
        if size == 1:
            yield logits_of(architecture, runner.place(group[0].weights), data, split, runner, most=most)
        else:
            weights = runner.place(torch.stack([network.weights for network in group]))
            yield from _logits_of_group(architecture, weights, data, split, runner, most)


def asked_together(architectures: Iterable[Architecture], runner: Runner) -> Iterator[int]:
    """How many networks in a row, of these architectures, are to be asked together: a number for each group."""
    for _, neighbours in groupby(architectures, key=id):
        alike = list(neighbours)
        most = TOGETHER if alike[0].faster_at_once(len(alike), runner.device) else 1
        for start in range(0, len(alike), most):
            yield min(most, len(alike) - start)


def _logits_of_group(
    architecture: Architecture, weights: Tensor, data: LabelledData, split: str, runner: Runner, most: int | None
) -> Tensor:
    """(M, N, K) logits of networks (M, P)."""

    def part(index: slice) -> Tensor:
        return architecture.run_several(weights, data.batch(split, index)[0]).transpose(0, 1)

    batch = at_once([architecture], runner, networks=len(weights))
    return runner.in_batches(part, _count(data, split, most), batch=batch, what="images").transpose(0, 1).contiguous()


def _count(data: LabelledData, split: str, most: int | None) -> int:
    total = len(data.splits[split].labels)
    return total if most is None else min(total, most)


def at_once(architectures: Iterable[Architecture], runner: Runner, *, networks: int = 1) -> int:
    """Number of images to ask networks about at once: a power of two.

    Args:
        networks: how many of an architecture are asked together.
    """
    largest = max(each.largest_output for each in architectures) * networks
    images = runner.rows_at_once(BATCH, largest, within=OUTPUT_VALUES)
    return max(LEAST, min(BATCH, 2 ** (images.bit_length() - 1)))


def labels_of(data: LabelledData, split: str) -> Tensor:
    """A split's labels (N,), on the processor."""
    return data.splits[split].labels.cpu()


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of images with the label as the largest logit: (N, K) and (N,) to a fraction."""
    return CLASSIFICATION.scored(logits, labels)


def cross_entropy(logits: Tensor, labels: Tensor) -> float:
    """Mean cross entropy in nats: (N, K) and (N,) to a number."""
    return CLASSIFICATION.loss(logits, labels).item()


def agreement(a: Tensor, b: Tensor) -> float:
    """Share of images on which two networks predict the same class: two (N, K) to a fraction."""
    return CLASSIFICATION.agreement(a, b)


def accuracies_on_test(networks: Sequence[Network], data: LabelledData, runner: Runner) -> list[float]:
    """Accuracy of each network on the test split, as a fraction; R² of regressors.

    Args:
        networks: of any architectures, on any device.
        data: on any device.
    """
    data = runner.place(data)
    labels = labels_of(data, "test")
    return [data.io.problem.scored(logits, labels) for logits in logits_of_each(networks, data, "test", runner)]


def scores(
    architecture: Architecture, weights: Tensor, data: LabelledData, runner: Runner, *, name: str | None = None
) -> dict[str, float]:
    """Accuracy (of regressors R²) on the train, val and test split; for train, on its first `TRAIN_IMAGES` inputs.

    Args:
        name: of the network, for a message; None to score outputs that are not finite as well.
    Raises:
        NotFinite: as `check_outputs`.
    """
    accuracies = {}
    for split in data.splits:
        logits = logits_of(architecture, weights, data, split, runner, most=TRAIN_IMAGES if split == "train" else None)
        if name is not None:
            check_outputs(logits, name)
        accuracies[split] = data.io.problem.scored(logits, labels_of(data, split)[: len(logits)])
    return accuracies


def check_outputs(outputs: Tensor, name: str) -> None:
    """Refuse outputs (N, K) of a network that are NaN or infinite: it would be scored as if it said the first class.

    Raises:
        NotFinite: names the network.
    """
    wrong = int((~outputs.isfinite().all(1)).sum())
    if wrong:
        raise NotFinite(
            f"{name}: its outputs for {wrong:,} of {len(outputs):,} inputs are NaN or infinite.",
            "Its training probably diverged: leave it out.",
        )
