"""Compare a network with what its embedding decodes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.data.points import Data, FieldData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import accuracy, agreement, labels_of, logits_of
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes.values import likeness, scoring_points, values_of
from netspace_cli.core.spaces.embeddings import Embeddings
from netspace_cli.core.spaces.space import Space

from .decode import decode_row, recognised_in


@dataclass(frozen=True)
class Fidelity:
    """How a predicted instance compares with its target on a split.

    Attributes:
        target_accuracy, predicted_accuracy: fractions.
        agreement: share of images on which both predict the same class.
        predicted_arch: the architecture the embedding is recognised as; the accuracy is that of the
            network's own architecture all the same, which is what decoding gives.
    """

    target_accuracy: float
    predicted_accuracy: float
    agreement: float
    predicted_arch: str


def fidelities(
    networks: Sequence[Network], embeddings: Embeddings, space: Space, data: Data, runner: Runner
) -> list[Fidelity] | list[FieldFidelity]:
    """`fidelity` of each network beside its embedding, on the test split; of signals `field_fidelity`."""
    pairs = list(zip(networks, embeddings.vectors, strict=True))
    if isinstance(data, FieldData):
        return [field_fidelity(network, vector, space, data, runner) for network, vector in pairs]
    return [fidelity(network, vector, space, data, runner) for network, vector in pairs]


def fidelity(
    network: Network, embedding: Tensor, space: Space, data: ImageData, runner: Runner, *, split: str = "test"
) -> Fidelity:
    """Compare a network with what its embedding decodes to.

    Args:
        network: the target.
        embedding: (E,).
        split: of the images.
    """
    space, data = runner.place(space), runner.place(data)
    placed = runner.place(embedding)
    built = decode_row(placed, space, arch=network.architecture.name)
    target = logits_of(network.architecture, runner.place(network.vector), data, split, runner)
    predicted = logits_of(built.architecture, built.vector, data, split, runner)
    labels = labels_of(data, split)
    return Fidelity(
        accuracy(target, labels),
        accuracy(predicted, labels),
        agreement(target, predicted),
        recognised_in(placed, space).name,
    )


@dataclass(frozen=True)
class FieldFidelity:
    """How a predicted instance compares with its target at the centres of a grid's cells.

    Attributes:
        within: share of values that differ by less than 0.01.
        iou: intersection over union of the solids, where a signed distance is below zero; None where neither has
            an inside, and of signals that are no shapes.
        error: mean absolute difference.
        predicted_arch: the architecture the embedding is recognised as.
        inside: share of the box that is inside the target; None of signals that are no shapes.
    """

    within: float
    iou: float | None
    error: float
    predicted_arch: str
    inside: float | None


def field_fidelity(network: Network, embedding: Tensor, space: Space, data: FieldData, runner: Runner) -> FieldFidelity:
    """Compare a network that is a signal with what its embedding decodes to.

    Args:
        network: the target.
        embedding: (E,).
    """
    space, points = runner.place(space), runner.place(scoring_points(data))
    placed = runner.place(embedding)
    built = decode_row(placed, space, arch=network.architecture.name)
    target = values_of(network.architecture, runner.place(network.vector), points, runner)
    predicted = values_of(built.architecture, built.vector, points, runner)
    inside = (target[:, 0] < 0).double().mean().item() if data.has_surface else None
    return FieldFidelity(*likeness(target, predicted, data), recognised_in(placed, space).name, inside)
