"""Tables of paths between two networks: in the space, and between weights, raw and aligned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import scipy

from netspace_cli.core.networks.path_step import Step

from .report import Column, Table


def path_table(steps: Sequence[Step], baselines: Mapping[str, Sequence[Step]]) -> Table:
    """One row per step, one column per baseline's accuracy."""
    columns = [Column("step", "count"), Column("gamma", "number"), Column("arch"), Column("space", "share")]
    columns += [Column(name, "share") for name in baselines]
    rows = [
        (s.step, s.gamma, s.network.architecture.name, s.accuracy, *(walk[i].accuracy for walk in baselines.values()))
        for i, s in enumerate(steps)
    ]
    return Table("path", "Accuracy along the path", tuple(columns), tuple(rows))


def order_table(steps: Sequence[Step], baselines: Mapping[str, Sequence[Step]]) -> Table:
    """Summary of a path: rank correlation of gamma and accuracy, lowest and highest accuracy."""
    rows = []
    for name, walk in {"space": steps, **baselines}.items():
        scored = [(s.gamma, s.accuracy) for s in walk if s.accuracy is not None]
        found = [a for _, a in scored]
        rows.append((name, spearman(scored), found[0], min(found), max(found), found[-1]))
    columns = (
        Column("path"),
        Column("Spearman", "number"),
        *(Column(name, "share") for name in ("start", "lowest", "highest", "end")),
    )
    return Table("order", "Order along the path: gamma against accuracy", columns, tuple(rows))


def spearman(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Rank correlation; None for fewer than three pairs, or if one side is constant."""
    sides = [set(side) for side in zip(*pairs, strict=True)]
    if len(pairs) < 3 or min(len(s) for s in sides) < 2:
        return None
    return float(scipy.stats.spearmanr([g for g, _ in pairs], [a for _, a in pairs]).statistic)


def runs(steps: Sequence[Step]) -> list[tuple[str, int, int]]:
    """Architectures that a path passes, as (name, first step, last step); one that returns is listed again."""
    found = []
    for name, group in groupby(steps, key=lambda s: s.network.architecture.name):
        numbers = [s.step for s in group]
        found.append((name, numbers[0], numbers[-1]))
    return found
