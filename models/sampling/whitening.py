"""Whitening: coordinates with equal variance in all directions, for small networks to learn in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Directions with less than this share of the largest deviation are rounding.
LEAST = 1e-5


@dataclass(frozen=True, eq=False)
class Whitening:
    """Affine map to principal components of standard deviation one, and back.

    Attributes:
        mean: (E,) of the rows.
        directions: (R, E) orthonormal, R at most N - 1.
        deviations: (R,) of the rows along them.
    """

    mean: Tensor
    directions: Tensor
    deviations: Tensor

    def forward(self, rows: Tensor) -> Tensor:
        """Map (N, E) to (N, R)."""
        return (rows - self.mean) @ self.directions.T / self.deviations

    def back(self, codes: Tensor) -> Tensor:
        """Map (N, R) to (N, E), within the rows' span."""
        return codes * self.deviations @ self.directions + self.mean


def fit_whitening(rows: Tensor) -> Whitening:
    """Fit to N rows, at least 2, in double precision."""
    rows = rows.double()
    mean = rows.mean(dim=0)
    _, values, directions = torch.linalg.svd(rows - mean, full_matrices=False)
    deviations = values / (len(rows) - 1) ** 0.5
    kept = deviations > LEAST * deviations[0]
    return Whitening(mean, directions[kept], deviations[kept])
