"""Views of shapes: volumes, pieces and overlaps along a path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer, percent

from .fields import FieldView

if TYPE_CHECKING:
    from netspace_cli.core.paths.walks import Walks

# Steps that overlap less with the one before are leaps, not steps.
JUMP = 0.6


class ShapeView(FieldView):
    """Columns and tables of shapes."""

    def show_path(self, console: Console, found: Walks) -> None:
        """Show volumes, pieces and overlaps of each step of each path."""
        columns = [
            Column("volume", percent),
            Column("pieces", integer),
            Column("in the largest", percent),
            Column("IoU with the step before", decimal),
        ]
        show_paths(console, "from one shape to the other", columns, found.seen)


def note_jumps(console: Console, path: Sequence[Any], *, bent: bool) -> None:
    """Note large changes along a path, and how to avoid them."""
    least = min((step.iou for step in path if step.iou is not None), default=1.0)
    if least < JUMP:
        advice = "give more --steps" if bent else "leave out --straight to solve for an evenly changing path"
        console.note(f"Some steps overlap with the step before by only {least:.2f} (IoU): {advice}.")


def show_paths(console: Console, title: str, columns: Sequence[Column], paths: Mapping[str, Sequence[Any]]) -> None:
    """Show a row per step, with its scores under these columns."""
    console.table(
        title,
        ["path", "step", Column("gamma", decimal), "arch", *columns],
        [
            (name, *(row[k] for k in ("step", "gamma", "arch")), *(row.get(k) for k in step.scores))
            for name, walk in paths.items()
            for step, row in ((step, step.row()) for step in walk)
        ],
    )
    for name, walk in paths.items():
        for step in walk:
            if step.error:
                console.note(f"{name}, step {step.step.step}: {step.error}.")
