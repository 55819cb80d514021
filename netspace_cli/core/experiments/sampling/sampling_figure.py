"""Plot accuracy against novelty, one point per network (extra `plot`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netspace_cli.core.files.figures import COLOURS, blank_figure
from netspace_cli.core.networks.path_figure import GREYS

from .tables import Group, points_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = ("o", "^", "s", "D", "v", "P")
PLAIN = ("x", "+")


def accuracy_and_novelty(title: str, spaces: Mapping[str, Sequence[Group]], beside: Sequence[Group]) -> Figure:
    """One panel per space, one colour and marker per method; training instances and rivals in grey in each.

    Args:
        title: of all panels.
        spaces: methods by the space's name; beside: training instances and noise copies.
    """
    figure, axes = blank_figure(1.5 + 4.2 * len(spaces), 4.5, panels=len(spaces))
    names = list(dict.fromkeys(group.name for groups in spaces.values() for group in groups))
    shown: dict[str, Any] = {}
    for axis, (space, groups) in zip(axes, spaces.items(), strict=True):
        for k, group in enumerate(beside):
            shown[group.name] = _drawn(axis, group, GREYS[k % len(GREYS)], PLAIN[k % len(PLAIN)])
        for group in groups:
            shown[group.name] = _drawn(axis, group, *look_of(names.index(group.name)))
        axis.set(xlabel="novelty: 1 - error overlap with\nthe nearest training instance", title=space)
    axes[0].set_ylabel("test accuracy (%)")
    figure.suptitle(title, fontsize=10)
    figure.legend(list(shown.values()), list(shown), loc="outside right center", fontsize=8, frameon=False)
    return figure


def look_of(k: int) -> tuple[str, str]:
    """Colour and marker of method number k; the first 36 all differ."""
    return COLOURS[k % len(COLOURS)], MARKERS[(k + k // len(COLOURS)) % len(MARKERS)]


def _drawn(axis: Any, group: Group, colour: str, marker: str) -> Any:
    points = list(points_of(group))
    x, y = [novelty for novelty, _ in points], [100 * accuracy for _, accuracy in points]
    return axis.scatter(x, y, s=18, color=colour, marker=marker, alpha=0.75, linewidths=0.8, label=group.name)
