"""What members have answered, so that no one is asked twice about the same inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import logits_of
from netspace_cli.core.runtime.runner import Runner

# Of all answers together; what is more is asked for again.
MOST_BYTES = 2**30

Inputs: TypeAlias = tuple[str | int, ...]
"""Says which inputs: a split, or batches of training images by their number and size."""


@dataclass(frozen=True)
class Answers:
    """Answers of networks that several merges have among their members, such as draws from one zoo.

    All by one runner, on one data set: then the same words are the same inputs.

    Attributes:
        most_bytes: of what is kept.
    """

    most_bytes: int = MOST_BYTES
    _kept: dict[tuple[str, Inputs], Tensor] = field(default_factory=dict)

    def of(self, network: Network, inputs: Inputs, ask: Callable[[], Tensor]) -> Tensor:
        """What a network answers; on the processor where it was remembered. One that has no file is always asked."""
        key = (network.sha256, inputs)
        if key in self._kept:
            return self._kept[key]
        found = ask()
        if network.sha256 and self._bytes + found.nbytes <= self.most_bytes:
            self._kept[key] = found.cpu()
        return found

    @property
    def _bytes(self) -> int:
        return sum(each.nbytes for each in self._kept.values())


# A merge by itself asks everyone once: there is nothing to remember.
FORGETFUL = Answers(most_bytes=0)


def on_split(network: Network, data: LabelledData, split: str, runner: Runner, known: Answers) -> Tensor:
    """(N, K) what a network answers to a split's inputs, on the processor; `data` on the runner's device."""

    def ask() -> Tensor:
        return logits_of(network.architecture, runner.place(network.weights), data, split, runner)

    return known.of(network, (split,), ask)
