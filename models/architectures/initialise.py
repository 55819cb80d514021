"""Initial weights by the rules of published model zoos."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Rule = Callable[..., Tensor]

# Under these names the published zoos mean torch's rules with torch's own defaults: "uniform" is uniform between 0 and
# 1, whatever the layer, so that units begin alike and saturated; the Kaiming rules are those of a ReLU throughout.
RULES: dict[str, Rule] = {
    "uniform": nn.init.uniform_,
    "normal": nn.init.normal_,
    "kaiming-uniform": nn.init.kaiming_uniform_,
    "kaiming-normal": nn.init.kaiming_normal_,
    "xavier-uniform": nn.init.xavier_uniform_,
    "xavier-normal": nn.init.xavier_normal_,
}
BIAS = 0.01
_LAYERS: tuple[type[Any], ...] = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def initialise(module: nn.Module, rule: str, generator: torch.Generator) -> None:
    """Draw the weights of all convolutions and linear layers again, with biases of 0.01.

    Other parameters, such as those of batch norms, are left as they are.

    "Model Zoos: A Dataset of Diverse Populations of Neural Network Models" (NeurIPS 2022), in its code.

    Args:
        rule: a name in `RULES`.
    """
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, _LAYERS):
                RULES[rule](layer.weight, generator=generator)
                if layer.bias is not None:
                    layer.bias.fill_(BIAS)
