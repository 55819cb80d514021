"""netspace interp, of networks that are shapes or pictures: their rows, tables and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer, percent

if TYPE_CHECKING:
    from netspace_models.architectures import Signal

    from netspace_cli.core.paths.path import Step
    from netspace_cli.core.paths.path_pictures import FrameStep
    from netspace_cli.core.paths.path_solids import SolidStep
    from netspace_cli.core.runtime.runner import Runner

# Steps that overlap less with the one before are leaps, not steps.
JUMP = 0.6


class Sight(Protocol):
    """How signals of a kind are looked at along a path and the walks beside it."""

    def check_drawing(self) -> None:
        """Raises ConfigError where something is not installed that drawing needs."""
        ...

    def look(self, path: Sequence[Step], name: str, runner: Runner) -> Sequence[Any]:
        """What stands at each step of the path of that name."""
        ...

    def show(self, console: Console, walks: Mapping[str, Sequence[Any]]) -> None:
        """A row for each step of each walk."""
        ...

    def draw(self, path: Path, walks: Mapping[str, Sequence[Any]], *, force: bool) -> None:
        """The path in a row, and beneath it the others."""
        ...


def sight_of(signal: Signal) -> Sight | None:
    """How networks for a signal are looked at; None for classifiers, and for fields that nobody can see."""
    from netspace_cli.core.data.points import SHAPES
    from netspace_cli.core.shapes.rendered_pictures import is_picture

    if signal == SHAPES:
        return ShapeSight()
    return PictureSight() if is_picture(signal) else None


class ShapeSight:
    """Solids on a grid, drawn as surfaces."""

    def check_drawing(self) -> None:
        """Raises ConfigError without the extra `mesh`."""
        from netspace_cli.core.shapes.meshes import check_mesh_extra

        check_mesh_extra()

    def look(self, path: Sequence[Step], name: str, runner: Runner) -> Sequence[SolidStep]:
        """Their solids."""
        from netspace_cli.core.paths.path_solids import solid_steps

        return solid_steps(path, runner, name=name)

    def show(self, console: Console, walks: Mapping[str, Sequence[SolidStep]]) -> None:
        """Volumes, pieces and overlaps."""
        columns = [
            Column("volume", percent),
            Column("pieces", integer),
            Column("in the largest", percent),
            Column("IoU with the step before", decimal),
        ]
        _show(console, "from one shape to the other", columns, walks)

    def draw(self, path: Path, walks: Mapping[str, Sequence[SolidStep]], *, force: bool) -> None:
        """Their surfaces."""
        from netspace_cli.core.shapes.drawing import draw_surfaces
        from netspace_cli.core.shapes.mesh_files import surface_of

        rows = []
        for name, walk in walks.items():
            shapes = [
                (f"{s.step.gamma:.2f}", s.error if s.error or s.solid is None else surface_of(s.solid.coarser(), name))
                for s in walk
            ]
            rows.append((name, shapes))
        draw_surfaces(path, rows, force=force)


class PictureSight:
    """Colours on a grid of pixels."""

    def check_drawing(self) -> None:
        """Nothing beyond what every figure needs."""

    def look(self, path: Sequence[Step], name: str, runner: Runner) -> Sequence[FrameStep]:
        """Their pixels."""
        from netspace_cli.core.paths.path_pictures import frame_steps

        return frame_steps(path, runner, name=name)

    def show(self, console: Console, walks: Mapping[str, Sequence[FrameStep]]) -> None:
        """How much each differs from the step before."""
        _show(console, "from one picture to the other", [Column("change from the step before", percent)], walks)

    def draw(self, path: Path, walks: Mapping[str, Sequence[FrameStep]], *, force: bool) -> None:
        """The pictures themselves."""
        from netspace_cli.core.shapes.drawing import draw_frames

        rows = [(name, [(f"{s.step.gamma:.2f}", s.frame or s.error) for s in walk]) for name, walk in walks.items()]
        draw_frames(path, rows, force=force)


def note_jumps(console: Console, path: Sequence[SolidStep], *, bent: bool) -> None:
    """Tell where a path changes by leaps, and of a straight one that it can be bent."""
    least = min((step.iou for step in path if step.iou is not None), default=1.0)
    if least < JUMP:
        advice = (
            "more --steps are smaller ones" if bent else "without --straight a path is solved for that changes evenly"
        )
        console.note(f"Steps overlap with the one before by as little as {least:.2f} (IoU): {advice}.")


def _show(
    console: Console,
    title: str,
    columns: Sequence[Column],
    walks: Mapping[str, Sequence[SolidStep]] | Mapping[str, Sequence[FrameStep]],
) -> None:
    """A row for each step, its scores under these columns."""
    console.table(
        title,
        ["path", "step", Column("gamma", decimal), "arch", *columns],
        [
            (name, *(row[k] for k in ("step", "gamma", "arch")), *(row.get(k) for k in step.scores))
            for name, walk in walks.items()
            for step, row in ((step, step.row()) for step in walk)
        ],
    )
    for name, walk in walks.items():
        for step in walk:
            if step.error:
                console.note(f"{name}, step {step.step.step}: {step.error}.")
