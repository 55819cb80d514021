"""The interface of data, whatever the kind of network."""

from __future__ import annotations

from typing import Any, Protocol, Self

import torch
from netspace_models.architectures import NetworkIO
from torch import Tensor


class Data(Protocol):
    """Inputs for networks of one kind: images of a data set, or points of a box.

    Attributes:
        name: what records call it.
        io: what networks take and give.
    """

    @property
    def name(self) -> str: ...
    @property
    def io(self) -> NetworkIO: ...

    def record(self) -> dict[str, Any]:
        """The data's description for files that depend on it, as plain JSON values."""
        ...

    def to(self, device: torch.device | str) -> Self:
        """The same data on `device`."""
        ...

    def draw(self, split: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Draw inputs (count, …) of a split as in training, with their labels if they have any."""
        ...

    def sample(self, split: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Draw without augmentation and without repeats."""
        ...
