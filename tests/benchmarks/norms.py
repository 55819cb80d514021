"""What norms are worth while a network learns: python -m tests.benchmarks.norms --data cifar10:FILE.npz

A ResNet8 learns from labels with its batch norms in place, and folded into the layers before them, as a decoder writes
it. Both begin at the same weights and see the same images; folded, at several rates.
"""

from __future__ import annotations

import math
from argparse import ArgumentParser, Namespace

import torch
from netspace_models.architectures.registry import build
from netspace_models.training.unfolded import UnfoldedStarts
from torch import Tensor, nn

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.data.source import DataSource
from netspace_cli.core.networks.factories import fresh_module
from netspace_cli.core.runtime.runner import Runner
from tests.small_networks import seeded

IMAGES, VALIDATION = 64, 5000


def main(given: list[str] | None = None) -> None:
    """Print the accuracy on validation images of each way."""
    arguments = _arguments(given)
    torch.set_num_threads(1)
    data = DataSource(arguments.data).open()
    for in_place, rate in ((True, 2e-3), (False, 2e-3), (False, 6e-3), (False, 7e-4)):
        accuracy = learnt(data, arguments.arch, arguments.steps, rate, in_place=in_place)
        way = "in place" if in_place else "folded"
        print(f"{arguments.arch}, norms {way}, rate {rate:g}: {100 * accuracy:.1f} % after {arguments.steps} steps")


def learnt(data: LabelledData, arch: str, steps: int, rate: float, *, in_place: bool) -> float:
    """Accuracy on validation images of a fresh network after some steps of Adam, whose rate falls as a cosine."""
    architecture = build(arch, data.io)
    torch.manual_seed(0)
    module = Runner("cpu").place(fresh_module(arch, data.io))
    start = UnfoldedStarts(architecture, [module])
    still = torch.zeros(architecture.parameter_count)
    folded = nn.Parameter(start.weights()[0])
    parameters = list(start.parameters()) if in_place else [folded]
    optimiser, generator = torch.optim.Adam(parameters, rate), seeded()
    for step in range(steps):
        images, labels = data.draw("train", IMAGES, generator)
        said = start.run(1, still, images) if in_place else architecture.run(folded, images)
        for group in optimiser.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimiser.zero_grad()
        data.io.problem.loss(said, labels).backward()
        optimiser.step()
    images, labels = data.sample("val", VALIDATION, seeded(1))
    weights: Tensor = start.weights()[0] if in_place else folded.detach()
    with torch.no_grad():
        right = [architecture.run(weights, some).argmax(1) for some in images.split(500)]
    return float((torch.cat(right) == labels).float().mean())


def _arguments(given: list[str] | None) -> Namespace:
    parser = ArgumentParser(prog="python -m tests.benchmarks.norms", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, help="images, as for netspace's --data")
    parser.add_argument("--arch", default="resnet8")
    parser.add_argument("--steps", type=int, default=1000)
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
