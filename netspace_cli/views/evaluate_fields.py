"""netspace eval, of networks that are signals: its tables and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer, percent

if TYPE_CHECKING:
    from netspace_cli.core.evaluation.evaluate_fields import FieldEvaluation

# How predicted instances compare with their targets.
OF_SIGNALS = (
    ("within", Column("within .01", percent)),
    ("iou", Column("IoU", decimal)),
    ("error", Column("error", decimal)),
)
MEASURES = (
    *OF_SIGNALS,
    ("nearest_iou", Column("nearest IoU", decimal)),
)


# Solids that overlap less are not the same shape to anybody who looks.
POOR = 0.5


def note_poor(console: Console, row: Mapping[str, Any]) -> None:
    """Tell of a network that was encoded in vain: it is no shape, or decodes to another.

    Args:
        row: its `path`, and its `FieldFidelity` as a mapping; anything else is left alone.
    """
    inside, iou = row.get("inside"), row.get("iou")
    if inside in (0, 1):
        side = "inside" if inside else "outside"
        console.note(f"{row['path']}: all of the box is {side}, so this network is no shape, nor is its embedding.")
    elif iou is not None and iou < POOR:
        console.note(
            f"{row['path']}: what its embedding decodes to overlaps with it by {iou:.2f} (IoU) only: the space does "
            "not know such shapes. More steps of --refine may bring it nearer."
        )


def compare(*given: Any, **wanted: Any) -> FieldEvaluation:
    """`core.evaluation.evaluate_fields`."""
    from netspace_cli.core.evaluation.evaluate_fields import evaluate_fields

    return evaluate_fields(*given, **wanted)


def numbers(found: FieldEvaluation) -> dict[str, Any]:
    """Instances and their summary."""
    return {"instances": found.instances, "summary": found.summary()}


def show(console: Console, title: str, found: Mapping[str, FieldEvaluation]) -> None:
    """Every instance, then the means."""
    columns = [column for _, column in MEASURES]
    console.table(
        title,
        ["id", "how", "arch", "seen", *columns],
        [
            (e.id, how, e.arch, None if e.seen is None else "yes" if e.seen else "no", *_measures(vars(e)))
            for how, each in found.items()
            for e in each.instances
        ],
    )
    summaries = {how: each.summary() for how, each in found.items()}
    console.table(
        "means",
        ["how", Column("n", integer), Column("seen", integer), *columns],
        [(how, s["n"], s["seen"], *_measures(s)) for how, s in summaries.items()],
    )
    console.note('"nearest IoU" is that of the target with the nearest training instance: what a space must beat.')


def _measures(values: Mapping[str, Any]) -> list[Any]:
    return [values[name] for name, _ in MEASURES]
