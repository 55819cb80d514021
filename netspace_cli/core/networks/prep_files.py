"""Write a network's PRep as numbers or a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from netspace_models.errors import ConfigError
from netspace_models.parameters.prep_grid import SEVERAL_HEIGHT, SINGLE_HEIGHT, SINGLE_HEIGHT_LARGE, to_prep
from PIL import Image
from torch import Tensor

from netspace_cli.core.files.outputs import atomic_write, check_output

from .network import Network

# Beyond this many deviations a value is drawn as fully saturated.
SATURATION = 3.0


def check_prep(
    network: Network, path: Path, *, height: int | None = None, width: int = 10_000, force: bool = False
) -> tuple[int, int]:
    """Return the grid of a network's PRep; refuses what `write_prep` would refuse.

    Args, Returns, Raises: as in `write_prep`.
    """
    if path.suffix not in (".npy", ".png"):
        raise ConfigError(
            f"{path}: a PRep is written as .npy or .png, not {path.suffix or 'without an extension'}.",
            f"Name it {path.stem}.npy for the numbers, {path.stem}.png for a picture.",
        )
    if width < 1 or (height is not None and height < 1):
        raise ConfigError(f"invalid PRep size {height} x {width}.", "Give a height and a width above zero.")
    check_output(path, force=force)
    size = network.architecture.parameter_count
    if height is None:
        published = (SINGLE_HEIGHT, SINGLE_HEIGHT_LARGE, SEVERAL_HEIGHT)
        height = next((h for h in published if h * width >= size), SEVERAL_HEIGHT)
    to_prep(network.weights, height=height, width=width, owner=network.architecture.name)
    return height, width


def write_prep(
    network: Network, path: Path | str, *, height: int | None = None, width: int = 10_000, force: bool = False
) -> tuple[int, int]:
    """Write a network's PRep.

    Args:
        path: `.npy` for float32 values, `.png` for a picture: zero is white, negative values blue,
            positive ones red, each layer on its own scale.
        height, width: of the grid; None for the lowest of the published heights that fits.
    Returns:
        (height, width).
    Raises:
        DoesNotFit: more parameters than the grid holds.
        ConfigError: another extension, or a grid without rows or columns.
        OutputExists: the path is taken and `force` is not given.
    """
    path = Path(path)
    height, width = check_prep(network, path, height=height, width=width, force=force)
    grid = to_prep(network.weights, height=height, width=width, owner=network.architecture.name)
    if path.suffix == ".npy":
        atomic_write(path, lambda p: _save_array(p, grid.numpy()), force=force)
    else:
        scaled = to_prep(_by_layer(network), height=height, width=width)
        picture = Image.fromarray(_colours(scaled.numpy()))
        # Rows are few and long: each is drawn tall enough to be seen.
        picture = picture.resize((width, height * max(1, round(width / height / 8))), Image.Resampling.NEAREST)
        atomic_write(path, lambda p: picture.save(p, format="PNG"), force=force)
    return height, width


def _save_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as f:  # given a name, numpy would add an extension of its own
        np.save(f, array)


def _by_layer(network: Network) -> Tensor:
    """(P,) values divided by their layer's standard deviation."""
    weights = network.weights.clone()
    for layer in network.architecture.spec.layers:
        part = weights[layer.start : layer.stop]
        deviation = part.std(correction=min(1, part.numel() - 1))
        weights[layer.start : layer.stop] = part / deviation.clamp_min(torch.finfo(part.dtype).tiny)
    return weights


def _colours(values: np.ndarray) -> np.ndarray:
    """Colour numbers around zero: (H, W) to (H, W, 3) bytes."""
    strength = np.clip(np.abs(values) / SATURATION, 0, 1)[..., None]
    colour = np.where(values[..., None] < 0, [33, 102, 172], [178, 24, 43])
    return (255 - strength * (255 - colour)).round().astype(np.uint8)
