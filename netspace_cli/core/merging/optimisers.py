"""What moves a student: Adam, and Muon for the weights of layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from netspace_cli.core.runtime import optimisers

from .muon import Muon


class Adam:
    """Adam on everything."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._own = optimisers.AdamW(parameters, weight_decay=0.0)

    def step(self, loss: Tensor, rate: float) -> None:
        """Follow the gradient of a loss once."""
        self._own.zero_grad()
        loss.backward()
        _take(self._own, rate)


class AdamAndMuon:
    """Muon on weights with two axes and more; Adam on biases and what belongs to norms; both at one rate."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = parameters
        self._muon = Muon([each for each in parameters if each.ndim > 1])
        others = [each for each in parameters if each.ndim < 2]
        self._adam = optimisers.AdamW(others, weight_decay=0.0, fused=True) if others else None

    def step(self, loss: Tensor, rate: float) -> None:
        """Follow the gradient of a loss once."""
        for each in self._parameters:
            each.grad = None
        loss.backward()
        self._muon.step(rate)
        if self._adam is not None:
            _take(self._adam, rate)


def _take(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
