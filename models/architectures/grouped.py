"""Layers of many networks at once: a convolution in groups, products in a batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor


def side_by_side(images: Tensor) -> Tensor:
    """Lay the images of B networks side by side: (B, N, C, S, S) to (N, B C, S, S), channels innermost in memory."""
    rows = images.permute(1, 3, 4, 0, 2)
    # Cut out of whole rows, a single channel has a stride of one. By its strides torch would otherwise take it for
    # images whose channels are outermost, whose convolutions are slower.
    return rows.flatten(2).unflatten(2, (rows.shape[2], -1)).permute(0, 3, 1, 2)


def convolve(x: Tensor, state: Mapping[str, Tensor], layer: str, *, stride: int = 1, padding: int = 0) -> Tensor:
    """Convolve with the filters of B networks.

    Args:
        x: (N, B C, S, S), each network's input side by side, or (N, C, S, S), one input for all.
        state: each parameter of all networks, (B, *shape).
        layer: name of a convolution; stride, padding: of it.
    Returns:
        (N, B M, R, R).
    """
    weight, bias = state[f"{layer}.weight"], state[f"{layer}.bias"]
    groups = x.shape[1] // weight.shape[2]
    return F.conv2d(x, weight.flatten(0, 1), bias.flatten(), stride=stride, padding=padding, groups=groups)


def features_of(x: Tensor, networks: int) -> Tensor:
    """Take apart what lies side by side: (N, B C, S, S) to (B, C S S, N)."""
    return x.unflatten(1, (networks, -1)).permute(1, 2, 3, 4, 0).flatten(1, 3)


def linear(state: Mapping[str, Tensor], layer: str, x: Tensor) -> Tensor:
    """Apply the linear layers of B networks: (B, D, N) to (B, K, N)."""
    return torch.baddbmm(state[f"{layer}.bias"][:, :, None], state[f"{layer}.weight"], x)
