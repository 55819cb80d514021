"""Objectives of a training step: eq. 1 for one architecture, eq. 3-12 for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..architectures import Architecture
from ..space_model import SpaceModel
from .losses import answer_matching, blended, distillation, level_matching, output_matching, task_and_teacher
from .unfolded import UnfoldedStarts

# Of blended distances, in units of the half box: halfway, parts of one shape alone are thinner by 0.01.
BLEND_WIDTH = 0.015
# Of the distillation of instances' own answers.
OWN_TEMPERATURE = 1.0

LevelLoss = Literal["matched", "labels"]


@dataclass(frozen=True)
class LossConstants:
    """Constants of the losses.

    Temperature T; alpha of eq. 5; weight of the interpolation term; for several architectures, the weight of each
    instance's own answers beside the teacher's (0 as published); weight and kind of the loss of networks decoded from
    further starting points.
    """

    temperature: float = 4.0
    alpha: float = 0.9
    interpolation: float = 1.0
    self_imitation: float = 0.0
    level: float = 1.0
    level_loss: LevelLoss = "matched"


@dataclass(frozen=True)
class Batch:
    """Inputs of one step.

    Attributes:
        inputs: (N, C, S, S) images, (N, D) points, or each instance's own points (B, N, D).
        labels: (N,) of images; teacher: (N, K) logits, if there is one.
        gammas: (B,) where the path from each instance to the next one is looked at, for networks that are
            neural fields; None for nowhere.
        distances: whether these are signed distances, which are blended, not averaged.
        starts: by architecture, for each instance the further starting point that it is decoded from as well; without
            architectures that have one starting point.
        unfolded: by architecture, further starting points that learn with their batch norms in place; without
            architectures that have none.
    """

    inputs: Tensor
    labels: Tensor | None = None
    teacher: Tensor | None = None
    gammas: Tensor | None = None
    distances: bool = False
    starts: Mapping[str, Sequence[int]] = field(default_factory=dict)
    unfolded: Mapping[str, UnfoldedStarts] = field(default_factory=dict)


Terms = dict[str, Tensor]


def single_objective(
    model: SpaceModel, arch: str, inputs: Tensor, targets: Tensor, batch: Batch, constants: LossConstants
) -> Terms:
    """Predicted instances imitate their own targets (eq. 1, 2), mean over instances.

    For neural fields, decoded mid-points of two instances also imitate the blend of both.

    Args:
        inputs: (B, P) parameters as the encoder sees them (perhaps with hidden units reordered).
        targets: (B, P) parameters of the same networks, run to get the target logits.
    Returns:
        {"pred": the loss, "interp": of paths, where they are looked at, "level": of further starting points, mean
        over instances, where there are some}.
    """
    embeddings = model.encode(arch, inputs)
    return imitation_terms(model, arch, embeddings, model.decode(arch, embeddings), targets, batch, constants)


def imitation_terms(
    model: SpaceModel,
    arch: str,
    embeddings: Tensor,
    predicted: Tensor,
    targets: Tensor,
    batch: Batch,
    constants: LossConstants,
) -> Terms:
    """`single_objective` of embeddings (B, E) and decoded weights (B, P)."""
    architecture = model.architecture(arch)
    losses = imitation(architecture, predicted, targets, batch.inputs, temperature=constants.temperature)
    terms = {"pred": losses.mean()}
    if batch.gammas is not None and constants.interpolation > 0:
        gammas = batch.gammas[:, None]
        between = model.decode(arch, torch.lerp(embeddings, embeddings.roll(-1, 0), gammas))
        terms["interp"] = constants.interpolation * _blend_loss(architecture, between, targets, batch)
    if batch.starts and constants.level > 0:
        terms["level"] = constants.level * level_losses(model, arch, embeddings, targets, batch, constants).mean()
    return terms


def level_losses(
    model: SpaceModel, arch: str, embeddings: Tensor, targets: Tensor, batch: Batch, constants: LossConstants
) -> Tensor:
    """Losses of networks that are decoded from a further starting point each and should be as good as their targets.

    Only the level counts: networks that imitated their targets from every starting point would all make
    the same mistakes.

    Args:
        embeddings: (B, E); targets: (B, P) parameters of the networks that they are of.
        batch: images, labels, and the starting points.
    Returns:
        (B,).
    """
    assert batch.labels is not None  # fields have one starting point
    architecture, losses = model.architecture(arch), []
    for embedding, target, start in zip(embeddings, targets, batch.starts[arch], strict=True):
        logits = _from_start(model, arch, embedding, start, batch)
        if constants.level_loss == "labels":
            losses.append(architecture.io.problem.loss(logits, batch.labels))
        else:
            with torch.no_grad():
                wanted = architecture.run(target, batch.inputs)
            losses.append(level_matching(logits, wanted, batch.labels, architecture.io.problem))
    return torch.stack(losses)


def _from_start(model: SpaceModel, arch: str, embedding: Tensor, start: int, batch: Batch) -> Tensor:
    """(N, K) what the network says that an embedding (E,) decodes to from a further starting point."""
    weights = model.decode(arch, embedding[None], start)[0]
    if arch not in batch.unfolded:
        return model.architecture(arch).run(weights, batch.inputs)
    change = weights - model.backbone.further_weights(arch, [start])[0]
    return batch.unfolded[arch].run(start, change, batch.inputs)


def _blend_loss(architecture: Architecture, between: Tensor, targets: Tensor, batch: Batch) -> Tensor:
    """Loss of networks (B, P), each between a target and the next one at its gamma, against the blend of both."""
    assert batch.gammas is not None
    points, gammas = batch.inputs, batch.gammas[:, None, None]
    if points.dim() == 3:
        points = torch.cat([points[:, ::2], points.roll(-1, 0)[:, 1::2]], dim=1)
    with torch.no_grad():
        one, other = (architecture.run_each(t, points) for t in (targets, targets.roll(-1, 0)))
        blend = blended(one, other, gammas, width=BLEND_WIDTH) if batch.distances else torch.lerp(one, other, gammas)
    return output_matching(architecture.run_each(between, points), blend)


def imitation(
    architecture: Architecture, predicted: Tensor, targets: Tensor, inputs: Tensor, *, temperature: float
) -> Tensor:
    """Loss of each predicted instance against its target, both (B, P).

    Eq. 1 for classifiers; eq. 2 for neural fields, whose outputs have no temperature.

    Args:
        inputs: (N, *io.input_shape) for all of them, or for neural fields (B, N, D), each instance's own.
    Returns:
        (B,).
    """
    logits = architecture.io.logits
    run = architecture.run_several if logits else architecture.run_each
    with torch.no_grad():
        outputs = run(targets, inputs)
    answers = run(predicted, inputs)
    if not logits:
        return torch.stack([output_matching(p, t) for p, t in zip(answers, outputs, strict=True)])
    return distillation(answers, outputs, temperature=temperature)


def several_objective(
    model: SpaceModel,
    inputs: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    batch: Batch,
    constants: LossConstants,
) -> Terms:
    """Teacher, labels and ClassId for each instance, and along boundary pairs (eq. 3-12).

    Sums over instances and over pairs, as published. Instances are decoded as the architecture they are;
    the published code takes the classifier's word, which is the same once it is trained. A teacher makes all
    instances of an architecture alike; with `constants.self_imitation` each also imitates itself (eq. 1).

    Args:
        inputs: by architecture, (B_a, P_a) parameters as the encoder sees them.
        targets: parameters of the same networks, for their own answers.
    Returns:
        {"kd": eq. 5 summed, "class": eq. 6 summed, "own": eq. 1 summed, if it has a weight, "level": of further
        starting points summed, where there are some, "interp": eq. 11 summed over pairs and gammas}.
    """
    embeddings = {arch: model.encode(arch, weights) for arch, weights in inputs.items()}
    interpolated = constants.interpolation > 0 and len(model.architectures) > 2
    between = _between(model, embeddings) if interpolated else {}
    kd, ids, own, interp = [], [], [], []
    # All that an architecture's weights are needed for is decoded at once.
    for arch in dict.fromkeys([*embeddings, *between]):
        here, there = embeddings.get(arch), between.get(arch)
        together = torch.cat([part for part in (here, there) if part is not None])
        logits = _decoded_logits(model, arch, together, batch)
        count, architecture = 0 if here is None else len(here), model.architecture(arch)
        if here is not None:
            kd.append(_guided(logits[:count], batch, constants, architecture))
            ids.append(class_loss(model, here, model.class_id(arch)))
            if constants.self_imitation > 0:
                own.append(_imitated(logits[:count], architecture, targets[arch], batch))
        if there is not None:
            interp.append(class_loss(model, there, model.class_id(arch)))
            interp.append(_guided(logits[count:], batch, constants, architecture))
    terms = {"kd": torch.stack(kd).sum(), "class": torch.stack(ids).sum()}
    if own:
        terms["own"] = constants.self_imitation * torch.stack(own).sum()
    if batch.starts and constants.level > 0:
        levels = [
            level_losses(model, arch, e, targets[arch], batch, constants)
            for arch, e in embeddings.items()
            if arch in batch.starts
        ]
        terms["level"] = constants.level * torch.cat(levels).sum()
    if interpolated:
        total = torch.stack(interp).sum() if interp else torch.zeros((), device=batch.inputs.device)
        terms["interp"] = constants.interpolation * total
    return terms


def _between(model: SpaceModel, embeddings: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Embeddings between each of the smallest and each of the largest architecture, by architecture (eq. 7-12).

    At gamma = i / (A - 1), an instance of the architecture with ClassId i is expected.
    """
    names = [a.name for a in model.architectures]
    smallest, largest = embeddings.get(names[0]), embeddings.get(names[-1])
    if smallest is None or largest is None:
        return {}
    gammas = {names[i]: i / (len(names) - 1) for i in range(1, len(names) - 1)}
    return {name: ((1 - gamma) * smallest[:, None] + gamma * largest).flatten(0, 1) for name, gamma in gammas.items()}


def _decoded_logits(model: SpaceModel, arch: str, embeddings: Tensor, batch: Batch) -> Tensor:
    """(B, N, K) logits of the networks that embeddings (B, E) decode to."""
    return model.architecture(arch).run_several(model.decode(arch, embeddings), batch.inputs)


def _guided(logits: Tensor, batch: Batch, constants: LossConstants, architecture: Architecture) -> Tensor:
    """Loss of networks (B, N, K) towards teacher and labels (eq. 5), summed over them."""
    assert batch.labels is not None  # several architectures are trained on labelled inputs alone
    count = len(logits)
    mean = task_and_teacher(
        logits.flatten(0, 1),
        None if batch.teacher is None else batch.teacher.repeat(count, 1),
        torch.cat([batch.labels] * count),
        temperature=constants.temperature,
        alpha=constants.alpha,
        problem=architecture.io.problem,
    )
    return count * mean


def _imitated(logits: Tensor, architecture: Architecture, targets: Tensor, batch: Batch) -> Tensor:
    """Eq. 1 at a temperature where the answers matter, not how unlikely the other classes are, summed over networks.

    Args:
        logits: (B, N, K); targets: (B, P).
    """
    with torch.no_grad():
        own_logits = architecture.run_several(targets, batch.inputs).flatten(0, 1)
    return len(logits) * answer_matching(
        logits.flatten(0, 1), own_logits, architecture.io.problem, temperature=OWN_TEMPERATURE
    )


def class_loss(model: SpaceModel, embeddings: Tensor, class_id: int) -> Tensor:
    """ClassId loss (eq. 6), summed over embeddings (B, E) of one architecture."""
    labels = torch.full((len(embeddings),), class_id, device=embeddings.device)
    return F.cross_entropy(model.classify(embeddings), labels, reduction="sum")
