"""What moves a student: Adam, and Muon for the weights of layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from netspace_cli.core.runtime import optimisers


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
    """Muon on weights with two axes and more, their inputs as one axis; Adam on biases and what belongs to norms.

    Muon (Jordan, 2024) makes the singular values of a step alike. A step is then scaled to the size that Adam's has
    (Liu et al., 2025, section 2.2), so that both have one rate.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        # A matrix shares its weight's memory, which has to be in order then.
        self._weights = [each for each in parameters if each.ndim > 1 and each.is_contiguous()]
        self._matrices = [torch.nn.Parameter(each.detach().flatten(1)) for each in self._weights]
        moved = set(map(id, self._weights))
        others = [each for each in parameters if id(each) not in moved]
        self._optimizers: list[torch.optim.Optimizer] = []
        if others:
            self._optimizers.append(optimisers.AdamW(others, weight_decay=0.0))
        if self._matrices:
            self._optimizers.append(optimisers.Muon(self._matrices, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"))

    def step(self, loss: Tensor, rate: float) -> None:
        """Follow the gradient of a loss once."""
        for each in (*self._weights, *(p for o in self._optimizers for g in o.param_groups for p in g["params"])):
            each.grad = None
        loss.backward()
        for weight, matrix in zip(self._weights, self._matrices, strict=True):
            matrix.grad = None if weight.grad is None else weight.grad.flatten(1)
        for optimizer in self._optimizers:
            _take(optimizer, rate)


def _take(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
