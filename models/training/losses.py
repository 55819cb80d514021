"""The losses of the published system, each defined once with its scaling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import exp, log

import torch
import torch.nn.functional as F
from torch import Tensor

from ..problems import CLASSIFICATION, Problem


def distillation(predicted: Tensor, target: Tensor, *, temperature: float) -> Tensor:
    """T² · KL(softmax(target / T) ‖ softmax(predicted / T)), mean over images (eq. 1; eq. 3 with a teacher).

    T² keeps the size of the gradient whatever the temperature.

    Args:
        predicted, target: (..., N, K) logits of N images; no gradient flows into `target`.
        temperature: T > 0.
    Returns:
        (...).
    """
    log_p = F.log_softmax(predicted / temperature, dim=-1)
    log_t = F.log_softmax(target.detach() / temperature, dim=-1)
    divergences = F.kl_div(log_p, log_t, reduction="none", log_target=True)
    return temperature**2 / predicted.shape[-2] * divergences.sum(dim=(-2, -1))


def ensemble_logits(logits: Iterable[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """What several networks say together, as logits: the logarithm of the mean of their probabilities.

    Each is used up before the next is asked for, so no more than two are held at once.

    Args:
        logits: (B, K) of each network, at least one.
        weights: of each, above zero; None for equal ones.
    """
    total, sum_of_weights = None, 0.0
    for place, each in enumerate(logits):
        weight = 1.0 if weights is None else weights[place]
        own = F.log_softmax(each, dim=1) + log(weight)
        total = own if total is None else torch.logaddexp(total, own)
        sum_of_weights += weight
    if total is None:
        raise ValueError("no networks, so no logits")
    return total - log(sum_of_weights)


def mixture_weights(probabilities: Tensor, *, gap: float = 1e-4, rounds: int = 20_000, least: float = 1e-4) -> Tensor:
    """Weights of networks whose mean of probabilities explains the labels best, by expectation maximisation (Smyth and
    Wolpert, "Linearly combining density estimators via stacking", 1999).

    Args:
        probabilities: (B, N) what each of B networks gives the labels of N images.
        gap: of the mean log likelihood to its maximum at most, for which no network's own factor may be above exp(gap).
        rounds: of the algorithm at most; least: weight that every network keeps.
    Returns:
        (B,), their sum 1.
    """
    weights = torch.full((len(probabilities),), 1 / len(probabilities), dtype=torch.float64)
    given = probabilities.double().clamp_min(torch.finfo(torch.float32).tiny)
    for _ in range(rounds):
        # What each weight is multiplied by: the likelihood is concave, so its maximum is at most the log of the largest
        # of these factors away.
        factors = (given / (weights @ given)).mean(1)
        if float(factors.max()) <= exp(gap):
            break
        weights = weights * factors
    weights = weights.clamp_min(least)
    return weights / weights.sum()


def ensemble_outputs(outputs: Iterable[Tensor], problem: Problem, weights: Sequence[float] | None = None) -> Tensor:
    """What several networks say together, (B, K): of classes `ensemble_logits`, of numbers the mean.

    Args:
        outputs: (B, K) of each network, at least one; no more than two are held at once.
        weights: as in `ensemble_logits`, of classes alone.
    """
    if problem is CLASSIFICATION:
        return ensemble_logits(outputs, weights)
    total, count = None, 0
    for each in outputs:
        total, count = each if total is None else total + each, count + 1
    if total is None:
        raise ValueError("no networks, so no outputs")
    return total / count


def answer_matching(predicted: Tensor, target: Tensor, problem: Problem, *, temperature: float) -> Tensor:
    """Loss of one network's outputs (B, K) against another's: of logits `distillation`, else `output_matching`."""
    if problem is CLASSIFICATION:
        return distillation(predicted, target, temperature=temperature)
    return output_matching(predicted, target)


def task_and_teacher(
    predicted: Tensor,
    teacher: Tensor | None,
    labels: Tensor,
    *,
    temperature: float,
    alpha: float,
    problem: Problem = CLASSIFICATION,
) -> Tensor:
    """Alpha · distillation + (1 − alpha) · task loss (eq. 4, 5); only the task loss without a teacher.

    Args:
        predicted: (B, K) outputs.
        teacher: (B, K) outputs, or None.
        labels: (B, …) that the task loss is of.
        problem: what outputs are; of numbers, squared errors take the place of distillation and cross entropy.
    """
    task = problem.loss(predicted, labels)
    if teacher is None:
        return task
    return alpha * answer_matching(predicted, teacher, problem, temperature=temperature) + (1 - alpha) * task


def level_matching(predicted: Tensor, target: Tensor, labels: Tensor, problem: Problem = CLASSIFICATION) -> Tensor:
    """Squared difference of two networks' mean losses: of classes, of their mean log-probabilities of the labels.

    It makes one network as good as the other, whatever its mistakes are.

    Args:
        predicted, target: (B, K) outputs; no gradient flows into `target`.
        labels: (B, …).
    """
    return (problem.loss(predicted, labels) - problem.loss(target.detach(), labels)).square()


def output_matching(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of outputs at the same places (eq. 2)."""
    return F.mse_loss(predicted, target.detach())


def blended(a: Tensor, b: Tensor, gamma: Tensor, *, width: float) -> Tensor:
    """Blend two signed distances: one shape fades while the other appears.

    -w log((1 - gamma) exp(-a / w) + gamma exp(-b / w)): what is mixed is the heat that has come from the surfaces,
    whose logarithm is the distance (Varadhan, 1967), not the distances, whose mean has no thin parts left.

    Args:
        a, b: of any one shape; gamma: 0 to 1, broadcast with them.
        width: w > 0, how far parts of one shape alone have shrunk where they are about to go.
    """
    return -width * torch.logaddexp((1 - gamma).log() - a / width, gamma.log() - b / width)
