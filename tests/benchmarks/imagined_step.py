"""How often a training step would wait for an accelerator, without one: python -m tests.benchmarks.imagined_step

Values that the processor reads, and what it sends: CUDA devices are waited for at each, unless it is sent from memory
that is held in place. `tests.benchmarks.against COMMIT CASE --operations` counts what they are to compute.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe_reading import load_recipe
from netspace_cli.core.training.first_model import new_state
from netspace_cli.core.training.loop import prepare
from netspace_cli.core.training.step import take_step
from tests.imagined import imagined, watched_device

from .cases import RECIPES, SEVERAL, images, network, zoo_of

CASES = {
    "cifar10-lenetlike.toml": (("lenetlike",), 20),
    "cifar10.toml": (SEVERAL, 3),
    "published-single.toml": (("resnet8",), 12),
    "hyper-representation.toml": (("lenetlike",), 20),
}


def main() -> None:
    """Print a line for each recipe."""
    torch.set_num_threads(1)
    for recipe, (archs, count) in CASES.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            data = images(folder)
            teacher = network("resnet56-a", data) if len(archs) > 1 else None
            runner = Runner("cpu", threads=1)
            settings = load_recipe(RECIPES / recipe, {"train.steps": "100000"})
            task = prepare(zoo_of(folder, data, archs, count), settings, data, runner, teacher=teacher)
            task, state = imagined(task, new_state(task))
            with watched_device():
                take_step(task, state)  # the first one also sends what all the others need
            with watched_device() as seen:
                take_step(task, state)
            print(f"{recipe}: reads {len(seen.waits)}, sends {len(seen.sent)}", flush=True)


if __name__ == "__main__":
    main()
