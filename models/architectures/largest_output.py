"""How much a module has to hold at once for an input."""

from __future__ import annotations

from torch import Tensor, nn

from ..parameters.watched import run_watched


def largest_output(module: nn.Module, example: Tensor) -> int:
    """Number of values of the largest output of the module or one within it, for one input.

    Args:
        example: (B, …) inputs that it is run on.
    """
    sizes = [1]

    def see(layer: nn.Module, given: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel() // len(example))

    run_watched(module, example, module.modules(), see)
    return max(sizes)
