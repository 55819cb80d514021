"""netspace eval, of networks that are signals: its tables and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from netspace_cli.console import Column, Console, decimal, integer, percent

if TYPE_CHECKING:
    from netspace_cli.core.fields.evaluate import FieldEvaluation

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


def compare(*given: Any, **wanted: Any) -> FieldEvaluation:
    """`core.fields.evaluate.evaluate_fields`."""
    from netspace_cli.core.fields.evaluate import evaluate_fields

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
