"""Tables of the experiment on merging, from finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

from netspace_cli.core.experiments.report import Column, Table
from netspace_cli.core.merging.merge import gain_kept
from netspace_cli.core.merging.plan import BEST_MEMBER, ENSEMBLE

from .runs import Run

BEST, WRITTEN = "best", "written"
# A gain on test images that is of few of them.
LITTLE = 0.01


def share_of(run: Run, way: str) -> float | None:
    """How much of what the ensemble gains over the best member a way keeps; None where there is nothing to gain."""
    ways = run["ways"]
    ensemble, own = (ways.get(name, {}).get("test") for name in (ENSEMBLE, run[WRITTEN] if way == WRITTEN else way))
    return gain_kept(_best_of(run).get("test"), ensemble, own)


def remarks_on(runs: Sequence[Run]) -> list[str]:
    """What to know of gains kept: where there is little to gain, and where labels decide what a gain is."""
    gains = [run["ways"][ENSEMBLE]["test"] - _best_of(run)["test"] for run in runs]
    nothing, little = sum(gain <= 0 for gain in gains), sum(0 < gain < LITTLE for gain in gains)
    found = []
    if nothing:
        found.append(f"In {nothing} of {len(runs)} merges the ensemble gains nothing; they have no gain kept.")
    if little:
        found.append(
            f"In {little} of {len(runs)} merges the ensemble gains less than {100 * LITTLE:g} %: what is kept of so "
            "little hangs on single images."
        )
    return found + _of_labels(runs)


def _of_labels(runs: Sequence[Run]) -> list[str]:
    """Whether draws are measured by another best member with labels than without."""
    best: dict[bool, dict[int, float | None]] = {True: {}, False: {}}
    for run in runs:
        best[run["labels"]][run["draw"]] = _best_of(run).get("test")
    both = best[True].keys() & best[False].keys()
    others = sum(best[True][draw] != best[False][draw] for draw in both)
    return [
        f"In {others} of {len(both)} draws the best member with labels is another one than without, where it is the "
        "one that agrees most with all together: compare accuracies between the two, not gains kept."
    ] * (others > 0)


def _best_of(run: Run) -> dict[str, Any]:
    """The scores of the best member."""
    ways: dict[str, dict[str, Any]] = run["ways"]
    return ways.get(BEST) or ways.get(BEST_MEMBER) or {}


def ways_of(runs: Sequence[Run]) -> list[str]:
    """The ways that some run has, in their order, and what was written."""
    return [*dict.fromkeys(name for run in runs for name in run["ways"]), WRITTEN]


def merging_table(runs: Sequence[Run]) -> Table:
    """One row per way, with labels and without."""
    columns = (
        *(Column("labels"), Column("way"), Column("draws", "count"), Column("images", "count")),
        *(Column("test", "share"), Column("sd of test", "share"), Column("gaining", "count")),
        *(Column("gain kept", "share"), Column("sd of gain kept", "share")),
        *(Column("written", "count"), Column("seconds", "number")),
    )
    rows = []
    for labels in dict.fromkeys(run["labels"] for run in runs):
        own = [run for run in runs if run["labels"] == labels]
        for way in ways_of(own):
            found = [
                run["ways"][run[WRITTEN] if way == WRITTEN else way] for run in own if way in (*run["ways"], WRITTEN)
            ]
            tests = [each["test"] for each in found]
            shares = [share for run in own if (share := share_of(run, way)) is not None]
            rows.append(
                (
                    *("yes" if labels else "no", way, len(found), round(mean(each["images"] for each in found))),
                    *_mean_and_deviation(tests),
                    len(shares),
                    *_mean_and_deviation(shares),
                    sum(run[WRITTEN] == way for run in own) if way != WRITTEN else len(own),
                    mean(each["seconds"] for each in found),
                )
            )
    title = (
        "On test images, mean and deviation over draws; gain kept: of what the ensemble gains over the best member, in "
        "the draws (gaining) where it gains"
    )
    return Table("merging", title, columns, tuple(rows))


def _mean_and_deviation(values: Sequence[float]) -> tuple[float | None, float | None]:
    return (mean(values) if values else None, stdev(values) if len(values) > 1 else None)
