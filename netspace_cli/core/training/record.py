"""The record of a trained space."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from netspace_cli.core.runtime.provenance import provenance
from netspace_cli.core.zoos.zoo import Instance, Zoo

from .extension import extended_record
from .step import Task, TrainState


def record_of(task: Task, state: TrainState, zoo: Zoo) -> dict[str, Any]:
    """Make the record of a space: its origin, its settings and its result."""
    rows = [i for key in task.training.rows() for i in task.training.instances[key]]
    record = {
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
    return record if task.extension is None else extended_record(record, task.extension)


def _teacher(task: Task) -> dict[str, Any] | None:
    """Architecture and digest of the teacher, and of those that teach together with it."""
    if not task.teachers:
        return None
    first, *others = ({"arch": t.architecture.name, "sha256": t.sha256} for t in task.teachers)
    return {**first, "beside": others} if others else {**first}


def _row(i: Instance) -> dict[str, Any]:
    return {"id": i.id, "arch": i.arch, "split": i.split, "sha256": i.sha256, "accuracy": i.accuracy}
