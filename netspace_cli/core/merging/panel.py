"""The members as a panel: what they answer to held-out images, who of them teaches, and whom to refuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import scipy
import torch
from netspace_models.errors import ConfigError
from netspace_models.problems import CLASSIFICATION, Problem
from netspace_models.training.losses import ensemble_outputs, mixture_weights
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.networks.network import Network, check_teacher
from netspace_cli.core.networks.scores import accuracy, check_outputs, cross_entropy, labels_of, logits_of
from netspace_cli.core.runtime.runner import Runner

from .answers import FORGETFUL, Answers, on_split

# Logits of one function written twice differ by rounding alone: in units of their size, and, to half precision, of how
# much they differ between images.
SAME, SAME_IN_HALF = 1e-4, 2e-3
# Images that members are asked about again, alone; and how much outputs may differ then, in units of how much they
# differ between images: with other numbers of images at once rounding differs.
ASKED_AGAIN, UNSTEADY, UNSTEADY_IN_HALF = 16, 2e-2, 0.2
# A class that is said less often than this share of what would be even is one that a network does not know.
SELDOM = 0.1
LEAST_PROBABILITY = 1e-12
# Who was hardly trained agrees more often in some order, too, but less often than this, in units of chance.
HARDLY = 3
# By how much the sum of probabilities may miss 1, in half precision.
SUM_OFF = 5e-3


@dataclass(frozen=True)
class Panel:
    """Members that have answered to the validation images.

    Attributes:
        members: the networks.
        answers: (N, K) outputs of each on the validation inputs, on the processor.
        labels: (N, …) of these; None where they are not known.
        teachers: places of those that teach together, the best first.
        weights: of the teachers, in their order; None for equal ones.
        silent: places of those that give the same outputs for all inputs, where labels show that others know more.
    """

    members: tuple[Network, ...]
    answers: tuple[Tensor, ...]
    labels: Tensor | None
    teachers: tuple[int, ...]
    weights: tuple[float, ...] | None = None
    silent: tuple[int, ...] = ()

    @property
    def ranking(self) -> list[int]:
        """Places of all members, the best first."""
        return ranked(self.answers, self.labels, self.members[0].architecture.io.problem)


def name_of(network: Network) -> str:
    """What messages and tables call a network."""
    return network.source or f"a {network.architecture.name}"


def check_members(members: Sequence[Network], data: LabelledData) -> None:
    """Refuse networks that cannot be merged on such images, before any of them is run on all.

    Raises:
        ConfigError: fewer than two, copies, or networks for other channels, classes or sizes.
    """
    if len(members) < 2:
        raise ConfigError(
            "one network is nothing to merge." if members else "there are no networks to merge.",
            "Give two or more, trained apart on one task.",
        )
    for member in members:
        check_teacher(member, data.io, "member")
        _check_runs(member, data)
    for i, one in enumerate(members):
        for other in members[:i]:
            if one.architecture.name == other.architecture.name and torch.equal(one.weights, other.weights):
                raise _copies(other, one)


def seat(
    members: Sequence[Network],
    data: LabelledData,
    runner: Runner,
    *,
    choose: bool,
    weigh: bool = False,
    known: Answers = FORGETFUL,
) -> Panel:
    """Ask every member about the validation images, one at a time, and choose who teaches.

    Args:
        members: as `check_members` lets pass.
        data: on the runner's device.
        choose: whether a part of the members may teach.
        weigh: whether the teachers have weights, as in `weights_of`; where labels are known.
        known: answers from merges before.
    Raises:
        ConfigError: members that are one function, or whose classes are in other orders.
    """
    labels = labels_of(data, "val") if data.labelled else None
    answers = list[Tensor]()
    with runner.progress(f"asking members about validation {data.io.one}s", len(members)) as tick:
        for member in members:
            answers.append(on_split(member, data, "val", runner, known))
            _check_steady(member, answers[-1], data, runner)
            tick(1)
    problem = data.io.problem
    if len(answers[0]) < 2:
        raise ConfigError(
            f"{data.name} has one validation {data.io.one}, by which nothing can be chosen.", "Give two or more."
        )
    chosen = labels is not None and choose and problem is CLASSIFICATION
    silent = _check_functions(members, answers, problem, all_teach=not chosen)
    places = [i for i in range(len(members)) if i not in silent]
    if problem is CLASSIFICATION:
        for i in places:
            _check_logits(answers[i], name_of(members[i]))
        check_class_orders(members, answers, labels)
    said = [answers[i] for i in places]
    teachers, weights = choose_teachers(said, labels, problem, choose=choose), None
    if weigh and labels is not None:
        teachers, weights = _weighed(said, labels, teachers)
    return Panel(tuple(members), tuple(answers), labels, tuple(places[i] for i in teachers), weights, silent)


def _weighed(
    answers: Sequence[Tensor], labels: Tensor, teachers: list[int]
) -> tuple[list[int], tuple[float, ...] | None]:
    """Places of those that teach, and their weights.

    All teach where with weights they are right as often as the others: who is weak may still say a little.

    Args:
        answers: (N, K) logits of all; labels: (N,); teachers: places of those that would teach without weights.
    """

    def right(places: Sequence[int], weights: tuple[float, ...] | None) -> float:
        return accuracy(ensemble_outputs([answers[i] for i in places], CLASSIFICATION, weights), labels)

    weights = weights_of([answers[i] for i in teachers], labels)
    if len(teachers) == len(answers):
        return teachers, weights
    everyone = ranked(answers, labels, CLASSIFICATION)
    of_all = weights_of([answers[i] for i in everyone], labels)
    better = of_all is not None and right(everyone, of_all) >= right(teachers, weights)
    return (everyone, of_all) if better else (teachers, weights)


def weights_of(answers: Sequence[Tensor], labels: Tensor) -> tuple[float, ...] | None:
    """Weights that fit the labels best; None where the ensemble is plainly more often right without any.

    Args:
        answers: (N, K) logits of each on the validation images; labels: (N,).
    """
    given = torch.stack([each.softmax(1).gather(1, labels[:, None])[:, 0] for each in answers])
    weights = tuple(mixture_weights(given).tolist())
    equal, weighted = (ensemble_outputs(answers, CLASSIFICATION, each).argmax(1) == labels for each in (None, weights))
    return None if _plainly_better(equal, weighted) else weights


def _plainly_better(one: Tensor, other: Tensor) -> bool:
    """Whether one is right on more images than another, by more than two standard errors of the difference.

    Args:
        one, other: (N,) whether each is right, of the same images.
    """
    gained, lost = int((one & ~other).sum()), int((other & ~one).sum())
    return gained - lost > 2 * sqrt(gained + lost)


def ranked(answers: Sequence[Tensor], labels: Tensor | None, problem: Problem) -> list[int]:
    """Places of networks, the best first: by accuracy or R², without labels by how they agree with all together.

    Args:
        answers: (N, K) outputs of each; labels: (N, …).
    """
    if labels is None:
        together = ensemble_outputs(answers, problem)
        scores = [problem.agreement(together, each) for each in answers]
    else:
        scores = [problem.scored(each, labels) for each in answers]
    return sorted(range(len(answers)), key=lambda i: -scores[i])


def choose_teachers(
    answers: Sequence[Tensor], labels: Tensor | None, problem: Problem = CLASSIFICATION, *, choose: bool = True
) -> list[int]:
    """Places of those that make a better ensemble than all, or of all, as always of regressors.

    From the best one on, the member is added that helps most or harms least (greedy selection, Caruana et al., 2004,
    without repeats), and of the sets on this way the best is taken. It teaches alone if it is right on more images than
    all are, by more than two standard errors of the difference (of paired answers): it is the best of many.

    Args:
        answers: (N, K) outputs of each on the validation inputs; labels: (N, …); without them all teach.
        choose: whether a part may teach.
    """
    order = ranked(answers, labels if choose else None, problem)
    if labels is None or not choose or len(order) < 2 or problem is not CLASSIFICATION:
        return order
    probabilities = [each.softmax(1) for each in answers]

    def quality(total: Tensor) -> tuple[float, float]:
        mean = total / total.sum(1, keepdim=True)
        return accuracy(mean, labels), -cross_entropy(mean.clamp_min(LEAST_PROBABILITY).log(), labels)

    path, total = order[:1], probabilities[order[0]]
    best, count, chosen = quality(total), 1, total
    while len(path) < len(order):
        _, place = max((quality(total + probabilities[i]), -i) for i in order if i not in path)
        path.append(-place)
        total = total + probabilities[-place]
        found = quality(total)
        if found > best:
            best, count, chosen = found, len(path), total
    return path[:count] if _plainly_better(chosen.argmax(1) == labels, total.argmax(1) == labels) else order


def check_class_orders(members: Sequence[Network], answers: Sequence[Tensor], labels: Tensor | None = None) -> None:
    """Refuse the member that would agree much better with the labels, or else with the others, if its classes had
    other names.

    Args:
        answers: (N, K) logits of each; labels: (N,), None where they are not known.
    Raises:
        ConfigError: says how often it agrees, and how often it would.
    """
    probabilities = [each.softmax(1) for each in answers]
    total = torch.stack(probabilities).sum(0)
    images, classes = total.shape
    said = [each.argmax(1) for each in probabilities]
    # By chance alone a new order may fit few images better.
    least = max(1 / classes, 3 / sqrt(images))
    found: list[tuple[float, Network, float, float]] = []
    for place, (member, own) in enumerate(zip(members, said, strict=True)):
        told = (total - probabilities[place]).argmax(1) if labels is None else labels
        counts = torch.bincount(own * classes + told, minlength=classes**2).view(classes, classes)
        renamed = _names(counts, known=labels is not None)[own]
        plain, reordered = (int((each == told).sum()) / images for each in (own, renamed))
        # Two networks that hardly ever say another class than their favourite agree as often whatever they see.
        shares = [counts.sum(axis).double().sort().values / images for axis in (0, 1)]
        if reordered - max(plain, float(shares[0] @ shares[1])) > least:
            # A member in another order makes sound ones disagree with all others together, but not with each other.
            others = [told] if labels is not None else said[:place] + said[place + 1 :]
            gain = sum(int((renamed == each).sum()) - int((own == each).sum()) for each in others)
            found.append((gain, member, plain, reordered))
    if not found:
        return
    _, member, plain, reordered = max(found, key=lambda each: each[0])
    agrees = "agrees with the other members on" if labels is None else "is right on"
    order = "one order" if labels is None else "the order of the labels"
    below = f", below the chance of {1 / classes:.0%}," if plain < 1 / classes else ""
    hardly = " It may have hardly been trained." if reordered < HARDLY / classes else ""
    raise ConfigError(
        f"{name_of(member)} {agrees} {plain:.0%} of the validation images{below} and would "
        f"{'' if labels is None else 'be '}on {reordered:.0%} with its classes in another order.{hardly}",
        f"Leave it out, or give members that were trained with their classes in {order} and on images that were "
        f"normalised alike ({setting('normalise')}).",
    )


def _names(counts: Tensor, *, known: bool) -> Tensor:
    """(K,) what the classes of one are to be called to agree with the other most often; their own names where fewer
    than two classes that are each other's most frequent answer would have another: a class that one never says is
    left out of what it says, and not called otherwise.

    Args:
        counts: (K, K) images to which one gives class i and the other class j.
        known: whether the other is the labels. Of two networks that were shown different classes each says its own, so
            that a new name counts only where one says it for other images.
    """
    _, columns = scipy.optimize.linear_sum_assignment(counts.numpy(), maximize=True)
    own, names = torch.arange(len(counts)), torch.from_numpy(columns)
    mutual = (counts.argmax(1) == names) & (counts.argmax(0)[names] == own)
    if not known:
        mutual &= counts.sum(1)[names] * len(counts) > SELDOM * counts.sum()
    return names if int(((names != own) & mutual).sum()) > 1 else own


def _check_runs(member: Network, data: LabelledData) -> None:
    """Refuse a network that takes images of one size alone, and another one than these."""
    if member.architecture.io == data.io:
        return
    try:
        with torch.no_grad():
            member.architecture.run(member.weights, torch.zeros(1, *data.io.input_shape, device=member.weights.device))
    except RuntimeError as failure:
        raise ConfigError(
            f"the member {name_of(member)} is for {member.architecture.io.describe()}; these {data.io.one}s are "
            f"{data.io.describe()}.",
            f"Give images that it was trained on: {setting('data')}.",
        ) from failure


def _check_steady(member: Network, own: Tensor, data: LabelledData, runner: Runner) -> None:
    """Refuse a network whose answer depends on chance, or on the images beside.

    Args:
        own: (N, K) what it has answered to the validation images.
    """
    count, weights = min(ASKED_AGAIN, len(own) // 2), runner.place(member.weights)
    if not count:
        return
    once, again = (logits_of(member.architecture, weights, data, "val", runner, most=count) for _ in range(2))
    unsteady = UNSTEADY if runner.precision_name == "float32" else UNSTEADY_IN_HALF
    most = unsteady * float((own - own.mean(0)).abs().max())
    if float((once - again).abs().max()) > most:
        raise ConfigError(
            f"{name_of(member)} gives other outputs when it is asked again about the same {data.io.one}s: something in "
            "it is random in evaluation mode, too.",
            "Let its module draw random numbers in training alone.",
        )
    if float((once - own[:count]).abs().max()) > most:
        raise ConfigError(
            f"{name_of(member)} gives other outputs for the same {data.io.one}s where there are others beside them: "
            "something in it is normalised by those that come together.",
            "Let it normalise each by itself, or by statistics that it keeps.",
        )


def _check_functions(
    members: Sequence[Network], answers: Sequence[Tensor], problem: Problem, *, all_teach: bool
) -> tuple[int, ...]:
    """Refuse copies, and where all teach also whoever gives the same outputs for all images; else return places of
    these."""
    for member, own in zip(members, answers, strict=True):
        check_outputs(own, name_of(member))
    if problem is CLASSIFICATION:
        # What is added to all logits of an image changes no probability.
        answers = [own - own.mean(1, keepdim=True) for own in answers]
    silent = tuple(i for i, own in enumerate(answers) if torch.equal(own, own[:1].expand_as(own)))
    if silent and (all_teach or len(silent) == len(members)):
        raise _says_nothing([members[i] for i in silent], len(answers[0]))
    if problem is CLASSIFICATION:
        # Nor does a number by which all are multiplied make another network of a copy.
        answers = [own if i in silent else own / (own - own.mean(0)).std() for i, own in enumerate(answers)]
    for i, own in enumerate(answers):
        for j, other in enumerate(answers[:i]):
            spread = float((own - own.mean(0)).abs().max())
            in_half = SAME_IN_HALF * spread if _is_half(members[i]) or _is_half(members[j]) else 0.0
            if float((own - other).abs().max()) > max(SAME * float(own.abs().max()), in_half):
                continue
            raise _says_nothing([members[j], members[i]], len(own)) if i in silent else _copies(members[j], members[i])
    return silent


def _is_half(member: Network) -> bool:
    """Whether all weights are numbers of half precision."""
    weights = member.weights
    return any(torch.equal(weights, weights.to(kind).to(weights.dtype)) for kind in (torch.float16, torch.bfloat16))


def _check_logits(own: Tensor, name: str) -> None:
    """Refuse a classifier that gives probabilities (N, K), of which others would be made by another softmax."""
    if bool((own >= 0).all()) and float((own.sum(1) - 1).abs().max()) < SUM_OFF:
        raise ConfigError(
            f"{name} gives probabilities, and logits are needed: the outputs of each image add up to 1.",
            "Let its module leave out the softmax at its end: the parameters are the same.",
        )


def _says_nothing(members: Sequence[Network], count: int) -> ConfigError:
    *first, last = (name_of(each) for each in members)
    inputs = f"all {count} {members[0].architecture.io.one}s"
    if not first:
        return ConfigError(
            f"{last} gives the same outputs for {inputs}: it was not trained, or its last layer is zero.",
            "Leave it out.",
        )
    return ConfigError(
        f"{', '.join(first)} and {last} give the same outputs for {inputs}: they were not trained, or their last "
        "layers are zero.",
        "Leave them out.",
    )


def _copies(one: Network, other: Network) -> ConfigError:
    return ConfigError(
        f"{name_of(one)} and {name_of(other)} are the same network: a copy adds nothing to what is merged.",
        "Leave one of them out.",
    )
