"""Bent paths between two shapes: each step's embedding is solved for, to be a blend of both ends.

The middle of a straight path is nearly the mean of two signed distances, in which whatever only one shape has is
thin or gone; and most of the change happens in the first and the last steps. A bent path leaves the straight line:
its steps are the ends' blends (`netspace_models.training.losses.blended`) without fragments, spaced so
that shapes change evenly.
"""

from __future__ import annotations

import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError
from netspace_models.second_order.gauss_newton import Solver, weights_by_distance
from netspace_models.wording import Call
from torch import Tensor

from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes.fragments import VoxelTargets, even_and_near, remove_fragments
from netspace_cli.core.shapes.sdf_blend import BlendEnds, even_gammas
from netspace_cli.core.shapes.voxels import distances_at, refine_near_surface, scattered_points
from netspace_cli.core.spaces.solver import solver_of
from netspace_cli.core.spaces.space import Space

from .path import straight

# Gauss-Newton steps for each embedding.
SOLVES = 5
# Fragments are searched for in voxels refined by these factors: what one grid misses shows in another.
FINER = (2, 3)


def bent(
    start: Tensor,
    end: Tensor,
    space: Space,
    runner: Runner,
    *,
    steps: int,
) -> Tensor:
    """(N + 1, E) embeddings of a bent path; the first and last are exactly `start` and `end`.

    Args:
        start, end: (E,) embeddings of a space of shapes.
        steps: N.
    Raises:
        ConfigError: see `check_bend`.
    """
    check_bend(space)
    space = runner.place(space)
    architecture = space.model.architectures[0]
    line = runner.place(torch.stack(straight(start, end, steps)))
    solver = solver_of(space, architecture.name)
    with torch.no_grad():
        weights = space.model.decode(architecture.name, torch.stack([line[0], line[-1]]))
    ends = _known(weights, architecture, runner)
    gammas, found = even_gammas(ends, steps), [line[0]]
    with runner.progress("bending the path", max(0, steps - 1)) as tick:
        for embedding, gamma in zip(line[1:-1], gammas[1:-1], strict=True):
            found.append(_solved(embedding, ends, weights, gamma, solver, runner))
            tick(1)
    return torch.stack([*found, line[-1]])


def _solved(
    embedding: Tensor, ends: BlendEnds, weights: Tensor, gamma: Tensor, solver: Solver, runner: Runner
) -> Tensor:
    """(E,) embedding whose network is the blend at gamma of the ends, networks (2, P), without fragments."""
    wanted = ends.blend(gamma)
    chosen = even_and_near(wanted, runner.generator("bend"))
    error_weights = weights_by_distance(wanted[chosen])
    for _ in range(SOLVES):
        embedding, _ = solver.step(embedding, wanted[chosen], ends.points[chosen], error_weights)
    fine = []
    for parts in FINER:
        small = refine_near_surface(ends.voxels, wanted, parts)
        known = (distances_at(small.points, solver.architecture, own, runner) for own in weights)
        fine.append(VoxelTargets(small, ends.blend_in(small, gamma, wanted, *known)))
    return remove_fragments(embedding, VoxelTargets(ends.voxels, wanted), fine, solver, runner)


def check_bend(space: Space) -> None:
    """Refuse a space whose paths cannot be bent.

    Raises:
        ConfigError: its networks are not shapes, or its decoder does not write along directions.
    """
    if not space.kind.has_surface:
        raise ConfigError(
            f"only paths between shapes can be bent; the networks of {space.name} are not shapes.",
            f"Leave out {Call('bent')}.",
        )
    if not bendable(space):
        raise ConfigError(
            f"bending a path solves for its embeddings, but the decoder of {space.name} does not write along "
            "directions.",
            f"Leave out {Call('bent')}, or train a space with backbone.direct.kind = 'learnt'.",
        )


def bendable(space: Space) -> bool:
    """Whether a space's paths can be bent: its networks are shapes and its decoder writes along directions."""
    return space.kind.has_surface and space.model.backbone.directions(space.model.architectures[0].name) is not None


def _known(weights: Tensor, architecture: Architecture, runner: Runner) -> BlendEnds:
    """Values of the ends, networks (2, P), in the voxels."""
    dimensions = architecture.io.input_shape[0]
    points = runner.place(scattered_points(dimensions, runner.generator("ends")))
    one, other = (distances_at(points, architecture, v, runner) for v in weights)
    return BlendEnds(points, one, other)
