"""Preconditioned conjugate gradients (Hestenes and Stiefel, 1952)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Of r' z at the start, the square root of the share at which the iterations end.
TOLERANCE = 1e-6


def conjugate_gradients(
    multiply: Callable[[Tensor], Tensor], b: Tensor, precondition: Callable[[Tensor], Tensor], *, iterations: int
) -> Tensor:
    """Solve A x = b from x = 0, using only products with A (Hestenes and Stiefel, 1952).

    Args:
        multiply: p (E,) to A p (E,), A symmetric and positive definite.
        b: (E,).
        precondition: r (E,) to z (E,), approximately A^-1 r.
        iterations: at most; with as many as there are unknowns the equations are solved.
    Returns:
        (E,) x.
    """
    r = b
    x, z = torch.zeros_like(r), precondition(r)
    p, rz = z, r @ z
    enough = TOLERANCE**2 * rz
    for _ in range(iterations):
        if not rz > enough:
            break
        Ap = multiply(p)
        alpha = rz / (p @ Ap)
        x, r = x + alpha * p, r - alpha * Ap
        z, rz_before = precondition(r), rz
        rz = r @ z
        p = z + rz / rz_before * p
    return x
