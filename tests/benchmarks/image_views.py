"""A step whose teacher was asked before, against one that asks: python -m tests.benchmarks.image_views [--rounds 7]

Four architectures and a ResNet56 as teacher, as in examples/recipes/cifar10.toml, on noise in CIFAR-10's shape. Both
take turns in one process, one thread; processor seconds, and the median of the ratios with the lowest and highest.
Below: what a whole training of that recipe takes on 40,000 images, asking included.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe_reading import load_recipe
from netspace_cli.core.training.first_model import new_state
from netspace_cli.core.training.loop import prepare
from netspace_cli.core.training.step import Task, take_step
from netspace_cli.core.training.teacher_answers import with_answers

from .cases import RECIPES, SEVERAL, images, network, zoo_of

TRAINING_IMAGES = 40_000  # of CIFAR-10


def seconds_of(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of some work, and what it returns."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def by_turns(turns: Sequence[Callable[[], Any]], rounds: int) -> list[list[float]]:
    """Processor seconds of each piece of work in every round but a first one, which is left out."""
    return [[seconds_of(turn)[0] for turn in turns] for _ in range(rounds + 1)][1:]


def asked(description: str, what: str, names: Sequence[str]) -> tuple[list[str], int]:
    """Names that are given on the command line, or all, and the number of rounds; from then on there is one thread."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("names", nargs="*", metavar=what, default=list(names), help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    return given.names, given.rounds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time steps with a teacher that was asked before.")
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, Runner("cpu", threads=1) as runner:
        data = images(Path(name), (1000, 600, 600))
        zoo, teacher = zoo_of(Path(name), data, SEVERAL, 3), network("resnet56-a", data)

        def prepared(views: int) -> Task:
            recipe = load_recipe(RECIPES / "cifar10.toml", {"train.image_views": str(views)})
            return prepare(zoo, recipe, data, runner, teacher=teacher)

        own = prepared(0).recipe.train
        asking, asked = seconds_of(lambda: with_answers(prepared(1), lambda: False))
        tasks = (prepared(0), asked)
        states = [new_state(task) for task in tasks]
        turns = [partial(take_step, task, state) for task, state in zip(tasks, states, strict=True)]
        pairs = by_turns(turns, rounds)
    ratios = [each / once for each, once in pairs]
    each, once = (median(pair[i] for pair in pairs) for i in (0, 1))
    question = asking / len(data.splits["train"])
    print(
        f"a step: {each:.3f} s asking, {once:.3f} s asked before: {median(ratios):.2f} times ({min(ratios):.2f} to "
        f"{max(ratios):.2f}); a question about an image takes {1000 * question:.2f} ms"
    )
    for views in (1, 2):
        share = min(views * TRAINING_IMAGES, own.steps * own.images) * question / (own.steps * each)
        gain = 1 / (1 / median(ratios) + share)
        print(f"{own.steps} steps of {own.images} images, {views} views: {gain:.2f} times, asking included")


if __name__ == "__main__":
    main()
