"""Target against predicted networks that are signals, instance by instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from netspace_cli.core.data.points import FieldData
from netspace_cli.core.encoding.decode import decode_row
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes.values import iou, likeness, scoring_points, values_of
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo

from .evaluate_classifiers import files_seen, read_targets
from .same_data import check_zoo_images


@dataclass(frozen=True)
class EvaluatedField:
    """One instance of a zoo beside what its embedding decodes to, at the centres of a grid's cells.

    Attributes:
        id, arch: of the instance.
        within: share of values that differ by less than 0.01.
        iou: intersection over union of the solids; None where neither has an inside.
        error: mean absolute difference.
        nearest_iou: the highest IoU of the target with a training instance: what a space must beat.
        seen: as of `Evaluated`.
    """

    id: str
    arch: str
    within: float
    iou: float | None
    error: float
    nearest_iou: float | None
    seen: bool | None = None


@dataclass(frozen=True)
class FieldEvaluation:
    """All instances, and in short."""

    instances: tuple[EvaluatedField, ...]

    def summary(self) -> dict[str, Any]:
        """Number, number seen (None where the space does not record it), and means; None of no instance."""
        rows = self.instances
        return {
            "n": len(rows),
            "seen": None if any(e.seen is None for e in rows) else sum(bool(e.seen) for e in rows),
            **{name: _mean([getattr(e, name) for e in rows]) for name in ("within", "iou", "error", "nearest_iou")},
        }


def evaluate_fields(
    zoo: Zoo,
    space: Space,
    data: FieldData,
    runner: Runner,
    *,
    split: str = "test",
    refine_steps: int = 0,
) -> FieldEvaluation:
    """Encode every instance of a split, decode it, and compare both on a grid.

    Args:
        split, refine_steps: as in `evaluate`.
    Raises:
        ConfigError: the zoo has no instances of the split.
        WrongSpace: the zoo is of other signals than the space, or has an architecture that the space lacks.
    """
    check_zoo_images(zoo, space)
    space, data = runner.place(space), runner.place(data)
    points, seen = scoring_points(data), files_seen(space)
    known = _training_values(zoo, points, runner) if split != "train" else []
    rows: list[EvaluatedField] = []
    for chosen, networks in read_targets(zoo, split):
        architecture = networks[0].architecture
        vectors = encode(networks, space, runner, data=data, refine_steps=refine_steps).vectors
        with runner.progress(f"scoring {architecture.name}", len(chosen)) as tick:
            for instance, network, embedding in zip(chosen, networks, runner.place(vectors), strict=True):
                target = values_of(architecture, runner.place(network.vector), points, runner)
                built = decode_row(embedding, space, arch=architecture.name)
                predicted = values_of(architecture, built.vector, points, runner)
                rows.append(
                    EvaluatedField(
                        instance.id,
                        architecture.name,
                        *likeness(target, predicted, data),
                        _nearest(target, known) if data.has_surface else None,
                        None if seen is None else instance.sha256 in seen,
                    )
                )
                tick(1)
    return FieldEvaluation(tuple(rows))


def _training_values(zoo: Zoo, points: Tensor, runner: Runner) -> list[Tensor]:
    """Of every training instance its values at the points, in half precision: there may be hundreds."""
    found = []
    for architecture in zoo.architectures():
        for instance in zoo.select(split="train", arch=architecture.name):
            vector = runner.place(zoo.network(instance, architecture).vector)
            found.append(values_of(architecture, vector, points, runner).to(torch.float16))
    return found


def _nearest(target: Tensor, known: Sequence[Tensor]) -> float | None:
    found = [score for score in (iou(target, values) for values in known) if score is not None]
    return max(found, default=None)


def _mean(values: Sequence[float | None]) -> float | None:
    present = [v for v in values if v is not None]
    return float(np.mean(present)) if present else None
