"""Draw each way's accuracy against its time, the members as a band and the ensemble as a line."""

from __future__ import annotations

from pathlib import Path

from netspace_cli.core.files.figures import COLOURS, blank_figure, write_figure

from .merge import Merged
from .plan import ENSEMBLE, WAYS
from .ways import Way

GREY = "#8a8a8a"
MARKERS = "osD^vP*Xhp<>d"
# In points: a way that is further below the members than this is drawn on the lower edge.
BELOW = 3.0


def plot_merged(path: Path, found: Merged, *, force: bool = False) -> None:
    """Test accuracy of each way against the seconds that it took; without labels its agreement with the ensemble.

    Ways far below the members, such as a mean of weights, are drawn on the lower edge; the legend says so.
    """
    figure, (axes,) = blank_figure(8, 4)
    labelled = all(each is not None for each in found.accuracies)
    members = [100 * each for each in found.accuracies if each is not None]
    if labelled:
        axes.axhspan(min(members), max(members), color=GREY, alpha=0.2, lw=0, label=f"{len(members)} members")
    ways = [way for way in found.ways if way.name in WAYS]
    ceiling = found.way(ENSEMBLE)
    if labelled and ceiling is not None:
        axes.axhline(_height(ceiling), color=GREY, lw=1.2, label=f"{ENSEMBLE}, {_height(ceiling):.1f}")
    heights = [_height(way) for way in ways]
    lowest = max(min(heights), (min(members) if labelled else max(heights) - 4 * BELOW) - BELOW)
    for way in ways:
        height, k = _height(way), list(WAYS).index(way.name)
        axes.scatter(
            way.seconds,
            max(height, lowest),
            color=COLOURS[k % len(COLOURS)],
            marker=MARKERS[k],
            s=70 if way.chosen else 36,
            edgecolors="#333333" if way.chosen else "none",
            zorder=3,
            label=_label(way, below=height < lowest),
        )
    architecture = found.network.architecture
    score = "test accuracy (%)" if architecture.io.logits else f"100 · test {architecture.io.problem.score}"
    what = score if labelled else "agreement with the ensemble (%)"
    axes.set(xlabel="seconds", ylabel=what, title=f"{len(found.members)} networks to one {architecture.name}")
    figure.legend(loc="outside right center", fontsize=8, frameon=False)
    write_figure(figure, path, force=force)


def _label(way: Way, *, below: bool) -> str:
    about = ", ".join([*(["chosen"] if way.chosen else []), *(["below"] if below else [])])
    return f"{way.name}, {_height(way):.1f}{f' ({about})' if about else ''}"


def _height(way: Way) -> float:
    scores = way.scores
    return 100 * (scores.agreement if scores.test is None else scores.test)
