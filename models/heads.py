"""Heads: classifiers that recognise an embedding's architecture by ClassId (eq. 6)."""

from __future__ import annotations

from math import isqrt

import torch.nn.functional as F
from torch import Tensor, nn

from .errors import ConfigError

SLOPE = 0.01


class ConvHead(nn.Module):
    """The published head: one convolution on the embedding as a 64 x 64 picture, and one linear layer.

    Raises:
        ConfigError: the embedding is not a square picture.
    """

    def __init__(self, embedding_size: int, architectures: int) -> None:
        super().__init__()
        self.side = isqrt(embedding_size)
        if self.side**2 != embedding_size:
            raise ConfigError(
                f"the conv head cannot read {embedding_size} values as a square picture.",
                f"Choose a square embedding size, such as {self.side**2} or {(self.side + 1) ** 2}.",
            )
        half = (self.side + 1) // 2
        self.conv = nn.Conv2d(1, 10, 3, stride=2, padding=1)
        self.fc = nn.Linear(10 * half * half, architectures)

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, E) to (B, A) logits."""
        picture = embedding.reshape(-1, 1, self.side, self.side)
        return self.fc(F.leaky_relu(self.conv(picture), SLOPE).flatten(1))


class MLPHead(nn.Module):
    """Two linear layers for embeddings of any size."""

    def __init__(self, embedding_size: int, architectures: int, *, hidden: int = 64) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embedding_size, hidden)
        self.fc2 = nn.Linear(hidden, architectures)

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, E) to (B, A) logits."""
        return self.fc2(F.gelu(self.fc1(embedding)))
