"""What members have answered, so that no one is asked twice about the same inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import logits_of
from netspace_cli.core.runtime.runner import Runner

# Of all answers together; what is more is asked for again.
MOST_BYTES = 2**30
# Answers are kept in blocks of this many values: each by itself would lie between what the next batch takes and gives
# back, and no later batch would fit into the gap (`Runner.in_batches`).
BLOCK = 2**22

Inputs: TypeAlias = tuple[str | int, ...]
"""Says which inputs: a split, or batches of training images by their number and size."""


@dataclass
class Answers:
    """Answers of networks that several merges have among their members, such as draws from one zoo.

    All by one runner, on one data set: then the same words are the same inputs.

    Attributes:
        most_bytes: of what is kept.
    """

    most_bytes: int = MOST_BYTES
    _kept: dict[tuple[str, Inputs], Tensor] = field(default_factory=dict)
    _bytes: int = 0
    _free: Tensor = field(default_factory=lambda: torch.empty(0))

    def of(self, network: Network, inputs: Inputs, ask: Callable[[], Tensor]) -> Tensor:
        """What a network answers; on the processor where it was remembered. One that has no file is always asked."""
        key = (network.sha256, inputs)
        if key in self._kept:
            return self._kept[key]
        found = ask()
        if network.sha256 and self._bytes + found.nbytes <= self.most_bytes:
            self._kept[key] = self._room_for(found).copy_(found)
            self._bytes += found.nbytes
        return found

    def _room_for(self, found: Tensor) -> Tensor:
        """Room of the shape and format of a tensor, on the processor."""
        count = found.numel()
        if count > len(self._free) or found.dtype != self._free.dtype:
            self._free = torch.empty(max(count, BLOCK), dtype=found.dtype)
        room, self._free = self._free[:count], self._free[count:]
        return room.view(found.shape)


# A merge by itself asks everyone once: there is nothing to remember.
FORGETFUL = Answers(most_bytes=0)


def on_split(network: Network, data: LabelledData, split: str, runner: Runner, known: Answers) -> Tensor:
    """(N, K) what a network answers to a split's inputs, on the processor; `data` on the runner's device."""

    def ask() -> Tensor:
        return logits_of(network.architecture, runner.place(network.weights), data, split, runner)

    return known.of(network, (split,), ask)
