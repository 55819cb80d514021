"""What networks are asked about, whatever their kind."""

from __future__ import annotations

from typing import Any, Protocol, Self

import torch
from netspace_models.architectures import NetworkIO
from torch import Tensor


class Data(Protocol):
    """Inputs that networks of one kind are asked about: images of a data set, points of a box.

    Attributes:
        name: what records call it.
        io: what networks take and give.
    """

    @property
    def name(self) -> str: ...
    @property
    def io(self) -> NetworkIO: ...

    def record(self) -> dict[str, Any]:
        """What a file keeps to say which data it was made with; plain JSON values."""
        ...

    def to(self, device: torch.device | str) -> Self:
        """The same data on `device`."""
        ...

    def draw(self, split: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """(count, …) inputs of a split as training sees them, and their labels if they have any."""
        ...

    def sample(self, split: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """`draw` without augmentation, and without repeats."""
        ...
