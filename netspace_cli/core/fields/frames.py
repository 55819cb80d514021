"""What networks that are pictures show: their colours on a grid of pixels, alone and along a path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from netspace_models.architectures import FieldSignal, Signal
from netspace_models.errors import ConfigError

from netspace_cli.core.figures import FORMATS, check_figure
from netspace_cli.core.files import atomic_write
from netspace_cli.core.interp import Step
from netspace_cli.core.networks import Network
from netspace_cli.core.progress import Progress
from netspace_cli.core.runner import Runner

from .data import check_cells, grid_points
from .scoring import values_of
from .walk import seen

RESOLUTION = 128
# Points of two coordinates: grey, or red, green and blue.
CHANNELS = (1, 3)


@dataclass(frozen=True)
class Frame:
    """A picture.

    Attributes:
        pixels: (R, R, K) in 8 bits, the first axis down; K 1 or 3 channels.
    """

    pixels: np.ndarray

    @property
    def channels(self) -> int:
        """1 or 3."""
        return int(self.pixels.shape[2])

    @property
    def brightness(self) -> float:
        """Mean level, from 0, black, to 1, white."""
        return float(self.pixels.mean() / 255)


@dataclass(frozen=True)
class FrameStep:
    """One step of a path between pictures.

    Attributes:
        step: of the path; its network is a picture.
        frame: None where the step failed.
        change: mean absolute difference from the step before, as a share of black to white; None at the first.
    """

    scores: ClassVar[tuple[str, ...]] = ("change",)

    step: Step
    frame: Frame | None
    change: float | None

    @property
    def error(self) -> str:
        """Why there is nothing to see, "" if there is. Such a step keeps its place."""
        return self.step.error

    def row(self) -> dict[str, Any]:
        """As scripts read it."""
        row = self.step.row()
        return row if self.change is None else {**row, "change": self.change}


def is_picture(signal: Signal) -> bool:
    """Whether networks for such a signal are pictures: one or three values at points of two coordinates."""
    return isinstance(signal, FieldSignal) and signal.dimensions == 2 and signal.values in CHANNELS


def frame_of(network: Network, runner: Runner, *, resolution: int = RESOLUTION) -> Frame:
    """A network's colours on a grid; values beyond -1 and 1 are black and white.

    Args:
        network: a picture, on any device.
        resolution: pixels R along each side.
    Raises:
        ConfigError: the network is no picture, or so many pixels do not fit in memory.
    """
    signal = network.architecture.signal
    if not is_picture(signal):
        raise ConfigError(
            f"{network.source or network.architecture.name} is for {signal.describe()}, so it is no picture.",
            "Give a network of points of 2 coordinates, with 1 or 3 values.",
        )
    check_cells(resolution, 2)
    points = runner.place(grid_points(2, resolution))
    values = values_of(network.architecture, runner.place(network.vector), points, runner).numpy()
    levels = np.rint((values.clip(-1, 1) + 1) * 127.5).astype(np.uint8)
    return Frame(levels.reshape(resolution, resolution, -1))


def frame_steps(
    path: Sequence[Step], runner: Runner, *, name: str = "", progress: Progress | None = None
) -> list[FrameStep]:
    """The pictures along a path.

    Args:
        path: of networks that are pictures, decoded.
        name: of the path, for the progress.
    Raises:
        ConfigError: the networks are no pictures.
    """
    looking = f"looking at pictures{name and f', {name}'}"
    frames = seen(path, lambda network: frame_of(network, runner), progress, description=looking)
    befores = [None, *frames[:-1]]
    return [FrameStep(s, frame, _change(b, frame)) for s, b, frame in zip(path, befores, frames, strict=True)]


def check_picture_output(output: Path, pictures: int) -> bool:
    """Refuse a file that pictures cannot be written to.

    Returns:
        Whether it is one picture, pixel by pixel; else they are drawn in a row.
    Raises:
        ConfigError: the extension of a mesh, or a figure that cannot be drawn.
    """
    if output.suffix not in FORMATS:
        raise ConfigError(
            f"{output}: a network that is a picture has no surface; it is drawn as {', '.join(FORMATS)}.",
            "Choose one of these extensions.",
        )
    if pictures == 1 and output.suffix == ".png":
        return True
    check_figure(output)
    return False


def write_frame(path: Path, frame: Frame, *, force: bool = False) -> None:
    """Write a picture as .png, a pixel a cell.

    Raises:
        OutputExists: the path is taken and `force` is not given.
    """
    from PIL import Image

    pixels = frame.pixels[:, :, 0] if frame.channels == 1 else frame.pixels
    atomic_write(path, lambda p: Image.fromarray(pixels).save(p, format="png"), force=force)


def _change(one: Frame | None, other: Frame | None) -> float | None:
    if one is None or other is None:
        return None
    return float(np.abs(one.pixels.astype(float) - other.pixels).mean() / 255)
