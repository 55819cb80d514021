"""ResNets for small images: depth 6n + 2, option-B shortcuts, batch norm, LeakyReLU; and the common ones with ReLU."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ..network_io import ImageIO
from ..parameters.symmetry import HiddenGroup, Member

SLOPE = 0.01
STAGES = ((16, 1), (32, 2), (64, 2))
POOLING = 8


@dataclass(frozen=True)
class Style:
    """What differs between ResNets whose shortcuts have parameters.

    Attributes:
        slope: of LeakyReLU; 0 for ReLU.
        stem: names of the first convolution and its batch norm.
        shortcut: name of a block's shortcut; kernel: of its convolution, in pixels.
        classifier: name of the linear layer.
    """

    slope: float = SLOPE
    stem: tuple[str, str] = ("conv1", "bn1")
    shortcut: str = "downsample"
    kernel: int = 1
    classifier: str = "fc"


PUBLISHED = Style()


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; the shortcut is a convolution, 1x1 as published, where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, style: Style) -> None:
        super().__init__()
        self.style = style
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.changes = stride != 1 or inputs != outputs
        if self.changes:
            k = style.kernel
            convolution = nn.Conv2d(inputs, outputs, k, stride=stride, padding=k // 2, bias=False)
            self.add_module(style.shortcut, nn.Sequential(convolution, nn.BatchNorm2d(outputs)))

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.bn1(self.conv1(x)), self.style.slope)
        y = self.bn2(self.conv2(y))
        shortcut = self.get_submodule(self.style.shortcut)(x) if self.changes else x
        return F.leaky_relu(y + shortcut, self.style.slope)


class ResNet(nn.Module):
    """Three stages of n blocks with 16, 32 and 64 channels, average pooling, one linear layer.

    Args:
        io: images and classes.
        depth: 6n + 2.
        style: as published, or another one.

    The pooling window is 8 pixels as published, or the whole map where that is smaller.
    """

    def __init__(self, io: ImageIO, *, depth: int, style: Style = PUBLISHED) -> None:
        super().__init__()
        self.blocks, self.style = (depth - 2) // 6, style
        self.add_module(style.stem[0], nn.Conv2d(io.channels, 16, 3, padding=1, bias=False))
        self.add_module(style.stem[1], nn.BatchNorm2d(16))
        width, size = 16, io.size
        for i, (outputs, stride) in enumerate(STAGES, start=1):
            stage = nn.Sequential()
            for block in range(self.blocks):
                stage.append(BasicBlock(width, outputs, stride if block == 0 else 1, style))
                width = outputs
            size = (size - 1) // stride + 1
            self.add_module(f"layer{i}", stage)
        self.window = min(POOLING, size)
        left = size // self.window
        self.features = width * left * left
        self.add_module(style.classifier, nn.Linear(self.features, io.classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) images to (B, K) logits."""
        first, norm = (self.get_submodule(name) for name in self.style.stem)
        x = F.leaky_relu(norm(first(x)), self.style.slope)
        for i in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{i}")(x)
        logits: Tensor = self.get_submodule(self.style.classifier)(F.avg_pool2d(x, self.window).flatten(1))
        return logits

    def hidden_groups(self) -> tuple[HiddenGroup, ...]:
        """Groups of hidden units: one per stage for the residual stream, one per block for the units inside it."""
        groups = []
        stream = _outputs_of(self.style.stem[0])
        width = STAGES[0][0]
        for i, (outputs, _) in enumerate(STAGES, start=1):
            for b in range(self.blocks):
                block = f"layer{i}.{b}"
                stream.append(Member(f"{block}.conv1.weight", 1))
                if self.get_submodule(block).changes:
                    shortcut = f"{block}.{self.style.shortcut}.0"
                    stream.append(Member(f"{shortcut}.weight", 1))
                    groups.append(HiddenGroup(width, tuple(stream)))
                    stream, width = _outputs_of(shortcut), outputs
                groups.append(
                    HiddenGroup(outputs, (*_outputs_of(f"{block}.conv1"), Member(f"{block}.conv2.weight", 1)))
                )
                stream += _outputs_of(f"{block}.conv2")
        stream.append(Member(f"{self.style.classifier}.weight", 1, block=self.features // width))
        return (*groups, HiddenGroup(width, tuple(stream)))


def _outputs_of(layer: str) -> list[Member]:
    return [Member(f"{layer}.weight", 0), Member(f"{layer}.bias", 0)]
