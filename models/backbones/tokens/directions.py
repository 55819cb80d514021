"""Low-rank directions: a direct path from the embedding to every layer's weights.

The weights of a layer, seen as a matrix (n, m) of outputs by inputs, receive U M Vᵀ: U (n, a) and V (m, b) hold
directions, and M (a, b) is a part of the embedding. Directions are those in which a change shows most (the
leading eigenvectors of `curvature_moments`), or random ones where nothing is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

from ...parameters.spec import NetworkSpec
from ...second_order.curvature import Moments
from ...second_order.eigenvectors import leading_eigenvectors
from ..backbone import Directions
from .head import DirectPath

# How the number of directions grows with the size of a side: n ** EXPONENT.
EXPONENT = 0.5


@dataclass(frozen=True)
class Block:
    """One parameter's M: its matrix is (n, m), it has (a, b) directions, and M begins at `offset` of the embedding."""

    name: str
    n: int
    m: int
    a: int
    b: int
    offset: int

    @property
    def size(self) -> int:
        """Number of values of M."""
        return self.a * self.b


def choose_ranks(spec: NetworkSpec, embedding_size: int) -> tuple[Block, ...]:
    """Divide an embedding among parameters.

    Each side of each parameter gets as many directions as its square root, times a factor that uses the embedding
    up, and all of them where there are fewer. The values exceed `embedding_size` only where one for each parameter
    is already too many.
    """
    shapes = [(p.name, p.shape[0] if p.shape else 1, prod(p.shape[1:])) for p in spec.parameters]
    sides = np.array([[n, m] for _, n, m in shapes])
    powers = np.array([[n**EXPONENT, m**EXPONENT] for _, n, m in shapes])

    def ranks(factor: float) -> np.ndarray:
        return np.minimum(sides, np.maximum(1, np.rint(factor * powers))).astype(np.int64)

    def values(factor: float) -> int:
        return int(ranks(factor).prod(1).sum())

    low, high = 0.0, 1.0
    # The factor by doubling, then by bisection.
    while values(high) < min(embedding_size, spec.size) and high < 1e6:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if values(middle) <= embedding_size else (low, middle)
    # At the very top every side is whole; below it the lower bound is the one that fits.
    chosen = ranks(high if values(high) <= embedding_size else low).tolist()
    blocks, offset = [], 0
    for (name, n, m), (a, b) in zip(shapes, chosen, strict=True):
        blocks.append(Block(name, n, m, a, b, offset))
        offset += a * b
    return tuple(blocks)


class LowRankDirections(DirectPath):
    """Directions of an architecture's parameters, as `left<i>` (n, a) and `right<i>` (m, b).

    Args:
        spec: its parameters.
        embedding_size: E.
        moments: of its starting point, by parameter name; parameters without are given random directions.
        generator: of the random ones; None for torch's current stream.
        learnt: whether they are parameters, learnt with the rest from where they begin, or buffers that stay.
        loaded: whether all of them are loaded afterwards, and so need not be found: they are zero until then.
    """

    places: Tensor
    by_shape: Tensor

    def __init__(
        self,
        spec: NetworkSpec,
        embedding_size: int,
        moments: Mapping[str, tuple[Tensor, Tensor]] | None = None,
        generator: torch.Generator | None = None,
        *,
        learnt: bool = False,
        loaded: bool = False,
    ) -> None:
        super().__init__()
        self.blocks = choose_ranks(spec, embedding_size)
        by_name: Mapping[str, tuple[Tensor, Tensor]] = moments or Moments()
        for i, block in enumerate(self.blocks):
            inputs, gradients = by_name.get(block.name, (None, None))
            for side, found, size, count in (
                ("left", gradients, block.n, block.a),
                ("right", inputs, block.m, block.b),
            ):
                directions = torch.zeros(size, count) if loaded else _directions(found, size, count, generator)
                if learnt:
                    self.register_parameter(f"{side}{i}", nn.Parameter(directions))
                else:
                    self.register_buffer(f"{side}{i}", directions)
        total = sum(block.size for block in self.blocks)
        # An embedding smaller than one value for each parameter serves several with the same value.
        self.register_buffer("places", torch.arange(total) % embedding_size, persistent=False)
        self._alike = _of_equal_shapes(self.blocks)
        parts = self.places.split([block.size for block in self.blocks])
        by_shape = torch.cat([parts[i] for alike in self._alike for i in alike])
        self.register_buffer("by_shape", by_shape, persistent=False)

    def directions(self) -> dict[str, Directions]:
        """The present U, V and places of each parameter, by name."""
        parts = self.places.split([block.size for block in self.blocks])
        return {
            block.name: (*self._sides(i), part) for i, (block, part) in enumerate(zip(self.blocks, parts, strict=True))
        }

    def _sides(self, i: int) -> tuple[Tensor, Tensor]:
        """U (n, a) and V (m, b) of one parameter."""
        return getattr(self, f"left{i}"), getattr(self, f"right{i}")

    def forward(self, embeddings: Tensor) -> Tensor:
        # Parameters of equal shapes by one product: a ResNet's many small ones take an accelerator's time to launch.
        first = [self.blocks[alike[0]] for alike in self._alike]
        counts = [len(alike) * block.size for alike, block in zip(self._alike, first, strict=True)]
        written: dict[int, Tensor] = {}
        parts = embeddings[:, self.by_shape].split(counts, dim=1)
        for alike, block, part in zip(self._alike, first, parts, strict=True):
            middle = part.unflatten(1, (len(alike), block.a, block.b))
            left, right = map(_stacked, zip(*map(self._sides, alike), strict=True))
            matrices = left @ middle @ right.mT  # U M V', (B, parameters, n, m)
            written |= zip(alike, matrices.flatten(2).unbind(1), strict=True)
        return torch.cat([written[i] for i in range(len(self.blocks))], dim=1)


def _of_equal_shapes(blocks: Sequence[Block]) -> list[list[int]]:
    """Numbers of the blocks, those together whose sides and directions are as many."""
    found: dict[tuple[int, int, int, int], list[int]] = {}
    for i, block in enumerate(blocks):
        found.setdefault((block.n, block.m, block.a, block.b), []).append(i)
    return list(found.values())


def _stacked(sides: Sequence[Tensor]) -> Tensor:
    return sides[0][None] if len(sides) == 1 else torch.stack(list(sides))


def _directions(moments: Tensor | None, size: int, count: int, generator: torch.Generator | None) -> Tensor:
    """(size, count) orthogonal directions of length sqrt(size / count)."""
    if moments is None:
        directions = torch.linalg.qr(torch.randn(size, count, dtype=torch.float64, generator=generator))[0]
    else:
        directions = leading_eigenvectors(moments, count)
    # Eigenvectors have no sign of their own; fixed here, so that every machine finds the same ones.
    strongest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))
    return (directions * strongest.sign() * (size / count) ** 0.5).float().contiguous()
