"""Where a step of cifar10-lenetlike.toml spends its time: python -m tests.benchmarks.step_parts

Processor time of one thread, each part with its gradients; parts that the others contain are set in.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from netspace_models.backbones.tokens.backbone import TokensBackbone
from netspace_models.training.augmentations import augmented_view
from netspace_models.training.objectives import imitation
from torch import Tensor

from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe_reading import load_recipe
from netspace_cli.core.training.first_model import new_state
from netspace_cli.core.training.loop import prepare
from netspace_cli.core.training.step import take_step
from tests.benchmarks.cases import RECIPES, images, network, zoo_of

ROUNDS, NETWORKS, IMAGES = 7, 16, 64
ARCH = "lenetlike"


def parts(folder: Path) -> dict[str, Callable[[], object]]:
    """Parts of a step, by name."""
    data, runner = images(folder), Runner("cpu", threads=1)
    recipe = load_recipe(RECIPES / "cifar10-lenetlike.toml", {"train.steps": "100000", "train.warmup": "100"})
    task = prepare(zoo_of(folder, data, (ARCH,), NETWORKS + 4), recipe, data, runner)
    state = new_state(task)
    model = state.model.train()
    backbone = model.backbone
    assert isinstance(backbone, TokensBackbone)
    architecture, head = model.architecture(ARCH), backbone.head(ARCH)
    parameters = list(model.parameters())
    weights = torch.stack([network(ARCH, data).weights] * NETWORKS)
    weights = weights + 0.01 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(0))
    batch, _ = data.sample("train", IMAGES, torch.Generator().manual_seed(0))
    answers = backbone.answers(ARCH, weights)
    assert answers is not None
    answers = answers.detach()
    latents, embeddings = (each.detach().requires_grad_() for each in backbone.reader(0, head, weights, answers))
    predicted = model.decode(ARCH, embeddings).detach().requires_grad_()

    def back(found: Tensor | None, *further: Tensor) -> None:
        assert found is not None
        torch.autograd.grad(found.square().sum(), [*parameters, *further], allow_unused=True)

    ask = partial(backbone._predicted_answers, ARCH)
    return {
        "a step": lambda: take_step(task, state),
        "new views of the weights": lambda: augmented_view(
            architecture, weights, recipe.train.augmentations, runner.generator("views")
        ),
        "encoding": lambda: back(model.encode(ARCH, weights)),
        "  answers to the probes": lambda: back(backbone.answers(ARCH, weights)),
        "  reading tokens": lambda: back(backbone.reader(0, head, weights, answers)[1]),
        "  feedback: decoding, asking, their gradient": lambda: back(
            backbone.feedback(ask, latents, answers, embeddings), embeddings
        ),
        "decoding": lambda: back(model.decode(ARCH, embeddings), embeddings),
        "running target and predicted networks": lambda: back(
            imitation(architecture, predicted, weights, batch, temperature=recipe.train.temperature), predicted
        ),
    }


def main() -> None:
    """Print a line for each part."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        for name, run in parts(Path(folder)).items():
            times = []
            for _ in range(ROUNDS + 1):
                began = time.process_time()
                run()
                times.append(time.process_time() - began)
            print(f"{name}: {1e3 * median(times[1:]):.0f} ms")


if __name__ == "__main__":
    main()
