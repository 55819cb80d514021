"""Perceptrons: regressors of tables, with rectified linear units."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..network_io import TableIO
from ..parameters.symmetry import HiddenGroup, chain
from .family import Factory, Family, Guess, Shapes, check_hidden_size, rows_for

WIDTH, LAYERS = 64, 2
NAME = re.compile(r"perceptron(?:-([1-9][0-9]{0,3})x([1-9][0-9]?))?")
LAYER = re.compile(r"hidden\.(0|[1-9][0-9]?)\.weight")
MOST_UNITS = 9999


class Perceptron(nn.Module):
    """Linear layers with ReLU between them: (B, D) rows to (B, K) numbers.

    Args:
        io: D features, K targets.
        width: hidden units of each hidden layer.
        depth: number of hidden layers.
    """

    def __init__(self, io: TableIO, *, width: int = WIDTH, depth: int = LAYERS) -> None:
        super().__init__()
        sizes = [io.features, *[width] * depth]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.out = nn.Linear(width, io.targets)

    def forward(self, x: Tensor) -> Tensor:
        """Map rows (B, D) to numbers (B, K)."""
        for layer in self.hidden:
            x = F.relu(layer(x))
        numbers: Tensor = self.out(x)
        return numbers

    def forward_each(self, state: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Run many networks at once, with one batched product per layer; see `Architecture.run_each`."""
        x = x.expand(len(state["out.bias"]), -1, -1)
        for i in range(len(self.hidden)):
            x = F.relu(_product(state, f"hidden.{i}", x))
        return _product(state, "out", x)

    def hidden_groups(self) -> tuple[HiddenGroup, ...]:
        """The units of each hidden layer."""
        return chain(self, [*(f"hidden.{i}" for i in range(len(self.hidden))), "out"])


def _product(state: Mapping[str, Tensor], layer: str, x: Tensor) -> Tensor:
    return torch.baddbmm(state[f"{layer}.bias"][:, None], x, state[f"{layer}.weight"].transpose(1, 2))


def factory(name: str) -> Factory | None:
    """Return the builder of a perceptron by name; see `Family`.

    Raises:
        UnknownArchitecture: sizes that would fill the memory.
    """
    match = NAME.fullmatch(name)
    if not match:
        return None
    width, layers = int(match.group(1) or WIDTH), int(match.group(2) or LAYERS)
    check_hidden_size(name, width, layers, "perceptron-512x3")
    return lambda io: Perceptron(rows_for(name, io), width=width, depth=layers)


def recognise(shapes: Shapes) -> Guess | None:
    """Recognise a perceptron by its layers' names; the first and the last layer give its sizes."""
    matrices = [name for name in shapes if name.endswith(".weight") and name != "out.weight"]
    first, end = shapes.get("hidden.0.weight", ()), shapes.get("out.weight", ())
    if not matrices or not all(LAYER.fullmatch(name) for name in matrices) or len(first) != 2 or len(end) != 2:
        return None
    (width, features), targets, layers = first, end[0], len(matrices)
    values = sum(a * b for a, b in (shapes[name] for name in matrices if len(shapes[name]) == 2))
    if not 1 <= min(width, features, targets) <= max(width, features, targets) <= MOST_UNITS:
        return None
    if (layers - 1) * width**2 > 4 * values:
        return None
    name = "perceptron" if (width, layers) == (WIDTH, LAYERS) else f"perceptron-{width}x{layers}"
    return Guess((name,), TableIO(features, targets))


PERCEPTRONS = Family(("perceptron",), factory, recognise, more="perceptron-WxL of L hidden layers of W units")
