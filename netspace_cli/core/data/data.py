"""The interface of data, whatever the kind of network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


class LabelledSplit(Protocol):
    """Inputs with labels."""

    @property
    def labels(self) -> Tensor:
        """(N, …) what networks are to answer, as `NetworkIO.problem` compares it with outputs."""
        ...

    def __len__(self) -> int: ...


class LabelledData(Data, Protocol):
    """Labelled inputs with splits train, val and test: images of a data set, or rows of a table.

    Attributes:
        splits: exactly "train", "val" and "test", none empty.
        notes: how the splits came about, where the source did not give them.
        labelled: whether the labels are known.
        val_of_train: whether val was taken from train, as the source gave none.
    """

    @property
    def splits(self) -> Mapping[str, LabelledSplit]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def labelled(self) -> bool: ...
    @property
    def val_of_train(self) -> bool: ...

    def batch(self, split: str, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Inputs (B, …) of a split, as networks take them, and their labels.

        Raises:
            ConfigError: no such split.
        """
        ...

    def augmented(self, split: str, index: Tensor | slice, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return a `batch`, changed at random as in training."""
        ...

    def augmented_each(
        self, split: str, index: Tensor, *, generators: Sequence[torch.Generator]
    ) -> tuple[Tensor, Tensor]:
        """Return `augmented` inputs (B, N, …) and labels for several networks, each with its own indices (B, N)."""
        ...

    def without_labels(self) -> Self:
        """The same inputs, as if no labels were known."""
        ...

    def draw(self, split: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]: ...

    def sample(self, split: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]: ...
