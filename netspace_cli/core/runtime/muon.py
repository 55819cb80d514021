"""Muon: steps on the weights of layers whose singular values are alike (Jordan, 2024).

torch's own computes in bfloat16, which processors without such arithmetic have to imitate: for a LeNet-like that takes
more than half of a step of distilling (RESULTS.md). Here all is float32.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from .optimisers import uncompiled

MOMENTUM = 0.95
# Of the polynomial that brings all singular values near 1, and how often it is applied.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
TIMES = 5
# A momentum without gradients fades until its norm can no longer be computed; below this it is taken for none.
LEAST_NORM = 1e-12
# The root mean square of Adam's steps, in units of the rate (Liu et al., Muon is scalable, 2025, section 2.2).
SIZE_OF_ADAM = 0.2


@uncompiled
class Muon(Optimizer):
    """Moves weights of two axes and more, their inputs as one axis; at a rate by steps of the size that Adam's have.

    Args:
        weights: (O, …) each, or groups of them.
        lr: rate; may be changed from step to step.
    """

    def __init__(self, weights: Iterable[Tensor] | Iterable[dict[str, Any]], lr: float) -> None:
        super().__init__(weights, {"lr": lr})

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Follow the gradients once."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad.flatten(1), group["lr"])

    def _move(self, weight: Tensor, gradient: Tensor, rate: float) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        step = orthogonal(gradient.lerp(momentum, MOMENTUM))
        weight.sub_(step.view(weight.shape), alpha=rate * SIZE_OF_ADAM * sqrt(max(step.shape)))


def orthogonal(matrix: Tensor) -> Tensor:
    """(O, I) with the singular vectors of a matrix (O, I), and singular values of about 0.7 to 1.2.

    By Newton and Schulz's iteration with a polynomial of fifth degree, which is steep at zero and does not settle at 1.
    """
    first, third, fifth = COEFFICIENTS
    wide = len(matrix) <= matrix.shape[1]
    found = matrix if wide else matrix.T
    found = found / found.norm().clamp(min=LEAST_NORM)
    for _ in range(TIMES):
        square = found @ found.T
        found = torch.addmm(found, torch.addmm(square, square, square, beta=third, alpha=fifth), found, beta=first)
    return found if wide else found.T.contiguous()
