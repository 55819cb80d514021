"""SIREN: neural fields with sine activations; and perceptrons of points, whose parameters look the same.

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

from ..network_io import FieldIO, NetworkIO
from ..parameters.symmetry import HiddenGroup, chain
from .family import Factory, Family, Guess, Shapes, check_hidden_size, points_for

OMEGA = 30.0
WIDTH, LAYERS = 256, 2
# A name in a file is not to fill the memory, and no file's word is taken for five digits.
NAME = re.compile(r"(siren|siren-net|siren-notebook|relu-field)(?:-([1-9][0-9]{0,3})x([1-9][0-9]?))?")
# What the activation is, and the names of hidden layers and of the last one: of siren-net those of the SIREN paper's
# own code, of siren-notebook those of the notebook beside it.
KINDS = {
    "siren": ("sine", "layers.{}", "layers.{}"),
    "siren-net": ("sine", "net.net.{}.0", "net.net.{}.0"),
    "siren-notebook": ("sine", "net.{}.linear", "net.{}"),
    "relu-field": ("relu", "layers.{}", "layers.{}"),
}
NUMBER = re.compile(r"(?:layers|net|net\.net)\.(0|[1-9][0-9]?)\.")
# The deviation of hidden weights times the square root of their inputs is sqrt(2) / 30 in a new network of sines and
# 0.6 in torch's other linear layers; trained ones of sines are taken to stay below this.
MOST_OF_SINES = 0.2
MOST_UNITS, MOST_LAYERS = 9999, 99
# Largest factor by which a network to compare with may exceed the file's number of values.
MOST_EXCESS = 4


class Siren(nn.Module):
    """A perceptron with sine activations: (B, D) points of the box to (B, K) values.

    Args:
        io: D coordinates, K values.
        width: hidden units of each hidden layer.
        depth: number of hidden layers.
        kind: of `KINDS`.
    """

    def __init__(self, io: FieldIO, *, width: int = WIDTH, depth: int = LAYERS, kind: str = "siren") -> None:
        super().__init__()
        sizes = [io.dimensions, *[width] * depth, io.values]
        linear = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        self.activation, hidden, last = KINDS[kind]
        self.names = [*(hidden.format(i) for i in range(depth)), last.format(depth)]
        if kind == "siren-net":
            self.net = nn.Module()
            self.net.net = nn.Sequential(*(nn.Sequential(layer) for layer in linear))
        elif kind == "siren-notebook":
            self.net = nn.Sequential(*(nn.ModuleDict({"linear": layer}) for layer in linear[:-1]), linear[-1])
        else:
            self.layers = nn.ModuleList(linear)
        if self.activation == "sine":
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
            x = torch.sin(OMEGA * layer(x)) if self.activation == "sine" else layer(x).relu()
        values: Tensor = last(x)
        return values

    def forward_each(self, state: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Run many networks at once, with one batched product per layer; see `Architecture.run_each`."""
        last = self.names[-1]
        x = x.expand(len(state[f"{last}.bias"]), -1, -1)
        for name in self.names:
            weight, bias = state[f"{name}.weight"].transpose(1, 2), state[f"{name}.bias"][:, None]
            if name != last and self.activation == "relu":
                x = torch.baddbmm(bias, x, weight).relu()
            elif name != last:
                # 30 (W x + b), with the factor on what is small.
                x = torch.sin(torch.baddbmm(OMEGA * bias, x, OMEGA * weight))
            else:
                x = torch.baddbmm(bias, x, weight)
        return x

    def _linear(self) -> list[nn.Linear]:
        return [layer for layer in self.modules() if isinstance(layer, nn.Linear)]

    def hidden_groups(self) -> tuple[HiddenGroup, ...]:
        """The units of each hidden layer."""
        return chain(self, self.names)


def factory(name: str) -> Factory | None:
    """Return the builder of a SIREN by name; see `Family`.

    Raises:
        UnknownArchitecture: sizes that would fill the memory.
    """
    match = NAME.fullmatch(name)
    if not match:
        return None
    width, layers = int(match.group(2) or WIDTH), int(match.group(3) or LAYERS)
    check_hidden_size(name, width, layers, f"{match.group(1)}-512x3")
    return lambda io: Siren(points_for(name, io), width=width, depth=layers, kind=match.group(1))


def recognise(shapes: Shapes) -> Guess | None:
    """Recognise a SIREN, or what was meant as one: a state dict of numbered matrices and biases only.

    The first layer gives the width and the last one the number of layers; layers between may differ.
    """
    numbers = [int(number.group(1)) for name in shapes if (number := NUMBER.match(name))]
    last = max(numbers, default=0)
    kind = next((kind for kind in KINDS if _has_names_of(kind, last, shapes)), None)
    if kind is None:
        return None
    _, hidden, end_layer = KINDS[kind]
    first, end = shapes.get(f"{hidden.format(0)}.weight", ()), shapes.get(f"{end_layer.format(last)}.weight", ())
    if not 1 <= last < MOST_LAYERS or len(first) != 2 or len(end) != 2:
        return None
    width, dimensions, outputs = first[0], first[1], end[0]
    if min(width, dimensions, outputs) < 1 or max(width, dimensions, outputs) > MOST_UNITS:
        return None
    if (last - 1) * width**2 > MOST_EXCESS * sum(map(prod, shapes.values())):
        return None
    name = kind if (width, last) == (WIDTH, LAYERS) else f"{kind}-{width}x{last}"
    return Guess((name,), FieldIO(dimensions, outputs))


def _has_names_of(kind: str, last: int, shapes: Shapes) -> bool:
    """Whether all names are those of layers 0 to `last` of a kind, and none of these is missing altogether."""
    _, hidden, end = KINDS[kind]
    layers = [*(hidden.format(i) for i in range(last)), end.format(last)]
    return {name.rpartition(".")[0] for name in shapes} == set(layers) and all(
        name.endswith((".weight", ".bias")) for name in shapes
    )


def _twins(name: str, io: NetworkIO) -> tuple[str, ...]:
    """The network of sines and the one with ReLU."""
    match = NAME.fullmatch(name)
    if match is None or not KINDS[match.group(1)][1].startswith("layers"):
        return (name,)
    return tuple(f"{kind}{name.removeprefix(match.group(1))}" for kind in ("siren", "relu-field"))


def _shown(name: str, state: Mapping[str, Tensor]) -> bool:
    """Whether hidden weights are as small as those of networks of sines, which ReLU's are not."""
    hidden = [t for n, t in state.items() if n.endswith(".weight") and not n.startswith("layers.0.")]
    spread = max((float(t.float().std()) * t.shape[1] ** 0.5 for t in hidden if t.numel() > 1), default=1.0)
    return name.startswith("siren") and spread < MOST_OF_SINES


SIRENS = Family(
    ("siren",),
    factory,
    recognise,
    more="siren-WxL of L hidden layers of W units (siren-net-WxL, siren-notebook-WxL: with the names of the paper's "
    "code and of its notebook; relu-field-WxL: with ReLU)",
    twins=_twins,
    shown=_shown,
)
