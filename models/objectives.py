"""What a step of training minimises: eq. 1 for one architecture, eq. 3-12 for several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .architectures import Architecture, FieldSignal
from .losses import distillation, output_matching, task_and_teacher
from .space_model import SpaceModel


@dataclass(frozen=True)
class Weights:
    """Constants of the losses: temperature T, alpha of eq. 5, weight of the interpolation term."""

    temperature: float = 4.0
    alpha: float = 0.9
    interpolation: float = 1.0


@dataclass(frozen=True)
class Batch:
    """Inputs of one step, (B, C, S, S) images or (B, D) points; of images their labels (B,), and the teacher's
    logits (B, K) if there is one."""

    inputs: Tensor
    labels: Tensor | None = None
    teacher: Tensor | None = None


Terms = dict[str, Tensor]


def single_objective(
    model: SpaceModel, arch: str, inputs: Tensor, targets: Tensor, batch: Batch, weights: Weights
) -> Terms:
    """Eq. 1, 2: predicted instances imitate their own targets, mean over instances.

    Args:
        inputs: (B, P) parameters as the encoder sees them (perhaps with hidden units reordered).
        targets: (B, P) parameters of the same networks, run to get the target logits.
    Returns:
        {"pred": the loss}.
    """
    predicted = model.decode(arch, model.encode(arch, inputs))
    losses = imitation(model.architecture(arch), predicted, targets, batch.inputs, temperature=weights.temperature)
    return {"pred": losses.mean()}


def imitation(
    architecture: Architecture, predicted: Tensor, targets: Tensor, inputs: Tensor, *, temperature: float
) -> Tensor:
    """How far each of several predicted instances (B, P) answers from its target (B, P): eq. 1 for
    classifiers, eq. 2 for networks that are signals, whose outputs have no temperature.

    Args:
        inputs: (N, *signal.input_shape) for all of them, or for signals (B, N, D), each instance's own.
    Returns:
        (B,).
    """
    run = architecture.run_each if isinstance(architecture.signal, FieldSignal) else _one_by_one(architecture)
    with torch.no_grad():
        wanted = run(targets, inputs)
    pairs = zip(run(predicted, inputs), wanted, strict=True)
    if isinstance(architecture.signal, FieldSignal):
        return torch.stack([output_matching(p, t) for p, t in pairs])
    return torch.stack([distillation(p, t, temperature=temperature) for p, t in pairs])


def _one_by_one(architecture: Architecture) -> Callable[[Tensor, Tensor], Tensor]:
    """Convolutions gain nothing by running together."""
    return lambda vectors, inputs: torch.stack([architecture.run(vector, inputs) for vector in vectors])


def several_objective(model: SpaceModel, instances: Mapping[str, Tensor], batch: Batch, weights: Weights) -> Terms:
    """Eq. 3-12: teacher, labels and ClassId for each instance, and the same along boundary pairs.

    Sums over instances and over pairs, as published. Instances are decoded as the architecture they are;
    the published code takes the classifier's word, which is the same once it is trained.

    Args:
        instances: by architecture, (B_a, P_a) parameters as the encoder sees them.
    Returns:
        {"kd": eq. 5 summed, "class": eq. 6 summed, "interp": eq. 11 summed over pairs and gammas}.
    """
    embeddings = {arch: model.encode(arch, vectors) for arch, vectors in instances.items()}
    kd, ids = [], []
    for arch, embedding in embeddings.items():
        kd += [_decoded_loss(model, arch, e, batch, weights) for e in embedding]
        ids.append(class_loss(model, embedding, model.class_id(arch)))
    terms = {"kd": torch.stack(kd).sum(), "class": torch.stack(ids).sum()}
    if weights.interpolation > 0 and len(model.architectures) > 2:
        terms["interp"] = weights.interpolation * _interpolation_loss(model, embeddings, batch, weights)
    return terms


def _interpolation_loss(model: SpaceModel, embeddings: Mapping[str, Tensor], batch: Batch, weights: Weights) -> Tensor:
    """Eq. 7-12: at gamma = i / (A - 1) between one instance of the smallest and one of the largest
    architecture stands an instance of the architecture with ClassId i."""
    names = [a.name for a in model.architectures]
    smallest, largest = embeddings.get(names[0]), embeddings.get(names[-1])
    total = torch.zeros((), device=batch.inputs.device)
    if smallest is None or largest is None:
        return total
    for a in smallest:
        for b in largest:
            for i in range(1, len(names) - 1):
                gamma = i / (len(names) - 1)
                between = (1 - gamma) * a + gamma * b
                total = total + class_loss(model, between[None], i)
                total = total + _decoded_loss(model, names[i], between, batch, weights)
    return total


def _decoded_loss(model: SpaceModel, arch: str, embedding: Tensor, batch: Batch, weights: Weights) -> Tensor:
    vector = model.decode(arch, embedding[None])[0]
    logits = model.architecture(arch).run(vector, batch.inputs)
    assert batch.labels is not None  # several architectures are trained on images alone
    return task_and_teacher(logits, batch.teacher, batch.labels, temperature=weights.temperature, alpha=weights.alpha)


def class_loss(model: SpaceModel, embeddings: Tensor, class_id: int) -> Tensor:
    """Eq. 6, summed over embeddings (B, E) that should stand for the architecture of one ClassId."""
    wanted = torch.full((len(embeddings),), class_id, device=embeddings.device)
    return F.cross_entropy(model.classify(embeddings), wanted, reduction="sum")
