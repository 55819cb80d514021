"""Cut an architecture's weights into rows, one per output neuron or kernel."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor, nn

from ...parameters.spec import NetworkSpec, ParameterSpec


class NeuronRows(nn.Module):
    """Cut flat weights into the rows of each layer, and join them again.

    A row is what one output neuron, or one kernel, has: its incoming weights, then its bias. A parameter with a single
    axis and no matrix in its layer to belong to is a row of its own.

    Attributes:
        shapes: (n, m) rows and values a row of each group of rows, in the order of the weights.
    """

    order: Tensor
    inverse: Tensor

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        places = [group for _, layer in groupby(spec.parameters, lambda p: p.layer) for group in _places(list(layer))]
        self.shapes = tuple((group.shape[0], group.shape[1]) for group in places)
        order = torch.cat([group.flatten() for group in places])
        # They follow from the spec, so they are not saved.
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("inverse", order.argsort(), persistent=False)

    @property
    def count(self) -> int:
        """Number of rows T."""
        return sum(n for n, _ in self.shapes)

    def cut(self, weights: Tensor) -> list[Tensor]:
        """Cut (B, P) into (B, n, m) for each group."""
        parts = weights[:, self.order].split([n * m for n, m in self.shapes], dim=1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def join(self, rows: Sequence[Tensor]) -> Tensor:
        """Undo `cut`."""
        return torch.cat([group.flatten(1) for group in rows], dim=1)[:, self.inverse]


def _places(layer: Sequence[ParameterSpec]) -> list[Tensor]:
    """(n, m) for each group of a layer's rows: the places of their values in the flat weights."""
    groups: list[Tensor] = []
    for p in layer:
        own = torch.arange(p.offset, p.offset + p.size)
        if len(p.shape) > 1:
            groups.append(own.view(p.shape[0], -1))
        elif groups and len(groups[-1]) == p.size:
            groups[-1] = torch.cat([groups[-1], own[:, None]], dim=1)
        else:
            groups.append(own[None])
    return groups
