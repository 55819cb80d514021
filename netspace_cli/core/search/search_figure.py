"""Plot how an embedding's network becomes better while it is optimised."""

from __future__ import annotations

from pathlib import Path

from netspace_models.architectures import NetworkIO

from netspace_cli.core.files.figures import COLOURS, blank_figure, write_figure
from netspace_cli.core.networks.score_label import score_label

from .lso import Optimised

GREY = "#8a8a8a"


def plot_search(
    path: Path, found: Optimised, title: str, io: NetworkIO, *, teacher: float | None = None, force: bool = False
) -> None:
    """Plot scores along the steps: on validation images, and before and after on test images.

    Args:
        path: .png, .svg or .pdf.
        title: says what is optimised, and towards what.
        io: of the network, which says what it is scored by.
        teacher: its test score, 0 to 1; None without one.
    """
    name, factor = score_label(io)
    figure, (axes,) = blank_figure(8, 4)
    key = f"val_{found.initial.measure}"
    looks = [(line["step"], factor * line[key]) for line in found.history if key in line]
    steps, values = zip(*looks, strict=True)
    axes.plot(steps, values, color=COLOURS[0], marker="o", ms=4, label="validation")
    ends = (0, found.step), (factor * found.initial.accuracy, factor * found.optimised.accuracy)
    axes.scatter(*ends, color=COLOURS[5], marker="s", s=36, zorder=3, label="test: the start, and what is kept")
    if teacher is not None:
        axes.axhline(factor * teacher, color=GREY, lw=1.2, label=f"teacher on test, {factor * teacher:.4g}")
    axes.axvline(found.step, color=GREY, ls=":", lw=1, label=f"kept, step {found.step}")
    axes.set(title=title, xlabel="steps", ylabel=name)
    axes.legend(fontsize=8, frameon=False)
    write_figure(figure, path, force=force)
