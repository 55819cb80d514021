"""Several networks of one task become one: every way is tried beside the others, and the best by validation kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from netspace_models.architectures import Architecture
from netspace_models.architectures.architecture import Form
from netspace_models.errors import ConfigError, WrongSpace
from netspace_models.wording import setting

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space

from .distil import Distilling, distil_by_steps, distil_within, lessons_of
from .judge import Judge, Scores, judge_of
from .panel import Panel, check_members, name_of, seat
from .plan import DISTILLING, ENSEMBLE, STEPS, WAYS, MergePlan
from .starts import Starts, ways_left_out

# The least share of a budget that distilling gets, whatever the rest has taken.
LEAST_SHARE = 0.1
# Of a budget, for what the teachers say of training images: as many as this has time for.
ASKING_SHARE = 0.25


@dataclass(frozen=True)
class Way:
    """One way to a single network, or the ensemble beside them.

    Attributes:
        name: in `WAYS`, "ensemble", or "chosen ensemble" of those members that teach.
        scores: on held-out images.
        steps, images: of distilling, the latter with repeats; 0 for none.
        seconds: that it took by itself, without asking members and judging.
        chosen: whether it is the result.
        note: of how many members, or that it was stopped or failed.
    """

    name: str
    scores: Scores
    steps: int = 0
    images: int = 0
    seconds: float = 0.0
    chosen: bool = False
    note: str = ""


@dataclass(frozen=True)
class Merged:
    """What came of merging.

    Attributes:
        network: the best single network, on the processor; method: the way that led to it.
        ways: all that were tried, the ensemble among them.
        members: what they are called; accuracies: theirs on test images, None without labels.
        teachers: places among the members of those that taught, the best first.
        left_out: ways that could not be gone, and why.
    """

    network: Network
    method: str
    ways: tuple[Way, ...]
    members: tuple[str, ...]
    accuracies: tuple[float | None, ...]
    teachers: tuple[int, ...]
    left_out: dict[str, str]

    def way(self, name: str) -> Way | None:
        """One by its name; None where it was not tried."""
        return next((each for each in self.ways if each.name == name), None)

    @property
    def gain(self) -> float | None:
        """How much of what the ensemble gains over the best member the result has, on test images: 1 for all. None
        where it gains nothing, without labels, or where no member has the result's architecture."""
        found = [way.scores.test if way else None for way in map(self.way, ("best", ENSEMBLE, self.method))]
        best, ceiling, result = found
        if best is None or ceiling is None or result is None or ceiling <= best:
            return None
        return (result - best) / (ceiling - best)


def target_of(members: Sequence[Network], space: Space | None = None) -> Architecture:
    """The architecture of the result, where none is named: the members' own, else the largest of the space.

    Raises:
        ConfigError: members of several architectures, and no space.
    """
    names = list(dict.fromkeys(member.architecture.name for member in members))
    if len(names) == 1:
        return members[0].architecture
    if space is None:
        raise ConfigError(
            f"the members are of {len(names)} architectures, {', '.join(names)}, and it is not said which one the "
            "result is to have."
            if names
            else "there are no networks to merge.",
            f"Name it: {setting('arch', names[0] if names else 'NAME')}.",
        )
    return space.architectures[-1]


def check_merging(
    members: Sequence[Network], data: LabelledData, architecture: Architecture, space: Space | None, plan: MergePlan
) -> None:
    """Refuse what cannot be merged, before any work; what only the members' answers show, `merge` refuses.

    Raises:
        ConfigError: settings, members, or a way that cannot be gone; WrongSpace: the space lacks the architecture.
    """
    plan.check()
    check_members(members, data)
    if space is not None and space.model.architecture(architecture.name).spec != architecture.spec:
        raise WrongSpace(
            f"space {space.name!r} has {architecture.name} for {space.io.describe()}; this one is for "
            f"{architecture.io.describe()}.",
            f"Leave out {setting('space')}, or name one for these images.",
        )
    if plan.method is not None:
        reason = ways_left_out(members, architecture, space).get(plan.method)
        if reason:
            raise ConfigError(f"{plan.method} cannot be done: {reason}.", "Choose another method, or none for all.")


def merge(
    members: Sequence[Network],
    data: LabelledData,
    runner: Runner,
    *,
    architecture: Architecture | None = None,
    space: Space | None = None,
    plan: MergePlan | None = None,
) -> Merged:
    """Make one network of several that were trained apart.

    Members are asked one at a time, and what they say together about the training images is kept; distilling then
    takes no longer and no more memory for their number.

    Args:
        members: classifiers of one task, of any architectures.
        data: training images, and held-out ones that choose and score; labels are used where they are known.
        architecture: of the result; by default `target_of`.
        space: one that has that architecture, for ways through embeddings.
        plan: how; None for every way.
    Raises:
        ConfigError: members that cannot be merged, or a way that cannot be gone; fp16.
        WrongSpace: the space does not have the architecture.
        RunFailed: no way that distils has a finite loss.
    """
    plan, began = plan or MergePlan(), perf_counter()
    architecture = architecture or target_of(members, space)
    check_merging(members, data, architecture, space, plan)
    runner.check_gradients()
    data = runner.place(data)
    panel = seat(members, data, runner, choose=plan.choose_members)
    judge, of_all = judge_of(panel, data, runner)
    starts = Starts(panel, architecture, space, data, runner)
    left_out = ways_left_out(members, architecture, space)
    # What the best member does is shown beside every way.
    plain = [w for w in WAYS if w not in (*DISTILLING, *left_out) and (plan.takes(w) or w == "best")]
    distilling = [w for w in DISTILLING if w not in left_out and plan.takes(w)]
    found = [_plain(way, starts, judge) for way in plain]
    plain_ways = [way for way, _ in found]
    if distilling:
        found += _distilled(distilling, starts, judge, plan, began)
    candidates = [each for each in found if plan.takes(each[0].name) and not each[0].note.startswith("failed")]
    best, network = max(candidates, key=lambda each: each[0].scores.choice)
    ways = [*plain_ways, *_together(panel, judge, of_all), *(way for way, _ in found[len(plain_ways) :])]
    form: Form = "full" if starts.best is None else starts.best.form
    return Merged(
        replace(network, form=form),
        best.name,
        tuple(replace(way, chosen=way is best) for way in ways),
        tuple(name_of(member) for member in members),
        judge.members,
        panel.teachers,
        {name: why for name, why in left_out.items() if plan.takes(name)},
    )


def _plain(name: str, starts: Starts, judge: Judge) -> tuple[Way, Network]:
    """A way without steps."""
    weights, seconds = starts.weights(name)
    network = Network(starts.architecture, weights)
    note = name_of(starts.best) if name == "best" and starts.best else f"of {len(starts.own)}"
    return Way(name, judge.scores(network), seconds=seconds, note=note), network


def _together(panel: Panel, judge: Judge, of_all: Scores) -> list[Way]:
    """The ensemble of all, and that of the teachers where these are fewer."""
    found = [Way(ENSEMBLE, of_all, note=f"of {len(panel.members)}")]
    if len(panel.teachers) < len(panel.members):
        scores = judge.scores_of(judge.validation, judge.test)
        found.append(Way(f"chosen {ENSEMBLE}", scores, note=f"of {len(panel.teachers)}, who teach"))
    return found


def _distilled(
    names: Sequence[str], starts: Starts, judge: Judge, plan: MergePlan, began: float
) -> list[tuple[Way, Network]]:
    """The ways that distil: as many steps for each, or what is left of the budget shared out among them."""
    runner, architecture = judge.runner, starts.architecture
    steps = plan.steps or STEPS
    if plan.budget is None:
        most = steps * plan.images
    else:
        most = max(plan.images, int(ASKING_SHARE * plan.budget / judge.pace / len(judge.teachers)))
    lessons = lessons_of(judge.teachers, judge.data, plan, runner, most=most)
    students, before = [], []
    for name in names:
        student, seconds = starts.student(name, plan.lr)
        students.append(Distilling(name, student, lessons, steps))
        before.append(seconds)

    def now(each: Distilling) -> Network:
        return Network(architecture, each.student.weights())

    if plan.budget is None:
        distil_by_steps(students, runner)
    else:
        # All are judged in the end.
        spent = perf_counter() - began + len(names) * judge.seconds
        left = max(plan.budget - spent, LEAST_SHARE * plan.budget)
        distil_within(students, left, lambda each: judge.quality(now(each)), runner)
    found = []
    for each, seconds in zip(students, before, strict=True):
        network = now(each)
        note = f"failed: {each.failure}" if each.failure else "stopped early" if each.stopped else ""
        images = each.taken * plan.images
        way = Way(each.name, judge.scores(network), each.taken, images, seconds + each.spent, note=note)
        found.append((way, network))
    return found
