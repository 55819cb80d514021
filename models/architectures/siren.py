"""SIREN: neural fields with sine activations.

The publication's network for signed distances (section 5): linear 3 → 256, sin(30 x), linear 256 → 256,
sin(30 x), linear 256 → 1; 67,073 parameters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from math import prod, sqrt

import torch
from torch import Tensor, nn

from ..errors import UnknownArchitecture
from ..network_io import FieldIO
from ..parameters.symmetry import HiddenGroup, chain
from .family import Factory, Family, Guess, Shapes, points_for

OMEGA = 30.0
WIDTH, LAYERS = 256, 2
# A name in a file is not to fill the memory, and no file's word is taken for five digits.
NAME = re.compile(r"siren(?:-([1-9][0-9]{0,3})x([1-9][0-9]?))?")
MOST_PARAMETERS = 50_000_000
LAYER = re.compile(r"layers\.(0|[1-9][0-9]?)\.(?:weight|bias)")
MOST_UNITS, MOST_LAYERS = 9999, 99
# Largest factor by which a network to compare with may exceed the file's number of values.
MOST_EXCESS = 4


class Siren(nn.Module):
    """A perceptron with sine activations: (B, D) points of the box to (B, K) values.

    Args:
        io: D coordinates, K values.
        width: hidden units of each hidden layer.
        depth: number of hidden layers.
    """

    def __init__(self, io: FieldIO, *, width: int = WIDTH, depth: int = LAYERS) -> None:
        super().__init__()
        sizes = [io.dimensions, *[width] * depth, io.values]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self._initialise()

    def _initialise(self) -> None:
        """Draw weights uniformly: ±1/D in the first layer, ±sqrt(6 / inputs) / 30 in the others.

        Inputs of all sines then have the same spread. Biases are drawn as torch does.
        """
        first, *others = self._linear()
        with torch.no_grad():
            first.weight.uniform_(-1 / first.in_features, 1 / first.in_features)
            for layer in others:
                bound = sqrt(6 / layer.in_features) / OMEGA
                layer.weight.uniform_(-bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Map points (B, D) to values (B, K)."""
        *hidden, last = self._linear()
        for layer in hidden:
            x = torch.sin(OMEGA * layer(x))
        values: Tensor = last(x)
        return values

    def forward_each(self, state: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Run many networks at once, with one batched product per layer.

        Args:
            state: each parameter of all networks, (B, *shape).
            x: (B, N, D) points of each.
        Returns:
            (B, N, K).
        """
        last = len(self.layers) - 1
        for i in range(len(self.layers)):
            weight, bias = state[f"layers.{i}.weight"].transpose(1, 2), state[f"layers.{i}.bias"][:, None]
            if i < last:
                # 30 (W x + b), with the factor on what is small.
                x = torch.sin(torch.baddbmm(OMEGA * bias, x, OMEGA * weight))
            else:
                x = torch.baddbmm(bias, x, weight)
        return x

    def _linear(self) -> list[nn.Linear]:
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def hidden_groups(self) -> tuple[HiddenGroup, ...]:
        """The units of each hidden layer."""
        return chain(self, [f"layers.{i}" for i in range(len(self.layers))])


def factory(name: str) -> Factory | None:
    """Return the builder of a SIREN by name; see `Family`.

    Raises:
        UnknownArchitecture: sizes that would fill the memory.
    """
    match = NAME.fullmatch(name)
    if not match:
        return None
    width, layers = int(match.group(1) or WIDTH), int(match.group(2) or LAYERS)
    if width * width * (layers - 1) > MOST_PARAMETERS:
        raise UnknownArchitecture(
            f"{name} would have more than {width * width * (layers - 1):,} parameters; "
            f"the limit is {MOST_PARAMETERS:,}.",
            "Name a smaller one, e.g. siren-512x3.",
        )
    return lambda io: Siren(points_for(name, io), width=width, depth=layers)


def recognise(shapes: Shapes) -> Guess | None:
    """Recognise a SIREN, or what was meant as one: a state dict of numbered matrices and biases only.

    The first layer gives the width and the last one the number of layers; layers between may differ.
    """
    places = [LAYER.fullmatch(name) for name in shapes]
    if not places or None in places:
        return None
    numbers = {int(place.group(1)) for place in places if place}
    last = max(numbers)
    if len(numbers) <= last:
        return None  # a layer of nothing, such as others' activations, has no number here
    first, end = shapes.get("layers.0.weight", ()), shapes.get(f"layers.{last}.weight", ())
    if not 1 <= last < MOST_LAYERS or len(first) != 2 or len(end) != 2:
        return None
    width, dimensions, outputs = first[0], first[1], end[0]
    if min(width, dimensions, outputs) < 1 or max(width, dimensions, outputs) > MOST_UNITS:
        return None
    if (last - 1) * width**2 > MOST_EXCESS * sum(map(prod, shapes.values())):
        return None
    name = "siren" if (width, last) == (WIDTH, LAYERS) else f"siren-{width}x{last}"
    return Guess((name,), FieldIO(dimensions, outputs))


SIRENS = Family(("siren",), factory, recognise, more="siren-WxL of L hidden layers of W units")
