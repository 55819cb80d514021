"""LeNetLike: two or three strided convolutions and three linear layers (netspace's smallest)."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from ..network_io import ImageIO
from ..parameters.symmetry import HiddenGroup, chain
from .grouped import convolve, features_of, linear, side_by_side

SLOPE = 0.01


class LeNetLike(nn.Module):
    """Convolutions of kernel 5 and stride 2, then linear layers of 120, 84 and K units.

    At 48 pixels and more there are three convolutions (4, 8, 16 channels), below two (6, 16). The
    padding is the published one at 32 and 64 pixels; smaller images are padded by 2 throughout, so
    that something is left to flatten.
    """

    faster_at_once = True

    def __init__(self, io: ImageIO) -> None:
        super().__init__()
        channels, paddings = _layout(io)
        width = io.channels
        self.depth, self.paddings = len(channels), paddings
        for i, (out, padding) in enumerate(zip(channels, paddings, strict=True), start=1):
            self.add_module(f"conv{i}", nn.Conv2d(width, out, 5, stride=2, padding=padding))
            width = out
        self.fc1 = nn.Linear(lenetlike_features(io)[1], 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, io.classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) images to (B, K) logits."""
        for i in range(1, self.depth + 1):
            x = F.leaky_relu(self.get_submodule(f"conv{i}")(x), SLOPE)
        x = x.flatten(1)
        x = F.leaky_relu(self.fc1(x), SLOPE)
        x = F.leaky_relu(self.fc2(x), SLOPE)
        return self.fc3(x)

    def forward_each(self, state: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Run many networks at once; see `Architecture.run_each`."""
        x = side_by_side(x)
        for i in range(1, self.depth + 1):
            x = F.leaky_relu(convolve(x, state, f"conv{i}", stride=2, padding=self.paddings[i - 1]), SLOPE)
        x = features_of(x, len(state["fc3.bias"]))
        for layer in ("fc1", "fc2"):
            x = F.leaky_relu(linear(state, layer, x), SLOPE)
        return linear(state, "fc3", x).transpose(1, 2)

    def hidden_groups(self) -> tuple[HiddenGroup, ...]:
        """The hidden units that may be reordered without changing the function."""
        layers = [f"conv{i}" for i in range(1, self.depth + 1)] + ["fc1", "fc2", "fc3"]
        return chain(self, layers)


def _layout(io: ImageIO) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Channels and paddings of the convolutions."""
    if io.size >= 48:
        return (4, 8, 16), (2, 0, 0)
    return (6, 16), (2, 2) if io.size < 32 else (0, 0)


def lenetlike_features(io: ImageIO) -> tuple[int, int]:
    """The number of convolutions, and how many values the first linear layer gets."""
    channels, paddings = _layout(io)
    size = io.size
    for padding in paddings:
        size = (size + 2 * padding - 5) // 2 + 1
    return len(channels), channels[-1] * size * size
