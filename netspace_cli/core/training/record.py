"""The record of a trained space, and the embeddings of its zoo."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from netspace_models.space_model import SpaceModel
from torch import Tensor

from netspace_cli.core.runtime.provenance import provenance
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.zoos.zoo import Instance, Zoo

from .step import Task, TrainState
from .training_set import TrainingSet

ENCODED_AT_ONCE = 16


def record_of(task: Task, state: TrainState, zoo: Zoo) -> dict[str, Any]:
    """Make the record of a space: its origin, its settings and its result."""
    rows = [i for key in _rows(task.training) for i in task.training.instances[key]]
    return {
        "name": task.recipe.space.name,
        "architectures": [a.name for a in task.training.architectures],
        "io": asdict(task.data.io),
        "data": task.data.record(),
        "recipe": task.recipe.model_dump(mode="json"),
        "zoo": [_row(i) for i in rows],
        "zoo_licence": zoo.about.get("licence", ""),
        "teacher": _teacher(task),
        "best": {"step": state.best_step, "val_loss": state.best_loss},
        "seed": task.runner.seed,
        **provenance(task.runner),
    }


def _teacher(task: Task) -> dict[str, Any] | None:
    """Architecture and digest of the teacher, and of those that teach together with it."""
    if not task.teachers:
        return None
    first, *others = ({"arch": t.architecture.name, "sha256": t.sha256} for t in task.teachers)
    return {**first, "beside": others} if others else {**first}


def _row(i: Instance) -> dict[str, Any]:
    return {"id": i.id, "arch": i.arch, "split": i.split, "sha256": i.sha256, "accuracy": i.accuracy}


def _rows(training: TrainingSet) -> list[tuple[str, str]]:
    """Splits and architectures in the order of the space's embeddings."""
    return [(s, a.name) for a in training.architectures for s in ("train", "val") if (s, a.name) in training.weights]


def zoo_embeddings(training: TrainingSet, model: SpaceModel, runner: Runner) -> Tensor:
    """(N, E) embeddings of all training and validation instances, in the record's order; `model` is in eval mode."""
    found = []
    rows = [training.weights[key] for key in _rows(training)]
    with runner.progress("encoding the zoo", sum(len(weights) for weights in rows)) as tick, torch.no_grad():
        for (_, arch), weights in zip(_rows(training), rows, strict=True):
            for some in weights.split(ENCODED_AT_ONCE):
                found.append(model.encode(arch, some))
                tick(len(some))
    return torch.cat(found)
