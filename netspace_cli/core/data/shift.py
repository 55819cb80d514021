"""Shifted images: blurred, noisy, or with inverted colours.

A network trained on the original images is given changed ones; all splits are shifted in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from netspace_models.errors import ConfigError
from torch import Tensor

from .images import SPLITS, ImageData, Split

# Enough that networks trained on the images as they are lose much, and not all, of what they can.
BLUR = 3 / 32  # of the image's side: three pixels of CIFAR-10's 32
NOISE = 0.3 * 255
SHIFTS = ("none", "blur", "noise", "invert")

# Images at once: floats take four times the memory of what they are made of.
_CHUNK = 1024


def check_shifts(names: Sequence[str]) -> None:
    """Refuse unknown shifts and repeated ones.

    Raises:
        ConfigError: says which there are.
    """
    known = f"Use some of {', '.join(SHIFTS)}."
    if not names:
        raise ConfigError("no shift was given.", known)
    for name in names:
        if name not in SHIFTS:
            raise ConfigError(f"unknown shift {name!r}.", known)
        if names.count(name) > 1:
            raise ConfigError(f"the shift {name!r} is given {names.count(name)} times.", "Give each once.")


def shifted(data: ImageData, how: str, *, generator: torch.Generator) -> ImageData:
    """Shift all images of a data set; labels and normalisation do not change.

    Args:
        data: on any device.
        how: one of SHIFTS. "none" gives `data` itself; "blur" is a Gaussian whose deviation is BLUR times
            the image's side; "noise" is normal with a deviation of NOISE, drawn for each pixel and channel;
            "invert" is 255 minus each value.
        generator: of the noise; a CPU generator draws the same whatever the data's device.
    Returns:
        On the data's device. Its name and a note say how it was shifted.
    Raises:
        ConfigError: no such shift.
    """
    check_shifts([how])
    if how == "none":
        return data
    change, note = _change(how, data.io.size, generator)
    # One order of the splits, as the noise of one follows that of the one before.
    splits = {name: Split(_in_chunks(change, data.splits[name].images), data.splits[name].labels) for name in SPLITS}
    return replace(data, name=f"{data.name}, {how}", splits=splits, notes=(*data.notes, note))


def _change(how: str, size: int, generator: torch.Generator) -> tuple[Callable[[Tensor], Tensor], str]:
    """Return the function on (N, C, S, S) uint8, and a description of it."""
    from torchvision.transforms.v2.functional import gaussian_blur, invert

    if how == "invert":
        return invert, "Colours are inverted."
    if how == "noise":
        return (
            lambda images: _noisy(images, generator)
        ), f"Normal noise with a deviation of {NOISE:g} of 255 was added."
    sigma = BLUR * size
    # Three deviations hold all of the Gaussian; mirrored at the edge, it must not reach beyond the image.
    kernel = 2 * min(math.ceil(3 * sigma), size - 1) + 1
    return (
        lambda images: gaussian_blur(images, kernel_size=[kernel, kernel], sigma=[sigma, sigma])
    ), f"Blurred with a Gaussian of {sigma:g} pixels."


def _noisy(images: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(images.shape, generator=generator, device=generator.device).to(images.device)
    return (images + NOISE * noise).round_().clamp_(0, 255).to(torch.uint8)


def _in_chunks(change: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    return torch.cat([change(part) for part in images.split(_CHUNK)])
