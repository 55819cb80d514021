"""Several networks of one task become one: every way is tried beside the others, and the best by validation kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError, WrongSpace
from netspace_models.problems import CLASSIFICATION
from netspace_models.wording import setting

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.data.normalise import check_alike, scale_recorded
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import labels_of
from netspace_cli.core.networks.trainable import check_images_a_step, check_trains
from netspace_cli.core.runtime.results import Table, plain
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.stop import StopRequest
from netspace_cli.core.spaces.space import Space

from .answers import FORGETFUL, Answers
from .budget import KEPT_BACK, budget_of
from .judge import Beside, Judge, Scores, judge_of
from .panel import Panel, check_members, name_of, seat
from .plan import BEST_MEMBER, DISTILLING, ENSEMBLE, ON_SPACE, WAYS, MergePlan
from .starts import Starts, ways_left_out
from .ways import Way, add_without_steps, distilled, rates_to_try, students_of


@dataclass(frozen=True)
class Merged(Table):
    """What came of merging.

    Attributes:
        network: the best single network, on the processor; method: the way that led to it.
        ways: all that were tried, and beside them the ensemble and a best member of another architecture.
        members: what they are called; accuracies: theirs on test images, None without labels.
        teachers: places among the members of those that taught, the best first.
        weights: of the teachers; None for equal ones.
        silent: places of members that give the same outputs for all inputs, and do not teach.
        left_out: ways that could not be gone, and why.
        stopped_by: exit code of the signal that ended distilling before its time; None where none came.
    """

    network: Network
    method: str
    ways: tuple[Way, ...]
    members: tuple[str, ...]
    accuracies: tuple[float | None, ...]
    teachers: tuple[int, ...]
    weights: tuple[float, ...] | None
    silent: tuple[int, ...]
    left_out: dict[str, str]
    stopped_by: int | None = None

    def records(self) -> list[dict[str, Any]]:
        """The ways that were tried."""
        return [plain(way) for way in self.ways]

    def way(self, name: str) -> Way | None:
        """One by its name; None where it was not tried."""
        return next((each for each in self.ways if each.name == name), None)

    @property
    def best_member(self) -> Way | None:
        """The way that is the best member alone, of whatever architecture."""
        return self.way(BEST_MEMBER) or self.way("best")

    @property
    def tests(self) -> tuple[float | None, float | None, float | None]:
        """Scores on test images of the best member, of whatever architecture, the ensemble, and the result; None
        without labels."""
        best_test, ensemble_test, own_test = (
            way.scores.test if way else None for way in (self.best_member, self.way(ENSEMBLE), self.way(self.method))
        )
        return best_test, ensemble_test, own_test

    @property
    def gain(self) -> float | None:
        """How much of what the ensemble gains over the best member the result has, on test images: 1 for all. None
        where the ensemble gains nothing, or without labels."""
        return gain_kept(*self.tests)


def gain_kept(best: float | None, ceiling: float | None, result: float | None) -> float | None:
    """How much of what the ensemble (`ceiling`) gains over the best member a result has; None where it gains nothing or
    one of them is not known.
    """
    if best is None or ceiling is None or result is None or ceiling <= best:
        return None
    return (result - best) / (ceiling - best)


def target_of(members: Sequence[Network], space: Space | None = None) -> Architecture:
    """The architecture of the result, where none is named: the members' own, else the largest of the space.

    Raises:
        ConfigError: members of several architectures, and no space.
    """
    names = list(dict.fromkeys(member.architecture.name for member in members))
    if not names:
        raise ConfigError("there are no networks to merge.", "Give two or more, trained apart on one task.")
    if len(names) == 1:
        return members[0].architecture
    if space is None:
        raise ConfigError(
            f"the members are of {len(names)} architectures, {', '.join(names)}, and it is not said which one the "
            "result is to have.",
            f"Name it: {setting('arch', names[0])}.",
        )
    return space.architectures[-1]


def check_merging(
    members: Sequence[Network], data: LabelledData, architecture: Architecture, space: Space | None, plan: MergePlan
) -> None:
    """Refuse what cannot be merged, before any work; `merge` refuses what only the members' answers show.

    Raises:
        ConfigError: settings, members, a way that cannot be gone, or a space of networks that know images in another
            normalisation; WrongSpace: the space lacks the architecture.
    """
    plan.check()
    labels = data.labelled and plan.labels
    if plan.weigh and not labels:
        raise ConfigError(
            "weights of members are chosen by labels of validation images, and no labels are used.",
            f"{'Let labels be used' if data.labelled else 'Give images with labels'}, or leave out {setting('weigh')}.",
        )
    if plan.weigh and data.io.problem is not CLASSIFICATION:
        raise ConfigError(
            "members are weighed by their probabilities, and regressors have none.", f"Leave out {setting('weigh')}."
        )
    check_members(members, data)
    if space is not None and space.model.architecture(architecture.name).spec != architecture.spec:
        raise WrongSpace(
            f"space {space.name!r} has {architecture.name} for {space.io.describe()}; this one is for "
            f"{architecture.io.describe()}.",
            f"Leave out {setting('space')}, or name one for these images.",
        )
    if space is not None:
        known = space.record["data"]
        check_alike({f"the networks of space {space.name!r}": known, "the members": scale_recorded(data)})
    left_out = ways_left_out(members, architecture, space, labels=labels)
    if plan.method in left_out:
        raise ConfigError(
            f"{plan.method} cannot be done: {left_out[plan.method]}.", "Choose another method, or none for all."
        )
    if any(way not in (*ON_SPACE, *left_out) and plan.takes(way) for way in DISTILLING):
        check_trains(architecture)
        check_images_a_step(architecture, plan.images, setting("images", plan.images), setting("images", 2))


def merge(
    members: Sequence[Network],
    data: LabelledData,
    runner: Runner,
    *,
    architecture: Architecture | None = None,
    space: Space | None = None,
    plan: MergePlan | None = None,
    stop: StopRequest | None = None,
    known: Answers = FORGETFUL,
) -> Merged:
    """Make one network of several that were trained apart.

    What the members say together about training images is kept: distilling takes no longer, however many they are.

    Args:
        members: classifiers or regressors of one task, of any architectures.
        data: training images, and held-out ones that choose and score; labels are used where they are known.
        architecture: of the result; by default `target_of`.
        space: one that has that architecture, for ways through embeddings.
        plan: how; None for every way.
        stop: ends distilling on a signal, and the best so far is kept; None: signals interrupt as always.
        known: answers from merges before, by the same runner, of the same data.
    Raises:
        ConfigError: members that cannot be merged, or a way that cannot be gone; fp16.
        WrongSpace: the space does not have the architecture.
        RunFailed: no way that distils has a finite loss.
        Interrupted: stopped before the first step of the only way.
    """
    plan, began = plan or MergePlan(), perf_counter()
    architecture = architecture or target_of(members, space)
    check_merging(members, data, architecture, space, plan)
    runner.check_gradients()
    data = runner.place(data)
    labels = labels_of(data, "test") if data.labelled else None
    data = data if plan.labels else data.without_labels()
    panel = seat(members, data, runner, choose=plan.choose_members, weigh=plan.weigh, known=known)
    judge, beside = judge_of(panel, data, runner, labels, known)
    starts = Starts(panel, architecture, space, judge)
    left_out = ways_left_out(members, starts.architecture, starts.space, labels=data.labelled)
    scored = {"best": beside.best} if starts.best is panel.members[panel.ranking[0]] else {}
    found, no_time = _go(left_out, scored, starts, judge, plan, began, stop, known)
    left_out |= no_time
    best, network = _best_of(found, plan, stop)
    gone = [way for way, _ in found]
    plain = [way for way in gone if way.name not in DISTILLING]
    ways = [*plain, *_beside(panel, starts, judge, beside), *gone[len(plain) :]]
    who = panel.teachers, panel.weights, panel.silent
    return Merged(
        replace(network, form=starts.form),
        best.name,
        tuple(replace(way, chosen=way is best) for way in ways),
        tuple(name_of(member) for member in members),
        judge.members,
        *who,
        {name: left_out[name] for name in WAYS if name in left_out and plan.takes(name)},
        None if stop is None else stop.exit_code,
    )


def _ways_to_go(left_out: Collection[str], plan: MergePlan) -> tuple[list[str], list[str]]:
    """Ways without steps, and ways that distil."""
    # What the best member does is shown beside every way.
    plain = [way for way in WAYS if way not in (*DISTILLING, *left_out) and (plan.takes(way) or way == "best")]
    return plain, [way for way in DISTILLING if way not in left_out and plan.takes(way)]


def _go(
    left_out: dict[str, str],
    scored: Mapping[str, Scores],
    starts: Starts,
    judge: Judge,
    plan: MergePlan,
    began: float,
    stop: StopRequest | None,
    known: Answers,
) -> tuple[list[tuple[Way, Network]], dict[str, str]]:
    """Go all ways that there is time for, those without steps first; and why the others were not gone. What turns out
    to be possible is taken out of `left_out`."""
    plain, distilling = _ways_to_go(left_out, plan)
    budget = budget_of(plan, starts.architecture, judge, began)
    gone: dict[str, tuple[Way, Network]] = {}
    how: dict[str, Any] = {"known": scored, "named": plan.method}
    add_without_steps(plain, gone, starts, judge, budget, kept_back=KEPT_BACK, **how)
    if plan.method is None and "from-mean" in left_out and "greedy-mean" in gone and starts.share_a_start():
        # Where hidden units are not known, only networks of one start have a mean.
        del left_out["from-mean"]
        distilling = _ways_to_go(left_out, plan)[1]
    # A mean that is not known by then is not waited for.
    no_mean = plan.method is None and "greedy-mean" in plain and "greedy-mean" not in gone
    left = [name for name in distilling if not (no_mean and name == "from-mean")]
    to_try = rates_to_try(left, plan, budget, least=not any(plan.takes(name) for name in gone))
    no_time = budget.too_short
    if not to_try:
        add_without_steps(plain, gone, starts, judge, budget, **how)
    found = [gone[name] for name in plain if name in gone]
    if to_try:
        students = students_of(to_try, starts, judge, plan, budget, stop, known)
        found += distilled(students, starts, judge, plan, budget)
    begun = {name for name, _ in to_try}
    missing = {*plain, *distilling} - {way.name for way, _ in found}
    return found, {name: "the work was stopped before" if name in begun else no_time for name in missing}


def _best_of(found: Sequence[tuple[Way, Network]], plan: MergePlan, stop: StopRequest | None) -> tuple[Way, Network]:
    """The way to keep, and its network.

    Raises:
        Interrupted: the one way that was asked for was stopped before its first step.
    """
    candidates = [each for each in found if plan.takes(each[0].name) and not each[0].note.startswith("failed")]
    if not candidates and stop is not None:
        raise stop.interrupted("merging was stopped before its first step: there is nothing to keep.", "Begin again.")
    return max(candidates, key=lambda each: each[0].scores.choice)


def _beside(panel: Panel, starts: Starts, judge: Judge, beside: Beside) -> list[Way]:
    """The best member where it is of another architecture, the ensemble of all, and that of the teachers where these
    are fewer."""
    best, found = panel.members[panel.ranking[0]], list[Way]()
    if best.architecture.name != starts.architecture.name:
        found.append(Way(BEST_MEMBER, beside.best, note=name_of(best)))
    found.append(Way(ENSEMBLE, beside.ensemble, note=f"of {len(panel.members)}"))
    if panel.weights is not None or len(panel.teachers) < len(panel.members):
        scores = judge.scores_of(judge.validation, judge.test)
        name = "chosen" if panel.weights is None else "weighted"
        teach = "teach" if len(panel.teachers) > 1 else "teaches"
        found.append(Way(f"{name} {ENSEMBLE}", scores, note=f"of {len(panel.teachers)}, who {teach}"))
    return found
