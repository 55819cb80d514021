"""What moves a student: Adam, or the natural gradient with Muon and Adam for what it leaves out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from netspace_models.second_order.natural_gradient import NaturalGradient
from torch import Tensor, nn


class Adam:
    """Adam on everything."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._own = torch.optim.AdamW(parameters, weight_decay=0.0)

    def step(self, loss: Tensor, inputs: Tensor, rate: float) -> None:
        """Follow the gradient of a loss once."""
        self._own.zero_grad()
        loss.backward()
        _take(self._own, rate)


class Natural:
    """The natural gradient for linear layers and convolutions; Muon and Adam for what it leaves out.

    Args:
        module: in training.
        generator: draws, on the processor; values: whether outputs are values with a squared error, not logits.
    """

    def __init__(self, module: nn.Module, generator: torch.Generator, *, values: bool) -> None:
        self._parameters = [each for each in module.parameters() if each.requires_grad]
        self._own = NaturalGradient(module, generator, values=values)
        self._others: AdamAndMuon | None = None

    def step(self, loss: Tensor, inputs: Tensor, rate: float) -> None:
        """Follow the gradient of a loss once."""
        for each in self._parameters:
            each.grad = None
        loss.backward()
        if self._others is None:
            self._own.begin(inputs)
            moved = set(map(id, self._own.parameters()))
            self._others = AdamAndMuon([each for each in self._parameters if id(each) not in moved])
        self._own.step(inputs, rate)
        self._others.take(rate)


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
            self._optimizers.append(torch.optim.AdamW(others, weight_decay=0.0))
        if self._matrices:
            self._optimizers.append(torch.optim.Muon(self._matrices, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"))

    def take(self, rate: float) -> None:
        """Take a step along the gradients that the parameters have."""
        for weight, matrix in zip(self._weights, self._matrices, strict=True):
            matrix.grad = None if weight.grad is None else weight.grad.flatten(1)
        for optimizer in self._optimizers:
            _take(optimizer, rate)


def _take(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
