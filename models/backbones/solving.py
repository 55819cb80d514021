"""The end of an encoder for networks that are signals: the embedding is solved for, from the network's own values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..architectures import Architecture
from ..architectures.signal import even_points
from ..gauss_newton import DAMPING, Solver, weights_by_distance
from .base import Directions

# Points looked at for each one that is asked near zero.
CANDIDATES = 8


@dataclass(frozen=True)
class Solving:
    """How an encoder solves.

    Attributes:
        steps: Gauss-Newton steps of each network; 0 for none.
        points: where a network is asked.
        near: share of them that are where its values are nearest to zero, of signed distances; values near zero weigh
            more then.
    """

    steps: int
    points: int
    near: float

    def asked(self, architecture: Architecture, vector: Tensor) -> Tensor:
        """(points, D) places of the box, the same each time: evenly over it (Sobol's sequence), and near zero."""
        close = round(self.near * self.points)
        count = max(self.points - close, CANDIDATES * close)
        candidates = even_points(architecture.signal.input_shape[0], count).to(vector)
        even = candidates[: self.points - close]
        if not close:
            return even
        distance = architecture.run(vector, candidates).abs().amin(dim=1)
        return torch.cat([even, candidates[distance.topk(close, largest=False).indices]])

    @torch.no_grad()
    def solve(
        self,
        architecture: Architecture,
        decode: Callable[[Tensor], Tensor],
        directions: Mapping[str, Directions],
        vectors: Tensor,
        embeddings: Tensor,
    ) -> Tensor:
        """(B, E) embeddings nearer to what networks (B, P) compute, each by itself."""
        solver, found = Solver(architecture, decode, directions, DAMPING), []
        # Whatever the caller's number format: equations are not solved in 8 bits.
        with torch.autocast(vectors.device.type, enabled=False):
            for embedding, vector in zip(embeddings, vectors, strict=True):
                points = self.asked(architecture, vector)
                wanted = architecture.run(vector, points).flatten()
                weights = weights_by_distance(wanted) if self.near else None
                for _ in range(self.steps):
                    embedding, _ = solver.step(embedding, wanted, points, weights)
                found.append(embedding)
        return torch.stack(found)
