"""Plot predicted against target accuracy, or R² of regressors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Protocol

from netspace_cli.core.files.figures import COLOURS, blank_figure, write_figure


class Scored(Protocol):
    """An evaluation whose instances have a score.

    Attributes:
        score_label: its name, for an axis.
    """

    score_label: ClassVar[str]

    def architectures(self) -> list[str]:
        """Names in order of appearance."""
        ...

    def scores(self, arch: str) -> list[tuple[float, float]]:
        """Scores of each target and its predicted instance, as figures show them."""
        ...


def plot_evaluation(path: Path, evaluations: Mapping[str, Scored], title: str = "", *, force: bool = False) -> None:
    """Plot predicted against target accuracy, or R², one colour per architecture; the diagonal means no loss.

    Args:
        evaluations: of the same instances, each in a panel under its name, all on one scale.
        title: of the figure; says which instances, and in which space.
    """
    figure, panels = blank_figure(5 * len(evaluations), 5, panels=len(evaluations))
    values = [score for found in evaluations.values() for arch in found.architectures() for score in found.scores(arch)]
    low, high = min(map(min, values)), max(map(max, values))
    if title:
        figure.suptitle(title, fontsize="medium")
    for axes, (how, found) in zip(panels, evaluations.items(), strict=True):
        for i, name in enumerate(found.architectures()):
            targets, predicted = zip(*found.scores(name), strict=True)
            axes.scatter(targets, predicted, color=COLOURS[i % len(COLOURS)], label=name, s=18)
        axes.plot([low, high], [low, high], color="#8a8a8a", lw=1, zorder=0, label="nothing lost")
        label = found.score_label
        axes.set(title=how, xlabel=f"target {label}", ylabel=f"predicted {label}", aspect="equal")
        axes.legend(fontsize=8, frameon=False)
    write_figure(figure, path, force=force)
