"""How much a module has to hold at once for an input."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def largest_output(module: nn.Module, example: Tensor) -> int:
    """Number of values of the largest output of the module or one within it, for one input.

    Args:
        example: (B, …) inputs that it is run on.
    """
    sizes = [1]

    def see(layer: nn.Module, given: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel() // len(example))

    handles = [layer.register_forward_hook(see) for layer in module.modules()]
    try:
        with torch.no_grad():
            module(example)
    finally:
        for handle in handles:
            handle.remove()
    return max(sizes)
