"""Architectures by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import nn

from ..errors import UnknownArchitecture
from ..network_io import FieldIO, ImageIO, NetworkIO
from .architecture import Architecture, describe
from .lenetlike import LeNetLike
from .resnet import ResNet
from .resnet_a import ResNetA
from .siren import LAYERS, WIDTH, Siren
from .vanillacnn import VanillaCNN
from .zoo_cnn import ACTIVATIONS, LAYOUTS, ZooCNN

# Names tell sizes: resnet32, siren-128x3. No file's word is taken for five digits. With -a, the shortcuts are
# option A's, which have no parameters.
SIREN = re.compile(r"siren(?:-([1-9][0-9]{0,3})x([1-9][0-9]?))?")
# A name in a file is not to fill the memory.
MOST_PARAMETERS = 50_000_000
RESNET = re.compile(r"resnet([1-9][0-9]{0,3})(-a)?")
# The small CNNs of published zoos: layout and activation by name. Most of those zoos have tanh.
ZOO_CNNS = {
    layout if activation == "tanh" else f"{layout}-{activation}": (layout, activation)
    for layout in LAYOUTS
    for activation in ACTIVATIONS
}
FAMILIES = (
    *("lenetlike", "vanillacnn", "resnet8", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"),
    *("resnet20-a", "resnet32-a", "resnet44-a", "resnet56-a", "resnet110-a", "siren"),
    *ZOO_CNNS,
)


def factory(name: str) -> Callable[[NetworkIO], nn.Module]:
    """The function that makes a fresh module of a built-in architecture.

    It raises UnknownArchitecture where the signal is not of the architecture's kind.

    Raises:
        UnknownArchitecture: no such name; the message has the nearest.
    """
    if name == "lenetlike":
        return lambda io: LeNetLike(_images(name, io))
    if name == "vanillacnn":
        return lambda io: VanillaCNN(_images(name, io))
    if name in ZOO_CNNS:
        layout, activation = ZOO_CNNS[name]
        return lambda io: ZooCNN(_images(name, io), layout=layout, activation=activation)
    match = SIREN.fullmatch(name)
    if match:
        width, layers = int(match.group(1) or WIDTH), int(match.group(2) or LAYERS)
        if width * width * (layers - 1) > MOST_PARAMETERS:
            raise UnknownArchitecture(
                f"{name} would have more than {width * width * (layers - 1):,} parameters; {MOST_PARAMETERS:,} are the "
                "most.",
                "Name a smaller one, e.g. siren-512x3.",
            )
        return lambda io: Siren(_points(name, io), width=width, depth=layers)
    match = RESNET.fullmatch(name)
    if match:
        depth, option = int(match.group(1)), match.group(2) or ""
        kind = ResNetA if option else ResNet
        if depth >= 8 and (depth - 2) % 6 == 0:
            return lambda io: kind(_images(name, io), depth=depth)
        raise UnknownArchitecture(
            f"{name} does not exist: the depth must be 6n + 2.",
            f"Nearest: resnet{nearest_depth(depth)}{option}.",
        )
    near = difflib.get_close_matches(name, FAMILIES, n=1)
    raise UnknownArchitecture(
        f"no architecture is called {name!r}.",
        (f"Did you mean {near[0]}? " if near else "")
        + f"Known: {', '.join(FAMILIES)}, any resnet of depth 6n + 2 (-a: ReLU and shortcuts without parameters), "
        + "siren-WxL of L hidden layers of W units, or a factory as package.module:function.",
    )


def twins(name: str) -> tuple[str, ...]:
    """The architectures whose parameters have the same names and shapes, this one first: they differ in their
    activation, which a state dict does not tell. Most have none but themselves."""
    if name not in ZOO_CNNS:
        return (name,)
    layout = ZOO_CNNS[name][0]
    return (name, *(n for n, (other, _) in ZOO_CNNS.items() if other == layout and n != name))


def _images(name: str, io: NetworkIO) -> ImageIO:
    if not isinstance(io, ImageIO):
        raise UnknownArchitecture(f"{name} is for images, not for {signal.describe()}.", "For points: siren.")
    return signal


def _points(name: str, io: NetworkIO) -> FieldIO:
    if not isinstance(io, FieldIO):
        raise UnknownArchitecture(
            f"{name} is for points, not for images ({signal.describe()}).", "For images: lenetlike, resnet8, ..."
        )
    return signal


def nearest_depth(depth: int) -> int:
    """The depth of the form 6n + 2 next to another."""
    return max(8, 6 * round((depth - 2) / 6) + 2)


@lru_cache(maxsize=128)
def build(name: str, io: NetworkIO) -> Architecture:
    """A built-in architecture for certain inputs and outputs.

    Raises:
        UnknownArchitecture: no such name, or it is not for such inputs: points, or images too small for it.
    """
    make = factory(name)
    # Fresh modules draw random values; the template's mean nothing, so the caller's stream is left alone.
    with torch.random.fork_rng(devices=[]):
        try:
            module = make(io)
        except (RuntimeError, ZeroDivisionError, ValueError) as failure:
            raise UnknownArchitecture(f"{name} cannot be built for {signal.describe()}: {failure}") from failure
    return describe(name, module, io, verify=False)
