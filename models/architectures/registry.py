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
from .signal import Signal
from .vanillacnn import VanillaCNN

RESNET = re.compile(r"resnet([1-9][0-9]*)")
FAMILIES = ("lenetlike", "vanillacnn", "resnet8", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110")


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
        depth = int(match.group(1))
        if depth >= 8 and (depth - 2) % 6 == 0:
            return lambda signal: ResNet(signal, depth=depth)
        raise UnknownArchitecture(
            f"resnet{depth} does not exist: the depth must be 6n + 2.",
            f"Nearest: resnet{max(8, 6 * round((depth - 2) / 6) + 2)}.",
        )
    near = difflib.get_close_matches(name, FAMILIES, n=1)
    raise UnknownArchitecture(
        f"no architecture is called {name!r}.",
        (f"Did you mean {near[0]}? " if near else "")
        + f"Known: {', '.join(FAMILIES)}, any resnet of depth 6n + 2, or a factory as package.module:function.",
    )


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
