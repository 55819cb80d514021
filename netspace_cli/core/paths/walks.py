"""Paths between two networks that are shown together: straight, bent, and between weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from netspace_cli.core.data.data import Data
from netspace_cli.core.encoding.decode import decode_row
from netspace_cli.core.kinds.kind import PathStep
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.path_step import Step
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space

from .bent import bendable, bent, check_bend
from .path import straight, walk, weight_paths

# Paths between shapes: solved for, or a line of the space; other spaces have one path.
BENT, STRAIGHT, SPACE = "bent", "straight", "space"
WEIGHTS, ALIGNED = "weights", "aligned weights"


@dataclass(frozen=True)
class PathEnd:
    """One end of a path.

    Attributes:
        embedding: (E,).
        arch: its architecture.
        network: None for an embedding alone.
    """

    embedding: Tensor
    arch: str
    network: Network | None = None


@dataclass(frozen=True)
class PathPlan:
    """The paths to walk between two networks, and how to show them.

    Attributes:
        steps: N; each path has N + 1 steps.
        bend: solve for a path that blends both ends, with the straight one beside it (shapes alone).
        weights: walk between the weights as well, raw and with hidden units aligned.
        split: of the data, for scores.
    """

    steps: int
    bend: bool = False
    weights: bool = False
    split: str = "test"


@dataclass(frozen=True)
class Walks:
    """Paths between two networks.

    Attributes:
        main: name of the path asked for; the others are shown beside it.
        networks: the steps of each path, by its name.
        seen: what is seen at these steps, as in `Kind.look`.
        decoded_ends: whether both ends of the paths between weights are what embeddings decode to.
    """

    main: str
    networks: Mapping[str, Sequence[Step]]
    seen: Mapping[str, Sequence[PathStep]]
    decoded_ends: bool

    @property
    def path(self) -> Sequence[PathStep]:
        """The steps of the requested path."""
        return self.seen[self.main]

    @property
    def baselines(self) -> dict[str, Sequence[PathStep]]:
        """The other paths."""
        return {name: steps for name, steps in self.seen.items() if name != self.main}


def is_bent(space: Space, bend: bool | None, steps: int) -> bool:
    """Whether a path is bent: as requested, and by default if it can be.

    Raises:
        ConfigError: it was asked for, and the space's paths cannot be bent.
    """
    if bend:
        check_bend(space)
    return can_bend(space, steps) if bend is None else bend


def can_bend(space: Space, steps: int) -> bool:
    """Whether bending a path with this number of steps would change it."""
    return steps > 1 and bendable(space)


def walks(
    start: PathEnd, end: PathEnd, space: Space, runner: Runner, plan: PathPlan, *, data: Data | None = None
) -> Walks:
    """Walk from one network to another along the requested path, and the others shown with it.

    Args:
        data: of the space; scores the networks of classifiers.
    Raises:
        ConfigError: weights of two architectures, fewer than one step, or a path that cannot be bent.
    """
    common: dict[str, Any] = {"data": data, "split": plan.split}
    ends = (start.arch, end.arch)
    line = straight(runner.place(start.embedding), runner.place(end.embedding), plan.steps)
    name = BENT if plan.bend else STRAIGHT if bendable(space) else SPACE
    paths = {name: walk(line, space, runner, ends=ends, **common)}
    if plan.bend:
        route = bent(start.embedding, end.embedding, space, runner, steps=plan.steps)
        paths = {BENT: walk(list(route), space, runner, ends=ends, **common), STRAIGHT: paths[BENT]}
    if plan.weights:
        one, other = (network_at(each, space, runner) for each in (start, end))
        paths |= weight_paths(one, other, runner, steps=plan.steps, **common)
    seen: dict[str, Sequence[PathStep]] = {}
    for each, path in paths.items():
        shared = [step for other in seen.values() for step in (other[0], other[-1])]
        seen[each] = space.kind.look(path, runner, name=each, beside=shared)
    return Walks(name, paths, seen, start.network is None and end.network is None)


def network_at(end: PathEnd, space: Space, runner: Runner) -> Network:
    """The network itself; for an embedding, what it decodes to."""
    if end.network is not None:
        return end.network
    return decode_row(runner.place(end.embedding), runner.place(space), arch=end.arch)
