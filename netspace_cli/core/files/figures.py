"""Figures, drawn with matplotlib (extra `plot`) and written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from netspace_models.errors import ConfigError

from .outputs import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
# Okabe and Ito's palette: told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")


def check_figure(path: Path) -> None:
    """Refuse a figure that cannot be drawn, before any work.

    Raises:
        ConfigError: matplotlib is not installed, or the extension is not a picture's.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(f"{path}: a figure is written as {', '.join(FORMATS)}.", "Choose one of these extensions.")
    try:
        import matplotlib  # noqa: F401
    except ImportError as failure:
        raise ConfigError(
            "figures need matplotlib, which is not installed.", "pip install 'netspace[plot]'"
        ) from failure


def blank_figure(width: float, height: float, *, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """Make a figure of this size in inches, with panels side by side that share axis ranges."""
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
