"""Draw shapes and pictures in rows."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from netspace_cli.core.files.figures import COLOURS, write_figure

from .mesh_files import surface_of
from .path_pictures import PictureStep
from .path_solids import SolidStep
from .rendered_pictures import RenderedPicture

if TYPE_CHECKING:
    import trimesh

# How much of the box is drawn, from its middle; shapes seldom reach its sides.
SEEN = 0.85
# Characters of a title's line.
TITLE = 22

T = TypeVar("T")


def draw_surfaces(
    path: Path, rows: Sequence[tuple[str, Sequence[tuple[str, trimesh.Trimesh | str]]]], *, force: bool = False
) -> None:
    """Draw shapes in rows, each under its title; a shape without a surface keeps its place.

    Args:
        rows: (name, [(title, surface or why it is missing)]), all of one length.
    """
    _draw_rows(path, rows, _draw_surface, projection="3d", force=force)


def draw_pictures(
    path: Path, rows: Sequence[tuple[str, Sequence[tuple[str, RenderedPicture | str]]]], *, force: bool = False
) -> None:
    """Draw pictures in rows, each under its title; a missing one keeps its place.

    Args:
        rows: (name, [(title, picture or why it is missing)]), all of one length.
    """
    _draw_rows(path, rows, _draw_frame, projection=None, force=force)


def draw_solid_paths(path: Path, paths: Mapping[str, Sequence[SolidStep]], *, force: bool = False) -> None:
    """Draw the shapes of each path in a row, under the path's name."""
    rows = []
    for name, steps in paths.items():
        shapes = [
            (f"{s.step.gamma:.2f}", s.error if s.error or s.solid is None else surface_of(s.solid.coarser(), name))
            for s in steps
        ]
        rows.append((name, shapes))
    draw_surfaces(path, rows, force=force)


def draw_picture_paths(path: Path, paths: Mapping[str, Sequence[PictureStep]], *, force: bool = False) -> None:
    """Draw the pictures of each path in a row, under the path's name."""
    rows = [(name, [(f"{s.step.gamma:.2f}", s.frame or s.error) for s in steps]) for name, steps in paths.items()]
    draw_pictures(path, rows, force=force)


def _draw_rows(
    path: Path,
    rows: Sequence[tuple[str, Sequence[tuple[str, T | str]]]],
    draw: Callable[[Any, T], None],
    *,
    projection: str | None,
    force: bool,
) -> None:
    from matplotlib.figure import Figure

    columns = max(len(things) for _, things in rows)
    figure = Figure(figsize=(1.9 * columns, 2.1 * len(rows)), layout="constrained")
    for y, (name, things) in enumerate(rows):
        for x, (title, thing) in enumerate(things):
            axes: Any = figure.add_subplot(len(rows), columns, y * columns + x + 1, projection=projection)
            write = partial(axes.text2D if projection else axes.text, transform=axes.transAxes, fontsize=8)
            axes.set_axis_off()
            axes.set_title(textwrap.fill(title, TITLE), fontsize=7)
            if x == 0 and len(rows) > 1:
                write(-0.12 if projection else -0.05, 0.5, name, rotation=90, va="center", ha="right")
            if isinstance(thing, str):
                write(0.5, 0.5, textwrap.fill(thing, TITLE), ha="center", va="center", color="#8a8a8a")
            else:
                draw(axes, thing)
    write_figure(figure, path, force=force)


def _draw_surface(axes: Any, surface: trimesh.Trimesh) -> None:
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


def _draw_frame(axes: Any, frame: RenderedPicture) -> None:
    axes.set_axis_on()
    axes.set(xticks=[], yticks=[])
    axes.imshow(frame.pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
