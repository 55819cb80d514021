"""Plot the gain that each way keeps, one point per draw (extra `plot`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netspace_cli.core.files.figures import COLOURS, blank_figure

from .runs import Run
from .tables import WRITTEN, share_of, ways_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A mean of weights may be far below the best member: then it is not drawn.
LEAST = -1.0


def gain_by_way(title: str, runs: Sequence[Run]) -> Figure:
    """One panel with labels and one without, a row of points per way; the ensemble is at 100."""
    kinds = list(dict.fromkeys(run["labels"] for run in runs))
    figure, axes = blank_figure(1.5 + 3.8 * len(kinds), 3.2, panels=len(kinds))
    names = [
        name
        for name in ways_of(runs)
        if (name == WRITTEN or "from-" in name) and any((share_of(run, name) or 0) > LEAST for run in runs)
    ]
    for axis, labels in zip(axes, kinds, strict=True):
        for place, name in enumerate(names):
            shares = [share_of(run, name) for run in runs if run["labels"] == labels]
            points = [100 * share for share in shares if share is not None and share > LEAST]
            axis.scatter(points, [place] * len(points), s=22, color=COLOURS[place % len(COLOURS)], alpha=0.7)
        axis.axvline(100, color="#8a8a8a", lw=1)
        axis.set(xlabel="gain kept (%)", title="with labels" if labels else "without labels")
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    figure.suptitle(title, fontsize=10)
    return figure
