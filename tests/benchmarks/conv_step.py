"""How much faster a step of the conv backbone is than with plain autograd: python -m tests.benchmarks.conv_step

Published sizes: 8 ResNet8, 128 images, PReps of 8 x 10,000, embeddings of 4,096 values. Two models with the same
weights take the same steps by turns on one thread, one of them with the encoder as published; processor time counts.
The networks and images are random, which changes nothing about the time.
"""

from __future__ import annotations

import copy
import sys
import time
from statistics import median

import torch
import torch.nn.functional as F
from netspace_models.architectures import Architecture, ImageIO
from netspace_models.backbones import ArchitectureInit
from netspace_models.backbones.conv import ConvBackbone, PRepEncoder
from netspace_models.space_model import SpaceModel
from netspace_models.training.objectives import Batch, LossConstants, single_objective
from torch import Tensor

from netspace_cli.core.networks.factories import fresh_module, resolve_architecture

ARCHITECTURE, INSTANCES, IMAGES, PAIRS = "resnet8", 8, 128, 3


class PublishedEncoder(PRepEncoder):
    """As published, with autograd through every place."""

    def forward(self, prep: Tensor) -> Tensor:
        x = F.leaky_relu(self.conv2(F.leaky_relu(self.conv1(prep), 0.01)), 0.01).amax(dim=3, keepdim=True)
        return F.leaky_relu(self.conv4(F.leaky_relu(self.conv3(x), 0.01)), 0.01).amax(dim=2).flatten(1)


def instances(architecture: Architecture) -> Tensor:
    """(B, P) fresh networks."""
    torch.manual_seed(0)
    made = (fresh_module(architecture.name, architecture.io) for _ in range(INSTANCES))
    return torch.stack([architecture.to_weights(module.state_dict()) for module in made])


def step(
    model: SpaceModel, optimizer: torch.optim.Optimizer, arch: str, weights: Tensor, batch: Batch
) -> tuple[float, float]:
    """Take a step; its loss and processor seconds."""
    began = time.process_time()
    (loss,) = single_objective(model, arch, weights, weights, batch, LossConstants()).values()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item(), time.process_time() - began


def main() -> None:
    """Print losses and seconds of both for each pair of steps, and the median of their ratios."""
    torch.set_num_threads(1)
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    architecture = resolve_architecture(ARCHITECTURE, ImageIO(3, 32, 10))
    weights, batch = instances(architecture), Batch(torch.randn(IMAGES, 3, 32, 32))
    init = ArchitectureInit(architecture.spec, None, torch.ones(len(architecture.spec.layers)))
    ours = SpaceModel([architecture], ConvBackbone({ARCHITECTURE: init}), None)
    theirs = copy.deepcopy(ours)
    assert isinstance(theirs.backbone, ConvBackbone)
    theirs.backbone.encoder.__class__ = PublishedEncoder
    steppers = [(model, torch.optim.Adam(model.parameters(), 1e-4)) for model in (theirs, ours)]
    ratios = []
    for number in range(pairs + 1):
        (one, published), (other, now) = (
            step(model, optimizer, ARCHITECTURE, weights, batch) for model, optimizer in steppers
        )
        print(f"loss {one:.8g} {other:.8g}, {published:.1f} s as published, {now:.1f} s", flush=True)
        if number:  # the first warms up
            ratios.append(published / now)
    print(f"ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
