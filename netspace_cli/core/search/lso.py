"""Latent space optimisation: only the embedding moves, the decoder is frozen (section 7).

As published the best embedding by validation is kept. Unlike the publication, a step takes a random batch
and not the next of a whole pass, the steps are few, and the rate falls as a cosine; and where networks are
neural fields and the decoder allows, steps are solved for (search_gauss_newton.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from netspace_models.architectures.architecture import Form
from netspace_models.errors import ConfigError
from netspace_models.training.objectives import class_loss
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.encoding.decode import classified_as, decode_row
from netspace_cli.core.networks.network import Network, check_teacher
from netspace_cli.core.runtime.results import Result
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import check_solvable
from netspace_cli.core.spaces.solver import solver_of
from netspace_cli.core.spaces.space import Space

from .image_objective import ImageObjective
from .search import Objective, Parametrisation, Score, search
from .search_gauss_newton import SolvableObjective, search_by_solving


@dataclass(frozen=True)
class Optimised(Result):
    """Result of latent space optimisation.

    Attributes:
        embedding: (E,) the best by validation, on the processor.
        arch: the architecture aimed at.
        lr: Adam's rate; None of a method that has none.
        step: after how many steps that was.
        initial, optimised: on the test split, before and after.
        history: [{step, loss, val_accuracy?, val_loss?}]; of regressors val_r2.
    """

    embedding: Tensor
    arch: str
    lr: float | None
    step: int
    initial: Score
    optimised: Score
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Optimiser:
    """Method and settings of optimisation.

    Attributes:
        method: "adam", the rate falling to a twentieth as a cosine, or "gauss-newton".
        steps: how many; images: images, or points, a step.
        lr: of Adam; None for what the space records for the architecture.
        validate_every: steps between two looks at the validation split, a tenth of all by default.
    """

    method: str
    steps: int
    images: int
    lr: float | None = None
    validate_every: int | None = None

    def __post_init__(self) -> None:
        """Refuse fewer than one step."""
        if self.steps < 1:
            raise ConfigError(f"cannot optimise in {self.steps} steps.", f"Give at least one: {setting('steps', 1)}.")

    def rate(self, space: Space, arch: str) -> float | None:
        """Adam's rate for an architecture of a space; None for a method without a rate."""
        return None if self.method != "adam" else self.lr or space.recipe.lso.rate(arch)


def optimiser_for(
    space: Space,
    *,
    method: str | None = None,
    steps: int | None = None,
    images: int | None = None,
    lr: float | None = None,
    validate_every: int | None = None,
) -> Optimiser:
    """Complete the optimiser of a space's embeddings from its recipe.

    Adam as the space records it, or Gauss-Newton if the space refines by it, with as many steps and points as for
    refining.

    Raises:
        ConfigError: Gauss-Newton for classifiers or for a decoder without directions, or a rate for it.
    """
    refining, usual = space.recipe.refine, space.recipe.lso
    named = {"steps": steps, "images": images, "lr": lr, "validate_every": validate_every}
    given: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    if (method or refining.method) == "adam":
        return Optimiser("adam", **{"steps": usual.steps, "images": usual.images, **given})
    check_solvable(space.recipe, space.kind, setting("method", "gauss-newton"))
    if lr is not None:
        raise ConfigError(
            f"gauss-newton has no learning rate, but {setting('lr', lr)} was given.",
            f"Leave out {setting('lr')}, or give {setting('method', 'adam')}.",
        )
    return Optimiser("gauss-newton", **{"steps": max(1, refining.steps), "images": refining.images, **given})


def optimise(
    embedding: Tensor,
    space: Space,
    data: LabelledData,
    runner: Runner,
    *,
    arch: str | None = None,
    teacher: Network | Sequence[Network] | None = None,
    steps: int | None = None,
    optimiser: Optimiser | None = None,
) -> Optimised:
    """Optimise an embedding in a space, so that its instance does its task better.

    Of all embeddings scored on the validation split, including the start, the best is kept; the test split is scored
    only before and after.

    Args:
        embedding: (E,) where to begin.
        arch: the architecture wanted; by default the one the embedding is recognised as. An embedding that
            is recognised as it is better than any that is not.
        teacher: imitate its logits, or, of several, the mean of their probabilities; None for the labels alone.
        steps: of Adam, which goes by what the space records; the rate falls to a twentieth as a cosine.
        optimiser: where more is to differ than the steps, one of `optimiser_for`.
    Raises:
        ConfigError: fewer than one step, steps beside an optimiser, or a teacher for other images or classes.
        WrongSpace: the space does not have `arch`.
        RunFailed: the loss is not finite.
    """
    if optimiser is None:
        optimiser = optimiser_for(space, method="adam", steps=steps)
    elif steps is not None:
        raise ConfigError(
            f"{setting('steps', steps)} and an optimiser of {optimiser.steps} steps cannot be combined.",
            f"Leave out {setting('steps')}.",
        )
    objective = image_objective(runner.place(space), data, runner, teacher)
    return optimise_towards(objective, embedding, space, optimiser, arch=arch)


def optimise_towards(
    objective: Objective,
    embedding: Tensor,
    space: Space,
    optimiser: Optimiser,
    *,
    arch: str | None = None,
) -> Optimised:
    """Optimise as `optimise` does, for any objective, on its runner.

    For shapes, accuracies are shares of values, or of a scan's points, that are within 0.01.

    Raises:
        WrongSpace: the space does not have `arch`.
        RunFailed: the loss is not finite.
    """
    space = objective.runner.place(space)
    parametrisation = parametrisation_of(space, objective.runner.place(embedding)[None], arch)
    name = parametrisation.architecture.name
    how: dict[str, Any] = {"steps": optimiser.steps, "validate_every": optimiser.validate_every}
    how["description"] = f"optimising a {name}"
    lr = optimiser.rate(space, name)
    if lr is not None:
        found = search(parametrisation, objective, lr=lr, images=optimiser.images, **how)
    else:
        if not isinstance(objective, SolvableObjective):
            raise ConfigError("gauss-newton works only towards shapes and scans.", "Optimise by adam.")
        found = search_by_solving(parametrisation, objective, solver_of(space, name), points=optimiser.images, **how)
    best = found.variables[0].cpu()
    return Optimised(best, name, lr, found.step, found.initial, found.optimised, found.history)


def parametrisation_of(space: Space, start: Tensor, arch: str | None = None) -> Parametrisation:
    """All networks of an architecture that a space's frozen decoder can make.

    Args:
        space, start: (1, E) where to begin; on the device of the work.
        arch: by default the one the start is recognised as.
    Raises:
        WrongSpace: the space does not have `arch`.
    """
    model = space.model
    name = arch or classified_as(start[0], space).name
    architecture = model.architecture(name)
    several = len(model.architectures) > 1
    return Parametrisation(
        architecture,
        start,
        lambda z: model.decode(name, z)[0],
        (lambda z: class_loss(model, z, model.class_id(name))) if several else None,
        lambda z: classified_as(z[0], space).name,
    )


def image_objective(
    space: Space,
    data: LabelledData,
    runner: Runner,
    teacher: Network | Sequence[Network] | None,
    index: Tensor | None = None,
) -> ImageObjective:
    """The objective that the space was trained for: eq. 1 for one architecture with a teacher, else eq. 5.

    Args:
        teacher: one, or several that teach together.
        index: (N,) the training images to use; None for all.
    Raises:
        ConfigError: a teacher for other images or classes.
    """
    teachers = [teacher] if isinstance(teacher, Network) else list(teacher or ())
    for each in teachers:
        check_teacher(each, space.io)
    placed = [Network(each.architecture, runner.place(each.weights)) for each in teachers]
    train = space.recipe.train
    alpha = 1.0 if len(space.architectures) == 1 and teachers else train.alpha
    first, beside = (placed[0], tuple(placed[1:])) if placed else (None, ())
    return ImageObjective(runner.place(data), runner, first, train.temperature, alpha, index, beside=beside)


def decoded_network(found: Optimised, space: Space, runner: Runner, *, form: Form = "full") -> Network:
    """Decode an optimised embedding to an instance on the processor."""
    network = decode_row(runner.place(found.embedding), runner.place(space), arch=found.arch)
    return Network(network.architecture, network.weights.cpu(), form)
