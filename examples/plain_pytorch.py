"""Use decoded checkpoints without netspace: plain modules, plain `load_state_dict(strict=True)`.

    netspace encode examples/digits/resnet8.pt -o r.emb
    netspace decode r.emb -o r2.pt
    python examples/plain_pytorch.py resnet8 r2.pt

netspace is not imported here; the modules below are what any user of the samples might have written.
"""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, 2, 2), nn.Conv2d(6, 16, 5, 2, 2)
        self.fc1, self.fc2, self.fc3 = nn.Linear(256, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.conv2(F.leaky_relu(self.conv1(x)))).flatten(1)
        return self.fc3(F.leaky_relu(self.fc2(F.leaky_relu(self.fc1(x)))))


class Vanilla(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        plan = [(1, 8, 2), (8, 8, 1), (8, 32, 2), (32, 64, 1), (64, 64, 2)]
        convolutions = [nn.Conv2d(i, o, 3, s, 1) for i, o, s in plan]
        self.layers = nn.ModuleList([*convolutions, nn.Linear(256, 10)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in list(self.layers)[:-1]:
            x = F.leaky_relu(layer(x))
        return self.layers[-1](x.flatten(1))


class Block(nn.Module):
    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.downsample = nn.Sequential()
        if i != o:
            self.downsample = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.leaky_relu(self.bn1(self.conv1(x)))))
        return F.leaky_relu(y + self.downsample(x))


class ResNet(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        n = (depth - 2) // 6
        self.conv1, self.bn1 = nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*[Block(16, 16, 1) for _ in range(n)])
        self.layer2 = nn.Sequential(Block(16, 32, 2), *[Block(32, 32, 1) for _ in range(n - 1)])
        self.layer3 = nn.Sequential(Block(32, 64, 2), *[Block(64, 64, 1) for _ in range(n - 1)])
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(F.leaky_relu(self.bn1(self.conv1(x))))))
        return self.fc(x.mean((2, 3)))


def network(name: str) -> nn.Module:
    """A fresh network by the sample's name."""
    if name.startswith("resnet"):
        return ResNet(int(name.removeprefix("resnet")))
    return {"lenet": LeNet, "vanillacnn": Vanilla}[name]()


def main() -> None:
    """Load a checkpoint strictly and score it on the digits, brought to 16 x 16 as netspace does."""
    name, path = sys.argv[1:]
    model = network(name)
    model.load_state_dict(torch.load(path, weights_only=True), strict=True)
    model.eval()
    digits = load_digits()
    pictures = torch.from_numpy(digits.images).float()[:, None] / 16
    images = F.interpolate(pictures, size=16, mode="bilinear", align_corners=False)
    with torch.no_grad():
        predicted = model((images - 0.30576) / 0.318101).argmax(1)
    right = (predicted == torch.from_numpy(digits.target)).float().mean().item()
    print(f"{path}: loads strictly; {100 * right:.1f} % of all 1,797 digits, training images among them")


if __name__ == "__main__":
    main()
