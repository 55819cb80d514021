"""The common CIFAR-10 ResNets: depth 6n + 2, shortcuts without parameters (option A), batch norm, ReLU."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ..network_io import ImageIO
from ..parameters.symmetry import HiddenGroup, Member
from .resnet import STAGES

Zeros = Literal["around", "behind", "before"]
"""Where a shortcut has its zero channels: on both sides of its own, or all on one."""


def before(inputs: int, outputs: int, zeros: Zeros) -> int:
    """How many of the zero channels come first."""
    return {"around": (outputs - inputs) // 2, "behind": 0, "before": outputs - inputs}[zeros]


class BlockA(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters.

    Where the shape changes the shortcut takes every `stride`-th row and column, and puts zeros before and behind the
    channels, the wider ones' number; see `before`.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, zeros: Zeros) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.before = stride, before(inputs, outputs, zeros)
        self.behind = outputs - inputs - self.before

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.before or self.behind:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, self.before, self.behind))
        return F.relu(y + shortcut)


class ResNetA(nn.Module):
    """Three stages of n blocks with 16, 32 and 64 channels, average pooling, one linear layer.

    The networks of the paper "Deep Residual Learning for Image Recognition", section 4.2, with the names that
    most checkpoints of them have: the classifier is `linear`, and no shortcut has a tensor.

    Args:
        io: images and classes.
        depth: 6n + 2.
        zeros: where the shortcuts' zero channels are; most have them around.
    """

    def __init__(self, io: ImageIO, *, depth: int, zeros: Zeros = "around") -> None:
        super().__init__()
        self.zeros = zeros
        self.blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(io.channels, STAGES[0][0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STAGES[0][0])
        width = STAGES[0][0]
        for i, (outputs, stride) in enumerate(STAGES, start=1):
            stage = nn.Sequential()
            for block in range(self.blocks):
                stage.append(BlockA(width, outputs, stride if block == 0 else 1, zeros))
                width = outputs
            self.add_module(f"layer{i}", stage)
        self.linear = nn.Linear(width, io.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) images to (B, K) logits."""
        x = F.relu(self.bn1(self.conv1(x)))
        for i in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{i}")(x)
        return self.linear(F.avg_pool2d(x, x.shape[-1]).flatten(1))

    def hidden_groups(self) -> tuple[HiddenGroup, ...]:
        """Groups of hidden units: one per stage for new units of the residual stream, one per block for those inside
        it.

        The shortcuts carry a stage's units into the next stage's, so their order shows there too.
        """
        groups = [self._stream(stage) for stage in range(len(STAGES))]
        for i, (outputs, _) in enumerate(STAGES, start=1):
            for b in range(self.blocks):
                block = f"layer{i}.{b}"
                inside = (*_outputs_of(f"{block}.conv1"), Member(f"{block}.conv2.weight", 1))
                groups.append(HiddenGroup(outputs, inside))
        return tuple(groups)

    def _stream(self, first: int) -> HiddenGroup:
        """The units of the residual stream that are new in a stage (counted from 0), from there to the end."""
        width, narrow = STAGES[first][0], STAGES[first - 1][0] if first else 0
        offset = before(narrow, width, self.zeros)
        places = tuple(p for p in range(width) if not offset <= p < offset + narrow)
        members = [] if first else _outputs_of("conv1", places)
        for i, (outputs, _) in enumerate(STAGES[first:], start=first):
            for b in range(self.blocks):
                block = f"layer{i + 1}.{b}"
                if b or i > first or first == 0:  # elsewhere the block that makes them has none to take
                    members.append(Member(f"{block}.conv1.weight", 1, places=places))
                if b == 0:
                    places = tuple(p + before(width, outputs, self.zeros) for p in places)
                members += _outputs_of(f"{block}.conv2", places)
            width = outputs
        members.append(Member("linear.weight", 1, places=places))
        return HiddenGroup(len(places), tuple(members))


def _outputs_of(layer: str, places: tuple[int, ...] | None = None) -> list[Member]:
    return [Member(f"{layer}.weight", 0, places=places), Member(f"{layer}.bias", 0, places=places)]
