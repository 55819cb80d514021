"""netspace interp, of networks that are shapes: its rows, tables and picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netspace_cli.console import Column, Console, decimal, integer, percent

if TYPE_CHECKING:
    from netspace_cli.core.fields.walk import SolidStep

# Steps that overlap less with the one before are leaps, not steps.
JUMP = 0.6


def show_shapes(console: Console, walks: Mapping[str, Sequence[SolidStep]]) -> None:
    """A row for each step of the path, and of the walks between the weights."""
    from netspace_cli.core.path_files import OF_SHAPES

    console.table(
        "from one shape to the other",
        [
            "path",
            "step",
            Column("gamma", decimal),
            "arch",
            Column("volume", percent),
            Column("pieces", integer),
            Column("in the largest", percent),
            Column("IoU with the step before", decimal),
        ],
        [
            (name, *(row[k] for k in ("step", "gamma", "arch")), *(row.get(k) for k in OF_SHAPES))
            for name, walk in walks.items()
            for row in (step.row() for step in walk)
        ],
    )
    for name, walk in walks.items():
        for step in walk:
            if step.error:
                console.note(f"{name}, step {step.step.step}: {step.error}.")


def note_jumps(console: Console, path: Sequence[SolidStep]) -> None:
    """Point to the bent path where a straight one changes by leaps."""
    least = min((step.iou for step in path if step.iou is not None), default=1.0)
    if least < JUMP:
        console.note(
            f"Steps overlap with the one before by as little as {least:.2f} (IoU): --bend makes a path that changes "
            "evenly."
        )


def draw_shapes(path: Path, walks: Mapping[str, Sequence[SolidStep]], *, force: bool) -> None:
    """The row of shapes, and beneath it those of the walks between the weights."""
    from netspace_cli.core.fields.drawing import draw_surfaces
    from netspace_cli.core.fields.surface import surface_of

    rows = []
    for name, walk in walks.items():
        shapes = [
            (f"{s.step.gamma:.2f}", None if s.error or s.solid is None else surface_of(s.solid, name)) for s in walk
        ]
        rows.append((name, shapes))
    draw_surfaces(path, rows, force=force)
