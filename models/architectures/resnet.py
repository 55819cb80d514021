"""ResNets for small images: depth 6n + 2, option-B shortcuts, batch norm, LeakyReLU."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..network_io import ImageIO
from ..parameters.symmetry import HiddenGroup, Member

SLOPE = 0.01
STAGES = ((16, 1), (32, 2), (64, 2))
POOLING = 8


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; the shortcut is a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.bn1(self.conv1(x)), SLOPE)
        y = self.bn2(self.conv2(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.leaky_relu(y + shortcut, SLOPE)


class ResNet(nn.Module):
    """Three stages of n blocks with 16, 32 and 64 channels, average pooling, one linear layer.

    Args:
        io: images and classes.
        depth: 6n + 2.

    The pooling window is 8 pixels as published, or the whole map where that is smaller.
    """

    def __init__(self, io: ImageIO, *, depth: int) -> None:
        super().__init__()
        self.blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(io.channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        width, size = 16, io.size
        for i, (outputs, stride) in enumerate(STAGES, start=1):
            stage = nn.Sequential()
            for block in range(self.blocks):
                stage.append(BasicBlock(width, outputs, stride if block == 0 else 1))
                width = outputs
            size = (size - 1) // stride + 1
            self.add_module(f"layer{i}", stage)
        self.window = min(POOLING, size)
        left = size // self.window
        self.fc = nn.Linear(width * left * left, io.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) images to (B, K) logits."""
        x = F.leaky_relu(self.bn1(self.conv1(x)), SLOPE)
        for i in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{i}")(x)
        return self.fc(F.avg_pool2d(x, self.window).flatten(1))

    def hidden_groups(self) -> tuple[HiddenGroup, ...]:
        """Groups of hidden units: one per stage for the residual stream, one per block for the units inside it."""
        groups = []
        stream = [Member("conv1.weight", 0), Member("conv1.bias", 0)]
        width = STAGES[0][0]
        for i, (outputs, _) in enumerate(STAGES, start=1):
            for b in range(self.blocks):
                block = f"layer{i}.{b}"
                stream.append(Member(f"{block}.conv1.weight", 1))
                if self.get_submodule(block).downsample is not None:
                    stream.append(Member(f"{block}.downsample.0.weight", 1))
                    groups.append(HiddenGroup(width, tuple(stream)))
                    stream, width = _outputs_of(f"{block}.downsample.0"), outputs
                groups.append(
                    HiddenGroup(outputs, (*_outputs_of(f"{block}.conv1"), Member(f"{block}.conv2.weight", 1)))
                )
                stream += _outputs_of(f"{block}.conv2")
        stream.append(Member("fc.weight", 1, block=self.fc.in_features // width))
        return (*groups, HiddenGroup(width, tuple(stream)))


def _outputs_of(layer: str) -> list[Member]:
    return [Member(f"{layer}.weight", 0), Member(f"{layer}.bias", 0)]
