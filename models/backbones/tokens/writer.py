"""Writers: what a decoder adds to the bias and the direct path."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..attention import Attention
from .head import ArchitectureHead


class Writer(nn.Module):
    """Map embeddings to weights."""

    def forward(self, index: int, head: ArchitectureHead, embeddings: Tensor, start: int = 0) -> Tensor:
        """Map (B, E) to (B, P), in units of each layer.

        Args:
            index: of the architecture; head: what is known of it.
            start: number of the starting point.
        """
        raise NotImplementedError


class DirectWriter(Writer):
    """Only the bias and the direct path: weights are linear in the embedding."""

    def forward(self, index: int, head: ArchitectureHead, embeddings: Tensor, start: int = 0) -> Tensor:
        return head.write(embeddings, start)


class AttendingWriter(Writer):
    """Add a learnt query for each chunk of each architecture, which gathers the embedding's latent vectors.

    Args:
        queries: (N, D) of each architecture's chunks.
        latents: number of latent vectors M; values: of the embedding that each is made of, E / M.
        chunk: weights a query writes C; heads: of every attention.
    """

    def __init__(
        self, queries: Sequence[nn.Parameter], *, latents: int, values: int, chunk: int, width: int, heads: int
    ) -> None:
        super().__init__()
        self.queries = nn.ParameterList(queries)
        self.from_embedding = nn.Linear(values, width)
        self.positions = nn.Parameter(0.02 * torch.randn(latents, width))
        self.unmix = Attention(width, heads=heads)
        self.spread = Attention(width, heads=heads)
        self.norm_chunks = nn.LayerNorm(width)
        self.write_chunk = nn.Linear(width, chunk)
        with torch.no_grad():  # before training decoding gives each architecture's start
            self.write_chunk.weight.mul_(0.1)
            self.write_chunk.bias.zero_()

    def forward(self, index: int, head: ArchitectureHead, embeddings: Tensor, start: int = 0) -> Tensor:
        # First, as gradients are summed in the order of the graph, and sums of another order have other bits.
        direct = head.write(embeddings, start)
        latents = embeddings.unflatten(1, (len(self.positions), -1))
        latents = self.from_embedding(latents) + self.positions
        latents = self.unmix(latents, latents)
        queries = self.queries[index][None]
        chunks = self.write_chunk(self.norm_chunks(self.spread(queries, latents)))
        return direct + head.chunks.join(chunks)
