"""Distilling an ensemble into one network: as many steps for each start, or steps or a time shared out among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil, inf, isfinite, isnan
from time import perf_counter

import torch
from netspace_models.errors import RunFailed
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.runtime.minimise import AdamSchedule
from netspace_cli.core.runtime.progress import Tick
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.stop import StopRequest

from .lessons import Lessons
from .optimisers import Optimiser
from .students import Student

# Steps over which a student's weights are averaged, at most.
WINDOW = 100


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
    _optimiser: Optimiser = field(init=False, repr=False)
    _mean: list[Tensor] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._optimiser = self.student.optimiser()
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
        """Take steps until this share of the way lies behind; at least one. The rate falls as a cosine."""
        runner, lr = self.lessons.runner, self.student.lr
        schedule = AdamSchedule(1, self.lessons.plan.images, lr, 0.0)
        begun, before, first = perf_counter(), self.spent, self.taken
        while not self.failure and not self.asked_to_stop and (self.taken == first or self.share < until):
            with runner.guard("in a step of distilling", f"Lower {setting('images')}."):
                loss = self.lessons.loss(self.student, self.taken)
                self._optimiser.step(loss, schedule.rate(self.share))
            self.taken += 1
            self._average()
            self.spent = before + perf_counter() - begun
            runner.count(1, "steps")
            value = loss.item()
            tick(1, loss=value)
            if not isfinite(value):
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
    then the better half goes on, until one is left, which then has as much as all rounds before. After a request to
    stop none goes on, and those that were left are marked as stopped, too.

    Args:
        loss: of a student as it is, lower is better; its own time is not counted.
        steps: of all of them together; None where time counts.
        seconds: for all of them together.
    """
    rounds, most = rounds_of(len(students)), most_of(len(students))
    share, left = 0.0, list(students)
    for each in students:
        each.steps = None if steps is None else most_steps(len(students), steps)
        each.seconds = seconds * most
    with runner.progress("distilling", steps) as tick:
        for count, part in rounds:
            if count < len(left):
                _look_at(left, loss)
                left.sort(key=lambda each: each.loss)
                for each in left[count:]:
                    each.stopped = True
                left = left[:count]
            share += part / count / most
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


def rounds_of(count: int) -> list[tuple[int, float]]:
    """How many are left in each round, and its part of the whole: a half for the last, the rest in equal parts."""
    *before, last = halvings(count)
    return [*((left, 0.5 / len(before)) for left in before), (last, 0.5 if before else 1.0)]


def most_of(count: int) -> float:
    """The part of the whole that the one of `count` students has that is left at the end."""
    return sum(part / left for left, part in rounds_of(count))


def most_steps(count: int, steps: int) -> int:
    """Steps of the one of `count` students that is left at the end, where they share these."""
    return max(1, round(steps * most_of(count)))


def _check_any(students: Sequence[Distilling]) -> None:
    """Refuse to go on where every way has failed."""
    if all(each.failure for each in students):
        raise RunFailed(f"{students[0].name}: {students[0].failure}.", f"Lower {setting('lr')}.")
