"""Figures, drawn with matplotlib (extra `plot`) and written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netspace_models.errors import ConfigError

from .evaluate import Evaluation
from .files import atomic_write
from .interp import Step

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
# Okabe and Ito's palette: told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
# In points of accuracy: on a narrower axis a picture or two would look like a cliff.
LEAST_SPAN = 10.0
GREYS = ("#8a8a8a", "#b5b5b5")


def check_figure(path: Path) -> None:
    """Refuse a figure that could not be drawn, before any work.

    Raises:
        ConfigError: matplotlib is not installed, or the extension is no picture's.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(f"{path}: a figure is written as {', '.join(FORMATS)}.", "Choose one of these extensions.")
    try:
        import matplotlib  # noqa: F401
    except ImportError as failure:
        raise ConfigError(
            "figures need matplotlib, which is not installed.", "pip install 'netspace[plot]'"
        ) from failure


def plot_path(
    path: Path, steps: Sequence[Step], baselines: Mapping[str, Sequence[Step]], *, force: bool = False
) -> None:
    """Accuracy along a path, one colour an architecture, with the baselines in grey.

    Failed steps leave a gap and are marked.
    """
    figure, (axes,) = _blank(8, 4)
    for grey, (name, walk) in zip(GREYS, baselines.items(), strict=False):
        axes.plot([s.gamma for s in walk], [_percent(s) for s in walk], color=grey, label=name, zorder=1)
    axes.plot([s.gamma for s in steps], [_percent(s) for s in steps], color="#333333", lw=1, zorder=2)
    names = list(dict.fromkeys(s.network.architecture.name for s in steps))
    for name in names:
        own = [s for s in steps if s.network.architecture.name == name]
        colour = COLOURS[names.index(name) % len(COLOURS)]
        size = own[0].network.architecture.parameters
        label = f"{name} ({size:,} parameters)"
        axes.scatter([s.gamma for s in own], [_percent(s) for s in own], color=colour, label=label, zorder=3)
    for step in steps:
        if step.error:
            axes.axvline(step.gamma, color="#D55E00", ls=":", lw=1)
    axes.set(xlabel="gamma", ylabel="accuracy (%)", title="From one network to the other")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, high - LEAST_SPAN), high + 0.5)
    axes.legend(fontsize=8, frameon=False)
    write_figure(figure, path, force=force)


def plot_evaluation(path: Path, evaluations: Mapping[str, Evaluation], *, force: bool = False) -> None:
    """Target against predicted accuracy, one colour an architecture; on the diagonal nothing is lost.

    Args:
        evaluations: of the same instances, each in a panel under its name, all on one scale.
    """
    figure, panels = _blank(5 * len(evaluations), 5, panels=len(evaluations))
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


def _percent(step: Step) -> float:
    return float("nan") if step.accuracy is None else 100 * step.accuracy


def _blank(width: float, height: float, *, panels: int = 1) -> tuple[Figure, list[Axes]]:
    # Figure itself, not pyplot: no global state, no window system.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    blank: Any = figure.subplots(1, panels, sharex=True, sharey=True, squeeze=False)[0]
    for axes in blank:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    return figure, list(blank)


def write_figure(figure: Figure, path: Path, *, force: bool = False) -> None:
    """Write a figure; the same figure gives the same bytes.

    Raises:
        OutputExists: the path is taken and `force` is not given.
    """
    import matplotlib

    kind = path.suffix.removeprefix(".")
    # No dates and no random names inside, so that the same numbers give the same bytes.
    metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    with matplotlib.rc_context({"svg.hashsalt": "netspace"}):
        atomic_write(path, lambda p: figure.savefig(p, format=kind, dpi=150, metadata=metadata), force=force)
