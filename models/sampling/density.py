"""The interface of all densities of embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..errors import ConfigError


class Density(Protocol):
    """Draws embeddings like those it was learnt from."""

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw one embedding (E,), on the processor."""
        ...


def draw_many(density: Density, generators: Sequence[torch.Generator]) -> Tensor:
    """Draw one embedding from each generator: (n, E)."""
    return torch.stack([density.draw(generator) for generator in generators])


def checked_rows(rows: Tensor, what: str, least: int = 2) -> Tensor:
    """Check that rows can be learnt from: (N, E) float32 on the processor.

    Args:
        what: what learns from them, for the message.
        least: how many it needs.
    Raises:
        ConfigError: too few, or NaN or infinity among them.
    """
    if len(rows) < least:
        raise ConfigError(
            f"{what} needs at least {least} embeddings to learn from; there {'is' if len(rows) == 1 else 'are'} "
            f"{len(rows)}.",
            "Draw from more training instances, or train a larger zoo.",
        )
    if not bool(torch.isfinite(rows).all()):
        raise ConfigError(f"{what} cannot learn from embeddings that hold NaN or infinity.", "Train the space again.")
    return rows.detach().float().cpu()
