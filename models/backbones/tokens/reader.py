"""Readers: compute a first embedding from a network's weights and answers.

A reader of tokens has sources of them (weights, answers); a few latent vectors gather the tokens by attention. A
constant reader has no tokens: what follows must be feedback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..attention import Attention
from .chunks import STATISTICS
from .head import ArchitectureHead


class Reader(nn.Module):
    """Map networks to latents and embeddings."""

    def forward(
        self, index: int, head: ArchitectureHead, weights: Tensor, answers: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Compute latents (B, M, D) for feedback, (B, 0, 0) without any, and embeddings (B, E).

        Args:
            index: of the architecture; head: what is known of it.
            weights: (B, P); answers: (B, T, F) to the probes, None where networks are not run.
        """
        raise NotImplementedError


class ConstantReader(Reader):
    """Give all networks the same learnt embedding."""

    def __init__(self, embedding_size: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros(embedding_size))

    def forward(
        self, index: int, head: ArchitectureHead, weights: Tensor, answers: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        return weights.new_zeros(len(weights), 0, 0), self.first.expand(len(weights), -1)


class ChunkPositions(nn.Module):
    """Learnt positions of one architecture's tokens: (N, D) for chunks, (L, D) for layer statistics."""

    def __init__(self, chunks: int, layers: int, width: int) -> None:
        super().__init__()
        self.chunks = nn.Parameter(0.02 * torch.randn(chunks, width))
        self.layers = nn.Parameter(0.02 * torch.randn(layers, width))


class WeightTokens(nn.Module):
    """Tokens of weights: one per chunk and one per layer's statistics.

    Args:
        positions: of each architecture.
        chunk: weights a token C; width: D.
    """

    def __init__(self, positions: Sequence[ChunkPositions], chunk: int, width: int) -> None:
        super().__init__()
        self.positions = nn.ModuleList(positions)
        self.read_chunk, self.read_statistics = nn.Linear(chunk, width), nn.Linear(STATISTICS, width)

    def forward(self, index: int, head: ArchitectureHead, weights: Tensor, answers: Tensor | None) -> list[Tensor]:
        """[(B, N, D), (B, L, D)]."""
        positions = self.positions[index]
        assert isinstance(positions, ChunkPositions)
        values = weights / head.sigma()
        chunks = self.read_chunk(head.chunks.cut(values)) + positions.chunks
        return [chunks, self.read_statistics(head.chunks.statistics(values)) + positions.layers]


class AnswerTokens(nn.Module):
    """Tokens of answers to the probes.

    Args:
        tokens: T; features: of each F; width: D.
    """

    def __init__(self, tokens: int, features: int, width: int) -> None:
        super().__init__()
        self.read_answer = nn.Linear(features, width)
        self.positions = nn.Parameter(0.02 * torch.randn(tokens, width))

    def forward(self, index: int, head: ArchitectureHead, weights: Tensor, answers: Tensor | None) -> list[Tensor]:
        """[(B, T, D)]; [] if networks are not run."""
        return [] if answers is None else [self.read_answer(answers) + self.positions]


class AttendingReader(Reader):
    """Latent vectors that gather tokens by cross-attention, then self-attention, `depth` times.

    Args:
        sources: of tokens, by name.
        latents: number of latent vectors M; values: of the embedding that each becomes, E / M.
        width: D; depth: rounds; heads: of every attention.
    """

    def __init__(
        self, sources: Mapping[str, nn.Module], *, latents: int, values: int, width: int, depth: int, heads: int
    ) -> None:
        super().__init__()
        self.sources = nn.ModuleDict(dict(sources))
        self.start = nn.Parameter(torch.randn(latents, width))
        self.gather = nn.ModuleList(Attention(width, heads=heads) for _ in range(depth))
        self.mix = nn.ModuleList(Attention(width, heads=heads) for _ in range(depth))
        self.norm_latents = nn.LayerNorm(width)
        self.to_embedding = nn.Linear(width, values)
        with torch.no_grad():  # before training embeddings are short, so that decoding gives each architecture's start
            self.to_embedding.weight.mul_(0.1)
            self.to_embedding.bias.zero_()

    def forward(
        self, index: int, head: ArchitectureHead, weights: Tensor, answers: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        parts = [part for source in self.sources.values() for part in source(index, head, weights, answers)]
        tokens = torch.cat(parts, dim=1)  # (B, N + L + T, D)
        latents = self.start[None]
        for gather, mix in zip(self.gather, self.mix, strict=True):
            latents = gather(latents, tokens)
            latents = mix(latents, latents)
        return latents, self.to_embedding(self.norm_latents(latents)).flatten(1)
