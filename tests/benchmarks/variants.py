"""How often images tell architectures with the same parameters apart: python -m tests.benchmarks.variants OUT DATA...

Trains networks of each architecture of a group, with settings drawn for each, keeps them in the folder OUT, and reads
each of them as a stranger's state dict, with the images. Prints how many are read rightly, as another one, or with a
word that it may be another. DATA are as in `--data`; a group's networks take them in turn. With --constant the rate
does not fall to zero: training is stopped in the middle. --zoo reads the networks of a zoo that netspace trained.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from netspace_models.architectures.registry import factory
from torch import nn

from netspace_cli.core.data.datasets import load_images
from netspace_cli.core.data.images import ImageData
from netspace_cli.core.files.checkpoint import read_checkpoint
from netspace_cli.core.networks.assumptions import collecting
from netspace_cli.core.networks.decide import deciding_by
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.zoos.zoo import open_zoo

# Size of the images in pixels, and the architectures.
GROUPS = {
    "resnet8": (16, ("resnet8", "resnet8-relu")),
    "resnet8-a": (16, ("resnet8-a", "resnet8-a-behind", "resnet8-a-before")),
    "lenet": (
        32,
        (
            "lenetlike",
            "lenet5",
            "lenet5-mean",
            "lenet5-tanh",
            "lenet5-tanh-mean",
            "lenet5-sigmoid",
            "lenet5-sigmoid-mean",
        ),
    ),
    "cnn-small": (28, ("cnn-small", "cnn-small-gelu", "cnn-small-relu")),
    "cnn-large": (28, ("cnn-large", "cnn-large-gelu", "cnn-large-relu")),
}


@dataclass(frozen=True)
class Training:
    """How one network is trained."""

    adam: bool
    lr: float
    falling: bool
    batch: int
    augment: bool
    weight_decay: float
    steps: int

    @classmethod
    def drawn(cls, name: str, seed: int, *, falling: bool) -> Training:
        """Settings for one network; sigmoids learn nothing with small rates."""
        draw = random.Random(f"{name}/{seed}")
        adam = draw.random() < 0.5
        rates: tuple[float, ...] = (1e-3, 2e-3, 5e-3) if adam else (0.02, 0.05, 0.1)
        if "sigmoid" in name:
            adam, rates = True, (2e-3, 5e-3)
        rate, _ = draw.choice(rates), draw.random()
        return cls(
            adam,
            rate,
            falling,
            draw.choice((32, 64)),
            draw.random() < 0.5,
            draw.choice((0.0, 5e-4)),
            draw.choice((100, 200)) if name.startswith("resnet") else 500,
        )


def train(name: str, seed: int, data: ImageData, *, falling: bool) -> nn.Module:
    """Train a network as scripts do, batch norms with their usual momentum."""
    torch.manual_seed(seed)
    how, module = Training.drawn(name, seed, falling=falling), factory(name)(data.io).train()
    if how.adam:
        optimiser: torch.optim.Optimizer = torch.optim.Adam(module.parameters(), how.lr, weight_decay=how.weight_decay)
    else:
        optimiser = torch.optim.SGD(module.parameters(), how.lr, 0.9, weight_decay=how.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, how.steps) if how.falling else None
    generator = torch.Generator().manual_seed(seed)
    for _ in range(how.steps):
        index = torch.randint(len(data.splits["train"]), (how.batch,), generator=generator)
        x, y = data.augmented("train", index, generator=generator) if how.augment else data.batch("train", index)
        optimiser.zero_grad()
        F.cross_entropy(module(x), y).backward()
        nn.utils.clip_grad_norm_(module.parameters(), 5.0)
        optimiser.step()
        if schedule:
            schedule.step()
    return module.eval()


def read(path: Path, name: str, data: ImageData) -> str:
    """How a network is read: "right", "undecided" or "wrong"."""
    with deciding_by(data), collecting():
        network = read_network(path, io=data.io)
    note = network.notes[-1] if network.notes else ""
    if " assumed: " in note or "It may be" in note:
        return "undecided"
    return "right" if network.architecture.name == name else "wrong"


@cache
def loaded(source: str, size: int) -> ImageData:
    """Images of a size."""
    return load_images(source, size=size)


def trained(asked: argparse.Namespace) -> Iterator[tuple[str, Path, ImageData]]:
    """Names, files and images of networks, which are trained where they are not there yet."""
    for seed in range(asked.first, asked.first + asked.count):
        source = asked.data[seed % len(asked.data)]
        for size, names in (GROUPS[group] for group in asked.groups.split(",")):
            for name in names:
                path = asked.out / f"{name}-{'' if asked.falling else 'constant-'}{seed}.pt"
                if not path.exists():
                    if asked.read_only:
                        continue
                    torch.save(train(name, seed, loaded(source, size), falling=asked.falling).state_dict(), path)
                yield name, path, loaded(source, size)


def of_zoo(path: Path, out: Path, source: str) -> Iterator[tuple[str, Path, ImageData]]:
    """The same of a zoo's networks, without the word of their files on what they are."""
    zoo = open_zoo(path)
    for instance in zoo.instances:
        file = out / f"{path.name}-{instance.id}.pt"
        torch.save(read_checkpoint(zoo.file_of(instance)).state, file)
        yield instance.arch, file, loaded(source, zoo.io.input_shape[-1])


def main() -> None:
    """Train what is missing, read all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="seed of the first network")
    parser.add_argument("--groups", default=",".join(GROUPS))
    parser.add_argument("--constant", dest="falling", action="store_false")
    parser.add_argument("--read-only", action="store_true", help="train nothing")
    parser.add_argument("--zoo", type=Path, nargs="*")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.out.mkdir(exist_ok=True)
    found: dict[str, Counter[str]] = defaultdict(Counter)
    seconds = 0.0
    networks = (
        trained(asked) if not asked.zoo else (each for z in asked.zoo for each in of_zoo(z, asked.out, asked.data[0]))
    )
    for name, path, data in networks:
        began = time.process_time()
        result = read(path, name, data)
        seconds += time.process_time() - began
        found[name][result] += 1
        if result != "right":
            print(path.name, result, flush=True)
    print("| architecture | networks | right | undecided | wrong |\n|---|---|---|---|---|")
    for name, counts in found.items():
        row = [sum(counts.values()), *(counts[word] for word in ("right", "undecided", "wrong"))]
        print(f"| `{name}` | {' | '.join(map(str, row))} |")
    print(f"{seconds / max(1, sum(map(Counter.total, found.values()))):.1f} processor seconds a network")


if __name__ == "__main__":
    main()
