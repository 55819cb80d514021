"""Latent space optimisation: the decoder frozen, the embedding alone moves (section 7).

As published the best embedding by validation is kept. Unlike the publication, a step takes a random batch
and not the next of a whole pass, the steps are few, and the rate falls as a cosine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from netspace_models.architectures.architecture import Form
from netspace_models.errors import ConfigError
from netspace_models.objectives import class_loss
from torch import Tensor

from .data import ImageData
from .decode import decode_row, recognised_in
from .networks import Network, check_teacher
from .progress import Progress
from .runner import Runner
from .search import Aim, Goal, Reach, Standing, search
from .space import Space


@dataclass(frozen=True)
class Optimised:
    """The outcome.

    Attributes:
        embedding: (E,) the best by validation, on the processor.
        arch: the architecture aimed at.
        step: after how many steps that was.
        initial, optimized: on the test split, before and after.
        history: [{step, loss, val_accuracy?, val_loss?}].
    """

    embedding: Tensor
    arch: str
    step: int
    initial: Standing
    optimized: Standing
    history: list[dict[str, Any]] = field(default_factory=list)


def optimise(
    embedding: Tensor,
    space: Space,
    data: ImageData,
    runner: Runner,
    *,
    arch: str | None = None,
    teacher: Network | None = None,
    steps: int = 200,
    lr: float = 0.01,
    images: int = 128,
    validate_every: int | None = None,
    progress: Progress | None = None,
) -> Optimised:
    """Search the space from an embedding for an instance that does its task better.

    Args:
        embedding: (E,) where to begin.
        arch: the architecture wanted; by default the one the embedding is recognised as. An embedding that
            is recognised as it is better than any that is not.
        teacher: imitate its logits; None for the labels alone.
        steps, lr, images: of Adam; the rate falls to a twentieth as a cosine.
        validate_every: steps between two looks at the validation split, a tenth of all by default. The
            best of them is kept (the start among them); the test split is scored before and after only.
    Raises:
        ConfigError: fewer than one step, or a teacher for other images or classes.
        WrongSpace: the space does not have `arch`.
        RunFailed: the loss is not finite.
    """
    goal = goal_of(space.to(runner.device), data, runner, teacher)
    how: dict[str, Any] = {"steps": steps, "lr": lr, "images": images, "validate_every": validate_every}
    return optimise_towards(goal, embedding, space, arch=arch, progress=progress, **how)


def optimise_towards(
    goal: Aim,
    embedding: Tensor,
    space: Space,
    *,
    arch: str | None = None,
    steps: int = 200,
    lr: float = 0.01,
    images: int = 128,
    validate_every: int | None = None,
    progress: Progress | None = None,
) -> Optimised:
    """`optimise` for any aim, on its runner; where networks are shapes, accuracies are shares of values, or of a
    scan's points, that are within 0.01.

    Args:
        images: images, or points, a step.
    Raises:
        ConfigError: fewer than one step.
        WrongSpace: the space does not have `arch`.
        RunFailed: the loss is not finite.
    """
    if steps < 1:
        raise ConfigError(f"{steps} steps optimise nothing.", "Give at least one: --steps 1.")
    space = space.to(goal.runner.device)
    reach = reach_of(space, goal.runner.place(embedding)[None], arch)
    found = search(
        reach,
        goal,
        steps=steps,
        lr=lr,
        images=images,
        validate_every=validate_every,
        progress=progress,
        description=f"optimising a {reach.architecture.name}",
    )
    best, name = found.variables[0].cpu(), reach.architecture.name
    return Optimised(best, name, found.step, found.initial, found.optimized, found.history)


def reach_of(space: Space, start: Tensor, arch: str | None = None) -> Reach:
    """All that a space's frozen decoder makes of an architecture.

    Args:
        space, start: (1, E) where to begin; on the device of the work.
        arch: by default the one the start is recognised as.
    Raises:
        WrongSpace: the space does not have `arch`.
    """
    model = space.model
    name = arch or recognised_in(start[0], space).name
    architecture = model.architecture(name)
    several = len(model.architectures) > 1
    return Reach(
        architecture,
        start,
        lambda z: model.decode(name, z)[0],
        (lambda z: class_loss(model, z, model.class_id(name))) if several else None,
        lambda z: recognised_in(z[0], space).name,
    )


def goal_of(
    space: Space, data: ImageData, runner: Runner, teacher: Network | None, index: Tensor | None = None
) -> Goal:
    """What the space was trained for: eq. 1 for one architecture with a teacher, eq. 5 else.

    Args:
        index: (N,) the training images to use; None for all.
    Raises:
        ConfigError: a teacher for other images or classes.
    """
    if teacher is not None:
        check_teacher(teacher, space.signal)
        teacher = Network(teacher.architecture, runner.place(teacher.vector))
    train = space.recipe.train
    alpha = 1.0 if len(space.architectures) == 1 and teacher is not None else train.alpha
    return Goal(runner.place(data), runner, teacher, train.temperature, alpha, index)


def decoded_network(found: Optimised, space: Space, runner: Runner, *, form: Form = "full") -> Network:
    """The instance an optimised embedding decodes to, on the processor."""
    network = decode_row(runner.place(found.embedding), space.to(runner.device), arch=found.arch)
    return Network(network.architecture, network.vector.cpu(), form)
