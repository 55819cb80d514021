"""Views of neural fields: how near predicted values are to their targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer, percent

from .classifiers import ClassifierView

if TYPE_CHECKING:
    from netspace_cli.core.kinds.fields import FieldEvaluation
    from netspace_cli.core.paths.walks import Walks
    from netspace_cli.core.zoos.zoo import Instance

# How predicted instances compare with their targets.
FIDELITY = (
    ("within", Column("within .01", percent)),
    ("iou", Column("IoU", decimal)),
    ("error", Column("error", decimal)),
)
MEASURES = (
    *FIDELITY,
    ("nearest_iou", Column("nearest IoU", decimal)),
)
# What a fit of a network to a shape or a picture comes to.
FIT_COLUMNS = (Column("within .01", percent), Column("error", decimal))

# Solids that overlap less are not the same shape to anybody who looks.
POOR = 0.5


class FieldView:
    """Columns and tables of fields."""

    fidelity: Sequence[tuple[str, Column]] = FIDELITY
    score = Column("within .01", percent)
    instance: Sequence[str | Column] = FIT_COLUMNS
    decoded: Sequence[tuple[str, Column]] = ()

    def instance_row(self, instance: Instance) -> Sequence[object]:
        """How well the network was fitted."""
        return (instance.accuracy.get("test"), instance.training.get("error"))

    def note_fidelity(self, console: Console, row: Mapping[str, Any]) -> None:
        """Warn when a network has no surface or decodes to a different shape."""
        inside, iou = row.get("inside"), row.get("iou")
        if inside in (0, 1):
            side = "inside" if inside else "outside"
            console.note(
                f"{row['path']}: the whole box is {side}: this network has no surface, so its embedding is of no use."
            )
        elif iou is not None and iou < POOR:
            console.note(
                f"{row['path']}: its embedding decodes to a different shape (IoU {iou:.2f}): the space was not "
                "trained on such shapes. More --refine steps may help."
            )

    def show_evaluation(self, console: Console, title: str, found: Mapping[str, FieldEvaluation]) -> None:
        """Show every instance, then the means."""
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
        console.note(
            '"nearest IoU" is the IoU of the target with the nearest training instance, which a space must beat.'
        )

    def show_path(self, console: Console, found: Walks) -> None:
        """Show the architecture at each step: these fields cannot be drawn."""
        ClassifierView().show_path(console, found)


def _measures(values: Mapping[str, Any]) -> list[Any]:
    return [values[name] for name, _ in MEASURES]
