"""Objectives for labelled inputs: distance to a teacher, to labels, or to both."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from netspace_models.architectures import Architecture
from netspace_models.training.losses import answer_matching, ensemble_outputs, task_and_teacher
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import at_once, labels_of, logits_of
from netspace_cli.core.runtime.runner import Runner


@dataclass(frozen=True)
class ImageObjective:
    """Distance to a teacher (eq. 1, 3), to the labels (eq. 4), or to both (eq. 5).

    Attributes:
        data: on the runner's device.
        teacher: on the runner's device; None for the labels alone.
        temperature, alpha: of the losses; alpha 1 leaves the labels out where there is a teacher.
        index: (N,) the training images to use; None for all.
        beside: networks that teach with it, on the runner's device: the mean of their probabilities is imitated.
        augment: shift and mirror the images differently each time. Without, the teacher is run once for each.
    """

    data: LabelledData
    runner: Runner
    teacher: Network | None = None
    temperature: float = 4.0
    alpha: float = 0.9
    index: Tensor | None = None
    augment: bool = True
    by_loss: bool = False
    answers: dict[str, Tensor] = field(default_factory=dict)
    beside: tuple[Network, ...] = ()

    def loss(self, architecture: Architecture, weights: Tensor, step: int, count: int) -> Tensor:
        """Loss on a step's augmented training images; the same step draws the same images."""
        generator = self.runner.generator("lso", step)
        total = len(self.data.splits["train"]) if self.index is None else len(self.index)
        drawn = torch.randint(total, (count,), generator=generator)
        chosen = drawn if self.index is None else self.index[drawn]
        if self.augment:
            pictures, labels = self.data.augmented("train", chosen, generator=generator)
        else:
            pictures, labels = self.data.batch("train", chosen)
        wanted = self._teacher_on_batch(pictures, drawn)
        return self._distance(architecture.run(weights, pictures), wanted, labels)

    def score(self, architecture: Architecture, weights: Tensor, split: str) -> tuple[float, float]:
        """Accuracy (a fraction; R² of a regressor) and loss of a network on a whole split, without augmentation."""
        with torch.no_grad():
            logits = logits_of(architecture, weights, self.data, split, self.runner)
            labels = labels_of(self.data, split)
            wanted = None if self.teacher is None else self._teacher_on(self.teacher, split)
            return self.data.io.problem.scored(logits, labels), self._distance(logits, wanted, labels).item()

    def _distance(self, predicted: Tensor, wanted: Tensor | None, labels: Tensor) -> Tensor:
        problem = self.data.io.problem
        if wanted is not None and self.alpha == 1:
            return answer_matching(predicted, wanted, problem, temperature=self.temperature)
        return task_and_teacher(
            predicted, wanted, labels, temperature=self.temperature, alpha=self.alpha, problem=problem
        )

    def _teacher_on_batch(self, pictures: Tensor, drawn: Tensor) -> Tensor | None:
        if self.teacher is None:
            return None
        if not self.augment:
            return self._teacher_on(self.teacher, "train", self.index)[drawn].to(pictures.device)
        with torch.no_grad():
            return self._said(self.teacher, pictures)

    def _said(self, teacher: Network, pictures: Tensor) -> Tensor:
        """The logits of the teacher, or of all together."""
        if not self.beside:
            return teacher.architecture.run(teacher.weights, pictures)
        said = (each.architecture.run(each.weights, pictures) for each in (teacher, *self.beside))
        return ensemble_outputs(said, self.data.io.problem)

    def _teacher_on(self, teacher: Network, split: str, index: Tensor | None = None) -> Tensor:
        """The teacher's logits on a split or part of it; computed once, since they do not change."""
        if split not in self.answers:
            total = len(self.data.splits[split]) if index is None else len(index)

            def part(at: slice) -> Tensor:
                return self._said(teacher, self.data.batch(split, at if index is None else index[at])[0])

            batch = at_once((each.architecture for each in (teacher, *self.beside)), self.runner)
            self.answers[split] = self.runner.in_batches(part, total, batch=batch, what="images")
        return self.answers[split]
