"""One step of a path between networks, and its score on images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.runtime.results import Result
from netspace_cli.core.runtime.runner import Runner

from .network import Network
from .scores import labels_of, logits_of_each


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
    outputs = None if data is None else logits_of_each(_finite(networks), runner.place(data), split, runner)
    rows = []
    with runner.progress(description, len(networks)) as tick:
        for i, network in enumerate(networks):
            rows.append(_score(Step(i, i / (len(networks) - 1), network), outputs, data, split))
            found = rows[-1].accuracy
            key = network.architecture.io.problem.key
            tick(1, **({} if found is None else {key: found}))
    return rows


def _finite(networks: Sequence[Network]) -> list[Network]:
    return [network for network in networks if torch.isfinite(network.weights).all()]


def _score(step: Step, outputs: Iterator[Tensor] | None, data: LabelledData | None, split: str) -> Step:
    """A step with its scores; `outputs` gives logits of the networks with finite weights, in their order."""
    if not _finite([step.network]):
        return replace(step, error="weights are not finite")
    if outputs is None or data is None:
        return step
    logits = next(outputs)
    if not torch.isfinite(logits).all():
        return replace(step, error="outputs are not finite")
    labels, problem = labels_of(data, split), data.io.problem
    return replace(step, accuracy=problem.scored(logits, labels), loss=problem.loss(logits, labels).item())
