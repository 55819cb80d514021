"""What `netspace merge` says below its table: who taught, how the way was chosen, what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import sqrt
from typing import TYPE_CHECKING

from netspace_cli.core.merging.plan import DISTILLING, ON_SPACE, MergePlan
from netspace_cli.terminal.formats import percent
from netspace_cli.views.view import view_of

if TYPE_CHECKING:
    from netspace_cli.core.merging.merge import Merged
    from netspace_cli.core.requests.merge import MergeTask

# Of the ensemble's gain: what small networks keep of eight of their kind.
LITTLE = 0.6
# Steps of a way that has hardly begun.
FEW_STEPS = 20


def remarks(task: MergeTask, found: Merged) -> Iterator[str]:
    """What a reader of the table may ask, and what was written."""
    yield from _on_members(task, found)
    yield from _on_choice(task, found)
    yield from _on_result(task, found)
    for path in (task.request.output, task.request.plot):
        if path is not None:
            yield f"Wrote {path}."
    if task.request.output is None:
        yield "The network was not written: -o keeps it."


def _on_members(task: MergeTask, found: Merged) -> Iterator[str]:
    """Who teaches, and with what weight."""
    for place in found.silent:
        yield f"{found.members[place]} gives the same outputs for all images, and does not teach."
    speaking = len(found.members) - len(found.silent)
    if len(found.teachers) < speaking:
        yield who_teaches([found.members[i] for i in found.teachers], speaking)
    if found.weights is not None:
        pairs = zip(found.teachers, found.weights, strict=True)
        yield f"Weights: {', '.join(f'{found.members[i]} {weight:.2g}' for i, weight in pairs)}."
    elif task.request.plan.weigh:
        yield (
            "No weights: with those that fit the labels best, the ensemble is right on fewer validation images than "
            "without."
        )


def who_teaches(names: Sequence[str], members: int) -> str:
    """Which of the members teach, where not all do."""
    if len(names) == 1:
        return f"1 of {members} is better on validation images than the ensemble of all, and teaches alone: {names[0]}."
    share = f"{len(names)} of {members}"
    return f"{share} are a better ensemble than all on validation images, and teach: {', '.join(names)}."


def _on_choice(task: MergeTask, found: Merged) -> Iterator[str]:
    """How a way was chosen where labels are not known or not used, and ways that could not be gone."""
    if not task.labelled:
        spaces = task.space is not None and any(way.name in ON_SPACE for way in found.ways)
        more = " That does not show whether the space knows more than the members." if spaces else ""
        chosen = "the way was chosen" if task.request.plan.method is None else "weights are judged"
        yield f"No labels: {chosen} by agreement with the ensemble on images held out of the rest.{more}"
        if task.request.select is not None:
            yield "--select went by labels: the members are the best on the validation images."
    reasons: dict[str, list[str]] = {}
    for way, why in found.left_out.items():
        reasons.setdefault(why, []).append(way)
    for why, ways in reasons.items():
        yield f"Left out {', '.join(ways)}: {why}."


def _on_result(task: MergeTask, found: Merged) -> Iterator[str]:
    """What the result is worth, and what may be worth more."""
    plan = task.request.plan
    compared = compared_with_members(
        found.method,
        *found.tests,
        show=view_of(task.kind).score.show,
        best_member="best member" if task.labelled else "member that agrees with the ensemble most",
        ensemble_of="ensemble" if len(found.teachers) == len(found.members) else "ensemble of all",
    )
    if compared is not None:
        yield compared
    if found.stopped_by is not None:
        return
    steps = [way.steps for way in found.ways if way.name in DISTILLING and not way.note.startswith("failed")]
    hurried = plan.budget is not None and bool(steps) and max(steps) < FEW_STEPS
    if _gains_by_chance(task, found):
        images = len(task.data.splits["test"])
        yield f"What the ensemble gains is within what chance makes of {images:,} test images."
    elif found.gain is not None and 0 <= found.gain < LITTLE and not hurried:
        yield _what_may_keep_more(plan)
    if hurried:
        taken = f"{max(steps)} step{'s' if max(steps) > 1 else ''}"
        yield f"No way took more than {taken} in that time: a longer --budget allows more."


def compared_with_members(
    way: str,
    best: float | None,
    ensemble: float | None,
    own: float | None,
    *,
    show: Callable[[float], str],
    best_member: str = "best member",
    ensemble_of: str = "ensemble",
) -> str | None:
    """The result of a way beside the best member and the ensemble, by their scores on the test split; None where these
    are not known."""
    from netspace_cli.core.merging.merge import gain_kept

    gain = gain_kept(best, ensemble, own)
    if best is None or ensemble is None or own is None:
        return None

    def beside(score: float, other: float) -> str:
        if score == other:
            return "as much as"
        return "about as much as" if show(score) == show(other) else "more than" if score > other else "less than"

    if gain is None:
        compared = f"the {ensemble_of} has {show(ensemble)}, {beside(ensemble, best)} the {best_member} ({show(best)})"
        return f"On the test split {compared}; {way} has {show(own)}."
    if gain < 0:
        return f"{way}: {show(own)} on the test split, {beside(own, best)} the {best_member} ({show(best)})."
    if gain > 1:
        compared = f"{beside(own, ensemble)} the {ensemble_of} ({show(ensemble)})"
        return f"{way}: {show(own)} on the test split, {compared}; the {best_member} has {show(best)}."
    return f"{way}: {percent(gain)} of what the {ensemble_of} gains over the {best_member}."


def _gains_by_chance(task: MergeTask, found: Merged) -> bool:
    """Whether the ensemble gains, and no more than chance could give; how often a member agrees is known where all
    teach alike."""
    from netspace_models.problems import CLASSIFICATION

    best, ensemble, _ = found.tests
    if found.gain is None or best is None or ensemble is None or found.best_member is None:
        return False
    by_all = found.weights is None and len(found.teachers) == len(found.members)
    if task.data.io.problem is not CLASSIFICATION or not by_all:
        return False
    return is_by_chance(best, ensemble, found.best_member.scores.agreement, len(task.data.splits["test"]))


def is_by_chance(best: float, ensemble: float, agreement: float, images: int) -> bool:
    """Whether an ensemble gains no more over a member than two standard errors, as if one of them were right wherever
    they differ.

    Args:
        best, ensemble: accuracies on test images, as fractions; agreement: share on which both say the same.
        images: how many there are.
    """
    return images * (ensemble - best) <= 2 * sqrt(images * (1 - agreement))


def _what_may_keep_more(plan: MergePlan) -> str:
    if plan.method is not None:
        return "Other ways may keep more: leave out --method."
    if plan.steps is not None or plan.budget is not None:
        return f"A longer {'--steps' if plan.budget is None else '--budget'}, or a larger --arch, may keep more."
    return "A larger --arch may keep more."
