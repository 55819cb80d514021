"""The table that judges samples: accuracy, ensembles, novelty, spread.

Every row has the same columns, so that samples can be compared with training instances and with plain rivals.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.encoding.inputs import Inputs
from netspace_cli.core.kinds.labelled import require_labelled
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.results import Table, plain
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.workers import Workers, in_order, spread
from netspace_cli.core.spaces.space import Space

from .judge import AuditRow, Judge
from .polish import polish_schedule
from .rivals import Rivals, check_rivals, train_fresh, weight_rivals
from .sample import Samples, sample_from


@dataclass(frozen=True)
class Audit(Table):
    """The audit table.

    Attributes:
        rows: the samples first, then training instances, what their embeddings decode to, and rivals.
        predicted: whether training instances are what stored embeddings decode to, since no zoo was given: their row
            is "predicted instances" then.
        notes: what is missing from the table, and why.
    """

    rows: tuple[AuditRow, ...]
    predicted: bool
    notes: tuple[str, ...] = ()

    def records(self) -> list[dict[str, Any]]:
        """Its rows."""
        return [plain(row) for row in self.rows]


def audit(
    samples: Samples,
    space: Space,
    data: LabelledData,
    runner: Runner,
    *,
    rivals: Rivals = "quick",
    workers: Workers[Inputs] | None = None,
) -> Audit:
    """Compare samples with the training instances that they were learnt from, and with rivals.

    Args:
        samples: their population has weights (`population_of` with a zoo, or `with_predicted`).
        space: that they were drawn from; data: on any device.
        rivals: "quick" for noise copies, aligned mixes and aligned soups; "all" for fresh networks as well, trained on
            as many images as the samples were polished on; "none" for none.
        workers: processes that open this space and these data, and train fresh networks; None for this process alone.
    Raises:
        ConfigError: no such rivals, or a population without weights.
    """
    check_rivals(rivals)
    population = samples.population
    space, data = runner.place(space), runner.place(data)
    judge = Judge(population, space, data, runner)
    steps = max(each.polished for each in samples.samples)
    images = polish_schedule(space, population.architecture.name, steps).images
    rows = [judge.row(samples.method, samples.networks, samples.embeddings, images=steps * images).row]
    rows += [each.row for each in judge.training_rows(len(samples))]
    if not population.predicted:
        rows.append(judge.predicted_row(len(samples)).row)
    for name, method in ({} if rivals == "none" else weight_rivals(population)).items():
        drawn = sample_from(population, space, len(samples), method, runner)
        rows.append(judge.row(name, drawn.networks, images=0).row)
    if rivals != "all":
        return Audit(tuple(rows), population.predicted)
    if not steps:
        note = "Fresh networks are left out: they get as many images as polishing took, which is 0."
        return Audit(tuple(rows), population.predicted, (note,))
    work = partial(_fresh, arch=population.architecture.name, steps=steps, images=images)
    fresh, numbers = [], [each.index for each in samples.samples]
    with (
        runner.progress("training fresh networks", len(samples)) as tick,
        closing(spread(work, numbers, Inputs(space, data), runner, workers)) as outcomes,
    ):
        for weights in in_order(outcomes):
            fresh.append(Network(population.architecture, torch.from_numpy(weights)))
            tick(1)
    return Audit((*rows, judge.row("fresh networks", fresh, images=steps * images).row), population.predicted)


def _fresh(index: int, inputs: Inputs, runner: Runner, *, arch: str, steps: int, images: int) -> np.ndarray:
    """(P,) weights of a new network."""
    assert inputs.data is not None
    data = runner.place(require_labelled(inputs.data))
    return train_fresh(inputs.space.model.architecture(arch), data, runner, index, steps=steps, images=images).numpy()
