"""Render networks that are pictures: colours on a grid of pixels, alone and along a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from netspace_models.architectures import FieldIO, NetworkIO
from netspace_models.errors import ConfigError

from netspace_cli.core.data.points import check_grid, grid_points
from netspace_cli.core.files.figures import FORMATS, check_figure
from netspace_cli.core.files.outputs import atomic_write
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner

from .values import values_of

RESOLUTION = 128
# Points of two coordinates: grey, or red, green and blue.
CHANNELS = (1, 3)


@dataclass(frozen=True)
class RenderedPicture:
    """A rendered picture.

    Attributes:
        pixels: (R, R, K) in 8 bits, the first axis down; K 1 or 3 channels.
    """

    pixels: np.ndarray

    @property
    def channels(self) -> int:
        """Number of channels, 1 or 3."""
        return int(self.pixels.shape[2])

    @property
    def brightness(self) -> float:
        """Mean level, from 0 (black) to 1 (white)."""
        return float(self.pixels.mean() / 255)


def is_picture(io: NetworkIO) -> bool:
    """Whether networks with this IO are pictures: one or three values at points of two coordinates."""
    return isinstance(io, FieldIO) and io.dimensions == 2 and io.values in CHANNELS


def render_picture(network: Network, runner: Runner, *, resolution: int = RESOLUTION) -> RenderedPicture:
    """Render a network's colours on a grid; values beyond -1 and 1 are black and white.

    Args:
        network: a picture, on any device.
        resolution: pixels R along each side.
    Raises:
        ConfigError: the network is not a picture, or the pixels do not fit in memory.
    """
    io = network.architecture.io
    if not is_picture(io):
        raise ConfigError(
            f"{network.source or network.architecture.name} is for {io.describe()}, so it is not a picture.",
            "Give a network of points of 2 coordinates, with 1 or 3 values.",
        )
    check_grid(resolution, 2)
    points = runner.place(grid_points(2, resolution))
    values = values_of(network.architecture, runner.place(network.weights), points, runner).numpy()
    levels = np.rint((values.clip(-1, 1) + 1) * 127.5).astype(np.uint8)
    return RenderedPicture(levels.reshape(resolution, resolution, -1))


def check_picture_output(output: Path, pictures: int) -> bool:
    """Refuse an output file that pictures cannot be written to.

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


def write_picture(path: Path, frame: RenderedPicture, *, force: bool = False) -> None:
    """Write a picture as .png with one pixel per value.

    Raises:
        OutputExists: the path is taken and `force` is not given.
    """
    from PIL import Image

    pixels = frame.pixels[:, :, 0] if frame.channels == 1 else frame.pixels
    atomic_write(path, lambda p: Image.fromarray(pixels).save(p, format="png"), force=force)
