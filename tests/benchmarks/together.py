"""Networks trained at once against a plain PyTorch loop: python -m tests.benchmarks.together [ARCH …] [--data DATA]

The plain loop is what one writes for a single network: its module, its optimiser, its own augmented batches. Both train
with the same settings and the same augmentation, on one thread, and alternate; processor time counts, which others on
the machine disturb less than the clock.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import torch
import torch.nn.functional as F
from netspace_models.architectures.registry import factory
from torch import Tensor

from netspace_cli.core.data.datasets import load_images
from netspace_cli.core.data.images import ImageData
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.zoos.plan import ZooPlan, jobs_of
from netspace_cli.core.zoos.train_many import train_many
from netspace_cli.core.zoos.train_one import train_one

TOGETHER, ALONE, ROUNDS, STEPS, BATCH = 64, 8, 5, 10, 64


def plain_loop(name: str, data: ImageData, count: int) -> None:
    """Train networks one by one, with no code of netspace but their module."""
    images, labels = data.splits["train"].images.contiguous(), data.splits["train"].labels
    mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
    for seed in range(count):
        torch.manual_seed(seed)
        module = factory(name)(data.io)
        optimizer = torch.optim.Adam(module.parameters(), 1e-3)
        for index in torch.randperm(len(images))[: BATCH * STEPS].split(BATCH):
            batch = (_augmented(images[index], data) / 255 - mean) / std
            loss = F.cross_entropy(module(batch), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def _augmented(images: Tensor, data: ImageData) -> Tensor:
    """Shift and mirror each image of a batch, by one index of all pixels."""
    N, C, S, _ = images.shape
    rows = torch.arange(S) + torch.randint(2 * data.padding + 1, (N, 1))
    mirrored = torch.rand(N, 1) < 0.5 if data.flip else torch.zeros(N, 1, dtype=torch.bool)
    cols = torch.where(mirrored, S - 1 - torch.arange(S), torch.arange(S)) + torch.randint(2 * data.padding + 1, (N, 1))
    padded = F.pad(images, [data.padding] * 4)
    return padded[
        torch.arange(N)[:, None, None, None],
        torch.arange(C)[:, None, None],
        rows[:, None, :, None],
        cols[:, None, None],
    ]


def ours(name: str, data: ImageData, runner: Runner, count: int, together: int) -> None:
    """Train networks as `zoo train` does."""
    plan = ZooPlan((name,), (count, 0, 0), (1, 1), batch=BATCH, epoch_images=BATCH * STEPS, together=together)
    jobs = jobs_of(plan, 0)
    if together > 1:
        list(train_many(jobs, plan, data, runner))
    else:
        for job in jobs:
            list(train_one(job, plan, data, runner))


def main() -> None:
    """Print a line for each architecture."""
    parser = argparse.ArgumentParser(description="Compare training at once with a plain loop.")
    parser.add_argument("archs", nargs="*", default=["cnn-small", "lenetlike", "lenet5"])
    parser.add_argument("--data", default="digits")
    given = parser.parse_args()
    data = load_images(given.data)
    with Runner("cpu", threads=1) as runner:
        for name in given.archs:
            ways = {
                "plain": (ALONE, lambda n=name: plain_loop(n, data, ALONE)),
                "alone": (ALONE, lambda n=name: ours(n, data, runner, ALONE, 1)),
                "at once": (TOGETHER, lambda n=name: ours(n, data, runner, TOGETHER, TOGETHER)),
            }
            taken: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(ROUNDS + 1):
                for way, (count, run) in ways.items():
                    began = time.process_time()
                    run()
                    taken[way].append(1e3 * (time.process_time() - began) / count / STEPS)
            said = [f"{way} {median(times[1:]):.2f} ms" for way, times in taken.items()]
            for way in ("alone", "at once"):
                ratios = [a / b for a, b in zip(taken["plain"][1:], taken[way][1:], strict=True)]
                said.append(f"{way} {median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f}) the plain loop")
            print(f"{name}, a step of {BATCH} images of {data.name}: {', '.join(said)}", flush=True)


if __name__ == "__main__":
    main()
