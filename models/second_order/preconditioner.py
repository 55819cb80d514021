"""Preconditioner for Gauss-Newton equations: Kronecker factors per part (K-FAC: Martens & Grosse, 2015)."""

from __future__ import annotations

import torch
from torch import Tensor

from .jacobian import FactoredJacobian


class KroneckerPreconditioner:
    """Approximately (J' J + damping I)^-1, part by part, with its two factors taken as independent.

    Args:
        jacobian: J; damping: above zero.
    """

    def __init__(self, jacobian: FactoredJacobian, damping: float) -> None:
        self._parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        for left, right, places in jacobian.parts:
            # J' J of the part is nearly (L' L) x (R' R) / R, whose eigenvalues are the products of both.
            left_values, left_vectors = torch.linalg.eigh(left.T @ left)
            right_values, right_vectors = torch.linalg.eigh(right.T @ right)
            eigenvalues = left_values.clamp(min=0)[:, None] * right_values.clamp(min=0) / len(left)
            self._parts.append((left_vectors, right_vectors, 1 / (eigenvalues + damping), places))

    def __call__(self, gradient: Tensor) -> Tensor:
        """Apply it: (E,) to (E,)."""
        result = torch.zeros_like(gradient)
        for left_vectors, right_vectors, inverse, places in self._parts:
            # Into the eigenvectors, divided by the eigenvalues, and back.
            part = left_vectors.T @ gradient[places].unflatten(0, inverse.shape) @ right_vectors
            result.index_add_(0, places, (left_vectors @ (inverse * part) @ right_vectors.T).flatten())
        return result
