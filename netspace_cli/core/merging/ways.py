"""Ways to one network, each gone: those without steps, and those that distil."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from netspace_models.architectures import Architecture

from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.stop import StopRequest

from .answers import Answers
from .budget import BY_PROMISE, LEAST_SHARE, Budget
from .distil import Distilling, distil_by_halving, distil_by_steps, most_steps
from .judge import Judge, Scores
from .lessons import lessons_of
from .panel import name_of
from .plan import ON_SPACE, STEPS_IN_ALL, MergePlan
from .starts import Starts

# Where steps are counted, images are asked about again, shifted and mirrored, as far as each answer is used this often:
# to ask eight teachers then takes about as long as to learn from them.
REPEATS = 3


@dataclass(frozen=True)
class Way:
    """One way to a single network, or the ensemble beside them.

    Attributes:
        name: in `WAYS`; "best member", where it is of another architecture; "ensemble", or "chosen ensemble" of those
            members that teach.
        scores: on held-out images.
        steps, images: of distilling, the latter with repeats; 0 for none.
        seconds: that it took by itself, without asking members, judging, and rates that were given up; of a greedy mean
            with judging its candidates.
        lr: the first rate of distilling, the best of those that were tried.
        chosen: whether it is the result.
        note: of how many members, or that it was stopped or failed.
    """

    name: str
    scores: Scores
    steps: int = 0
    images: int = 0
    seconds: float = 0.0
    lr: float | None = None
    chosen: bool = False
    note: str = ""


def without_steps(name: str, starts: Starts, judge: Judge, known: Mapping[str, Scores]) -> tuple[Way, Network]:
    """A way without steps; `known`: scores of ways that need not be judged anew."""
    start = starts.of(name)
    network = Network(starts.architecture, start.weights)
    named = {"best": starts.best, "space-best": next(iter(starts.encodable), None)}.get(name)
    note = f"of {start.members}" if named is None else name_of(named)
    scores = known.get(name) or judge.scores(network)
    return Way(name, scores, seconds=start.seconds, note=note), network


def add_without_steps(
    names: Sequence[str],
    gone: dict[str, tuple[Way, Network]],
    starts: Starts,
    judge: Judge,
    budget: Budget,
    *,
    known: Mapping[str, Scores],
    named: str | None,
    kept_back: float = 0.0,
) -> None:
    """Go those of the ways without steps that there is time for, one at least.

    Args:
        gone: ways that have been gone, to which they are added.
        known: scores of ways that need not be judged anew.
        named: one that is gone in any case.
        kept_back: see `Budget.begins`.
    """
    left = sorted(set(names) - set(gone), key=BY_PROMISE.index)
    if not left:
        return
    with judge.runner.progress("trying ways without steps", len(left)) as tick:
        for name in left:
            candidates = len(starts.own) if name == "greedy-mean" else 0
            if not gone or name == named or budget.begins(candidates, kept_back):
                gone[name] = without_steps(name, starts, judge, known)
            tick()


def rates_to_try(names: Sequence[str], plan: MergePlan, budget: Budget, *, least: int) -> list[tuple[str, float]]:
    """Ways that distil, each with its rates, as many as there is time for.

    Args:
        least: that are kept whatever the time.
    """
    every = [(name, lr) for name in names for lr in (plan.rates[:1] if name in ON_SPACE else plan.rates)]
    ordered = sorted(every, key=lambda each: (plan.rates.index(each[1]), BY_PROMISE.index(each[0])))
    kept = ordered[: max(least, budget.enough_for([name for name, _ in ordered]))]
    return [each for each in every if each in kept]


def students_of(
    begun: Sequence[tuple[str, float]],
    starts: Starts,
    judge: Judge,
    plan: MergePlan,
    budget: Budget,
    stop: StopRequest | None,
    known: Answers,
) -> dict[Distilling, float]:
    """Who is taught on these ways, by these rates, with the seconds that its start took."""
    runner = judge.runner
    if plan.budget is None:
        passes = plan.images * (plan.steps or most_steps(len(begun), STEPS_IN_ALL))
        most = min(passes, max(len(judge.data.splits["train"]), passes // REPEATS))
    else:
        most = int(budget.asking / judge.pace / len(judge.teachers))
    lessons = lessons_of(judge.teachers, judge.data, plan, runner, most=most, weights=judge.weights, known=known)
    students: dict[Distilling, float] = {}
    for name, lr in begun:
        student, seconds = starts.student(name, lr)
        own = lessons if name != "labels-from-best" else replace(lessons, plan=replace(plan, alpha=0.0))
        students[Distilling(name, student, own, plan.steps, stop=stop)] = seconds
    return students


def distilled(
    students: Mapping[Distilling, float], starts: Starts, judge: Judge, plan: MergePlan, budget: Budget
) -> list[tuple[Way, Network]]:
    """The ways that distil: as many steps for each, or steps or what is left of the budget shared out among them. Those
    that a request to stop has kept from beginning are left out."""
    runner, names = judge.runner, list(dict.fromkeys(each.name for each in students))

    def loss(each: Distilling) -> float:
        return judge.loss(Network(starts.architecture, each.weights()))

    with next(iter(students)).stop or nullcontext():
        if plan.steps is not None:
            distil_by_steps(list(students), runner)
        elif plan.budget is None:
            distil_by_halving(list(students), loss, runner, steps=STEPS_IN_ALL)
        else:
            seconds = max(budget.for_steps(len(students), len(names)), LEAST_SHARE * plan.budget)
            distil_by_halving(list(students), loss, runner, seconds=seconds)
        found = []
        with runner.progress("judging what was distilled", len(names)) as tick:
            for name in names:
                begun = [each for each in students if each.name == name and each.taken]
                if begun:
                    # Of several rates the one that went furthest.
                    kept = min(begun, key=lambda each: (each.failure != "", -each.rounds, each.loss))
                    found.append(_taught(kept, students[kept], starts.architecture, judge))
                tick()
    return found


def _taught(each: Distilling, before: float, architecture: Architecture, judge: Judge) -> tuple[Way, Network]:
    """What a way that distils has come to; `before`: the seconds that its start took."""
    network = Network(architecture, each.weights())
    note = f"failed: {each.failure}" if each.failure else "stopped early" if each.stopped else ""
    images = each.taken * each.lessons.plan.images
    scores = judge.scores(network)
    return Way(each.name, scores, each.taken, images, before + each.spent, lr=each.student.lr, note=note), network
