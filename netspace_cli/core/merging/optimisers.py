"""What moves a student: Adam, and Muon for the weights of layers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.optim import Optimizer

from netspace_cli.core.runtime import optimisers
from netspace_cli.core.runtime.muon import Muon

FIRST = 0.0  # a rate that no step is taken at: each step has its own


class Optimiser:
    """Follows losses, each at a rate of its own."""

    def __init__(self, own: Optimizer | optimisers.Together) -> None:
        self._own = own

    def step(self, loss: Tensor, rate: float) -> None:
        """Follow the gradient of a loss once."""
        self._own.zero_grad()
        loss.backward()
        for group in self._own.param_groups:
            group["lr"] = rate
        self._own.step()


def adam(parameters: Sequence[Tensor]) -> Optimiser:
    """Adam on everything."""
    return Optimiser(optimisers.AdamW(parameters, FIRST, weight_decay=0.0))


def adam_and_muon(parameters: Sequence[Tensor]) -> Optimiser:
    """Muon on weights with two axes and more; Adam on biases and what belongs to norms."""
    weights, others = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim < 2]
    parts: dict[str, Optimizer] = {"muon": Muon(weights, FIRST)} if weights else {}
    if others:
        parts["adam"] = optimisers.AdamW(others, FIRST, weight_decay=0.0, fused=True)
    return Optimiser(optimisers.Together(parts))
