"""What the ways of merging begin from: the best member, means of weights, embeddings of a space; each made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import TypeVar

import torch
from netspace_models.architectures import Architecture
from netspace_models.architectures.architecture import Form
from torch import Tensor

from netspace_cli.core.encoding.decode import decode_row
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.networks.network import Network
from netspace_cli.core.spaces.space import Space

from .judge import Judge
from .means import aligned, greedy_mean, mean_of, refreshed
from .panel import Panel
from .plan import ON_SPACE
from .students import Student, embedding_student, fresh_student, weight_student

Found = TypeVar("Found")


@dataclass(frozen=True)
class Start:
    """Weights (P,) on the processor, of how many members they are, and the seconds that they took."""

    weights: Tensor
    members: int
    seconds: float


def ways_left_out(
    members: Sequence[Network], architecture: Architecture, space: Space | None, *, labels: bool
) -> dict[str, str]:
    """Ways that cannot be gone, each with the reason as half a sentence; `labels`: whether there are any to use."""
    name, found = architecture.name, dict[str, str]()
    own = [member for member in members if member.architecture.name == name]
    if not labels:
        found["labels-from-best"] = "no labels are used"
    if not own:
        found |= dict.fromkeys(("best", "from-best", "labels-from-best"), f"no member is a {name}")
    if len(own) < 2:
        few = f"{'one member is' if own else 'no member is'} a {name}, and a mean takes two"
        found |= dict.fromkeys(("mean", "aligned-mean", "refreshed-mean", "greedy-mean", "from-mean"), few)
    elif not architecture.hidden_groups:
        unknown = f"the hidden units of {name} are not known: {architecture.why_no_groups}"
        found |= dict.fromkeys(("aligned-mean", "refreshed-mean", "from-mean"), unknown)
    elif not architecture.pairs:
        found["refreshed-mean"] = f"{name} has no batch norms"
    if space is None:
        found |= dict.fromkeys(
            ON_SPACE, "there is no space with the architectures that knows inputs normalised like these"
        )
    elif not known_in(space, members):
        found |= dict.fromkeys(ON_SPACE, f"space {space.name!r} has the architecture of no member")
    return found


def known_in(space: Space, members: Sequence[Network]) -> list[Network]:
    """Members that a space can encode."""
    known = {a.name: a.spec for a in space.architectures}
    return [member for member in members if known.get(member.architecture.name) == member.architecture.spec]


class Starts:
    """The beginnings, each with the seconds that it took.

    Args:
        panel: whose teachers count; those of the result's architecture are averaged, or, where fewer than two of them
            teach, all members of it but those that give the same outputs for all inputs.
        architecture: of the result.
        space: None for none.
        judge: of the panel; says which members a greedy mean is of.
    """

    def __init__(self, panel: Panel, architecture: Architecture, space: Space | None, judge: Judge) -> None:
        self.architecture, self.space, self._judge = architecture, space, judge
        everyone = [panel.members[i] for i in panel.ranking]
        taught = [panel.members[i] for i in panel.ranking if i in panel.teachers]
        alike = [m for m in everyone if m.architecture.name == architecture.name]
        spoken = [panel.members[i] for i in panel.ranking if i not in panel.silent]
        speaking = [m for m in spoken if m.architecture.name == architecture.name]
        teaching = [m for m in taught if m.architecture.name == architecture.name]
        self.own = teaching if len(teaching) > 1 else speaking or alike
        """Members that are averaged, the best first."""
        self.best = alike[0] if alike else None
        """The best member of the architecture."""
        self.encodable = [] if space is None else known_in(space, taught) or known_in(space, everyone)
        """Members whose embeddings count, the best first."""

    def of(self, way: str) -> Start:
        """A way without steps."""
        made: dict[str, Callable[[], Start]] = {
            "best": lambda: Start(self._best.weights.cpu(), 1, 0.0),
            "mean": lambda: self._of_all(*timed(lambda: mean_of([m.weights.cpu() for m in self.own]))),
            "aligned-mean": lambda: self._mean,
            "refreshed-mean": lambda: self._refreshed,
            "greedy-mean": lambda: self._greedy,
            "space-mean": lambda: self._decoded(len(self.encodable)),
            "space-best": lambda: self._decoded(1),
        }
        return made[way]()

    def student(self, way: str, lr: float) -> tuple[Student, float]:
        """Who is to be taught on a way that distils, and the seconds that the start took."""
        runner = self._judge.runner
        if way in ON_SPACE:
            found, seconds = self._embeddings
            start = found[0] if way == "space-from-best" else found.mean(0)
            return embedding_student(start, self.architecture, self._space, runner), seconds
        if way == "from-fresh":
            return fresh_student(self.architecture, lr, runner), 0.0
        begins = self.of("best") if way in ("from-best", "labels-from-best") else self._best_mean
        network = Network(self.architecture, begins.weights)
        return weight_student(network, self._judge.data, lr, runner), begins.seconds

    @property
    def form(self) -> Form:
        """The layout of the result's checkpoint: the best member's."""
        return "full" if self.best is None else self.best.form

    def share_a_start(self) -> bool:
        """Whether members that are averaged have a mean at least as good as the best of them."""
        return len(self.own) > 1 and self._greedy.members > 1

    @property
    def _best(self) -> Network:
        assert self.best is not None
        return self.best

    @property
    def _space(self) -> Space:
        assert self.space is not None
        return self.space

    @property
    def _best_mean(self) -> Start:
        """The greedy one if it is of several members, and so no worse than the best of those that are averaged."""
        if self._greedy.members > 1:
            return self._greedy
        return self._refreshed if self.architecture.pairs else self._mean

    def _of_all(self, weights: Tensor, seconds: float) -> Start:
        return Start(weights, len(self.own), seconds)

    @cached_property
    def _aligned(self) -> tuple[list[Tensor], float]:
        """(P,) of each member that is averaged, aligned where its hidden units are known."""
        if not self.architecture.hidden_groups:
            return [member.weights.cpu() for member in self.own], 0.0
        return timed(lambda: aligned(self.own, self._judge.runner))

    @cached_property
    def _mean(self) -> Start:
        weights, before = self._aligned
        found, seconds = timed(lambda: mean_of(weights))
        return self._of_all(found, before + seconds)

    @cached_property
    def _refreshed(self) -> Start:
        mean, judge = self._mean, self._judge
        like = self.own[0].weights
        found, seconds = timed(lambda: refreshed(self.architecture, mean.weights, like, judge.data, judge.runner))
        return self._of_all(found, mean.seconds + seconds)

    @cached_property
    def _greedy(self) -> Start:
        weights, before = self._aligned

        def score(each: Tensor) -> float:
            return self._judge.choice(Network(self.architecture, each))

        (found, members), seconds = timed(lambda: greedy_mean(weights, score))
        return Start(found, members, before + seconds)

    def _decoded(self, members: int) -> Start:
        """The network that the mean of the first of the embeddings, best first, decodes to."""
        embeddings, before = self._embeddings
        space = self._judge.runner.place(self._space)
        row = embeddings[:members].mean(0)
        found, seconds = timed(lambda: decode_row(row, space, arch=self.architecture.name).weights.cpu())
        return Start(found, members, before + seconds)

    @cached_property
    def _embeddings(self) -> tuple[Tensor, float]:
        return timed(lambda: encode(self.encodable, self._space, self._judge.runner).vectors)


def timed(work: Callable[[], Found]) -> tuple[Found, float]:
    """What some work finds, and the seconds that it takes."""
    begun = perf_counter()
    with torch.no_grad():
        found = work()
    return found, perf_counter() - begun
