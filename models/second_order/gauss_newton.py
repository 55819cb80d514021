"""Gauss-Newton steps on embeddings of neural fields, which take one point at a time.

Near an embedding z a predicted network's values at R places are f + J dz. The change wanted is the short one that
brings them to the targets: dz of (J' J + damping I) dz = J' (targets - f). Products with J and J' are cheap
(`jacobian`), so the equations are solved by conjugate gradients. Networks hardly depend on most directions, which
would take hundreds of iterations; with a preconditioner (`preconditioner`) few are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..architectures import Architecture
from .conjugate_gradients import conjugate_gradients
from .jacobian import FactoredJacobian, factored_jacobian, value_factors
from .preconditioner import KroneckerPreconditioner

# Line search: the best of these shares of a change is taken, as networks are not linear.
SHARES = (1.0, 0.5, 0.25, 0.125)
# Largest number of points for the line search.
LINE_SEARCH_POINTS = 2048
# Of the equations, in units of the mean square of the rows of J.
DAMPING = 1e-4
# Of conjugate gradients, at most.
ITERATIONS = 15
# Signed distances that are near zero.
NEAR = 0.1


def gauss_newton_change(
    jacobian: FactoredJacobian, residuals: Tensor, damping: float, *, iterations: int = ITERATIONS
) -> Tensor:
    """Compute a short change of an embedding that brings residuals near zero.

    Args:
        residuals: (R,) targets minus values.
        damping: of the equations, above zero, in units of the mean square of the rows of J.
        iterations: of conjugate gradients; with as many as there are values, the equations are solved.
    Returns:
        (E,).
    """
    damping *= jacobian.mean_square()
    return conjugate_gradients(
        lambda p: jacobian.vjp(jacobian.jvp(p)) + damping * p,
        jacobian.vjp(residuals),
        KroneckerPreconditioner(jacobian, damping),
        iterations=iterations,
    )


def weights_by_distance(distances: Tensor) -> Tensor:
    """(R,) weights of mean one for signed distances (R,): larger near the surface.

    A solid is decided by signs alone: an error of 0.01 is nothing far from its surface, and a leg of a chair near it.
    """
    weights = 1 / (1 + distances.abs() / NEAR)
    return weights / weights.mean()


@dataclass(frozen=True)
class Solver:
    """Gauss-Newton steps on one embedding.

    Attributes:
        architecture: of neural fields.
        decode: from embeddings (B, E) to parameters (B, P).
        directions: along which `decode` moves parameters with the embedding, as in `factored_jacobian`.
        damping: as in `gauss_newton_change`.
    """

    architecture: Architecture
    decode: Callable[[Tensor], Tensor]
    directions: Mapping[str, tuple[Tensor, Tensor, Tensor]]
    damping: float

    @torch.no_grad()
    def step(
        self, embedding: Tensor, targets: Tensor, points: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, float]:
        """Improve an embedding (E,) towards targets (N K,) at points (N, D), or return it unchanged.

        Args:
            weights: (N K,) of the squared errors; None for all alike.
        Returns:
            It, and its mean squared error at the points of the line search; which is not finite only if it was so
            before.
        """
        values, factors = value_factors(self.architecture, self.decode(embedding[None])[0], points)
        if not bool(values.isfinite().all()):
            return embedding, torch.inf
        residuals = targets - values
        if weights is not None:
            # Weighted least squares: rows of J and residuals times the root of the weight.
            root = weights.sqrt()
            residuals = residuals * root
            factors = {name: (left * root[:, None], right) for name, (left, right) in factors.items()}
        jacobian = factored_jacobian(self.directions, factors, len(embedding))
        change = gauss_newton_change(jacobian, residuals, self.damping)
        candidates = torch.stack([embedding, *(embedding + share * change for share in SHARES)])
        losses = self._losses(candidates, targets, points, weights)
        best = int(losses.argmin())
        return candidates[best], float(losses[best])

    def _losses(self, candidates: Tensor, targets: Tensor, points: Tensor, weights: Tensor | None) -> Tensor:
        """(B,) mean squared errors of embeddings (B, E) on a subset of the points."""
        chosen = slice(None, None, -(-len(points) // LINE_SEARCH_POINTS))
        values = self.architecture.run_each(self.decode(candidates), points[chosen]).flatten(1)
        squares = (values - _values_at(chosen, targets, points)).square()
        if weights is not None:
            squares = squares * _values_at(chosen, weights, points)
        return squares.mean(dim=1).nan_to_num(nan=torch.inf)


def _values_at(chosen: slice, values: Tensor, points: Tensor) -> Tensor:
    """Select the values (N K,) that belong to the chosen points of (N, D)."""
    return values.unflatten(0, (len(points), -1))[chosen].flatten()
