"""Distilling an ensemble into one network: as many steps for each start, or steps or a time shared out among them.

The ensemble is asked once about each training image that is needed, without augmentation; what it says is kept, so that
its size does not count afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil, inf, isnan
from time import perf_counter
from typing import Any

import torch
from netspace_models.errors import RunFailed
from netspace_models.training.losses import answer_matching, ensemble_outputs, task_and_teacher
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import BATCH
from netspace_cli.core.runtime.minimise import AdamSchedule
from netspace_cli.core.runtime.progress import Tick
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.stop import StopRequest

from .plan import MergePlan
from .students import Student

# Steps over which a student's weights are averaged, at most.
WINDOW = 100


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
        """Compute a student's loss at a step; the same step has the same images for every student."""
        generator = self.runner.generator("merge", "step", step)
        drawn = torch.randint(len(self.index), (self.plan.images,), generator=generator)
        images, labels = self.data.batch("train", self.index[drawn])
        wanted = self.answers[drawn.to(self.answers.device)]
        alpha = self.plan.alpha
        how: dict[str, Any] = {"temperature": self.plan.temperature, "problem": self.data.io.problem}
        with self.runner.autocast():
            said = student.logits(images)
            if not self.data.labelled or alpha == 1:
                return answer_matching(said, wanted, **how)
            return task_and_teacher(said, wanted, labels, alpha=alpha, **how)


def lessons_of(
    teachers: Sequence[Network],
    data: LabelledData,
    plan: MergePlan,
    runner: Runner,
    *,
    most: int | None = None,
    weights: Sequence[float] | None = None,
) -> Lessons:
    """Ask the teachers about training images, one at a time.

    Args:
        data: on the runner's device.
        most: at most this number of images, drawn at random; None for all.
        weights: of the teachers; None for equal ones.
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

        answers = ensemble_outputs((asked(teacher) for teacher in teachers), data.io.problem, weights)
    return Lessons(data, index, runner.place(answers), plan, runner)


@dataclass(eq=False)
class Distilling:
    """One student on its way. What it comes to is a mean over the last of its steps, a tenth of all so far and at most
    `WINDOW`: as good as if its rate had fallen already, so that ways and rates can be compared before their end.

    Attributes:
        name: of the way.
        student: who is taught; lessons: what it is taught.
        steps: steps that it takes in all; None where `seconds` limit it.
        seconds: seconds that it takes in all.
        taken: steps that it has taken; spent: the seconds that they took.
        rounds: of successive halving that it has gone; loss: on validation images, when it was last looked at.
        stopped: whether it was stopped before its end; failure: why it cannot go on.
        stop: asks all to stop after the step under way; None for nobody who could.
    """

    name: str
    student: Student
    lessons: Lessons
    steps: int | None = None
    seconds: float = 0.0
    taken: int = 0
    spent: float = 0.0
    rounds: int = 0
    loss: float = inf
    stopped: bool = False
    failure: str = ""
    stop: StopRequest | None = None
    _optimizer: torch.optim.Optimizer = field(init=False, repr=False)
    _mean: list[Tensor] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._optimizer = torch.optim.AdamW(self.student.parameters(), lr=self.student.lr, weight_decay=0.0)
        self._mean = [value.clone() for value in self.student.values()]

    @property
    def share(self) -> float:
        """How much of its way lies behind it, from 0 to 1."""
        done = self.taken / self.steps if self.steps is not None else self.spent / self.seconds
        return min(1.0, done)

    @property
    def asked_to_stop(self) -> bool:
        """Whether a signal asks all to stop."""
        return self.stop is not None and self.stop.requested

    def weights(self) -> Tensor:
        """(P,) of the mean over its last steps, on the processor."""
        values = self.student.values()
        now = [value.clone() for value in values]
        for value, mean in zip(values, self._mean, strict=True):
            value.copy_(mean)
        found = self.student.weights()
        for value, own in zip(values, now, strict=True):
            value.copy_(own)
        return found

    def go_on(self, until: float, tick: Tick) -> None:
        """Take steps until this share of the way lies behind; at least one. Adam, the rate falling as a cosine."""
        runner, lr = self.lessons.runner, self.student.lr
        schedule = AdamSchedule(1, self.lessons.plan.images, lr, 0.0)
        begun, before, first = perf_counter(), self.spent, self.taken
        while not self.failure and not self.asked_to_stop and (self.taken == first or self.share < until):
            self._optimizer.param_groups[0]["lr"] = schedule.rate(self.share)
            with runner.guard("in a step of distilling", f"Lower {setting('images')}."):
                loss = self.lessons.loss(self.student, self.taken)
                self._optimizer.zero_grad()
                loss.backward()
                self._optimizer.step()
            self.taken += 1
            self._average()
            self.spent = before + perf_counter() - begun
            runner.count(1, "steps")
            tick(1, loss=loss.item())
            if not torch.isfinite(loss):
                self.failure = f"the loss is not finite at step {self.taken}"

    def _average(self) -> None:
        share = 1 / min(WINDOW, 1 + self.taken // 10)
        with torch.no_grad():
            for mean, value in zip(self._mean, self.student.values(), strict=True):
                mean.lerp_(value, share)


def distil_by_steps(students: Sequence[Distilling], runner: Runner) -> None:
    """As many steps for each. After a request to stop, those that have not all of theirs are marked as stopped."""
    with runner.progress("distilling", sum(each.steps or 0 for each in students)) as tick:
        for each in students:
            each.go_on(1.0, tick)
    for each in students:
        each.stopped = each.asked_to_stop and each.share < 1
    _check_any(students)


def distil_by_halving(
    students: Sequence[Distilling],
    loss: Callable[[Distilling], float],
    runner: Runner,
    *,
    steps: int | None = None,
    seconds: float = 0.0,
) -> None:
    """Share steps or seconds out by successive halving (Jamieson and Talwalkar, 2016): all go a first share of the way,
    then the better half goes on, until one is left. Each round has as much. After a request to stop none goes on, and
    those that were left are marked as stopped, too.

    Args:
        loss: of a student as it is, lower is better; its own time is not counted.
        steps: of all of them together; None where time counts.
        seconds: for all of them together.
    """
    rounds = halvings(len(students))
    whole = sum(1 / count for count in rounds)
    share, left = 0.0, list(students)
    for each in students:
        each.steps = None if steps is None else most_steps(len(students), steps)
        each.seconds = seconds / len(rounds) * whole
    with runner.progress("distilling", steps) as tick:
        for count in rounds:
            if count < len(left):
                _look_at(left, loss)
                left.sort(key=lambda each: each.loss)
                for each in left[count:]:
                    each.stopped = True
                left = left[:count]
            share += 1 / count / whole
            for each in left:
                each.go_on(share, tick)
                each.rounds += not each.asked_to_stop
            if students[0].asked_to_stop:
                _look_at([each for each in left if each.taken], loss)
                break
    for each in left:
        each.stopped = each.asked_to_stop and each.share < 1
    _check_any(students)


def _look_at(students: Sequence[Distilling], loss: Callable[[Distilling], float]) -> None:
    for each in students:
        found = inf if each.failure else loss(each)
        each.loss = inf if isnan(found) else found


def halvings(count: int) -> list[int]:
    """How many are left in each round: 5 to [5, 3, 2, 1]."""
    rounds = [count]
    while rounds[-1] > 1:
        rounds.append(ceil(rounds[-1] / 2))
    return rounds


def most_steps(count: int, steps: int) -> int:
    """Steps of the one of `count` students that is left at the end, where they share these."""
    rounds = halvings(count)
    return max(1, round(steps / len(rounds) * sum(1 / left for left in rounds)))


def _check_any(students: Sequence[Distilling]) -> None:
    """Refuse to go on where every way has failed."""
    if all(each.failure for each in students):
        raise RunFailed(f"{students[0].name}: {students[0].failure}.", f"Lower {setting('lr')}.")
