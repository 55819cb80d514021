"""One step of a path between networks, and its score on images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.runtime.results import Result
from netspace_cli.core.runtime.runner import Runner

from .network import Network
from .scores import labels_of, logits_of


@dataclass(frozen=True)
class Step(Result):
    """One step of a path.

    Attributes:
        step: 0 ... N; gamma: step / N.
        network: the network there.
        accuracy, loss: on the split; of regressors R² and mean squared error. None without data, or where the step
            failed.
        error: why it failed, "" if it did not. A failed step keeps its place.
    """

    step: int
    gamma: float
    network: Network
    accuracy: float | None = None
    loss: float | None = None
    error: str = ""

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of its scores in `row`."""
        return (self.network.architecture.io.problem.key, "loss")

    def to_dict(self) -> dict[str, Any]:
        """As `row`."""
        return self.row()

    def row(self) -> dict[str, Any]:
        """As a row for scripts; scores only if there are any."""
        row: dict[str, Any] = {
            "step": self.step,
            "gamma": self.gamma,
            "arch": self.network.architecture.name,
            "parameters": self.network.architecture.parameter_count,
        }
        scores = {
            self.network.architecture.io.problem.key: self.accuracy,
            "loss": self.loss,
            "error": self.error or None,
        }
        return row | {name: value for name, value in scores.items() if value is not None}


def score_steps(
    networks: Sequence[Network],
    data: LabelledData | None,
    runner: Runner,
    split: str,
    description: str,
) -> list[Step]:
    """Turn networks into steps of a path, scored on a split's images; without images, not scored.

    Args:
        description: of the work, for the progress.
    """
    placed = runner.place(data) if data is not None else None
    rows = []
    with runner.progress(description, len(networks)) as tick:
        for i, network in enumerate(networks):
            rows.append(_score(i, i / (len(networks) - 1), network, placed, runner, split))
            found = rows[-1].accuracy
            key = network.architecture.io.problem.key
            tick(1, **({} if found is None else {key: found}))
    return rows


def _score(step: int, gamma: float, network: Network, data: LabelledData | None, runner: Runner, split: str) -> Step:
    if not torch.isfinite(network.weights).all():
        return Step(step, gamma, network, error="weights are not finite")
    if data is None:
        return Step(step, gamma, network)
    logits = logits_of(network.architecture, network.weights, data, split, runner)
    if not torch.isfinite(logits).all():
        return Step(step, gamma, network, error="outputs are not finite")
    labels = labels_of(data, split)
    problem = data.io.problem
    return Step(step, gamma, network, problem.scored(logits, labels), problem.loss(logits, labels).item())
