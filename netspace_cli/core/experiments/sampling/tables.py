"""Tables of the experiment on samples, and its four criteria, from finished runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from netspace_cli.core.experiments.report import Column, Kind, Table

from .runs import Run

# What samples may lack to training instances, and still pass.
MEMBERS, ENSEMBLE, OVERLAP, SPREAD = 0.005, 0.003, 0.05, (0.8, 1.2)
MEANS = ("members", "ensemble", "agreement", "overlap", "distance", "spread", "apart")


@dataclass(frozen=True)
class Group:
    """All draws of a method in a space.

    Attributes:
        space: its name; "" of what knows no space.
        name: of the method.
        runs: those that were finished; errors: what the others met.
    """

    space: str
    name: str
    runs: tuple[Run, ...]
    errors: tuple[str, ...] = ()

    def values(self, of: str) -> list[float]:
        """One column of the audit, one value per draw."""
        found = (run["row"].get(of) for run in self.runs)  # runs of before may lack a column
        return [value for value in found if value is not None]

    def mean(self, of: str) -> float | None:
        """Mean over draws; None if no draw has a value."""
        found = self.values(of)
        return mean(found) if found else None

    def deviation(self, of: str) -> float | None:
        """Standard deviation over draws; None for a single one."""
        found = self.values(of)
        return stdev(found) if len(found) > 1 else None


@dataclass(frozen=True)
class Criteria:
    """Differences between samples and training instances, by the mean over draws.

    Attributes:
        members: mean accuracy, less that of all instances learnt from.
        ensemble: its accuracy, less that of as many top training instances.
        overlap: of errors with the nearest training instance, less that between training instances.
        spread: of the embeddings; None where it is not known.
    """

    members: float
    ensemble: float
    overlap: float
    spread: float | None

    def passed(self) -> dict[str, bool]:
        """Whether each criterion is passed, by name."""
        return {
            "members": self.members >= -MEMBERS,
            "ensemble": self.ensemble >= -ENSEMBLE,
            "overlap": self.overlap <= OVERLAP,
            "spread": self.spread is not None and SPREAD[0] <= self.spread <= SPREAD[1],
        }


def grouped(space: str, runs: Sequence[Run]) -> list[Group]:
    """Group the draws of each method, in the order of the methods."""
    groups = []
    for name in dict.fromkeys(run["method"] for run in runs):
        own = [run for run in runs if run["method"] == name]
        done = tuple(run for run in own if "row" in run)
        groups.append(Group(space, name, done, tuple(run["error"] for run in own if "error" in run)))
    return groups


def criteria_of(group: Group, top: Group, learnt_from: Group) -> Criteria | None:
    """Compare a method's samples with the top training instances and with all that it learnt from.

    Returns:
        None where no draw was finished.
    """
    if not group.runs:
        return None

    def apart(of: str, other: Group) -> float:
        return mean(group.values(of)) - mean(other.values(of))

    return Criteria(
        apart("members", learnt_from), apart("ensemble", top), apart("overlap", learnt_from), group.mean("spread")
    )


def sampling_table(groups: Sequence[Group]) -> Table:
    """One row per method and space; training instances and rivals first."""
    columns = [Column("space"), Column("networks"), Column("draws", "count"), Column("n", "count")]
    for name in MEANS:
        kind: Kind = "share" if name in ("members", "ensemble", "agreement") else "number"
        columns += [Column(name, kind), Column(f"sd of {name}", kind)]
    rows = []
    for g in groups:
        cells = [value for name in MEANS for value in (g.mean(name), g.deviation(name))]
        first: Mapping[str, Any] = g.runs[0]["row"] if g.runs else {}
        rows.append((g.space, g.name, len(g.runs), first.get("networks"), *cells, first.get("images")))
    columns.append(Column("images", "count"))
    return Table("sampling", "On test images: mean and deviation over draws", tuple(columns), tuple(rows))


def criteria_table(groups: Sequence[Group], top: Group, learnt_from: Group) -> Table:
    """One row per method and space: differences to the criteria, and which of them it passes."""
    columns = (
        *(Column("space"), Column("method"), Column("members", "share"), Column("ensemble", "share")),
        *(Column("overlap", "number"), Column("spread", "number"), Column("passed"), Column("all four")),
    )
    rows: list[tuple[Any, ...]] = []
    for group in groups:
        found = criteria_of(group, top, learnt_from)
        if found is None:
            rows.append((group.space, group.name, None, None, None, None, group.errors[0], "no"))
            continue
        passed = [name for name, yes in found.passed().items() if yes]
        values = (found.members, found.ensemble, found.overlap, found.spread)
        answer = "yes" if len(passed) == len(found.passed()) else "no"
        rows.append((group.space, group.name, *values, ", ".join(passed) or "none", answer))
    title = (
        f"Beside training instances: members at least all learnt from less {100 * MEMBERS:g} points, ensemble at least "
        f"that of the top {top.runs[0]['row']['networks']} less {100 * ENSEMBLE:g}, overlap at most theirs and "
        f"{OVERLAP:g} (differences are shown), spread {SPREAD[0]:g} to {SPREAD[1]:g}"
    )
    return Table("criteria", title, columns, tuple(rows))


def reconstruction_table(decoded: Mapping[str, Run], instances: Mapping[str, float | None]) -> Table:
    """One row per space and split: accuracy of decoded embeddings.

    Args:
        decoded: by space; instances: mean test accuracy of the instances themselves, "training" and "unseen".
    """
    columns = (
        *(Column("space"), Column("instances"), Column("n", "count"), Column("instances' accuracy", "share")),
        *(Column("decoded", "share"), Column("sd", "share")),
    )
    rows = tuple(
        (space, which, len(found), instances.get(which), mean(found), stdev(found) if len(found) > 1 else None)
        for space, run in decoded.items()
        for which, found in run["decoded"].items()
    )
    title = "What embeddings decode to, without refining: test accuracy, mean over instances"
    return Table("reconstruction", title, columns, rows)


def points_of(group: Group) -> Iterator[tuple[float, float]]:
    """Novelty (1 less the error overlap with the nearest training instance) and accuracy per network."""
    for run in group.runs:
        for overlap, accuracy in zip(run["overlaps"], run["accuracies"], strict=True):
            yield 1 - overlap, accuracy
