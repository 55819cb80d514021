"""Architectures by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import nn

from ..errors import UnknownArchitecture
from .architecture import Architecture, describe
from .lenetlike import LeNetLike
from .resnet import ResNet
from .resnet_a import ResNetA
from .signal import Signal
from .vanillacnn import VanillaCNN

# With -a, the shortcuts are option A's, which have no parameters. No file's word is taken for five digits.
RESNET = re.compile(r"resnet([1-9][0-9]{0,3})(-a)?")
FAMILIES = (
    *("lenetlike", "vanillacnn", "resnet8", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"),
    *("resnet20-a", "resnet32-a", "resnet44-a", "resnet56-a", "resnet110-a"),
)


def factory(name: str) -> Callable[[Signal], nn.Module]:
    """The function that makes a fresh module of a built-in architecture.

    Raises:
        UnknownArchitecture: no such name; the message has the nearest.
    """
    if name == "lenetlike":
        return LeNetLike
    if name == "vanillacnn":
        return VanillaCNN
    match = RESNET.fullmatch(name)
    if match:
        depth, option = int(match.group(1)), match.group(2) or ""
        kind = ResNetA if option else ResNet
        if depth >= 8 and (depth - 2) % 6 == 0:
            return lambda signal: kind(signal, depth=depth)
        raise UnknownArchitecture(
            f"{name} does not exist: the depth must be 6n + 2.",
            f"Nearest: resnet{nearest_depth(depth)}{option}.",
        )
    near = difflib.get_close_matches(name, FAMILIES, n=1)
    raise UnknownArchitecture(
        f"no architecture is called {name!r}.",
        (f"Did you mean {near[0]}? " if near else "")
        + f"Known: {', '.join(FAMILIES)}, any resnet of depth 6n + 2 (-a: ReLU and shortcuts without parameters), "
        + "or a factory as package.module:function.",
    )


def nearest_depth(depth: int) -> int:
    """The depth of the form 6n + 2 next to another."""
    return max(8, 6 * round((depth - 2) / 6) + 2)


@lru_cache(maxsize=128)
def build(name: str, signal: Signal) -> Architecture:
    """A built-in architecture for images and classes.

    Raises:
        UnknownArchitecture: no such name, or the images are too small for it.
    """
    make = factory(name)
    # Fresh modules draw random values; the template's mean nothing, so the caller's stream is left alone.
    with torch.random.fork_rng(devices=[]):
        try:
            module = make(signal)
        except (RuntimeError, ZeroDivisionError, ValueError) as failure:
            raise UnknownArchitecture(f"{name} cannot be built for {signal.describe()}: {failure}") from failure
    return describe(name, module, signal, verify=False)
