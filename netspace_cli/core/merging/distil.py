"""Distilling an ensemble into one network: as many steps for each start, or a time shared out among the starts.

The ensemble is asked once about each training image that is needed, without augmentation; what it says is kept, so that
its size does not count afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from time import perf_counter

import torch
from netspace_models.errors import RunFailed
from netspace_models.training.losses import distillation, ensemble_logits, task_and_teacher
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import BATCH
from netspace_cli.core.runtime.minimise import AdamSchedule
from netspace_cli.core.runtime.progress import Tick
from netspace_cli.core.runtime.runner import Runner

from .plan import MergePlan
from .students import Student


@dataclass(frozen=True)
class Lessons:
    """Training images and what the ensemble says of them.

    Attributes:
        data: on the runner's device.
        index: (N,) the training images that are used.
        answers: (N, K) the ensemble's logits on them, on the runner's device.
        plan: images a step, and the loss.
        runner: its seed draws the images.
    """

    data: LabelledData
    index: Tensor
    answers: Tensor
    plan: MergePlan
    runner: Runner

    def loss(self, student: Student, step: int) -> Tensor:
        """Loss of a student at a step; the same step has the same images for every student."""
        generator = self.runner.generator("merge", "step", step)
        drawn = torch.randint(len(self.index), (self.plan.images,), generator=generator)
        images, labels = self.data.batch("train", self.index[drawn])
        wanted, temperature = self.answers[drawn.to(self.answers.device)], self.plan.temperature
        with self.runner.autocast():
            said = student.logits(images)
            if not self.data.labelled or self.plan.alpha == 1:
                return distillation(said, wanted, temperature=temperature)
            return task_and_teacher(said, wanted, labels, temperature=temperature, alpha=self.plan.alpha)


def lessons_of(
    teachers: Sequence[Network], data: LabelledData, plan: MergePlan, runner: Runner, *, most: int | None = None
) -> Lessons:
    """Ask the teachers about training images, one at a time.

    Args:
        data: on the runner's device.
        most: at most this number of images, drawn at random; None for all.
    """
    order = torch.randperm(len(data.splits["train"]), generator=runner.generator("merge", "images"))
    index = order[:most].sort().values
    with runner.progress("asking teachers", len(teachers)) as tick:

        def asked(teacher: Network) -> Tensor:
            weights = runner.place(teacher.weights)

            def part(at: slice) -> Tensor:
                return teacher.architecture.run(weights, data.batch("train", index[at])[0])

            found = runner.in_batches(part, len(index), batch=BATCH, what="images")
            tick(1)
            return found

        answers = ensemble_logits(asked(teacher) for teacher in teachers)
    return Lessons(data, index, runner.place(answers), plan, runner)


@dataclass
class Distilling:
    """One student on its way.

    Attributes:
        name: of the way.
        student: who is taught; lessons: what it is taught.
        steps: steps that it takes in all; None where `seconds` limit it.
        seconds: seconds that it takes in all.
        taken: steps that it has taken; spent: the seconds that they took.
        stopped: whether it was stopped before its end; failure: why it cannot go on.
    """

    name: str
    student: Student
    lessons: Lessons
    steps: int | None = None
    seconds: float = 0.0
    taken: int = 0
    spent: float = 0.0
    stopped: bool = False
    failure: str = ""
    _optimizer: torch.optim.Optimizer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._optimizer = torch.optim.AdamW(self.student.parameters(), lr=self.student.lr, weight_decay=0.0)

    @property
    def share(self) -> float:
        """How much of its way lies behind it, from 0 to 1."""
        done = self.taken / self.steps if self.steps is not None else self.spent / self.seconds
        return min(1.0, done)

    def go_on(self, until: float, tick: Tick) -> None:
        """Take steps until this share of the way lies behind; at least one. Adam, the rate falling as a cosine."""
        runner, lr = self.lessons.runner, self.student.lr
        schedule = AdamSchedule(1, self.lessons.plan.images, lr, lr / 20)
        begun, before, first = perf_counter(), self.spent, self.taken
        while not self.failure and (self.taken == first or self.share < until):
            self._optimizer.param_groups[0]["lr"] = schedule.rate(self.share)
            with runner.guard("in a step of distilling", f"Lower {setting('images')}."):
                loss = self.lessons.loss(self.student, self.taken)
                self._optimizer.zero_grad()
                loss.backward()
                self._optimizer.step()
            self.taken += 1
            self.spent = before + perf_counter() - begun
            runner.count(1, "steps")
            tick(1, loss=loss.item())
            if not torch.isfinite(loss):
                self.failure = f"the loss is not finite at step {self.taken}"


def distil_by_steps(students: Sequence[Distilling], runner: Runner) -> None:
    """As many steps for each."""
    with runner.progress("distilling", sum(each.steps or 0 for each in students)) as tick:
        for each in students:
            each.go_on(1.0, tick)
    _check_any(students)


def distil_within(
    students: Sequence[Distilling], seconds: float, quality: Callable[[Distilling], float], runner: Runner
) -> None:
    """Share seconds out by successive halving (Jamieson and Talwalkar, 2016): all go a first share of the way, then
    the better half goes on, until one is left. Each round has as much time.

    Args:
        seconds: for all of them together.
        quality: of a student as it is, higher is better; its own time is not counted.
    """
    rounds = halvings(len(students))
    whole = sum(1 / count for count in rounds)
    share, left = 0.0, list(students)
    for each in students:
        each.steps, each.seconds = None, seconds / len(rounds) * whole
    with runner.progress("distilling", None) as tick:
        for count in rounds:
            if count < len(left):
                marks = {id(each): quality(each) for each in left if not each.failure}
                left.sort(key=lambda each: -marks.get(id(each), -1.0))
                for each in left[count:]:
                    each.stopped = True
                left = left[:count]
            share += 1 / count / whole
            for each in left:
                each.go_on(share, tick)
    _check_any(students)


def halvings(count: int) -> list[int]:
    """How many are left in each round: 5 to [5, 3, 2, 1]."""
    rounds = [count]
    while rounds[-1] > 1:
        rounds.append(ceil(rounds[-1] / 2))
    return rounds


def _check_any(students: Sequence[Distilling]) -> None:
    """Refuse to go on where every way has failed."""
    if all(each.failure for each in students):
        raise RunFailed(f"{students[0].name}: {students[0].failure}.", f"Lower {setting('lr')}.")
