"""Paths between two embeddings, decoded and scored at every step; and the plain alternative."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from netspace_models.alignment import align
from netspace_models.errors import ConfigError
from torch import Tensor

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.encoding.decode import decode_row
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import accuracy, cross_entropy, labels_of, logits_of
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space


@dataclass(frozen=True)
class Step:
    """One step of a path.

    Attributes:
        step: 0 ... N; gamma: step / N.
        network: what stands there.
        accuracy, loss: on the split; None without images, or where the step failed.
        error: why it failed, "" if it did not. A failed step keeps its place.
    """

    scores: ClassVar[tuple[str, ...]] = ("accuracy", "loss")

    step: int
    gamma: float
    network: Network
    accuracy: float | None = None
    loss: float | None = None
    error: str = ""

    def row(self) -> dict[str, Any]:
        """As scripts read it; scores only where there are any."""
        row: dict[str, Any] = {
            "step": self.step,
            "gamma": self.gamma,
            "arch": self.network.architecture.name,
            "parameters": self.network.architecture.parameters,
        }
        scores = {"accuracy": self.accuracy, "loss": self.loss, "error": self.error or None}
        return row | {name: value for name, value in scores.items() if value is not None}


def interpolate(
    start: Tensor,
    end: Tensor,
    space: Space,
    runner: Runner,
    *,
    steps: int,
    data: ImageData | None = None,
    ends: tuple[str, str] | None = None,
    split: str = "test",
) -> list[Step]:
    """Walk from one embedding straight to another.

    Args:
        start, end: (E,) embeddings of this space.
        steps: N; there are N + 1 rows, and the first and last are exactly `start` and `end`.
        ends, data, split: as of `walk`.
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
    data: ImageData | None = None,
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
    return _scored(networks, data, runner, split, "walking the path")


def interpolate_weights(
    start: Network,
    end: Network,
    runner: Runner,
    *,
    steps: int,
    data: ImageData | None = None,
    split: str = "test",
) -> list[Step]:
    """The baseline: the same walk between the parameters themselves.

    Raises:
        ConfigError: the networks are of two architectures, so their weights cannot be mixed.
    """
    one, other = ((n.architecture.name, n.architecture.signal) for n in (start, end))
    if one != other:
        raise ConfigError(
            f"weights of a {one[0]} ({one[1].describe()}) and a {other[0]} ({other[1].describe()}) "
            "cannot be interpolated.",
            "Leave out --weights: only the space has a path between two architectures.",
        )
    a, b = runner.place(start.vector), runner.place(end.vector)
    networks = [Network(start.architecture, (1 - g) * a + g * b) for g in gammas(steps)]
    return _scored(networks, data, runner, split, "walking between the weights")


def weight_paths(
    start: Network,
    end: Network,
    runner: Runner,
    *,
    steps: int,
    data: ImageData | None = None,
    split: str = "test",
) -> dict[str, list[Step]]:
    """The baselines of a path: "weights", and "aligned weights" where the hidden units are known.

    Raises:
        ConfigError: two architectures.
    """
    common: dict[str, Any] = {"steps": steps, "data": data, "split": split}
    paths = {"weights": interpolate_weights(start, end, runner, **common)}
    if start.architecture.hidden_groups:
        paths["aligned weights"] = interpolate_weights(start, aligned(start, end, runner), runner, **common)
    return paths


def aligned(reference: Network, network: Network, runner: Runner) -> Network:
    """A network with its hidden units in the order nearest to another's of the same architecture."""
    spec = network.architecture.spec
    state = align(
        spec.unflatten(reference.vector.cpu()),
        spec.unflatten(network.vector.cpu()),
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
        raise ConfigError(f"{steps} steps make no path.", "Give at least one: --steps 1.")
    return [i / steps for i in range(steps + 1)]


def _scored(
    networks: Sequence[Network],
    data: ImageData | None,
    runner: Runner,
    split: str,
    description: str,
) -> list[Step]:
    placed = runner.place(data) if data is not None else None
    rows = []
    with runner.progress(description, len(networks)) as tick:
        for i, network in enumerate(networks):
            rows.append(_score(i, i / (len(networks) - 1), network, placed, runner, split))
            found = rows[-1].accuracy
            tick(1, **({} if found is None else {"accuracy": found}))
    return rows


def _score(step: int, gamma: float, network: Network, data: ImageData | None, runner: Runner, split: str) -> Step:
    if not torch.isfinite(network.vector).all():
        return Step(step, gamma, network, error="weights are not finite")
    if data is None:
        return Step(step, gamma, network)
    logits = logits_of(network.architecture, network.vector, data, split, runner)
    if not torch.isfinite(logits).all():
        return Step(step, gamma, network, error="outputs are not finite")
    labels = labels_of(data, split)
    return Step(step, gamma, network, accuracy(logits, labels), cross_entropy(logits, labels))
