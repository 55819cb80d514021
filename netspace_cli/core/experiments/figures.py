"""Figures of the experiments, drawn with matplotlib (extra `plot`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netspace_cli.core.files.figures import COLOURS
from netspace_cli.core.networks.path_figure import GREYS
from netspace_cli.core.networks.path_step import Step

from .fidelity import Measured

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .optimising import Tuned


def panels(count: int, *, width: float = 5.0, height: float = 4.5) -> tuple[Figure, list[Any]]:
    """Make a figure with panels side by side, without upper and right frame lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * count, height), layout="constrained")
    axes = list(figure.subplots(1, count, squeeze=False)[0])
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    return figure, axes


def fidelity_and_path(
    measured: Mapping[str, Measured], path: Sequence[Step], baselines: Mapping[str, Sequence[Step]]
) -> Figure:
    """Left: predicted against target accuracy (Fig. 3 left). Right: accuracy along a path (Fig. 3 right)."""
    figure, (left, right) = panels(2)
    draw_fidelity(left, measured)
    draw_path(right, path, baselines)
    return figure


def draw_fidelity(axis: Any, measured: Mapping[str, Measured]) -> None:
    """One colour per architecture; rings are encoded, discs refined. The diagonal means no loss."""
    values: list[float] = []
    several = len(next(iter(measured.values())).evaluation.architectures()) > 1
    for how, found in measured.items():
        for k, arch in enumerate(found.evaluation.architectures()):
            own = [e for e in found.evaluation.instances if e.arch == arch]
            x, y = [100 * e.target_accuracy for e in own], [100 * e.predicted_accuracy for e in own]
            colour = COLOURS[k % len(COLOURS)]
            label = f"{arch}, {how}" if several else how
            axis.scatter(x, y, s=24, label=label, edgecolors=colour, facecolors="none" if how == "encoded" else colour)
            values += [*x, *y]
    axis.plot([min(values), max(values)], [min(values), max(values)], color=GREYS[0], lw=1, zorder=0)
    axis.set(xlabel="target accuracy (%)", ylabel="predicted accuracy (%)", title="Held-out instances")
    axis.legend(fontsize=8, frameon=False)


def draw_path(axis: Any, path: Sequence[Step], baselines: Mapping[str, Sequence[Step]]) -> None:
    """Plot accuracy against gamma, one colour per architecture on the way, with baselines in grey."""
    for style, (name, walk) in zip(("-", "--"), baselines.items(), strict=False):
        axis.plot([s.gamma for s in walk], shares(walk), color=GREYS[0], ls=style, label=name)
    axis.plot([s.gamma for s in path], shares(path), color="#333333", lw=1)
    names = list(dict.fromkeys(s.network.architecture.name for s in path))
    for k, name in enumerate(names):
        own = [s for s in path if s.network.architecture.name == name]
        axis.scatter([s.gamma for s in own], shares(own), s=10, color=COLOURS[k % len(COLOURS)], label=name, zorder=3)
    axis.set(xlabel="gamma", ylabel="accuracy (%)", title="From one network to the other")
    axis.legend(fontsize=8, frameon=False)


def gains(tried: Mapping[str, Sequence[Tuned]]) -> Figure:
    """Plot accuracy before and after optimising (Table I): one row per start and method, rings before, discs after."""
    rows = [(start, each) for start, methods in tried.items() for each in methods]
    alone = all(len(methods) == 1 for methods in tried.values())
    figure, (axis,) = panels(1, width=7.0, height=1.2 + 0.32 * len(rows))
    colours = {method: COLOURS[k] for k, method in enumerate(dict.fromkeys(each.method for _, each in rows))}
    for y, (_, each) in enumerate(rows):
        before, after, colour = 100 * each.before, 100 * each.after, colours[each.method]
        axis.plot([before, after], [y, y], color=colour, lw=2, zorder=1)
        axis.scatter([before], [y], s=30, edgecolors=colour, facecolors="white", zorder=2)
        axis.scatter([after], [y], s=30, color=colour, zorder=2)
    axis.set_yticks(
        range(len(rows)), [start if alone else f"{start}, {each.method}" for start, each in rows], fontsize=8
    )
    axis.invert_yaxis()
    axis.set(xlabel="test accuracy (%), before and after", title="Optimised on the same images in as many steps")
    return figure


def shares(steps: Sequence[Step]) -> list[float]:
    """Accuracies in per cent; a failed step leaves a gap."""
    return [float("nan") if s.accuracy is None else 100 * s.accuracy for s in steps]
