"""Refine by Gauss-Newton: each step solves for a whole embedding.

Every step draws new points and takes the shortest way to where the predicted network, as it changes about the
embedding, has the target's values there. What suits one draw of points suits the others only nearly; the mean
of the last steps' embeddings suits them better than any one of them. In the end, stray fragments of shapes are removed.
"""

from __future__ import annotations

import math

import torch
from netspace_models.errors import RunFailed
from torch import Tensor

from netspace_cli.core.data.data import Data
from netspace_cli.core.runtime.progress import Tick
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.solver import solver_of
from netspace_cli.core.spaces.space import Space

# The last 1 / LATER of the steps are averaged.
LATER = 3


def refine_by_gauss_newton(
    embeddings: Tensor,
    weights: Tensor,
    arch: str,
    space: Space,
    data: Data,
    runner: Runner,
    *,
    steps: int,
) -> Tensor:
    """Refine embeddings by Gauss-Newton steps, one network at a time.

    Args:
        embeddings: (B, E); weights: (B, P) the networks.
        arch: their architecture; space, data: on the runner's device.
        steps: of each.
    Returns:
        (B, E).
    Raises:
        RunFailed: values that are not finite.
    """
    found = []
    with runner.progress(f"refining {arch}", steps * len(weights)) as tick:
        for embedding, own in zip(embeddings, weights, strict=True):
            found.append(_refined(embedding, own, arch, space, data, runner, steps, tick))
    return torch.stack(found)


def _refined(
    embedding: Tensor, weights: Tensor, arch: str, space: Space, data: Data, runner: Runner, steps: int, tick: Tick
) -> Tensor:
    """Refine one embedding (E,) towards its network (P,)."""
    architecture, kind, recipe = space.model.architecture(arch), space.kind, space.recipe
    solver = solver_of(space, arch)
    sample = kind.sampler(architecture, weights[None], data, runner, near_surface_share=recipe.train.near_surface_share)
    path = []
    for step in range(steps):
        points = sample(recipe.refine.images, runner.generator("refine", step))
        points = points[0] if points.dim() == 3 else points
        with torch.no_grad():
            wanted = architecture.run(weights, points).flatten()
        embedding, loss = solver.step(embedding, wanted, points, kind.error_weights(wanted))
        if not math.isfinite(loss):
            raise RunFailed("refining led to values that are not finite.", "Raise refine.damping.")
        path.append(embedding)
        runner.count(1, "steps")
        tick(1, loss=loss)
    mean = torch.stack(path[-max(1, steps // LATER) :]).mean(dim=0)
    return kind.fragment_remover(architecture, weights, solver, runner)(mean)
