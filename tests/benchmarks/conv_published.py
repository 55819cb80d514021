"""A step of the conv backbone against the published code: python -m tests.benchmarks.conv_published FOLDER [--rounds 9]

FOLDER is a copy of github.com/CVLAB-Unibo/netspace (commit d6a6d69). Published sizes: 8 ResNet8, 128 images, PReps of
8 x 10,000, embeddings of 4,096 values. Both begin with the same networks, images and weights, and do the same: PReps,
encode, decode, run target and predicted network, take a step of Adam. A process for each, one thread each, which take
turns; ours keeps freed memory as the command line does. Networks and images are random, which does not change the time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F

INSTANCES, IMAGES, EMBEDDING, GRID, RATE, TEMPERATURE = 8, 128, 4096, (8, 10_000), 1e-4, 4.0
Step = Callable[[], float]


def published(folder: Path, start: Path) -> Step:
    """A step by the published modules, after its trainer (trainers/single_arch.py); writes where both begin."""
    sys.path.insert(0, str(folder))
    network = import_module("models.resnet_fusedbn").ResNetFusedBN
    torch.manual_seed(0)
    targets, images = [network(i, 2, 8, "cifar10").eval() for i in range(INSTANCES)], torch.randn(IMAGES, 3, 32, 32)
    own = network(0, 2, 8, "cifar10")
    encoder = import_module("models.encoder").Encoder(EMBEDDING)
    decoder = import_module("models.decoder").Decoder([own], EMBEDDING, GRID)
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], RATE)
    rows = [torch.cat([p.detach().flatten() for p in target.get_parameters()]) for target in targets]
    begin = {"weights": torch.stack(rows), "images": images}
    torch.save({**begin, "encoder": encoder.state_dict(), "decoder": decoder.state_dict()}, start)

    def step() -> float:
        adam.zero_grad()
        grids = decoder(encoder(torch.stack([target.get_prep(GRID) for target in targets])))
        loss = torch.zeros(())
        for target, grid in zip(targets, grids, strict=True):
            with torch.no_grad():
                wanted = (target(images) / TEMPERATURE).softmax(1)
            predicted = (own.func_forward(images, grid) / TEMPERATURE).log_softmax(1)
            loss = loss + F.kl_div(predicted, wanted, reduction="batchmean") * TEMPERATURE**2
        loss = loss / INSTANCES
        loss.backward()
        adam.step()
        return loss.item()

    return step


def ours(start: Path) -> Step:
    """A step by netspace, from the same values."""
    from netspace_models.architectures import ImageIO
    from netspace_models.backbones import ArchitectureInit
    from netspace_models.backbones.conv import ConvBackbone
    from netspace_models.space_model import SpaceModel
    from netspace_models.training.objectives import Batch, LossConstants, single_objective

    from netspace_cli.core.networks.factories import resolve_architecture
    from netspace_cli.core.runtime.memory import keep_freed_memory, larger_blocks_kept

    keep_freed_memory()
    architecture, begin = resolve_architecture("resnet8", ImageIO(3, 32, 10)), torch.load(start)
    init = ArchitectureInit(architecture.spec, None, torch.ones(len(architecture.spec.layers)))
    model = SpaceModel([architecture], ConvBackbone({architecture.name: init}), None)
    values = {f"{part}.{n.replace('.0.', '.')}": v for part in ("encoder", "decoder") for n, v in begin[part].items()}
    values = {name.replace("scalelayer.", ""): value for name, value in values.items()}
    known = model.backbone.state_dict()
    model.backbone.load_state_dict({name: values[name].reshape(value.shape) for name, value in known.items()})
    weights, batch, constants = begin["weights"], Batch(begin["images"]), LossConstants(TEMPERATURE)
    adam = torch.optim.Adam(model.parameters(), RATE, fused=True)

    def step() -> float:
        with larger_blocks_kept(True):
            (loss,) = single_objective(model, architecture.name, weights, weights, batch, constants).values()
            adam.zero_grad()
            loss.backward()
            adam.step()
        return loss.item()

    return step


def answer(side: str, folder: Path, start: Path) -> None:
    """Take a step for each line of stdin and answer it with a line of JSON."""
    torch.set_num_threads(1)
    step = published(folder, start) if side == "published" else ours(start)
    for _ in sys.stdin:
        began = time.process_time()
        loss = step()
        print(json.dumps({"loss": loss, "seconds": time.process_time() - began}), flush=True)


def _show(one: dict[str, float], other: dict[str, float]) -> float:
    """Print a step of both; the ratio of their times."""
    print(f"loss {one['loss']:.7g} {other['loss']:.7g}, {one['seconds']:.2f} and {other['seconds']:.2f} s", flush=True)
    return one["seconds"] / other["seconds"]


def compare(folder: Path, rounds: int) -> None:
    """Print losses and seconds of both for each pair of steps, and the median of their ratios."""
    from tests.benchmarks.against import asked

    with tempfile.TemporaryDirectory() as name:
        # By its path: where this tree is on Python's own, its `models` hides the published one.
        command = [sys.executable, __file__, str(folder.resolve()), "--start", f"{name}/start.pt"]
        sides, ratios = [], []
        with ExitStack() as running:
            pair = []
            for side in ("published", "ours"):  # ours begins with what the other leaves before its first step
                sides.append(
                    running.enter_context(
                        subprocess.Popen(
                            [*command, "--side", side], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                        )
                    )
                )
                running.callback(sides[-1].kill)
                pair.append(asked(sides[-1], "step"))
            _show(*pair)  # warms up
            for _ in range(rounds):
                ratios.append(_show(*(asked(side, "step") for side in sides)))
    print(f"ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def main() -> None:
    """Compare, or be one of both sides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--side", choices=["published", "ours"], help=argparse.SUPPRESS)
    parser.add_argument("--start", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        answer(given.side, given.folder, given.start)
    else:
        compare(given.folder, given.rounds)


if __name__ == "__main__":
    main()
