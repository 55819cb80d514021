"""Tables of fidelity on held-out instances: encoded, and refined."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.evaluation.evaluate import evaluate
from netspace_cli.core.kinds.images import ImageEvaluation as Evaluation
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo

from .report import Column, Table

# Of `Evaluation.summary`, in the order of the table's columns.
MEASURES = (
    "arch_accuracy",
    "target_accuracy",
    "predicted_accuracy",
    "pearson",
    "mae",
    "agreement",
    "n_paired",
    "agreement_paired",
    "unrelated_agreement",
)


MEASURE_COLUMNS = (
    Column("recognised", "share"),
    Column("target", "share"),
    Column("predicted", "share"),
    Column("Pearson", "number"),
    Column("MAE", "share"),
    Column("agreement", "share"),
    Column("of n with a peer", "count"),
    Column("their agreement", "share"),
    Column("peers' agreement", "share"),
)


@dataclass(frozen=True)
class Measured:
    """An evaluation of the held-out instances, and its cost.

    Attributes:
        evaluation: of the test instances.
        steps: of refining.
        seconds: a network, scoring included.
    """

    evaluation: Evaluation
    steps: int
    seconds: float


def measure(zoo: Zoo, space: Space, data: ImageData, runner: Runner, *, refine_steps: int) -> dict[str, Measured]:
    """Evaluate the test instances, encoded and, with `refine_steps`, refined."""
    found = {}
    for how, steps in (("encoded", 0), ("refined", refine_steps)):
        if how == "refined" and not steps:
            continue
        began = time.perf_counter()
        evaluation = evaluate(zoo, space, data, runner, refine_steps=steps)
        found[how] = Measured(evaluation, steps, (time.perf_counter() - began) / len(evaluation.instances))
    return found


def summary_table(measured: Mapping[str, Measured]) -> Table:
    """One row per architecture and way of embedding."""
    columns = (
        Column("embedding"),
        Column("arch"),
        Column("n", "count"),
        Column("refining steps", "count"),
        Column("seconds a network", "number"),
        *MEASURE_COLUMNS,
    )
    rows = []
    for how, found in measured.items():
        for arch in found.evaluation.architectures():
            s = found.evaluation.summary(arch)
            measures = [s[name] for name in MEASURES]
            rows.append((how, arch, s["n"], found.steps, found.seconds, *measures))
    return Table("fidelity", "Held-out instances: target against predicted", columns, tuple(rows))


def instance_table(measured: Mapping[str, Measured]) -> Table:
    """One row per held-out instance."""
    columns = [Column("id"), Column("arch"), Column("target", "share")]
    for how in measured:
        columns += [Column(f"{how} as"), Column(f"{how}", "share"), Column(f"{how} agreement", "share")]
    columns.append(Column("peers' agreement", "share"))
    rows = []
    for same in zip(*(m.evaluation.instances for m in measured.values()), strict=True):
        cells = [cell for e in same for cell in (e.predicted_arch, e.predicted_accuracy, e.agreement)]
        rows.append((same[0].id, same[0].arch, same[0].target_accuracy, *cells, same[0].unrelated_agreement))
    return Table("instances", "Instance by instance", tuple(columns), tuple(rows))
