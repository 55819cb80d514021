"""Refining networks that are signals: each step solves for all of an embedding at once.

Every step draws points anew and takes the shortest way to where the predicted network, as it changes about the
embedding, has the target's values there. What suits one draw of points suits the others only nearly; the mean
of the last steps' embeddings suits them better than any one of them. Shapes are mended in the end (mend.py).
"""

from __future__ import annotations

import math

import torch
from netspace_models.errors import RunFailed
from netspace_models.gauss_newton import weights_by_distance
from torch import Tensor

from netspace_cli.core.data.points import FieldData
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes.fragments import Wanted, mended
from netspace_cli.core.shapes.near_surface import near_surfaces, with_near
from netspace_cli.core.shapes.voxels import Cells, cut, distances_at, scattered
from netspace_cli.core.spaces.solver import solver_of
from netspace_cli.core.spaces.space import Space

# Of the steps, the last one in so many are taken together.
LATER = 3


def approach(
    embeddings: Tensor,
    vectors: Tensor,
    arch: str,
    space: Space,
    data: FieldData,
    runner: Runner,
    *,
    steps: int,
) -> Tensor:
    """Gauss-Newton steps on embeddings, each network by itself.

    Args:
        embeddings: (B, E); vectors: (B, P) the networks.
        arch: their architecture; space, data: on the runner's device.
        steps: of each.
    Returns:
        (B, E).
    Raises:
        RunFailed: values that are not finite.
    """
    architecture, share = space.model.architecture(arch), space.recipe.train.near
    near = near_surfaces(architecture, vectors, data, runner, share=share)
    solver = solver_of(space, arch)
    cells = Cells(runner.place(scattered(data.signal.dimensions, runner.generator("cells"))))
    found = []
    with runner.progress(f"refining {arch}", steps * len(vectors)) as tick:
        for i, (start, vector) in enumerate(zip(embeddings, vectors, strict=True)):
            embedding, path = start, []
            for step in range(steps):
                generator = runner.generator("refine", step)
                points, _ = data.draw("train", space.recipe.refine.images, generator)
                points = with_near(points, None if near is None else near[i : i + 1], share, generator)
                points = points[0] if points.dim() == 3 else points
                with torch.no_grad():
                    wanted = architecture.run(vector, points).flatten()
                weights = weights_by_distance(wanted) if data.has_surface else None
                embedding, loss = solver.step(embedding, wanted, points, weights)
                if not math.isfinite(loss):
                    raise RunFailed("refining came to values that are not finite.", "Raise refine.damping.")
                path.append(embedding)
                runner.count(1, "steps")
                tick(1, loss=loss)
            embedding = torch.stack(path[-max(1, steps // LATER) :]).mean(dim=0)
            if data.has_surface:
                whole = Wanted(cells, distances_at(cells.points, architecture, vector, runner))
                small = cut(cells, whole.values)
                fine = Wanted(small, distances_at(small.points, architecture, vector, runner))
                embedding = mended(embedding, whole, [fine], solver, runner, keep=True)
            found.append(embedding)
    return torch.stack(found)
