"""Networks run at once against one by one: python -m tests.benchmarks.run_each [ARCH …] [--images CxS]

Forward and backward of several networks of an architecture on the same images, on one thread; both ways alternate.
Modules that a processor runs faster at once say so (`faster_at_once`), from this table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from netspace_models.architectures import ImageIO, build
from netspace_models.architectures.registry import factory
from torch import Tensor

ROUNDS = 7
SIZES = ((1, 64), (8, 64), (16, 16), (16, 64), (16, 256))
ARCHS = ("cnn-small", "cnn-large", "lenetlike", "lenet5", "vanillacnn", "resnet8", "resnet20")


def seconds(run: Callable[[Tensor, Tensor], Tensor], weights: Tensor, images: Tensor) -> float:
    """Processor seconds of one forward and backward pass."""
    weights = weights.clone().requires_grad_(True)
    began = time.process_time()
    run(weights, images).square().mean().backward()
    return time.process_time() - began


def main() -> None:
    """Print a line for each architecture and size."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description="Compare networks run at once with one by one.")
    parser.add_argument("archs", nargs="*", default=ARCHS)
    parser.add_argument("--images", default="3x32", help="channels and pixels a side")
    given = parser.parse_args()
    channels, size = map(int, given.images.split("x"))
    io = ImageIO(channels, size, 10)
    for name in given.archs:
        architecture = build(name, io)
        one_by_one = lambda w, x, run=architecture.run: torch.stack([run(own, x) for own in w])  # noqa: E731
        at_once = architecture.run_each
        torch.manual_seed(0)
        state = architecture.to_weights(factory(name)(io).state_dict())
        for networks, count in SIZES:
            weights = state + 0.01 * torch.randn(networks, len(state))
            images = torch.randn(count, size, size, channels).permute(0, 3, 1, 2)
            pairs = [[seconds(run, weights, images) for run in (one_by_one, at_once)] for _ in range(ROUNDS + 1)][1:]
            ratios = [a / b for a, b in pairs]
            one, together = (1e3 * median(pair[i] for pair in pairs) / networks for i in (0, 1))
            print(
                f"{name}: {networks} networks, {count} images: {median(ratios):.2f} x ({min(ratios):.2f} to "
                f"{max(ratios):.2f}); {one:.2f} to {together:.2f} ms a network",
                flush=True,
            )


if __name__ == "__main__":
    main()
