"""How much faster a processor fits networks together than one by one: the same work both ways, in one run.

Beside it, a step's matrix products and sines alone, one network at a time: where these take nearly all of the time,
there is little that fitting together could spare.

python examples/fit_together.py [number of networks] [steps]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from netspace_models.architectures import Architecture
from torch import Tensor

from netspace_cli import Runner
from netspace_cli.core.networks.factories import resolve_architecture
from netspace_cli.core.shapes.sources import ShapeSource, find_shapes
from netspace_cli.core.zoos.fit import data_of, fit_jobs
from netspace_cli.core.zoos.fitting import FitPlan, fit, starts

TIMES = 3
# The usual network and number of points a step, then more points, then smaller networks.
CASES = (("siren", FitPlan.points), ("siren", 2048), ("siren-64x2", FitPlan.points), ("siren-64x2", 2048))


def write_boxes(path: Path, count: int) -> None:
    """Boxes of other sizes as occupancy grids."""
    draw, cells = np.random.default_rng(0), np.abs(np.stack(np.meshgrid(*[np.arange(16) - 7.5] * 3, indexing="ij")))
    np.savez_compressed(
        path, boxes=np.stack([(cells < draw.uniform(3, 7, (3, 1, 1, 1))).all(axis=0) for _ in range(count)])
    )


def bare_step(architecture: Architecture, points: int) -> None:
    """The products and sines of one network's step, forward and backward, on numbers that mean nothing."""
    weights = [torch.empty(p.shape).normal_(std=0.1) for p in architecture.spec.parameters if len(p.shape) == 2]
    x, inputs, slopes = torch.zeros(points, weights[0].shape[1]), [], []
    for weight in weights:
        inputs.append(x)
        angles = x @ weight.T
        x, slope = angles.sin(), angles.cos()
        slopes.append(slope)
    for weight, before, slope in reversed([*zip(weights, inputs, slopes, strict=True)]):
        _ = slope.T @ before
        if before is not inputs[0]:
            _ = slope @ weight


def seconds_of(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(sources: Sequence[ShapeSource], arch: str, points: int, steps: int, runner: Runner) -> None:
    """Prints seconds for both ways, the median of some times in turn, and their ratio."""
    count = len(sources)
    plan = FitPlan(arch, counts=(count, 0, 0), steps=steps, points=points)
    architecture = resolve_architecture(arch, data_of(sources).io)
    jobs = fit_jobs(sources, plan, seed=0)
    shapes = [job.source.read(runner.generator("shape", job.id)) for job in jobs]
    begin = starts(jobs, architecture, plan)

    def all_at_once() -> Tensor:
        return fit(begin, shapes, architecture, plan, runner)

    def one_by_one() -> Tensor:
        return torch.cat([fit(begin[i : i + 1], shapes[i : i + 1], architecture, plan, runner) for i in range(count)])

    def bare_steps() -> None:
        for _ in range(steps * count):
            bare_step(architecture, plan.points)

    off = float((all_at_once() - one_by_one()).abs().max())  # what is slow the first time only, too
    taken = [[seconds_of(work) for work in (all_at_once, one_by_one, bare_steps)] for _ in range(TIMES)]
    seconds, of_each, bare = (median(column) for column in zip(*taken, strict=True))
    print(f"{count} networks of {architecture.parameter_count:,} parameters, {steps} steps of {plan.points} points:")
    print(f"  together {seconds:.2f} s, one by one {of_each:.2f} s: {of_each / seconds:.2f} times")
    print(f"  products and sines alone, one by one {bare:.2f} s: {of_each / bare:.2f} times")
    print(f"  largest difference between the weights: {off:.1e}")


def main(count: int = 16, steps: int = 40) -> None:
    """Compares both ways for large and small networks, and for many and few points a step."""
    with TemporaryDirectory() as folder, Runner("cpu", seed=0) as runner:
        write_boxes(Path(folder) / "boxes.npz", count)
        sources = find_shapes(Path(folder) / "boxes.npz")
        for arch, points in CASES:
            compare(sources, arch, points, steps, runner)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
