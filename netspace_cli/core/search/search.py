"""A search for a better network: its parametrisation, objective and tracker.

Latent space optimisation is one such search (lso.py); its plain alternatives are others (baselines.py).
Validation chooses what is kept; the test split is scored before and after only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from netspace_models.architectures import Architecture
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.networks.scores import key_of
from netspace_cli.core.runtime.minimise import AdamSchedule, minimise
from netspace_cli.core.runtime.runner import Runner


@dataclass(frozen=True)
class Parametrisation:
    """Variables of a search, and the network of one architecture that they give.

    Attributes:
        architecture: of all networks that it builds.
        start: (1, D) the variables at the beginning, on the device of the work.
        build: from variables (1, D) to parameters (P,), differentiable.
        penalty: from variables to a scalar added to the loss (eq. 6); None for none.
        recognised: which architecture a space takes the variables for; None where there is no classifier.
            Variables recognised as the architecture are better than any that are not.
    """

    architecture: Architecture
    start: Tensor
    build: Callable[[Tensor], Tensor]
    penalty: Callable[[Tensor], Tensor] | None = None
    recognised: Callable[[Tensor], str] | None = None


class Objective(Protocol):
    """The quantity that a search minimises, on its runner's device."""

    @property
    def runner(self) -> Runner:
        """Device and random streams."""
        ...

    @property
    def by_loss(self) -> bool:
        """Whether the loss alone decides what is kept; otherwise accuracy decides, and loss between equals."""
        ...

    def loss(self, architecture: Architecture, weights: Tensor, step: int, count: int) -> Tensor:
        """Loss of a network on `count` inputs; the same step draws the same inputs."""
        ...

    def score(self, architecture: Architecture, weights: Tensor, split: str) -> tuple[float, float]:
        """Accuracy (a fraction) and loss on the inputs that choose ("val") or that are scored ("test")."""
        ...


@dataclass(frozen=True)
class Score:
    """Scores of a network on a split.

    Attributes:
        arch: the architecture it is recognised as.
        accuracy: a fraction, of the architecture aimed at, or R²; loss: what is minimised, on that split.
        measure: what documents call the former: "accuracy" or "r2".
    """

    arch: str
    accuracy: float
    loss: float
    measure: str = "accuracy"

    def brief(self) -> dict[str, Any]:
        """For documents."""
        return {"arch": self.arch, self.measure: self.accuracy, "loss": self.loss}


@dataclass(frozen=True)
class SearchResult:
    """Result of a search.

    Attributes:
        variables: (1, D) the best by validation, on the device of the work; step: after how many steps.
        weights: (P,) the network that they give.
        validation: its score on the validation split.
        initial, optimised: on the test split, before and after.
        history: [{step, loss, val_accuracy?, val_loss?}]; of regressors val_r2.
    """

    variables: Tensor
    step: int
    weights: Tensor
    validation: Score
    initial: Score
    optimised: Score
    history: list[dict[str, Any]] = field(default_factory=list)


class Tracker:
    """Records a search and keeps its best network so far.

    Best means: recognised as the wanted architecture, then highest validation accuracy, then lowest loss. The start is
    the first.

    Args:
        parametrisation, objective: of the search.
        steps: of it.
        validate_every: steps between two looks at the validation split, a tenth of all by default; the last
            step is looked at too.
    """

    def __init__(
        self, parametrisation: Parametrisation, objective: Objective, steps: int, validate_every: int | None = None
    ) -> None:
        self._parametrisation, self._objective, self._steps = parametrisation, objective, steps
        self._every = validate_every or max(1, steps // 10)
        self._history: list[dict[str, Any]] = []
        self._step, self._variables = 0, parametrisation.start.clone()
        self._score = self._scored(parametrisation.start, "val")

    def after(self, step: int, variables: Tensor, loss: float) -> None:
        """Record the variables after this many steps, and the last step's loss."""
        line: dict[str, Any] = {"step": step, "loss": loss}
        if step % self._every == 0 or step == self._steps:
            score = self._scored(variables, "val")
            if self._rank(score) > self._rank(self._score):
                self._step, self._variables, self._score = step, variables.clone(), score
            line |= {f"val_{score.measure}": score.accuracy, "val_loss": score.loss}
        self._history.append(line)

    def found(self) -> SearchResult:
        """The best network, scored."""
        with torch.no_grad():
            weights = self._parametrisation.build(self._variables)
        initial, optimised = (self._scored(v, "test") for v in (self._parametrisation.start, self._variables))
        return SearchResult(self._variables, self._step, weights, self._score, initial, optimised, self._history)

    def _rank(self, score: Score) -> tuple[bool, float, float]:
        accuracy = 0.0 if self._objective.by_loss else score.accuracy
        return score.arch == self._parametrisation.architecture.name, accuracy, -score.loss

    def _scored(self, variables: Tensor, split: str) -> Score:
        parametrisation = self._parametrisation
        with torch.no_grad():
            found, loss = self._objective.score(parametrisation.architecture, parametrisation.build(variables), split)
            if parametrisation.penalty is not None:
                loss += parametrisation.penalty(variables).item()
            arch = (
                parametrisation.recognised(variables)
                if parametrisation.recognised
                else parametrisation.architecture.name
            )
        return Score(arch, found, loss, key_of(parametrisation.architecture.io))


def search(
    parametrisation: Parametrisation,
    objective: Objective,
    *,
    steps: int,
    lr: float,
    images: int,
    validate_every: int | None = None,
    description: str = "searching",
) -> SearchResult:
    """Minimise the objective by Adam, with a rate that falls to a twentieth by a cosine.

    Args:
        images: images, or points, a step.
        validate_every: as in `Tracker`.
    Raises:
        RunFailed: the loss is not finite.
    """
    tracker = Tracker(parametrisation, objective, steps, validate_every)

    def loss_at(current: Tensor, step: int) -> Tensor:
        with objective.runner.autocast():
            loss = objective.loss(parametrisation.architecture, parametrisation.build(current), step, images)
            loss = loss if parametrisation.penalty is None else loss + parametrisation.penalty(current)
        objective.runner.count(1, "steps")
        return loss

    objective.runner.check_gradients()
    schedule = AdamSchedule(steps, images, lr, lr / 20)
    with objective.runner.guard("in a step of the search", f"Lower {setting('images')}."):
        minimise(
            parametrisation.start, loss_at, schedule, objective.runner, description=description, after=tracker.after
        )
    return tracker.found()
