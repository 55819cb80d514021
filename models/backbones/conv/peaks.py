"""Two convolutions along the width and a maximum over it, with a backward pass only where the maximum was taken.

The maximum keeps one of thousands of places of each channel, so nearly all of the gradient that the convolutions
would pass on is zeros. Here the convolutions run without a graph, and each channel's place is computed again, with
one, from the seven values of the grid that it depends on.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.01


def peaks(grid: Tensor, first: nn.Conv2d, second: nn.Conv2d) -> Tensor:
    """Convolve, leaky ReLU, convolve, leaky ReLU, and take the maximum over the width.

    Where several places are the maximum, one of them receives the gradient. Gradients of gradients are those of plain
    convolutions and a maximum.

    Args:
        grid: (B, 1, H, W).
        first, second: (1, 3) kernels with a stride of 2 and a padding of 1 along the width, and biases.
    Returns:
        (B, C, H, 1), C the channels of `second`.
    """
    with torch.no_grad():
        values = second(F.leaky_relu(first(grid), SLOPE))
        places = values.argmax(dim=3)  # (B, C, H)
        # A leaky ReLU never changes which value is the largest.
        highest = F.leaky_relu(values.gather(3, places[..., None]), SLOPE)
        width = -(-grid.shape[3] // 2)  # of what `first` computes
    inputs = (grid, first.weight, first.bias, second.weight, second.bias)
    if not (torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)):
        return highest
    again = _at(places, width, grid, first, second)
    # The value is that of the convolutions to the last bit, the gradient that of `again`.
    return highest + (again - again.detach()).to(highest.dtype)[..., None]


def _at(places: Tensor, width: int, grid: Tensor, first: nn.Conv2d, second: nn.Conv2d) -> Tensor:
    """Values (B, C, H) of both convolutions and leaky ReLUs at one place (B, C, H) of each channel and row.

    Args:
        width: places of `first`.
    """
    # Place j of `second` reads 2j - 1 to 2j + 1 of `first`, which read 4j - 3 to 4j + 3 of the grid.
    rows = F.pad(grid[:, 0], (3, 6)).unfold(2, 7, 4)  # (B, H, places, 7)
    which = places.movedim(1, 2)[..., None].expand(-1, -1, -1, 7)
    seven = rows.gather(2, which)  # (B, H, C, 7)
    hidden = seven.unfold(3, 3, 2) @ first.weight[:, 0, 0].T  # (B, H, C, 3, channels of `first`)
    if first.bias is not None:
        # Not inside the product: autocast may keep the copy of a parameter that was made without a graph.
        hidden = hidden + first.bias
    read = 2 * places.movedim(1, 2)[..., None] + torch.arange(-1, 2, device=grid.device)
    inside = ((read >= 0) & (read < width))[..., None]  # beyond the edges `second` reads zeros
    hidden = F.leaky_relu(hidden, SLOPE) * inside
    # One product for each channel: (C, B H, 3 channels of `first`) by (C, 3 channels of `first`, 1).
    kernel = second.weight[:, :, 0].transpose(1, 2).flatten(1)
    values = torch.einsum("bhcx,cx->bch", hidden.flatten(3), kernel)
    if second.bias is not None:
        values = values + second.bias[:, None]
    return F.leaky_relu(values, SLOPE)
