"""Plot accuracy against the number of labelled images (extra `plot`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from netspace_cli.core.experiments.figures import panels
from netspace_cli.core.files.figures import COLOURS
from netspace_cli.core.networks.path_figure import GREYS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A method's (labelled images a class, mean, standard deviation or None) in order.
Line = Sequence[tuple[int, float, float | None]]


def accuracy_by_labels(lines: Mapping[str, Mapping[str, Line]], before: Mapping[str, float]) -> Figure:
    """One panel per shift, one line per method, with a standard deviation over the seeds on each side.

    Args:
        lines: by shift and method.
        before: by shift, the accuracy of the unadapted network; dotted.
    """
    figure, axes = panels(len(lines), width=4.0)
    for axis, (shift, methods) in zip(axes, lines.items(), strict=True):
        axis.axhline(100 * before[shift], color=GREYS[0], ls=":", label="as it stands")
        for colour, (method, line) in zip(COLOURS, methods.items(), strict=False):
            counts, means = [k for k, _, _ in line], [100 * mean for _, mean, _ in line]
            spread = [100 * (sd or 0) for _, _, sd in line]
            low, high = ([m + sign * s for m, s in zip(means, spread, strict=True)] for sign in (-1, 1))
            axis.plot(counts, means, "o-", ms=4, color=colour, label=method)
            axis.fill_between(counts, low, high, color=colour, alpha=0.15, lw=0)
        axis.set_xscale("log")
        axis.set_xticks(counts, [str(k) for k in counts])
        axis.minorticks_off()
        axis.set(xlabel="labelled images a class", title=f"shift: {shift}")
    axes[0].set_ylabel("test accuracy (%)")
    axes[0].legend(fontsize=8, frameon=False)
    return figure
