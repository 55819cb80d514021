"""Figures of comparisons: fidelity against training time, and against embedding size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netspace_cli.core.files.figures import COLOURS
from netspace_cli.core.networks.path_figure import GREYS

from .figures import panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Point:
    """One point of a curve.

    Attributes:
        at: where on the axis below.
        mae, agreement, gain: fractions; None leaves a gap.
    """

    at: float
    mae: float | None
    agreement: float | None
    gain: float | None = None


def fidelity_over_time(curves: Mapping[str, Sequence[Point]]) -> Figure:
    """Plot mean absolute error (left) and agreement (right) against seconds of training, one line per recipe."""
    figure, axes = panels(2)
    for k, (name, points) in enumerate(curves.items()):
        _draw(axes, points, label=name, color=COLOURS[k % len(COLOURS)], ls=_style(k))
    _describe(axes, below="seconds of training", title="Validation instances, encoded")
    return figure


def fidelity_over_size(curves: Mapping[str, Sequence[Point]], unrelated: float | None) -> Figure:
    """Plot fidelity against embedding size on a logarithmic axis.

    Left: mean absolute error. Right: agreement and, if measured, the gain by optimising.

    Args:
        curves: by method.
        unrelated: agreement of instances of equal accuracy that have nothing to do with each other: what is
            below this line keeps the level of a network at most; None for no line.
    """
    searched = any(p.gain is not None for points in curves.values() for p in points)
    figure, axes = panels(3 if searched else 2)
    for k, (name, points) in enumerate(curves.items()):
        _draw(axes, points, label=name, color=COLOURS[k % len(COLOURS)], ls="-")
    if unrelated is not None:
        axes[1].axhline(100 * unrelated, color=GREYS[0], ls=":", label="unrelated instances of equal accuracy")
    sizes = sorted({p.at for points in curves.values() for p in points})
    for axis in axes:
        axis.set_xscale("log", base=2)
        axis.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
        axis.minorticks_off()
    _describe(axes[:2], below="values in an embedding", title="Held-out instances")
    if searched:
        axes[2].set(xlabel="values in an embedding", ylabel="gain (points)", title="Median instance, optimised")
    return figure


def _draw(axes: Sequence[Any], points: Sequence[Point], **look: str) -> None:
    # The axes are as many of these as the figure shows.
    for axis, values in zip(axes, zip(*((p.mae, p.agreement, p.gain) for p in points), strict=True), strict=False):
        heights = [float("nan") if v is None else 100 * v for v in values]
        axis.plot([p.at for p in points], heights, marker="o", ms=4, **look)


def _style(number: int) -> str:
    """Dashes of a line: colours alone repeat after six."""
    return ("-", "--", ":")[number // len(COLOURS) % 3]


def _describe(axes: Sequence[Any], *, below: str, title: str) -> None:
    axes[0].set(xlabel=below, ylabel="mean absolute error (points)", title=title)
    axes[1].set(xlabel=below, ylabel="agreement with the target (%)", title=title)
    axes[0].set_ylim(bottom=0)
    axes[1].legend(fontsize=8, frameon=False)
