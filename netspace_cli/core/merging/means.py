"""Means of networks' weights: of all or of those that help, aligned, with the statistics of batch norms refreshed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from netspace_models.architectures import Architecture
from netspace_models.parameters.alignment import align_weights
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.sampling.norms import IMAGES, with_statistics_of


def mean_of(weights: Sequence[Tensor]) -> Tensor:
    """(P,) the mean of (P,) weights."""
    total = torch.zeros_like(weights[0])
    for each in weights:
        total += each
    return total / len(weights)


def aligned(members: Sequence[Network], runner: Runner) -> list[Tensor]:
    """(P,) of each, on the processor, with its hidden units in the order nearest to the first one's.

    Args:
        members: of one architecture with hidden groups.
    """
    first = members[0]
    found = [first.weights.cpu()]
    for member in members[1:]:
        # Each by the same draws: what becomes of a member does not depend on the others.
        generator = runner.generator("merge", "align")
        found.append(align_weights(first.architecture, first.weights, member.weights[None], generator)[0].cpu())
    return found


def greedy_mean(weights: Sequence[Tensor], score: Callable[[Tensor], float]) -> tuple[Tensor, int]:
    """The mean of the first and of those that do not make it worse, added one by one, and of how many it is.

    A greedy soup (Wortsman et al., Model soups, 2022, recipe 1): for networks of one start, such as fine-tuned ones.

    Args:
        weights: (P,) of each, the best first.
        score: of weights (P,); higher is better.
    """
    total, count, best = weights[0].clone(), 1, score(weights[0])
    for each in weights[1:]:
        found = score((total + each) / (count + 1))
        if found >= best:
            total, count, best = total + each, count + 1, found
    return total / count, count


def refreshed(architecture: Architecture, weights: Tensor, like: Tensor, data: LabelledData, runner: Runner) -> Tensor:
    """A mean whose folded layers have the channel statistics of a member again: (P,) to (P,) on the processor.

    Args:
        weights: the mean; like: the member that the others were aligned to.
        data: on the runner's device; the statistics are of some of its training images.
    """
    inputs, _ = data.sample("train", IMAGES, runner.generator("norms"))
    state = with_statistics_of(architecture, runner.place(weights), runner.place(like), inputs)
    return architecture.spec.flatten(state).cpu()
