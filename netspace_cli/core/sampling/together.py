"""Several networks together: as an ensemble, and their common mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from netspace_models.errors import ConfigError
from netspace_models.problems import CLASSIFICATION, Problem
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import asked_together, check_outputs, labels_of, logits_of, logits_of_each
from netspace_cli.core.runtime.results import Result
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.workers import Workers, in_order, spread
from netspace_cli.core.zoos.inputs import ZooInputs
from netspace_cli.core.zoos.zoo import Instance, Zoo

BINS = 15


@dataclass(frozen=True)
class Together(Result):
    """Scores of networks alone and as an ensemble, on the same images.

    Attributes:
        accuracies: of each, as fractions.
        ensemble: accuracy of the mean of their probabilities; of regressors, R² of their mean.
        loss: negative log-likelihood of these, in nats an image; of regressors the mean squared error.
        calibration_error: expected calibration error of these, in 15 bins of confidence; None of regressors.
        agreement: share of images on which two of them give the same answer, or R² of one with the other's outputs as
            targets, mean over all pairs; None of one network.
    """

    accuracies: tuple[float, ...]
    ensemble: float
    loss: float
    calibration_error: float | None
    agreement: float | None

    @property
    def members(self) -> float:
        """Mean accuracy."""
        return sum(self.accuracies) / len(self.accuracies)

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the accuracies; None for one network."""
        return float(torch.tensor(self.accuracies).std()) if len(self.accuracies) > 1 else None


def together(outputs: Sequence[Tensor], labels: Tensor, problem: Problem) -> Together:
    """Score networks from their outputs (N, K) and the labels (N, …)."""
    both = problem.together(outputs)
    return Together(
        tuple(problem.scored(each, labels) for each in outputs),
        problem.scored(both, labels),
        problem.loss(both, labels).item(),
        calibration_error(both.exp(), labels) if problem is CLASSIFICATION else None,
        mean_agreement(outputs, problem),
    )


def calibration_error(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """Expected calibration error (Guo et al., 2017, eq. 3): (N, K) and (N,) to a fraction.

    Images are sorted into bins of equal width by the confidence of their answer; the mean over images of how far a
    bin's accuracy is from its mean confidence.
    """
    confidence, answer = probabilities.double().max(1)
    right = (answer == labels).double()
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gaps = torch.zeros(bins, dtype=torch.float64).index_add_(0, place, right - confidence)
    return float(gaps.abs().sum() / len(labels))


def mean_agreement(outputs: Sequence[Tensor], problem: Problem) -> float | None:
    """How alike networks answer, mean over all pairs, from their outputs (N, K).

    Of classes, the share of inputs with the same answer.

    Returns:
        None of fewer than two networks.
    """
    if len(outputs) < 2:
        return None
    if problem is not CLASSIFICATION:
        pairs = [problem.agreement(a, b) for a in outputs for b in outputs if a is not b]
        return sum(pairs) / len(pairs)
    # Of c networks with one answer to an image, c (c - 1) / 2 pairs agree.
    votes = F.one_hot(torch.stack([each.argmax(1) for each in outputs]), outputs[0].shape[1]).sum(0).double()
    count = len(outputs) * (len(outputs) - 1)
    return float((votes * (votes - 1)).sum(1).mean() / count)


def test_logits(networks: Sequence[Network], data: LabelledData, runner: Runner) -> list[Tensor]:
    """(N, K) logits of each network on the test images, on the processor; `data` is on the runner's device."""
    found = []
    with runner.progress("running networks", len(networks)) as tick:
        for each in logits_of_each(networks, data, "test", runner):
            found.append(each)
            tick(1)
    return found


@dataclass(frozen=True)
class Ensemble(Result):
    """Instances of a zoo as an ensemble.

    Attributes:
        ids: of the members; validation: their accuracies by which they were chosen; None where all were taken.
        found: on the test images.
    """

    ids: tuple[str, ...]
    validation: tuple[float, ...] | None
    found: Together


def ensemble(
    zoo: Zoo,
    data: LabelledData,
    runner: Runner,
    *,
    select: int | None = None,
    workers: Workers[ZooInputs] | None = None,
) -> Ensemble:
    """Score instances of a zoo as an ensemble, whatever their architectures.

    Args:
        data: on any device; images that the zoo was trained on, or others of their size and classes.
        select: number of most accurate instances on validation images to take; None for all.
        workers: processes that open this zoo and these data; None for this process alone.
    Raises:
        ConfigError: the zoo has no instances or fewer than asked for, or its networks are for other images.
        InputFileError: an instance's file is missing or changed.
    """
    check_ensemble(zoo, data, select)
    data = runner.place(data)
    chosen, validation = select_members(zoo, data, runner, select)
    outputs: list[Tensor] = []
    groups = _groups(chosen, zoo, runner)
    with (
        runner.progress("running networks", len(chosen)) as tick,
        closing(spread(_outputs, groups, ZooInputs(zoo, data), runner, workers)) as outcomes,
    ):
        for group, found in zip(groups, in_order(outcomes), strict=True):
            for instance, own in zip(group, torch.from_numpy(found), strict=True):
                check_outputs(own, f"{zoo.path}: {instance.id}")
                outputs.append(own)
            tick(len(group))
    scored = together(outputs, labels_of(data, "test"), data.io.problem)
    return Ensemble(tuple(i.id for i in chosen), validation, scored)


def _groups(instances: Sequence[Instance], zoo: Zoo, runner: Runner) -> list[Sequence[Instance]]:
    """Divide instances into groups that are asked together."""
    known, groups = {a.name: a for a in zoo.architectures()}, []
    for size in asked_together([known[instance.arch] for instance in instances], runner):
        groups.append(instances[:size])
        instances = instances[size:]
    return groups


def _outputs(group: Sequence[Instance], inputs: ZooInputs, runner: Runner) -> np.ndarray:
    """(M, N, K) logits of instances on the test images."""
    networks = [inputs.zoo.network(each, inputs.architectures[each.arch]) for each in group]
    return torch.stack([*logits_of_each(networks, runner.place(inputs.data), "test", runner)]).numpy()


def check_ensemble(zoo: Zoo, data: LabelledData, select: int | None) -> None:
    """Refuse images that do not fit a zoo's networks, and more members than it has.

    Raises:
        ConfigError: says which.
    """
    if zoo.io != data.io:
        raise ConfigError(
            f"{zoo.path} is a zoo for {zoo.io.describe()}; these {data.io.one}s are {data.io.describe()}.",
            f"Give {zoo.io.one}s like its own: {setting('data')}.",
        )
    least = 1 if select is None else select
    if not 1 <= least <= len(zoo.instances):
        raise ConfigError(
            f"{least} instances cannot be chosen from the {len(zoo.instances)} of {zoo.path}.",
            f"Ask for 1 to {len(zoo.instances)} of them." if zoo.instances else "Give a zoo that has some.",
        )


def select_members(
    zoo: Zoo, data: LabelledData, runner: Runner, select: int | None
) -> tuple[list[Instance], tuple[float, ...] | None]:
    """The most accurate instances on validation images, and their accuracies there.

    Without a number, all instances and None.

    Args:
        data: on the runner's device; where they are not the zoo's own images, accuracies are measured.
    """
    if select is None:
        return list(zoo.instances), None
    known = {a.name: a for a in zoo.architectures()}
    # What the manifest says is of the zoo's own images.
    own = zoo.data.get("splits") == data.record().get("splits")
    rated = []
    for instance in zoo.instances:
        found = instance.accuracy.get("val") if own else None
        if found is None:
            weights = runner.place(zoo.network(instance, known[instance.arch]).weights)
            outputs = logits_of(known[instance.arch], weights, data, "val", runner)
            found = data.io.problem.scored(outputs, labels_of(data, "val"))
        rated.append((float(found), instance))
    best = sorted(rated, key=lambda pair: -pair[0])[:select]
    return [instance for _, instance in best], tuple(found for found, _ in best)
