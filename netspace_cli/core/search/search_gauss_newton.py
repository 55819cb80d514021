"""Latent space optimisation of shapes by Gauss-Newton steps.

A space's decoder that writes along directions leaves a problem that is nearly linear, and few solved steps lead further
than many along the gradient.
"""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import RunFailed
from netspace_models.second_order.gauss_newton import Solver
from netspace_models.wording import setting
from torch import Tensor

from .search import Objective, Parametrisation, SearchResult, Tracker


@runtime_checkable
class SolvableObjective(Objective, Protocol):
    """An objective that gives points and target values there."""

    def targets(
        self, architecture: Architecture, weights: Tensor, step: int, count: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Points and targets of a step for a network (P,); the same step draws the same points.

        Returns:
            (N, D) points, N `count` or nearly; (N K,) values wanted there; and their weights, None for all alike.
        """
        ...


def search_by_solving(
    parametrisation: Parametrisation,
    objective: SolvableObjective,
    solver: Solver,
    *,
    steps: int,
    points: int,
    validate_every: int | None = None,
    description: str = "searching",
) -> SearchResult:
    """Search as `search` does, by Gauss-Newton steps.

    Args:
        solver: of the parametrisation's architecture.
        points: a step.
        validate_every: as in `Tracker`.
    Raises:
        RunFailed: values that are not finite.
    """
    tracker = Tracker(parametrisation, objective, steps, validate_every)
    embedding = parametrisation.start[0]
    runner = objective.runner
    with (
        runner.progress(description, steps) as tick,
        runner.guard("in a step of the search", f"Lower {setting('images')}."),
    ):
        for step in range(steps):
            with torch.no_grad():
                weights = parametrisation.build(embedding[None])
                asked, wanted, error_weights = objective.targets(parametrisation.architecture, weights, step, points)
            embedding, loss = solver.step(embedding, wanted, asked, error_weights)
            if not math.isfinite(loss):
                raise RunFailed(
                    f"the values are not finite at step {step + 1} of {steps}.",
                    f"Start from another embedding, or raise {setting('images')}.",
                )
            runner.count(1, "steps")
            tracker.after(step + 1, embedding[None], loss)
            tick(1, loss=loss)
    return tracker.found()
