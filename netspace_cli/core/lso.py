"""Latent space optimisation: the decoder frozen, the embedding alone moves (section 7).

As published the best embedding by validation is kept. Unlike the publication, a step takes a random batch
and not the next of a whole pass, the steps are few, and the rate falls as a cosine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from netspace_models.architectures.architecture import Form
from netspace_models.errors import ConfigError
from netspace_models.losses import distillation, task_and_teacher
from torch import Tensor
from torch.nn.functional import cross_entropy as class_loss

from .data import ImageData
from .decode import decode_row, recognised_in
from .networks import Network, check_teacher
from .optimise import Descent, descend
from .progress import Progress, Silent
from .runner import Runner
from .scoring import accuracy, labels_of, logits_of
from .space import Space


@dataclass(frozen=True)
class Standing:
    """How the instance an embedding decodes to does on a split.

    Attributes:
        arch: the architecture the space recognises.
        accuracy: a fraction, of the architecture aimed at; loss: what is minimised, on that split.
    """

    arch: str
    accuracy: float
    loss: float


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


@dataclass
class _Best:
    """The best embedding so far: one that stands for the architecture wanted, then highest validation
    accuracy, then lowest validation loss."""

    arch: str
    embedding: Tensor
    standing: Standing
    step: int = 0

    def offer(self, step: int, embedding: Tensor, standing: Standing) -> None:
        if self._rank(standing) > self._rank(self.standing):
            self.embedding, self.standing, self.step = embedding.clone(), standing, step

    def _rank(self, standing: Standing) -> tuple[bool, float, float]:
        return standing.arch == self.arch, standing.accuracy, -standing.loss


@dataclass(frozen=True)
class _Aim:
    """What is minimised: the teacher (eq. 1, 3), the labels (eq. 4), and the ClassId wanted (eq. 6)."""

    space: Space
    arch: str
    teacher: Network | None
    data: ImageData
    runner: Runner
    answers: dict[str, Tensor] = field(default_factory=dict)

    def loss(self, embedding: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Of one embedding (1, E) on images."""
        model = self.space.model
        architecture = model.architecture(self.arch)
        predicted = architecture.run(model.decode(self.arch, embedding)[0], images)
        wanted = None
        if self.teacher is not None:
            with torch.no_grad():
                wanted = self.teacher.architecture.run(self.teacher.vector, images)
        return self._task(predicted, wanted, labels) + self._class(embedding)

    def standing(self, embedding: Tensor, split: str) -> Standing:
        """Of the instance that one embedding (1, E) decodes to, on a whole split."""
        built = decode_row(embedding[0], self.space, arch=self.arch)
        with torch.no_grad():
            logits = logits_of(built.architecture, built.vector, self.data, split, self.runner)
            labels = labels_of(self.data, split)
            loss = self._task(logits, self._teacher_on(split), labels).item() + self._class(embedding).item()
        return Standing(recognised_in(embedding[0], self.space).name, accuracy(logits, labels), loss)

    def _task(self, predicted: Tensor, wanted: Tensor | None, labels: Tensor) -> Tensor:
        train = self.space.recipe.train
        if len(self.space.architectures) == 1 and wanted is not None:
            return distillation(predicted, wanted, temperature=train.temperature)
        return task_and_teacher(predicted, wanted, labels, temperature=train.temperature, alpha=train.alpha)

    def _class(self, embedding: Tensor) -> Tensor:
        model = self.space.model
        if len(model.architectures) == 1:
            return torch.zeros((), device=embedding.device)
        target = torch.tensor([model.class_id(self.arch)], device=embedding.device)
        return class_loss(model.classify(embedding), target)

    def _teacher_on(self, split: str) -> Tensor | None:
        """The teacher's logits on a whole split; it does not change, so it is asked once."""
        if self.teacher is not None and split not in self.answers:
            network = self.teacher
            self.answers[split] = logits_of(network.architecture, network.vector, self.data, split, self.runner)
        return self.answers.get(split)


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
    if steps < 1:
        raise ConfigError(f"{steps} steps optimise nothing.", "Give at least one: --steps 1.")
    space, data = space.to(runner.device), runner.place(data)
    start = runner.place(embedding)[None]
    if arch is None:
        arch = space.model.recognise(start)[0].name
    space.model.class_id(arch)
    if teacher is not None:
        check_teacher(teacher, space.signal)
        teacher = Network(teacher.architecture, runner.place(teacher.vector))
    aim = _Aim(space, arch, teacher, data, runner)
    every = validate_every or max(1, steps // 10)
    best = _Best(arch, start.clone(), aim.standing(start, "val"))
    history: list[dict[str, Any]] = []
    total = len(data.splits["train"].labels)

    def loss_at(current: Tensor, step: int) -> Tensor:
        generator = runner.generator("lso", step)
        index = torch.randint(total, (images,), generator=generator)
        return aim.loss(current, *data.augmented("train", index, generator=generator))

    def after(step: int, current: Tensor, loss: float) -> None:
        line: dict[str, Any] = {"step": step, "loss": loss}
        if step % every == 0 or step == steps:
            standing = aim.standing(current, "val")
            best.offer(step, current, standing)
            line |= {"val_accuracy": standing.accuracy, "val_loss": standing.loss}
        history.append(line)

    descent = Descent(steps, images, lr, lr / 20)
    descend(start, loss_at, descent, progress or Silent(), description=f"optimising a {arch}", after=after)
    initial, optimized = aim.standing(start, "test"), aim.standing(best.embedding, "test")
    return Optimised(best.embedding[0].cpu(), arch, best.step, initial, optimized, history)


def decoded_network(found: Optimised, space: Space, runner: Runner, *, form: Form = "full") -> Network:
    """The instance an optimised embedding decodes to, on the processor."""
    network = decode_row(runner.place(found.embedding), space.to(runner.device), arch=found.arch)
    return Network(network.architecture, network.vector.cpu(), form)
