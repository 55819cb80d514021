"""A module's forward pass, with an eye on the modules within."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


def run_watched(
    module: nn.Module,
    example: Tensor,
    within: Iterable[nn.Module],
    see: Callable[[nn.Module, tuple[Any, ...], Any], None],
) -> None:
    """Run a module once, without gradients.

    Args:
        within: modules of it.
        see: called with each of these when it has run, its inputs and its output.
    """
    handles = [each.register_forward_hook(see) for each in within]
    try:
        with torch.no_grad():
            module(example)
    finally:
        for handle in handles:
            handle.remove()
