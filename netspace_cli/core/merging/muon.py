"""Muon: steps on the weights of layers whose singular values are alike (Jordan, 2024).

torch's own computes in bfloat16, which processors without such arithmetic have to imitate: for a LeNet-like that takes
more than half of a step of distilling (RESULTS.md). Here all is float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor

MOMENTUM = 0.95
# Of the polynomial that brings all singular values near 1, and how often it is applied.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
TIMES = 5
# The root mean square of Adam's steps, in units of the rate (Liu et al., Muon is scalable, 2025, section 2.2).
SIZE_OF_ADAM = 0.2


class Muon:
    """Moves weights of two axes and more, their inputs as one axis.

    Args:
        weights: (O, …) each, with gradients.
    """

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self._weights = weights
        self._momenta = [torch.zeros_like(each.detach().flatten(1)) for each in weights]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Follow the gradients once, by steps of the size that Adam's have at this rate."""
        for weight, momentum in zip(self._weights, self._momenta, strict=True):
            if weight.grad is None:
                continue
            gradient = weight.grad.flatten(1)
            momentum.lerp_(gradient, 1 - MOMENTUM)
            step = orthogonal(gradient.lerp(momentum, MOMENTUM))
            size = SIZE_OF_ADAM * sqrt(max(step.shape))
            weight.sub_(step.view(weight.shape), alpha=rate * size)


def orthogonal(matrix: Tensor) -> Tensor:
    """(O, I) with the singular vectors of a matrix (O, I), and singular values of about 0.7 to 1.2.

    By Newton and Schulz's iteration with a polynomial of fifth degree, which is steep at zero and does not settle at 1.
    """
    first, third, fifth = COEFFICIENTS
    wide = len(matrix) <= matrix.shape[1]
    found = matrix if wide else matrix.T
    found = found / found.norm().clamp(min=torch.finfo(found.dtype).tiny)
    for _ in range(TIMES):
        square = found @ found.T
        found = torch.addmm(found, torch.addmm(square, square, square, beta=third, alpha=fifth), found, beta=first)
    return found if wide else found.T.contiguous()
