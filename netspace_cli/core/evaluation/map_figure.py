"""Draw a map of embeddings, coloured by what is known of the networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from netspace_models.architectures import NetworkIO
from netspace_models.errors import ConfigError

from netspace_cli.core.files.figures import COLOURS, blank_figure, write_figure
from netspace_cli.core.networks.score_label import score_label

from .embedding_map import EmbeddingMap, MapPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Colouring = Literal["accuracy", "r2", "epochs", "arch", "split"]
MEASURES = ("accuracy", "epochs")
MARKERS = ("X", "P", "D", "s", "^", "v")


def colouring_of(points: Sequence[MapPoint], asked: Colouring | None = None) -> Colouring:
    """What a map is coloured by: as asked for; by default architectures where there are several, else accuracy.

    Returns:
        "accuracy" for "r2" too.
    Raises:
        ConfigError: a measure that is not known of all networks.
    """
    own = [point for point in points if not point.over]
    if asked == "r2" and all(point.measure == asked for point in own):
        asked = "accuracy"
    if asked is not None:
        unknown = sum(getattr(point, asked, None) in (None, "") for point in own)
        if unknown:
            raise ConfigError(
                f"{asked} is not recorded for {unknown} of {len(own)} networks, so they cannot be coloured by it.",
                "Colour them by arch or split.",
            )
        return asked
    if len({point.arch for point in own}) > 1:
        return "arch"
    return "split" if any(point.accuracy is None for point in own) else "accuracy"


def plot_map(
    path: Path, found: EmbeddingMap, title: str, colouring: Colouring, io: NetworkIO, *, force: bool = False
) -> None:
    """Draw the map.

    Args:
        path: .png, .svg or .pdf.
        title: says what is seen.
        colouring: as in `colouring_of`.
        io: of the networks, which says what they are scored by.
    """
    figure, (axes,) = blank_figure(6.4, 5)
    own = [point for point in found.points if not point.over]
    if colouring in MEASURES:
        _draw_measured(figure, axes, own, colouring, io)
    else:
        for i, name in enumerate(dict.fromkeys(str(getattr(point, colouring)) for point in own)):
            part = [point for point in own if getattr(point, colouring) == name]
            axes.scatter(*_places(part), color=COLOURS[i % len(COLOURS)], s=18, label=f"{name} ({len(part)})")
    for i, name in enumerate(dict.fromkeys(point.over for point in found.points if point.over)):
        part = [point for point in found.points if point.over == name]
        style: dict[str, Any] = {"color": "black", "edgecolor": "white", "marker": MARKERS[i % len(MARKERS)], "s": 60}
        axes.scatter(*_places(part), **style, label=f"{name} ({len(part)})")
    labels: Sequence[str] = found.axes
    if found.explained is not None:
        pairs = zip(found.axes, found.explained, strict=True)
        labels = [f"{name} ({100 * share:.0f} % of the variance)" for name, share in pairs]
    axes.set(title=title, xlabel=labels[0], ylabel=labels[1])
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False)
    write_figure(figure, path, force=force)


def _draw_measured(figure: Figure, axes: Axes, points: Sequence[MapPoint], colouring: Colouring, io: NetworkIO) -> None:
    label, factor = ("epochs", 1.0) if colouring == "epochs" else score_label(io)
    if colouring == "accuracy" and io.labelled:
        label = f"test {label}"
    values = [factor * float(getattr(point, colouring)) for point in points]
    drawn = axes.scatter(*_places(points), c=values, cmap="cividis", s=18)
    figure.colorbar(drawn, ax=axes, label=label)


def _places(points: Sequence[MapPoint]) -> tuple[list[float], list[float]]:
    return [point.x for point in points], [point.y for point in points]
