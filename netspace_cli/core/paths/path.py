"""Paths between two embeddings, decoded and scored at every step, and baselines between weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netspace_models.errors import ConfigError
from netspace_models.parameters.alignment import align
from netspace_models.wording import Call, setting
from torch import Tensor

from netspace_cli.core.data.data import Data
from netspace_cli.core.encoding.decode import decode_row
from netspace_cli.core.kinds.registry import kind_of
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.path_step import Step
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space


def interpolate(
    start: Tensor,
    end: Tensor,
    space: Space,
    runner: Runner,
    *,
    steps: int,
    data: Data | None = None,
    ends: tuple[str, str] | None = None,
    split: str = "test",
) -> list[Step]:
    """Walk straight from one embedding to another.

    Args:
        start, end: (E,) embeddings of this space.
        steps: N; there are N + 1 rows, and the first and last are exactly `start` and `end`.
        ends, data, split: as in `walk`.
    Raises:
        ConfigError: fewer than one step.
    """
    path = straight(runner.place(start), runner.place(end), steps)
    return walk(path, space, runner, data=data, ends=ends, split=split)


def straight(start: Tensor, end: Tensor, steps: int) -> list[Tensor]:
    """(1 - gamma) · start + gamma · end, gamma = 0 ... 1 (section 8): N + 1 embeddings (E,)."""
    return [(1 - g) * start + g * end for g in gammas(steps)]


def walk(
    path: Sequence[Tensor],
    space: Space,
    runner: Runner,
    *,
    data: Data | None = None,
    ends: tuple[str, str] | None = None,
    split: str = "test",
) -> list[Step]:
    """Decode and score every embedding of a path.

    Args:
        path: at least two embeddings (E,) of this space.
        ends: architectures of the first and the last row, so that these are what decoding gives; by default,
            and in between always, the space's classifier says.
        data: for scores; without them the path is decoded only.
        split: whose images are scored.
    """
    space = runner.place(space)
    first, last = ends or (None, None)
    archs = [first, *[None] * (len(path) - 2), last]
    networks = [decode_row(runner.place(z), space, arch=arch) for z, arch in zip(path, archs, strict=True)]
    return space.kind.score(networks, data, runner, split=split, description="walking the path")


def interpolate_weights(
    start: Network,
    end: Network,
    runner: Runner,
    *,
    steps: int,
    data: Data | None = None,
    split: str = "test",
) -> list[Step]:
    """Baseline: the same walk between the weights themselves.

    Raises:
        ConfigError: the networks are of two architectures, so their weights cannot be mixed.
    """
    one, other = ((n.architecture.name, n.architecture.io) for n in (start, end))
    if one != other:
        raise ConfigError(
            f"weights of a {one[0]} ({one[1].describe()}) and a {other[0]} ({other[1].describe()}) "
            "cannot be interpolated.",
            f"Leave out {Call('interpolate_weights')}: only the space has a path between two architectures.",
        )
    a, b = runner.place(start.weights), runner.place(end.weights)
    networks = [Network(start.architecture, (1 - g) * a + g * b) for g in gammas(steps)]
    kind = kind_of(start.architecture.io, {})
    return kind.score(networks, data, runner, split=split, description="walking between the weights")


def weight_paths(
    start: Network,
    end: Network,
    runner: Runner,
    *,
    steps: int,
    data: Data | None = None,
    split: str = "test",
) -> dict[str, list[Step]]:
    """Baselines of a path: "weights", and "aligned weights" if the hidden units are known.

    Raises:
        ConfigError: two architectures.
    """
    common: dict[str, Any] = {"steps": steps, "data": data, "split": split}
    paths = {"weights": interpolate_weights(start, end, runner, **common)}
    if start.architecture.hidden_groups:
        paths["aligned weights"] = interpolate_weights(start, aligned(start, end, runner), runner, **common)
    return paths


def aligned(reference: Network, network: Network, runner: Runner) -> Network:
    """Align a network's hidden units with those of another of the same architecture."""
    spec = network.architecture.spec
    state = align(
        spec.unflatten(reference.weights.cpu()),
        spec.unflatten(network.weights.cpu()),
        network.architecture.hidden_groups,
        generator=runner.generator("align"),
    )
    return Network(network.architecture, spec.flatten(state), network.form)


def gammas(steps: int) -> list[float]:
    """0 ... 1 in N steps: N + 1 numbers.

    Raises:
        ConfigError: N < 1.
    """
    if steps < 1:
        raise ConfigError(f"a path cannot have {steps} steps.", f"Give at least one: {setting('steps', 1)}.")
    return [i / steps for i in range(steps + 1)]
