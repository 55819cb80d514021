"""Plot the gain that each way keeps, one point per draw (extra `plot`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from netspace_cli.core.files.figures import COLOURS, blank_figure

from .runs import Run
from .tables import WRITTEN, share_of, ways_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What is far below the best member is drawn as an arrow at the edge.
LEAST = -1.0


def has_points(runs: Sequence[Run]) -> bool:
    """Whether some run's ensemble gains, so that there is something to draw."""
    return bool(_drawn(runs))


def _drawn(runs: Sequence[Run]) -> list[str]:
    """Ways that distil, and what was written, where they have a gain to be compared with."""
    ways = [name for name in ways_of(runs) if name == WRITTEN or "from-" in name]
    return [name for name in ways if any(share_of(run, name) is not None for run in runs)]


def _shares(runs: Sequence[Run], name: str, labels: bool) -> list[float]:
    """Shares of the gain that a way keeps, of the draws where there is one."""
    found = [share_of(run, name) for run in runs if run["labels"] == labels]
    return [share for share in found if share is not None]


def gain_by_way(title: str, runs: Sequence[Run]) -> Figure:
    """One panel with labels and one without, a row of points per way; the ensemble is at 100."""
    kinds = list(dict.fromkeys(run["labels"] for run in runs))
    figure, axes = blank_figure(1.5 + 3.8 * len(kinds), 3.2, panels=len(kinds))
    names = _drawn(runs)
    for axis, labels in zip(axes, kinds, strict=True):
        for place, name in enumerate(names):
            known = _shares(runs, name, labels)
            for marker, points in (("o", [s for s in known if s > LEAST]), ("<", [LEAST for s in known if s <= LEAST])):
                x, colour = [100 * share for share in points], COLOURS[place % len(COLOURS)]
                axis.scatter(x, [place] * len(points), s=22, color=colour, alpha=0.7, marker=marker)
        axis.axvline(100, color="#8a8a8a", lw=1)
        cut = any(s <= LEAST for name in names for s in _shares(runs, name, labels))
        less = f", arrows: {100 * LEAST:.0f} or less" if cut else ""
        axis.set(xlabel=f"gain kept (%){less}", title="with labels" if labels else "without labels")
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    figure.suptitle(title, fontsize=10)
    return figure
