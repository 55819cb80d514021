"""The Gauss-Newton solver of a space, shared by refining, bent paths and optimising."""

from __future__ import annotations

from functools import partial

from netspace_models.second_order.gauss_newton import Solver

from .space import Space


def solver_of(space: Space, arch: str) -> Solver:
    """Make a solver for a space's embeddings, damped as its recipe says.

    Args:
        space: on the device of the work; its decoder writes along directions, see `check_solvable`.
        arch: name of the architecture.
    """
    model, directions = space.model, space.model.backbone.directions(arch)
    assert directions is not None  # seen to before
    return Solver(model.architecture(arch), partial(model.decode, arch), directions, space.recipe.refine.damping)
