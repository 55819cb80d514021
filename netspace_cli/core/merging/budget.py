"""A time for the whole of a merge: which ways it is enough for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from time import perf_counter

from netspace_models.architectures import Architecture

from netspace_cli.core.networks.network import Network

from .distil import rounds_of
from .judge import LOOKED_AT, Judge
from .lessons import views_of
from .plan import MergePlan
from .starts import timed

# The least share of a budget that distilling gets, whatever the rest has taken, if there is time for any.
LEAST_SHARE = 0.1
# Of a budget, for what the teachers say of training images: as many as this has time for.
ASKING_SHARE = 0.25
# Of a budget, what is kept back for distilling while ways without steps are begun.
KEPT_BACK = 0.5
# Steps that a way takes before it can be told whether it lags behind, at least; and those of one way alone.
FIRST_STEPS, FEWEST_STEPS = 10, 2
# How much longer a step takes than to have the answers to its images.
STEP_COST = 4
# Training images by which it is measured what a network costs.
MEASURED = 256
# Whose turn it is first, where there is no time for all: the likeliest to be written.
BY_PROMISE = (
    *("best", "greedy-mean", "space-mean", "aligned-mean", "refreshed-mean", "mean", "space-best"),
    *("labels-from-best", "from-best", "from-mean", "space-from-mean", "from-fresh", "space-from-best"),
)


@dataclass(frozen=True)
class Costs:
    """Seconds that it takes to use a network of the result's architecture, and to ask those that teach.

    Attributes:
        asking: for the teachers' answers to all training images, in all views.
        look: for its loss on the validation images that are looked at.
        choice: for its score on all validation images.
        judging: for its scores on all images that are held out.
        step: for a step, about.
    """

    asking: float
    look: float
    choice: float
    judging: float
    step: float


def costs_of(architecture: Architecture, judge: Judge, images: int) -> Costs:
    """Measure what a network costs; any weights take as long.

    Args:
        images: images a step.
    """
    # Not zeros, which a module may be unable to run with.
    network = Network(architecture, architecture.to_weights(architecture.module.state_dict()))
    training = len(judge.data.splits["train"])
    validation, test = len(judge.validation), len(judge.test)
    count = min(MEASURED, training)
    # The first time there may be something to prepare.
    seconds = [timed(partial(judge.answers_in_training, network, most))[1] for most in (count, count, 1)]
    pace = max(0.0, seconds[1] - seconds[2]) / max(1, count - 1)

    def answering(number: int) -> float:
        return seconds[2] + pace * (number - 1)

    return Costs(
        asking=judge.pace * training * views_of(judge.data) * len(judge.teachers),
        look=answering(min(LOOKED_AT, validation)),
        choice=answering(validation),
        judging=answering(validation) + answering(test),
        step=STEP_COST * answering(images),
    )


@dataclass(frozen=True)
class Budget:
    """What is left of the time for a merge.

    Attributes:
        seconds: for the whole work; None for no limit.
        began: when it began, by `perf_counter`.
        costs: of the result; None where there is no limit.
    """

    seconds: float | None
    began: float
    costs: Costs | None = None

    @property
    def left(self) -> float:
        """Seconds until its end; below zero after it."""
        return inf if self.seconds is None else self.seconds - (perf_counter() - self.began)

    @property
    def asking(self) -> float:
        """Seconds for asking the teachers about training images; for all of them, where these are fewer."""
        if self.seconds is None or self.costs is None:
            return inf
        return min(self.costs.asking, ASKING_SHARE * self.seconds, max(0.0, self.left / 2))

    def begins(self, candidates: int, kept_back: float) -> bool:
        """Whether there is time for a way without steps.

        Args:
            candidates: networks that it chooses among first.
            kept_back: the share of the budget that is to be left then.
        """
        if self.seconds is None or self.costs is None:
            return True
        needed = self.costs.judging + candidates * self.costs.choice
        return self.left - needed > kept_back * self.seconds

    def for_steps(self, students: int, ways: int) -> float:
        """Seconds that are left for steps: each of the students is looked at about twice, and each of the ways is
        judged in the end."""
        if self.costs is None:
            return self.left
        return self.left - 2 * students * self.costs.look - ways * self.costs.judging

    def enough_for(self, ways: Sequence[str]) -> int:
        """How many students there is time for, of these ways; the first ones go first."""
        if self.seconds is None or self.costs is None:
            return len(ways)
        for count in range(len(ways), 0, -1):
            seconds = self.for_steps(count, len(set(ways[:count]))) - self.asking
            fewest = FIRST_STEPS if count > 1 else FEWEST_STEPS
            if rounds_of(count)[0][1] * seconds / count >= fewest * self.costs.step:
                return count
        return 0

    @property
    def too_short(self) -> str:
        """Why ways are left out that there is no time for."""
        if self.costs is None:
            return ""
        return (
            f"of the budget {max(0.0, self.left):.1f} s were left for all; to judge a network takes about "
            f"{_told(self.costs.judging)}, and a way that distils is compared after {FIRST_STEPS} steps of about "
            f"{_told(self.costs.step)} each"
        )


def _told(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def budget_of(plan: MergePlan, architecture: Architecture, judge: Judge, began: float) -> Budget:
    """The budget of a plan.

    Args:
        architecture: of the result.
        began: when the work began, by `perf_counter`.
    """
    costs = None if plan.budget is None else costs_of(architecture, judge, plan.images)
    return Budget(plan.budget, began, costs)
