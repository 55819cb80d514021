"""Runs of the experiment on merging: each draw of members, with and without labels; all are saved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from netspace_models.architectures import Architecture, NetworkIO
from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.experiments.run_log import RunLog
from netspace_cli.core.merging.answers import Answers
from netspace_cli.core.merging.merge import Merged, check_merging, merge
from netspace_cli.core.merging.plan import MergePlan
from netspace_cli.core.networks.factories import resolve_architecture
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Instance, Zoo

Run: TypeAlias = dict[str, Any]
"""One line of the log: draw, labels, steps, method, space, into, its parameters; members, accuracies, written, gain,
ways."""

LABELS = {"yes": (True,), "no": (False,), "both": (True, False)}
"""Whether labels are used, by the word for it."""


@dataclass(frozen=True)
class Merging:
    """Amount of work of the experiment.

    Attributes:
        count: members of a draw; draws: of members, each from the best instances.
        top: share of the instances that members are drawn from, the best on validation images: members of unlike
            strength have little to gain together.
        labels: a name in `LABELS`.
        arch: of the members; None where there is one alone.
        into: the architecture of what they become, a name or a factory; None for the members' own.
        steps: of each way; None for the usual, where ways that lag behind are stopped.
        method: as in `MergePlan`.
    """

    count: int = 8
    draws: int = 10
    top: float = 0.25
    labels: str = "both"
    arch: str | None = None
    into: str | None = None
    steps: int | None = None
    method: str | None = None

    def check(self) -> None:
        """Refuse settings that measure nothing.

        Raises:
            ConfigError: fewer than two members, no draw, no such way.
        """
        if self.count < 2 or self.draws < 1:
            raise ConfigError(
                f"{self.draws} draws of {self.count} members are nothing to merge.",
                f"Give at least one draw of two members: {setting('count', 8)}.",
            )
        self.plan(True).check()

    def plan(self, labels: bool) -> MergePlan:
        """How a draw is merged."""
        return MergePlan(method=self.method, steps=self.steps, labels=labels)

    def settings(self) -> dict[str, Any]:
        """Settings that every run depends on; draws, steps, ways and labels may be added to."""
        return {"count": self.count, "top": self.top, "arch": self.arch, "images": self.plan(True).images}


def result_of(plan: Merging, io: NetworkIO) -> Architecture | None:
    """The architecture of the results, where it is not the members' own.

    Raises:
        UnknownArchitecture, ConfigError: the name is not known, or what it names cannot be built for these images.
    """
    return None if plan.into is None else resolve_architecture(plan.into, io)


def pool_of(zoo: Zoo, plan: Merging) -> list[Instance]:
    """The instances that members are drawn from, in the zoo's order.

    Raises:
        ConfigError: several architectures and none named, accuracies that are not known, too few instances.
    """
    names = list(dict.fromkeys(instance.arch for instance in zoo.instances))
    arch = plan.arch or (names[0] if len(names) == 1 else None)
    if arch not in names:
        raise ConfigError(
            f"{zoo.path} has {len(names)} architectures" + (f", and no {arch}." if arch else "."),
            f"Name one of {', '.join(names)}: {setting('arch')}." if names else "Give a zoo that has instances.",
        )
    known = [(i.accuracy.get("val"), i) for i in zoo.instances if i.arch == arch]
    rated = sorted(((value, i) for value, i in known if value is not None), key=lambda each: -each[0])
    if len(rated) < len(known):
        raise ConfigError(
            f"{len(known) - len(rated)} instances of {zoo.path} have no accuracy on validation images.",
            "Give a zoo of `netspace zoo train`, which measures them.",
        )
    best = {i.id for _, i in rated[: round(plan.top * len(rated))]}
    if len(best) < plan.count:
        raise ConfigError(
            f"{setting('top', plan.top)} of {len(rated)} instances are {len(best)}, and a draw has {plan.count}.",
            f"Draw fewer ({setting('count')}) or from more ({setting('top')}).",
        )
    return [i for i in zoo.instances if i.id in best]


def check_draws(zoo: Zoo, pool: list[Instance], data: ImageData, space: Space | None, plan: Merging) -> None:
    """Refuse what no draw could do, before any is merged.

    Raises:
        ConfigError: a way that cannot be gone; WrongSpace: the space lacks the architecture of the results.
    """
    known = {a.name: a for a in zoo.architectures()}
    members = [zoo.network(i, known[i.arch]) for i in pool[: plan.count]]
    architecture = result_of(plan, data.io) or members[0].architecture
    for labels in LABELS[plan.labels]:
        check_merging(members, data if labels else data.without_labels(), architecture, space, plan.plan(labels))


@dataclass(frozen=True)
class Bench:
    """Shared by the runs.

    Attributes:
        zoo: of the members; pool: what they are drawn from.
        data: the zoo's images.
        space: for ways through embeddings; None for none.
        plan: checked.
        runner: its seed draws.
        log: of finished runs.
        known: what members have answered: each is drawn several times.
    """

    zoo: Zoo
    pool: list[Instance]
    data: ImageData
    space: Space | None
    plan: Merging
    runner: Runner
    log: RunLog
    known: Answers = field(default_factory=Answers)

    def members(self, draw: int) -> list[Instance]:
        """The members of a draw, each once; they do not depend on how many draws there are."""
        order = torch.randperm(len(self.pool), generator=self.runner.generator("merging", "draw", draw))
        return [self.pool[i] for i in order[: self.plan.count].tolist()]

    def run(self, draw: int, labels: bool) -> Run:
        """The finished run of a draw, or a new one."""
        sha256 = None if self.space is None else self.space.sha256
        own = self.plan
        what: Run = {"draw": draw, "labels": labels, "steps": own.steps, "method": own.method}
        architecture = result_of(own, self.data.io)
        # A factory's module may have changed.
        size = None if architecture is None else architecture.parameter_count
        what |= {"space": sha256, "into": own.into, "parameters": size}
        done = self.log.find(what)
        if done is not None:
            return done
        known = {a.name: a for a in self.zoo.architectures()}
        drawn = self.members(draw)
        networks = [self.zoo.network(i, known[i.arch]) for i in drawn]
        how: dict[str, Any] = {"architecture": architecture, "space": self.space, "known": self.known}
        found = merge(networks, self.data, self.runner, plan=own.plan(labels), **how)
        return self.log.add({**what, "members": [i.id for i in drawn], **values_of(found)})


def values_of(found: Merged) -> dict[str, Any]:
    """What is kept of a merge."""
    ways = {
        way.name: {
            "steps": way.steps,
            "images": way.images,
            "lr": way.lr,
            "seconds": round(way.seconds, 3),
            "test": way.scores.test,
            "agreement": way.scores.agreement,
        }
        for way in found.ways
    }
    return {"accuracies": list(found.accuracies), "written": found.method, "gain": found.gain, "ways": ways}
