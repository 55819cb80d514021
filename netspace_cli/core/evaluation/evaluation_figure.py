"""Plot predicted against target accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from netspace_cli.core.files.figures import COLOURS, blank_figure, write_figure
from netspace_cli.core.kinds.images import ImageEvaluation


def plot_evaluation(path: Path, evaluations: Mapping[str, ImageEvaluation], *, force: bool = False) -> None:
    """Plot predicted against target accuracy, one colour per architecture; the diagonal means no loss.

    Args:
        evaluations: of the same instances, each in a panel under its name, all on one scale.
    """
    figure, panels = blank_figure(5 * len(evaluations), 5, panels=len(evaluations))
    instances = [e for found in evaluations.values() for e in found.instances]
    values = [100 * v for e in instances for v in (e.target_accuracy, e.predicted_accuracy)]
    low, high = min(values), max(values)
    for axes, (title, found) in zip(panels, evaluations.items(), strict=True):
        for i, name in enumerate(found.architectures()):
            own = [e for e in found.instances if e.arch == name]
            x, y = [100 * e.target_accuracy for e in own], [100 * e.predicted_accuracy for e in own]
            axes.scatter(x, y, color=COLOURS[i % len(COLOURS)], label=name, s=18)
        axes.plot([low, high], [low, high], color="#8a8a8a", lw=1, zorder=0)
        axes.set(title=title, xlabel="target accuracy (%)", ylabel="predicted accuracy (%)", aspect="equal")
        axes.legend(fontsize=8, frameon=False)
    write_figure(figure, path, force=force)
