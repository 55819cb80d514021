"""Directions of a ResNet18's large layers, by iteration against exactly: python -m tests.benchmarks.eigenvectors [DATA]

Moments are of torchvision's ResNet18 after a few steps on training images. Of one layer of each size: processor seconds
of one thread, the largest angle between the two subspaces, and each one's share of the moments' trace.
"""

from __future__ import annotations

import math
import sys
import time

import torch
from netspace_models.architectures.architecture import describe
from netspace_models.backbones.tokens.directions import choose_ranks
from netspace_models.second_order.curvature import curvature_moments
from netspace_models.second_order.eigenvectors import EXACT, leading_eigenvectors
from torch import Tensor
from torchvision.models import resnet18

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.data.datasets import load_images

STEPS, BATCH, IMAGES, EMBEDDING = 100, 64, 512, 4096
LARGEST = 2304  # the exact way takes seconds there, and a minute at the last layers' 4,608


def trained(data: LabelledData) -> torch.nn.Module:
    """A ResNet18 after `STEPS` steps."""
    torch.manual_seed(0)
    module = resnet18(num_classes=data.io.outputs).train()
    optimizer = torch.optim.SGD(module.parameters(), 0.02, momentum=0.9)
    for step in range(STEPS):
        images, labels = data.sample("train", BATCH, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(images), labels).backward()
        optimizer.step()
    return module.eval()


def compare(name: str, moments: Tensor, count: int) -> None:
    """Print a line of the table."""
    began = time.process_time()
    exact = torch.linalg.eigh(moments)[1].flip(1)[:, :count]
    between = time.process_time()
    found = leading_eigenvectors(moments, count)
    seconds = between - began, time.process_time() - between
    cosine = torch.linalg.svdvals(exact.T @ found).min().clamp_max(1).item()
    shares = [((v.T @ moments @ v).trace() / moments.trace()).item() for v in (exact, found)]
    print(
        f"{name}, {len(moments)} values, {count} directions: {seconds[0]:.2f} s exact, {seconds[1]:.3f} s by iteration "
        f"({seconds[0] / seconds[1]:.1f} times), {math.degrees(math.acos(cosine)):.3f} degrees, "
        f"shares {shares[0]:.6f} and {shares[1]:.6f}",
        flush=True,
    )


def main() -> None:
    """Print a line for the first layer of each size."""
    torch.set_num_threads(1)
    data = load_images(sys.argv[1] if len(sys.argv) > 1 else "cifar10")
    architecture = describe("resnet18", trained(data), data.io)
    state = architecture.spec.unflatten(architecture.to_weights(architecture.module.state_dict()))
    inputs, _ = data.sample("train", IMAGES, torch.Generator().manual_seed(0))
    moments = curvature_moments(architecture.fused, state, inputs, generator=torch.Generator().manual_seed(0))
    leading_eigenvectors(torch.eye(EXACT + 1), 1)  # loads the library
    seen: set[int] = set()
    for block in choose_ranks(architecture.spec, EMBEDDING):
        if block.name in moments and EXACT < block.m <= LARGEST and block.m not in seen:
            seen.add(block.m)
            compare(block.name, moments[block.name][0], block.b)


if __name__ == "__main__":
    main()
