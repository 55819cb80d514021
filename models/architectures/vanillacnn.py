"""VanillaCNN: five padded convolutions and one linear layer."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..network_io import ImageIO
from ..parameters.symmetry import HiddenGroup, chain
from .family import family_of_one

SLOPE = 0.01
SMALL = ((8, 2), (8, 1), (32, 2), (64, 1), (64, 2))
LARGE = ((8, 2), (16, 2), (32, 2), (64, 2), (64, 2))


class VanillaCNN(nn.Module):
    """Convolutions of kernel 3 and padding 1, then one linear layer to K logits.

    `(channels, stride)` are as published for CIFAR-10 (`SMALL`) or, for images of 48 pixels and more, Tiny-ImageNet
    (`LARGE`).
    """

    def __init__(self, io: ImageIO) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        width, size = io.channels, io.size
        for out, stride in LARGE if io.size >= 48 else SMALL:
            self.layers.append(nn.Conv2d(width, out, 3, stride=stride, padding=1))
            width, size = out, (size - 1) // stride + 1
        self.layers.append(nn.Linear(width * size * size, io.classes))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) images to (B, K) logits."""
        *convolutions, classifier = self.layers
        for layer in convolutions:
            x = F.leaky_relu(layer(x), SLOPE)
        return classifier(x.flatten(1))

    def hidden_groups(self) -> tuple[HiddenGroup, ...]:
        """The hidden units that may be reordered without changing the function."""
        return chain(self, [f"layers.{i}" for i in range(len(self.layers))])


VANILLACNN = family_of_one("vanillacnn", VanillaCNN, first="layers.0", last="layers.5")
