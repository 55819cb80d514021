"""Sixteen networks refined together against one by one: python -m tests.benchmarks.refining

LeNetLikes in the built-in space cifar10, on one thread; both ways alternate, and processor time counts. Then the two
parts of a step that no way of refining can do without: to decode, and to run the networks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from netspace_models.training.objectives import imitation

from netspace_cli.core.spaces.space import load_space
from tests.benchmarks.cases import images, network, refining

ROUNDS, TOGETHER = 7, 16


def main() -> None:
    """Print the time of a network both ways, and the ratios."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as one, TemporaryDirectory() as many:
        ways = ((1, refining(Path(one), 1)), (TOGETHER, refining(Path(many), TOGETHER)))
        pairs = []
        for _ in range(ROUNDS + 1):
            times = []
            for count, run in ways:
                began = time.process_time()
                run()
                times.append(1e3 * (time.process_time() - began) / count / 10)
            pairs.append(times)
    ratios = [alone / together for alone, together in pairs[1:]]
    alone, together = (median(pair[i] for pair in pairs[1:]) for i in (0, 1))
    print(
        f"a step alone {alone:.1f} ms, together {together:.1f} ms each: {median(ratios):.2f} x "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )
    for name, part in parts().items():
        part()  # the first time takes longer
        began = time.process_time()
        for _ in range(ROUNDS):
            part()
        print(f"{name}: {1e3 * (time.process_time() - began) / ROUNDS / TOGETHER:.1f} ms each of {TOGETHER}")


def parts() -> dict[str, Callable[[], object]]:
    """Two parts of a step of refining LeNetLikes together, with their gradients."""
    space = load_space("cifar10")
    model, recipe = space.model, space.recipe
    with TemporaryDirectory() as folder:
        data = images(Path(folder))
        targets = torch.stack([network("lenetlike", data).weights] * TOGETHER)
        batch, _ = data.sample("train", recipe.refine.adam_schedule(10).images, torch.Generator().manual_seed(0))
    embeddings = model.encode("lenetlike", targets).detach().requires_grad_()
    predicted = model.decode("lenetlike", embeddings).detach().requires_grad_()
    architecture, gradient = model.architecture("lenetlike"), torch.ones_like(predicted)

    def loss() -> torch.Tensor:
        return imitation(architecture, predicted, targets, batch, temperature=recipe.refine_temperature).sum()

    return {
        "decoding": lambda: torch.autograd.grad(model.decode("lenetlike", embeddings), embeddings, gradient),
        "running the networks": lambda: torch.autograd.grad(loss(), predicted),
    }


if __name__ == "__main__":
    main()
