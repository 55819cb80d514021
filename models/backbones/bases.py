"""A way from the embedding to every layer's weights along chosen directions.

The weights of a layer, seen as a matrix (n, m) of outputs by inputs, receive U M Vᵀ: U (n, a) and V (m, b) hold
directions, and M (a, b) is a part of the embedding. Directions are those in which a change shows most (the
leading eigenvectors of `curvature_moments`), or random ones where nothing is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from ..curvature import Moments
from ..spec import NetworkSpec
from .base import Directions

# How the number of directions grows with the size of a side: n ** EXPONENT.
EXPONENT = 0.5


@dataclass(frozen=True)
class Cut:
    """One parameter's part: (n, m) its matrix, (a, b) how many directions, `offset` where M begins."""

    name: str
    n: int
    m: int
    a: int
    b: int
    offset: int

    @property
    def size(self) -> int:
        """Values of M."""
        return self.a * self.b


def cuts_of(spec: NetworkSpec, embedding_size: int) -> tuple[Cut, ...]:
    """How an embedding is shared out: each side of each parameter gets as many directions as its square
    root, times a factor that uses the embedding up, and all of them where there are not as many.

    The values asked for exceed `embedding_size` only where one for each parameter is already too many.
    """
    shapes = [(p.name, p.shape[0] if p.shape else 1, prod(p.shape[1:])) for p in spec.parameters]

    def directions(factor: float) -> list[tuple[int, int]]:
        sides = [[min(k, max(1, round(factor * k**EXPONENT))) for k in (n, m)] for _, n, m in shapes]
        return [(a, b) for a, b in sides]

    low, high = 0.0, 1.0
    while sum(a * b for a, b in directions(high)) < min(embedding_size, spec.size) and high < 1e6:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        fits = sum(a * b for a, b in directions(middle)) <= embedding_size
        low, high = (middle, high) if fits else (low, middle)
    # At the very top every side is whole; below it the lower bound is the one that fits.
    chosen = directions(high) if sum(a * b for a, b in directions(high)) <= embedding_size else directions(low)
    cuts, offset = [], 0
    for (name, n, m), (a, b) in zip(shapes, chosen, strict=True):
        cuts.append(Cut(name, n, m, a, b, offset))
        offset += a * b
    return tuple(cuts)


class LayerBases(nn.Module):
    """The directions of an architecture's parameters, as `left<i>` (n, a) and `right<i>` (m, b).

    Args:
        spec: its parameters.
        embedding_size: E.
        moments: of its starting point, by parameter name; parameters without are given random directions.
        generator: of the random ones; None for torch's current stream.
        learnt: whether they are parameters, learnt with the rest from where they begin, or buffers that stay.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        embedding_size: int,
        moments: Mapping[str, tuple[Tensor, Tensor]] | None = None,
        generator: torch.Generator | None = None,
        *,
        learnt: bool = False,
    ) -> None:
        super().__init__()
        self.cuts = cuts_of(spec, embedding_size)
        known: Mapping[str, tuple[Tensor, Tensor]] = moments or Moments()
        for i, cut in enumerate(self.cuts):
            inputs, gradients = known.get(cut.name, (None, None))
            for side, directions in (
                ("left", _directions(gradients, cut.n, cut.a, generator)),
                ("right", _directions(inputs, cut.m, cut.b, generator)),
            ):
                if learnt:
                    self.register_parameter(f"{side}{i}", nn.Parameter(directions))
                else:
                    self.register_buffer(f"{side}{i}", directions)
        total = sum(cut.size for cut in self.cuts)
        # An embedding smaller than one value for each parameter serves several with the same value.
        self.register_buffer("places", torch.arange(total) % embedding_size, persistent=False)

    def directions(self) -> dict[str, Directions]:
        """Of each parameter, as they are now."""
        parts = self.get_buffer("places").split([cut.size for cut in self.cuts])
        sides = [(getattr(self, f"left{i}"), getattr(self, f"right{i}")) for i in range(len(self.cuts))]
        return {cut.name: (*pair, part) for cut, pair, part in zip(self.cuts, sides, parts, strict=True)}

    def forward(self, embeddings: Tensor) -> Tensor:
        """(B, E) to (B, P); values of unit variance give weights of unit mean square."""
        values = embeddings[:, self.get_buffer("places")]
        written = []
        for i, cut in enumerate(self.cuts):
            middle = values[:, cut.offset : cut.offset + cut.size].unflatten(1, (cut.a, cut.b))
            left, right = getattr(self, f"left{i}"), getattr(self, f"right{i}")
            matrix = left @ middle @ right.T  # (B, n, m)
            written.append(matrix.flatten(1))
        return torch.cat(written, dim=1)


def _directions(moments: Tensor | None, size: int, count: int, generator: torch.Generator | None) -> Tensor:
    """(size, count) orthogonal directions of length sqrt(size / count)."""
    if moments is None:
        found = torch.linalg.qr(torch.randn(size, count, dtype=torch.float64, generator=generator))[0]
    else:
        found = torch.linalg.eigh(moments.double())[1].flip(1)[:, :count]
    # Eigenvectors have no sign of their own; fixed here, so that every machine finds the same ones.
    strongest = found.gather(0, found.abs().argmax(dim=0, keepdim=True))
    return (found * strongest.sign() * (size / count) ** 0.5).float().contiguous()
