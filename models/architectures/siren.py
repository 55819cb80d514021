"""Neural fields: a point in, sines in between, the value there out.

The publication's network for signed distances (section 5): linear 3 → 256, sin(30 x), linear 256 → 256,
sin(30 x), linear 256 → 1; 67,073 parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor, nn

from ..network_io import FieldIO
from ..parameters.symmetry import HiddenGroup, chain

OMEGA = 30.0
WIDTH, LAYERS = 256, 2


class Siren(nn.Module):
    """A perceptron with sines: (B, D) points of the box to (B, K) values.

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
        """Weights uniform in ±1/D in the first layer, ±sqrt(6 / inputs) / 30 in the others, so that what
        reaches each sine is spread alike; biases as torch draws them."""
        first, *others = self._linear()
        with torch.no_grad():
            first.weight.uniform_(-1 / first.in_features, 1 / first.in_features)
            for layer in others:
                bound = sqrt(6 / layer.in_features) / OMEGA
                layer.weight.uniform_(-bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) to (B, K)."""
        *hidden, last = self._linear()
        for layer in hidden:
            x = torch.sin(OMEGA * layer(x))
        values: Tensor = last(x)
        return values

    def forward_each(self, state: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Many networks at once, one batched product a layer.

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
