"""Baseline for refining without learning: fit networks in a random subspace around the best instance."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import RunFailed
from netspace_models.training.objectives import imitation
from torch import Tensor

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.kinds.images import Evaluated
from netspace_cli.core.kinds.images import ImageEvaluation as Evaluation
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import accuracy, agreement, labels_of, logits_of
from netspace_cli.core.runtime.minimise import AdamSchedule, minimise
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.search.baselines import random_subspace
from netspace_cli.core.search.search import Parametrisation
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.zoos.zoo import Zoo

from .held_out import by_validation
from .rates import best_rate


@dataclass(frozen=True)
class Fitted:
    """Held-out instances of an architecture, fitted in a subspace.

    Attributes:
        parametrisation: the subspace.
        embeddings: (B, D), in the order of the zoo's test instances, on the device of the work.
        lr: the rate chosen on the validation instances.
        seconds: a network, without the choice of the rate.
    """

    parametrisation: Parametrisation
    embeddings: Tensor
    lr: float
    seconds: float


def fit_held_out(
    zoo: Zoo,
    architecture: Architecture,
    size: int,
    recipe: Recipe,
    data: ImageData,
    runner: Runner,
) -> Fitted:
    """Fit the test instances in a random subspace around the training instance that is best on validation.

    Args:
        architecture: of the instances.
        size: D.
        recipe: steps, images and temperature are those of a space's refining; the rate is the best by
            validation, from the recipe's own on.
        data: on the runner's device.
    Raises:
        RunFailed: no rate gives a finite loss.
    """
    best = zoo.network(by_validation(zoo, architecture.name, "train")[-1], architecture)
    parametrisation = random_subspace(Network(architecture, runner.place(best.weights)), size)
    schedule, temperature = recipe.refine.adam_schedule(), recipe.refine_temperature
    chosen, held_out = (
        runner.place(torch.stack(zoo.weights(zoo.select(split=split, arch=architecture.name), architecture)))
        for split in ("val", "test")
    )

    def validation_agreement(lr: float) -> tuple[float]:
        try:
            found = fit(parametrisation, chosen, data, runner, at_rate(schedule, lr), temperature=temperature)
        except RunFailed:
            return (-1.0,)
        return (mean(agreements(parametrisation, found, chosen, data, "val", runner)),)

    lr = best_rate(validation_agreement, schedule.lr)
    began = time.perf_counter()
    found = fit(parametrisation, held_out, data, runner, at_rate(schedule, lr), temperature=temperature)
    return Fitted(parametrisation, found, lr, (time.perf_counter() - began) / len(found))


def fit(
    parametrisation: Parametrisation,
    targets: Tensor,
    data: ImageData,
    runner: Runner,
    schedule: AdamSchedule,
    *,
    temperature: float,
) -> Tensor:
    """Move towards networks' outputs on unlabelled images, as `encode.refine` does.

    It uses the same loss, and the same images at the same step.

    Args:
        parametrisation: where each may go, from `parametrisation.start` on.
        targets: (B, P) the networks, all of `parametrisation.architecture`.
        data: on the runner's device.
    Returns:
        (B, D).
    Raises:
        RunFailed: the loss is not finite, or memory runs out.
    """
    architecture, total = parametrisation.architecture, len(data.splits["train"])

    def loss_at(current: Tensor, step: int) -> Tensor:
        generator = runner.generator("refine", step)
        index = torch.randint(total, (schedule.images,), generator=generator)
        images, _ = data.augmented("train", index, generator=generator)
        with runner.autocast():
            predicted = torch.stack([parametrisation.build(variables[None]) for variables in current])
            losses = imitation(architecture, predicted, targets, images, temperature=temperature)
        runner.count(1, "steps")
        return losses.sum()

    start = parametrisation.start.expand(len(targets), -1)
    description = f"fitting with rate {schedule.lr:.3g}"
    with runner.guard(f"fitting {len(targets)} networks at once"):
        return minimise(start, loss_at, schedule, runner, description=description)


def at_rate(schedule: AdamSchedule, lr: float) -> AdamSchedule:
    """The same schedule with another rate, which falls in the same proportion."""
    return replace(schedule, lr=lr, lr_end=lr * schedule.lr_end / schedule.lr)


def agreements(
    parametrisation: Parametrisation, embeddings: Tensor, targets: Tensor, data: ImageData, split: str, runner: Runner
) -> list[float]:
    """Share of a split's images on which each fitted network predicts the same as its target."""
    pairs = _answers(parametrisation, embeddings, targets, data, split, runner)
    return [agreement(wanted, predicted) for wanted, predicted in pairs]


def evaluate_fits(
    fitted: Fitted, known: Sequence[Evaluated], targets: Tensor, data: ImageData, runner: Runner
) -> Evaluation:
    """Evaluate the fitted held-out instances on the test images, as `evaluate` does in a space.

    Args:
        known: the same instances evaluated in some space: who they are and how far their peers agree.
        targets: (B, P) the instances.
    """
    labels = labels_of(data, "test")
    pairs = _answers(fitted.parametrisation, fitted.embeddings, targets, data, "test", runner)
    return Evaluation(
        tuple(
            replace(
                instance,
                predicted_arch=fitted.parametrisation.architecture.name,
                predicted_accuracy=accuracy(predicted, labels),
                agreement=agreement(wanted, predicted),
            )
            for instance, (wanted, predicted) in zip(known, pairs, strict=True)
        )
    )


def _answers(
    parametrisation: Parametrisation, embeddings: Tensor, targets: Tensor, data: ImageData, split: str, runner: Runner
) -> list[tuple[Tensor, Tensor]]:
    """Logits on a split of each target and of the network fitted to it."""
    found = []
    for target, variables in zip(targets, embeddings, strict=True):
        with torch.no_grad():
            weights = parametrisation.build(variables[None])
        wanted, predicted = (logits_of(parametrisation.architecture, v, data, split, runner) for v in (target, weights))
        found.append((wanted, predicted))
    return found
