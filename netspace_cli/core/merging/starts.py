"""What the ways of merging begin from: the best member, means of weights, embeddings of a space; each made once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from time import perf_counter

import torch
from netspace_models.architectures import Architecture
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space

from .means import aligned_mean, mean_of_weights, refreshed
from .panel import Panel
from .plan import ON_SPACE
from .students import Student, embedding_student, fresh_student, weight_student

Timed = tuple[Tensor, float]


def ways_left_out(
    members: Sequence[Network], architecture: Architecture, space: Space | None, *, labels: bool
) -> dict[str, str]:
    """Ways that cannot be gone, each with the reason as half a sentence; `labels`: whether there are any to use."""
    name, found = architecture.name, dict[str, str]()
    own = [member for member in members if member.architecture.name == name]
    if not labels:
        found["labels-from-best"] = "there are no labels"
    if not own:
        found |= dict.fromkeys(("best", "from-best", "labels-from-best"), f"no member is a {name}")
    if len(own) < 2:
        few = f"{'one member is' if own else 'no member is'} a {name}, and a mean takes two"
        found |= dict.fromkeys(("mean", "aligned-mean", "refreshed-mean", "from-mean"), few)
    elif not architecture.hidden_groups:
        unknown = f"the hidden units of {name} are not known: {architecture.why_no_groups}"
        found |= dict.fromkeys(("aligned-mean", "refreshed-mean", "from-mean"), unknown)
    elif not architecture.pairs:
        found["refreshed-mean"] = f"{name} has no batch norms"
    if space is None:
        found |= dict.fromkeys(ON_SPACE, "there is no space with the architectures")
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
            teach, all members of it.
        architecture: of the result.
        space: None for none.
        data: on the runner's device.
        runner: where networks are run.
    """

    def __init__(
        self, panel: Panel, architecture: Architecture, space: Space | None, data: LabelledData, runner: Runner
    ) -> None:
        self.architecture, self.space, self._data, self._runner = architecture, space, data, runner
        everyone = [panel.members[i] for i in panel.ranking]
        taught = [panel.members[i] for i in panel.teachers]
        alike = [m for m in everyone if m.architecture.name == architecture.name]
        teaching = [m for m in taught if m.architecture.name == architecture.name]
        self.own = teaching if len(teaching) > 1 else alike
        """Members that are averaged, the best first."""
        self.best = alike[0] if alike else None
        """The best member of the architecture."""
        self.encodable = [] if space is None else known_in(space, taught) or known_in(space, everyone)
        """Members whose embeddings count, the best first."""

    def weights(self, way: str) -> Timed:
        """(P,) of a way without steps, on the processor."""
        made: dict[str, Callable[[], Timed]] = {
            "best": lambda: (self._best.weights.cpu(), 0.0),
            "mean": lambda: _timed(lambda: mean_of_weights(self.own)),
            "aligned-mean": lambda: self._aligned,
            "refreshed-mean": lambda: self._refreshed,
        }
        return made[way]()

    def student(self, way: str, lr: float) -> tuple[Student, float]:
        """Who is to be taught on a way that distils, and the seconds that the start took."""
        if way in ON_SPACE:
            assert self.space is not None
            found, seconds = self._embeddings
            start = found[0] if way == "space-from-best" else found.mean(0)
            return embedding_student(start, self.architecture, self.space, self._runner), seconds
        if way == "from-fresh":
            return fresh_student(self.architecture, lr, self._runner), 0.0
        usual = "refreshed-mean" if self.architecture.pairs else "aligned-mean"
        weights, seconds = self.weights("best" if way in ("from-best", "labels-from-best") else usual)
        return weight_student(Network(self.architecture, weights), self._data, lr, self._runner), seconds

    @property
    def _best(self) -> Network:
        assert self.best is not None
        return self.best

    @cached_property
    def _aligned(self) -> Timed:
        return _timed(lambda: aligned_mean(self.own, self._runner))

    @cached_property
    def _refreshed(self) -> Timed:
        mean, before = self._aligned
        like = self.own[0].weights
        found, seconds = _timed(lambda: refreshed(self.architecture, mean, like, self._data, self._runner))
        return found, before + seconds

    @cached_property
    def _embeddings(self) -> Timed:
        space = self.space
        assert space is not None
        return _timed(lambda: encode(self.encodable, space, self._runner).vectors)


def _timed(work: Callable[[], Tensor]) -> Timed:
    begun = perf_counter()
    with torch.no_grad():
        found = work()
    return found, perf_counter() - begun
