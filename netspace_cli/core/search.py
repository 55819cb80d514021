"""A search for a network that does its task better: where it may go, what it minimises, what it keeps.

Latent space optimisation is one such search (lso.py); its plain alternatives are others (baselines.py).
Validation chooses what is kept; the test split is scored before and after only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from netspace_models.architectures import Architecture
from netspace_models.losses import distillation, task_and_teacher
from torch import Tensor

from .data import ImageData
from .networks import Network
from .optimise import Descent, descend
from .progress import Progress, Silent
from .runner import Runner
from .scoring import BATCH, accuracy, labels_of, logits_of


@dataclass(frozen=True)
class Reach:
    """Where a search may go: variables, and the network of one architecture that they stand for.

    Attributes:
        architecture: of every network in reach.
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


class Aim(Protocol):
    """What a search minimises, on the device of its runner.

    Attributes:
        runner: device and random streams.
        by_loss: whether the loss alone chooses what is kept; else the accuracy does, and the loss between equals.
    """

    @property
    def runner(self) -> Runner: ...

    @property
    def by_loss(self) -> bool: ...

    def loss(self, architecture: Architecture, vector: Tensor, step: int, count: int) -> Tensor:
        """Of a network on so many of the inputs; the same step draws the same."""
        ...

    def on(self, architecture: Architecture, vector: Tensor, split: str) -> tuple[float, float]:
        """Accuracy (a fraction) and loss of a network on what chooses ("val") or on what is scored ("test")."""
        ...


@dataclass(frozen=True)
class Goal:
    """What is minimised: the distance to a teacher (eq. 1, 3), to the labels (eq. 4), or both (eq. 5).

    Attributes:
        data: on the runner's device.
        teacher: on the runner's device; None for the labels alone.
        temperature, alpha: of the losses; alpha 1 leaves the labels out where there is a teacher.
        index: (N,) the training images to use; None for all.
        augment: shift and mirror the images anew each time. Without, the teacher is asked once for each.
    """

    data: ImageData
    runner: Runner
    teacher: Network | None = None
    temperature: float = 4.0
    alpha: float = 0.9
    index: Tensor | None = None
    augment: bool = True
    by_loss: bool = False
    answers: dict[str, Tensor] = field(default_factory=dict)

    def loss(self, architecture: Architecture, vector: Tensor, step: int, count: int) -> Tensor:
        """Of a network on a step's augmented training images; the same step draws the same images."""
        generator = self.runner.generator("lso", step)
        total = len(self.data.splits["train"]) if self.index is None else len(self.index)
        drawn = torch.randint(total, (count,), generator=generator)
        chosen = drawn if self.index is None else self.index[drawn]
        if self.augment:
            pictures, labels = self.data.augmented("train", chosen, generator=generator)
        else:
            pictures, labels = self.data.batch("train", chosen)
        wanted = self._teacher_on_batch(pictures, drawn)
        return self._distance(architecture.run(vector, pictures), wanted, labels)

    def on(self, architecture: Architecture, vector: Tensor, split: str) -> tuple[float, float]:
        """Accuracy (a fraction) and loss of a network on a whole split, without augmentation."""
        with torch.no_grad():
            logits = logits_of(architecture, vector, self.data, split, self.runner)
            labels = labels_of(self.data, split)
            wanted = None if self.teacher is None else self._teacher_on(self.teacher, split)
            return accuracy(logits, labels), self._distance(logits, wanted, labels).item()

    def _distance(self, predicted: Tensor, wanted: Tensor | None, labels: Tensor) -> Tensor:
        if wanted is not None and self.alpha == 1:
            return distillation(predicted, wanted, temperature=self.temperature)
        return task_and_teacher(predicted, wanted, labels, temperature=self.temperature, alpha=self.alpha)

    def _teacher_on_batch(self, pictures: Tensor, drawn: Tensor) -> Tensor | None:
        if self.teacher is None:
            return None
        if not self.augment:
            return self._teacher_on(self.teacher, "train", self.index)[drawn].to(pictures.device)
        with torch.no_grad():
            return self.teacher.architecture.run(self.teacher.vector, pictures)

    def _teacher_on(self, teacher: Network, split: str, index: Tensor | None = None) -> Tensor:
        """The teacher's logits on a split, or on some of it; it does not change, so it is asked once."""
        if split not in self.answers:
            run, vector = teacher.architecture.run, teacher.vector
            total = len(self.data.splits[split]) if index is None else len(index)

            def part(at: slice) -> Tensor:
                return run(vector, self.data.batch(split, at if index is None else index[at])[0])

            self.answers[split] = self.runner.in_batches(part, total, batch=BATCH, what="images")
        return self.answers[split]


@dataclass(frozen=True)
class Standing:
    """How a network does on a split.

    Attributes:
        arch: the architecture it is recognised as.
        accuracy: a fraction, of the architecture aimed at; loss: what is minimised, on that split.
    """

    arch: str
    accuracy: float
    loss: float


@dataclass(frozen=True)
class Found:
    """The outcome of a search.

    Attributes:
        variables: (1, D) the best by validation, on the device of the work; step: after how many steps.
        vector: (P,) the network they stand for.
        validation: its standing on the validation split.
        initial, optimized: on the test split, before and after.
        history: [{step, loss, val_accuracy?, val_loss?}].
    """

    variables: Tensor
    step: int
    vector: Tensor
    validation: Standing
    initial: Standing
    optimized: Standing
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class _Best:
    """The best so far: recognised as what is wanted, then highest validation accuracy, then lowest loss."""

    arch: str
    variables: Tensor
    standing: Standing
    by_loss: bool
    step: int = 0

    def offer(self, step: int, variables: Tensor, standing: Standing) -> None:
        if self._rank(standing) > self._rank(self.standing):
            self.variables, self.standing, self.step = variables.clone(), standing, step

    def _rank(self, standing: Standing) -> tuple[bool, float, float]:
        return standing.arch == self.arch, 0.0 if self.by_loss else standing.accuracy, -standing.loss


def search(
    reach: Reach,
    goal: Aim,
    *,
    steps: int,
    lr: float,
    images: int,
    validate_every: int | None = None,
    progress: Progress | None = None,
    description: str = "searching",
) -> Found:
    """Follow the goal's gradient within reach: Adam, the rate falling to a twentieth as a cosine.

    Args:
        images: images, or points, a step.
        validate_every: steps between two looks at the validation split, a tenth of all by default; the start
            is looked at too.
    Raises:
        RunFailed: the loss is not finite.
    """
    every = validate_every or max(1, steps // 10)
    best = _Best(reach.architecture.name, reach.start.clone(), _standing(reach, goal, reach.start, "val"), goal.by_loss)
    history: list[dict[str, Any]] = []

    def loss_at(current: Tensor, step: int) -> Tensor:
        with goal.runner.autocast():
            loss = goal.loss(reach.architecture, reach.build(current), step, images)
            loss = loss if reach.penalty is None else loss + reach.penalty(current)
        goal.runner.count(1, "steps")
        return loss

    def after(step: int, current: Tensor, loss: float) -> None:
        line: dict[str, Any] = {"step": step, "loss": loss}
        if step % every == 0 or step == steps:
            standing = _standing(reach, goal, current, "val")
            best.offer(step, current, standing)
            line |= {"val_accuracy": standing.accuracy, "val_loss": standing.loss}
        history.append(line)

    goal.runner.check_gradients()
    descent = Descent(steps, images, lr, lr / 20)
    with goal.runner.guard("in a step of the search", "Lower --images."):
        descend(reach.start, loss_at, descent, progress or Silent(), description=description, after=after)
    with torch.no_grad():
        vector = reach.build(best.variables)
    initial, optimized = (_standing(reach, goal, v, "test") for v in (reach.start, best.variables))
    return Found(best.variables, best.step, vector, best.standing, initial, optimized, history)


def _standing(reach: Reach, goal: Aim, variables: Tensor, split: str) -> Standing:
    with torch.no_grad():
        found, loss = goal.on(reach.architecture, reach.build(variables), split)
        if reach.penalty is not None:
            loss += reach.penalty(variables).item()
        arch = reach.recognised(variables) if reach.recognised else reach.architecture.name
    return Standing(arch, found, loss)
