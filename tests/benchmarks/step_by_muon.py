"""A step of training by Muon, against one by Adam: python -m tests.benchmarks.step_by_muon [RECIPE ...] [--rounds 7]

One architecture, as in each recipe, on noise in CIFAR-10's shape. Both take turns in one process, one thread; processor
seconds, and the median of the ratios with the lowest and highest.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe_reading import load_recipe
from netspace_cli.core.training.first_model import new_state
from netspace_cli.core.training.loop import prepare
from netspace_cli.core.training.step import take_step

from .cases import RECIPES, images, zoo_of
from .image_views import asked, by_turns

OPTIMIZERS = ("adam", "muon")
ARCHS = {"cifar10-lenetlike": "lenetlike", "cifar10-resnet8": "resnet8"}


def turns_of(recipe: str, folder: Path, data: ImageData, runner: Runner) -> list[Callable[[], Any]]:
    """Steps of a recipe by each optimiser."""
    zoo = zoo_of(folder / recipe, data, (ARCHS[recipe],), 18)
    recipes = [load_recipe(RECIPES / f"{recipe}.toml", {"train.optimizer": each}) for each in OPTIMIZERS]
    tasks = [prepare(zoo, each, data, runner) for each in recipes]
    return [partial(take_step, task, new_state(task)) for task in tasks]


def main() -> None:
    """Measure and print."""
    names, rounds = asked("Time steps of training by Adam and by Muon.", "recipe", list(ARCHS))
    with tempfile.TemporaryDirectory() as name, Runner("cpu", threads=1) as runner:
        data = images(Path(name), (1000, 600, 600))
        for recipe in names:
            turns = turns_of(recipe, Path(name), data, runner)
            pairs = by_turns(turns, rounds)
            ratios = [muon / adam for adam, muon in pairs]
            adam, muon = (median(pair[i] for pair in pairs) for i in (0, 1))
            print(
                f"{recipe}: {adam:.3f} s by Adam, {muon:.3f} s by Muon: {median(ratios):.2f} times ({min(ratios):.2f} "
                f"to {max(ratios):.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
