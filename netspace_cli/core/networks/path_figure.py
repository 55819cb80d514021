"""Plot scores along a path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from netspace_cli.core.files.figures import COLOURS, blank_figure, write_figure
from netspace_cli.core.networks.path_step import Step
from netspace_cli.core.networks.score_label import score_label

# Of accuracy or R²: on a narrower axis a picture or two would look like a cliff.
LEAST_SPAN = 0.1

GREYS = ("#8a8a8a", "#b5b5b5")


def plot_path(
    path: Path, steps: Sequence[Step], baselines: Mapping[str, Sequence[Step]], *, force: bool = False
) -> None:
    """Plot accuracy, or R² of regressors, along a path, one colour per architecture, with the baselines in grey.

    Failed steps leave a gap and are marked.
    """
    figure, (axes,) = blank_figure(8, 4)
    io = steps[0].network.architecture.io
    label, unit = score_label(io)

    def shown(step: Step) -> float:
        return float("nan") if step.accuracy is None else unit * step.accuracy

    for grey, (name, walk) in zip(GREYS, baselines.items(), strict=False):
        axes.plot([s.gamma for s in walk], [shown(s) for s in walk], color=grey, label=name, zorder=1)
    axes.plot([s.gamma for s in steps], [shown(s) for s in steps], color="#333333", lw=1, zorder=2)
    names = list(dict.fromkeys(s.network.architecture.name for s in steps))
    for name in names:
        own = [s for s in steps if s.network.architecture.name == name]
        colour = COLOURS[names.index(name) % len(COLOURS)]
        size = own[0].network.architecture.parameter_count
        sized = f"{name} ({size:,} parameters)"
        axes.scatter([s.gamma for s in own], [shown(s) for s in own], color=colour, label=sized, zorder=3)
    for step in steps:
        if step.error:
            axes.axvline(step.gamma, color="#D55E00", ls=":", lw=1)
    ends = f"{steps[0].network.architecture.name} to {steps[-1].network.architecture.name}"
    title = f"{ends}: {io.problem.score} along the path"
    axes.set(xlabel="gamma, from the first network to the second", ylabel=label, title=title)
    low, high = axes.get_ylim()
    low = min(low, high - LEAST_SPAN * unit)
    axes.set_ylim(low, high + 0.005 * unit)
    # Guessing, and the mean of all targets. Far below the path it would flatten it.
    chance = unit / io.outputs if io.logits else 0.0
    if chance > low:
        axes.axhline(chance, color="#8a8a8a", ls=":", lw=1, label="chance" if io.logits else "the mean", zorder=0)
    axes.legend(fontsize=8, frameon=False)
    write_figure(figure, path, force=force)
