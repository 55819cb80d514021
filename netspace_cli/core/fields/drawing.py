"""Pictures of shapes, and of pictures, in rows."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netspace_cli.core.figures import COLOURS, write_figure

from .frames import Frame

if TYPE_CHECKING:
    import trimesh

# How much of the box is drawn, from its middle; shapes seldom reach its sides.
SEEN = 0.85
# Characters of a title's line.
TITLE = 22


def draw_surfaces(
    path: Path, rows: Sequence[tuple[str, Sequence[tuple[str, trimesh.Trimesh | None]]]], *, force: bool = False
) -> None:
    """Pictures of shapes in rows, each under its title; a shape without a surface keeps its place.

    Args:
        rows: (name, [(title, surface)]), all of one length.
    """
    from matplotlib.figure import Figure

    columns = max(len(shapes) for _, shapes in rows)
    figure = Figure(figsize=(1.9 * columns, 2.1 * len(rows)), layout="constrained")
    for y, (name, shapes) in enumerate(rows):
        for x, (title, surface) in enumerate(shapes):
            axes: Any = figure.add_subplot(len(rows), columns, y * columns + x + 1, projection="3d")
            axes.set_axis_off()
            axes.set_title(textwrap.fill(title, TITLE), fontsize=7)
            if x == 0 and len(rows) > 1:
                axes.text2D(-0.05, 0.5, name, transform=axes.transAxes, rotation=90, va="center", fontsize=8)
            if surface is None:
                axes.text2D(0.5, 0.5, "no surface", transform=axes.transAxes, ha="center", fontsize=8, color="#8a8a8a")
                continue
            axes.plot_trisurf(
                *surface.vertices.T,
                triangles=surface.faces,
                color=COLOURS[4],
                linewidth=0,
                antialiased=False,
                shade=True,
            )
            axes.set(xlim=(-SEEN, SEEN), ylim=(-SEEN, SEEN), zlim=(-SEEN, SEEN))
            axes.set_box_aspect((1, 1, 1), zoom=1.3)
            axes.view_init(elev=20, azim=-60)
    write_figure(figure, path, force=force)


def draw_frames(
    path: Path, rows: Sequence[tuple[str, Sequence[tuple[str, Frame | None]]]], *, force: bool = False
) -> None:
    """Pictures in rows, each under its title; one that is missing keeps its place.

    Args:
        rows: (name, [(title, picture)]), all of one length.
    """
    from matplotlib.figure import Figure

    columns = max(len(frames) for _, frames in rows)
    figure = Figure(figsize=(1.9 * columns, 2.1 * len(rows)), layout="constrained")
    for y, (name, frames) in enumerate(rows):
        for x, (title, frame) in enumerate(frames):
            axes: Any = figure.add_subplot(len(rows), columns, y * columns + x + 1)
            axes.set(xticks=[], yticks=[])
            axes.set_title(textwrap.fill(title, TITLE), fontsize=7)
            if x == 0 and len(rows) > 1:
                axes.set_ylabel(name, fontsize=8)
            if frame is None:
                axes.set_frame_on(False)
                axes.text(0.5, 0.5, "no picture", ha="center", fontsize=8, color="#8a8a8a")
            else:
                axes.imshow(frame.pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    write_figure(figure, path, force=force)
