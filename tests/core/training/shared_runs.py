"""Trainings for one process and for several, with the same settings.

`python -m tests.core.training.shared_runs OUT NPZ ...` is started by `launch`: OUT gets a space of each training, the
rest is what `Made` lists.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netspace_cli.core.data.datasets import load_images
from netspace_cli.core.data.points import field_data
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.runtime.places import ALONE, place_in
from netspace_cli.core.runtime.processes import Processes
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.spaces.space import load_space
from netspace_cli.core.training.loop import extend, train
from netspace_cli.core.zoos.zoo import open_zoo
from tests.worlds import SHAPE_RECIPE, TINY_RECIPE

STEPS = 4
BRIEF = {"steps": STEPS, "instances": 3, "images": 9, "warmup": 0, "validate_every": 2, "checkpoint_every": 4}
BOTH = {"objective": "both", "noise": 0.05, "contrast": {"gamma": 0.3, "width": 8}, "optimizer": "muon"}


@dataclass(frozen=True)
class Made:
    """What the fixtures have made, by paths."""

    npz: str
    single_zoo: str
    zoo: str
    teacher: str
    space: str
    solids: str


def recipe_of(table: dict[str, Any], **train_settings: Any) -> Recipe:
    return recipe_from({**table, "train": {**BRIEF, **train_settings}})


def train_all(made: Made, out: Path, processes: Processes) -> None:
    """Train one architecture, one with contrasts by Muon, several, also on fixed views, paths of fields, and starts."""
    data = load_images(made.npz)
    single, zoo, solids = (open_zoo(Path(path)) for path in (made.single_zoo, made.zoo, made.solids))
    teacher = read_network(Path(made.teacher), io=data.io)
    starts = recipe_from({"space": {"starts": 3, "parents": 1}, "train": {**BRIEF, "instances": 2}})
    with Runner("cpu", threads=1, processes=processes) as runner:
        train(single, out / "single.safetensors", recipe_of(TINY_RECIPE), data, runner)
        train(single, out / "contrast.safetensors", recipe_of(TINY_RECIPE, **BOTH), data, runner)
        train(zoo, out / "several.safetensors", recipe_of(TINY_RECIPE), data, runner, teacher=teacher)
        train(zoo, out / "views.safetensors", recipe_of(TINY_RECIPE, image_views=2), data, runner, teacher=teacher)
        points = field_data(solids.data)
        train(solids, out / "fields.safetensors", recipe_of(SHAPE_RECIPE, images=65), points, runner)
        extend(load_space(made.space), zoo, out / "starts.safetensors", starts, data, runner)


if __name__ == "__main__":
    train_all(Made(*sys.argv[2:]), Path(sys.argv[1]), Processes(place_in(os.environ) or ALONE, patience=60))
