"""What students are taught: training images, also shifted and mirrored, and what the ensemble says of them.

The ensemble is asked once about each batch, and what it says is kept, so that its size does not count afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from netspace_models.training.losses import answer_matching, ensemble_outputs, task_and_teacher
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.data.images import images_or_none
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import at_once
from netspace_cli.core.runtime.runner import Runner, drawing_by

from .answers import FORGETFUL, Answers
from .plan import MergePlan
from .students import Student

# Times that the ensemble is asked about each training image at most, each time shifted and mirrored in another way: a
# student that has met the same images many times knows them better than others.
VIEWS = 20


@dataclass(frozen=True)
class Lessons:
    """Batches of training images and what the ensemble says of them.

    Attributes:
        data: on the runner's device.
        index: (M, B) the training images of M batches: all, and then all again in another order.
        answers: (M, B, K) the ensemble's logits on them, on the runner's device.
        plan: images a step, B, and the loss.
        runner: its seed draws order, shifts and mirroring.
    """

    data: LabelledData
    index: Tensor
    answers: Tensor
    plan: MergePlan
    runner: Runner

    def loss(self, student: Student, step: int) -> Tensor:
        """Compute a student's loss at a step; the same step has the same batch for every student."""
        times, place = divmod(step, len(self.index))
        order = torch.randperm(len(self.index), generator=self.runner.generator("merge", "order", times))
        number = int(order[place])
        images, labels = batch_of(self.data, self.index, number, self.runner)
        alpha, wanted = self.plan.alpha, self.answers[number]
        how: dict[str, Any] = {"temperature": self.plan.temperature, "problem": self.data.io.problem}
        with drawing_by(self.runner.generator("merge", "step", step)), self.runner.autocast():
            said = student.logits(images)
            if not self.data.labelled or alpha == 1:
                return answer_matching(said, wanted, **how)
            return task_and_teacher(said, wanted, labels, alpha=alpha, **how)


def batch_of(data: LabelledData, index: Tensor, number: int, runner: Runner) -> tuple[Tensor, Tensor]:
    """Inputs (B, …) and labels of one of the batches `index` (M, B): as they are in the first round of the training
    images, later augmented, each batch in one way whenever it is asked for."""
    if (number + 1) * index.shape[1] <= len(data.splits["train"]):
        return data.batch("train", index[number])
    return data.augmented("train", index[number], generator=runner.generator("merge", "view", number))


def lessons_of(
    teachers: Sequence[Network],
    data: LabelledData,
    plan: MergePlan,
    runner: Runner,
    *,
    most: int | None = None,
    weights: Sequence[float] | None = None,
    known: Answers = FORGETFUL,
) -> Lessons:
    """Ask the teachers about training images.

    Args:
        data: on the runner's device.
        most: about this number of images at most, repeats included; None for as many as are worth it.
        weights: of the teachers; None for equal ones.
        known: answers from merges before.
    """
    size, count = len(data.splits["train"]), plan.images
    worth = size * views_of(data)
    batches = max(1, min(worth, worth if most is None else most) // count)
    rounds = -(-batches * count // size)
    orders = [torch.randperm(size, generator=runner.generator("merge", "images", each)) for each in range(rounds)]
    index = torch.cat(orders)[: batches * count].view(batches, count)
    placed = [runner.place(teacher.weights) for teacher in teachers]
    with runner.progress("asking teachers", batches * count) as tick:

        def part(at: slice) -> Tensor:
            @cache
            def images() -> Tensor:
                # Shifting and mirroring takes as long as a small network's answer: once for all teachers.
                return torch.cat([batch_of(data, index, number, runner)[0] for number in range(at.start, at.stop)])

            def ask(teacher: Network, own: Tensor) -> Tensor:
                return teacher.architecture.run(own, images())

            inputs = ("train", count, at.start, at.stop)
            pairs = zip(teachers, placed, strict=True)
            said = (runner.place(known.of(teacher, inputs, partial(ask, teacher, own))) for teacher, own in pairs)
            together = ensemble_outputs(said, data.io.problem, weights)
            tick(len(together))
            return together.unflatten(0, (-1, count))

        most_at_once = at_once((each.architecture for each in teachers), runner)
        answers = runner.in_batches(part, batches, batch=max(1, most_at_once // count), what="batches")
    return Lessons(data, index, runner.place(answers), plan, runner)


def views_of(data: LabelledData) -> int:
    """How often an image is worth asking about: `VIEWS` times where it looks different each time, else once."""
    images = images_or_none(data)
    return VIEWS if images is not None and (images.padding or images.flip) else 1
