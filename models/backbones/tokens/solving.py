"""Solve for embeddings of neural fields at the end of the encoder, from the networks' values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...architectures import Architecture
from ...network_io import even_points
from ...second_order.gauss_newton import DAMPING, Solver, weights_by_distance
from ..backbone import Directions

# Points looked at for each one that is taken near the surface.
CANDIDATES = 8


@dataclass(frozen=True)
class Solving:
    """Solve for embeddings by Gauss-Newton.

    Attributes:
        steps: Gauss-Newton steps of each network.
        points: number of points at which a network's values are the targets.
        near_surface_share: share of them that are where its values are nearest to zero, of signed distances; values
            near zero weigh more then.
    """

    steps: int
    points: int
    near_surface_share: float

    def target_points(self, architecture: Architecture, weights: Tensor) -> Tensor:
        """(points, D) fixed points of the box: evenly spread over it (Sobol's sequence), and near the surface."""
        near = round(self.near_surface_share * self.points)
        count = max(self.points - near, CANDIDATES * near)
        candidates = even_points(architecture.io.input_shape[0], count).to(weights)
        even = candidates[: self.points - near]
        if not near:
            return even
        distance = architecture.run(weights, candidates).abs().amin(dim=1)
        return torch.cat([even, candidates[distance.topk(near, largest=False).indices]])

    @torch.no_grad()
    def solve(
        self,
        architecture: Architecture,
        decode: Callable[[Tensor], Tensor],
        directions: Mapping[str, Directions],
        weights: Tensor,
        embeddings: Tensor,
    ) -> Tensor:
        """Move each embedding (B, E) nearer to what its network (B, P) computes."""
        solver, solved = Solver(architecture, decode, directions, DAMPING), []
        # Whatever the caller's number format: equations are not solved in 8 bits.
        with torch.autocast(weights.device.type, enabled=False):
            for embedding, own in zip(embeddings, weights, strict=True):
                points = self.target_points(architecture, own)
                targets = architecture.run(own, points).flatten()
                error_weights = weights_by_distance(targets) if self.near_surface_share else None
                for _ in range(self.steps):
                    embedding, _ = solver.step(embedding, targets, points, error_weights)
                solved.append(embedding)
        return torch.stack(solved)
