"""Means of networks' weights: as they are, aligned, and with the statistics of batch norms refreshed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from netspace_models.architectures import Architecture
from netspace_models.parameters.alignment import align_weights
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.sampling.norms import IMAGES, with_statistics_of


def mean_of_weights(members: Sequence[Network]) -> Tensor:
    """(P,) of members of one architecture, on the processor."""
    total = torch.zeros_like(members[0].weights, device="cpu")
    for member in members:
        total += member.weights.cpu()
    return total / len(members)


def aligned_mean(members: Sequence[Network], runner: Runner) -> Tensor:
    """(P,) of members of one architecture, each with its hidden units in the order nearest to the first one's.

    Args:
        members: of an architecture with hidden groups; one after the other is aligned, so no more memory than for two
            is needed.
    """
    first = members[0]
    total = first.weights.cpu().clone()
    for member in members[1:]:
        # Each by the same draws: what becomes of a member does not depend on the others.
        generator = runner.generator("merge", "align")
        total += align_weights(first.architecture, first.weights, member.weights[None], generator)[0].cpu()
    return total / len(members)


def refreshed(architecture: Architecture, weights: Tensor, like: Tensor, data: LabelledData, runner: Runner) -> Tensor:
    """A mean whose folded layers have the channel statistics of a member again: (P,) to (P,) on the processor.

    Args:
        weights: the mean; like: the member that the others were aligned to.
        data: on the runner's device; the statistics are of some of its training images.
    """
    inputs, _ = data.sample("train", IMAGES, runner.generator("norms"))
    state = with_statistics_of(architecture, runner.place(weights), runner.place(like), inputs)
    return architecture.spec.flatten(state).cpu()
