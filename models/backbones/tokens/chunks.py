"""Cut an architecture's weights into chunks, and compute statistics of its layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...parameters.spec import NetworkSpec

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
STATISTICS = 3 + len(QUANTILES)
SAMPLED = 2048


class Chunks(nn.Module):
    """Division of an architecture's flat weights into chunks, none of which crosses the end of a layer.

    Attributes:
        size: weights per chunk C; lengths, counts: weights and chunks of each layer.
        layer_of_weight: (P,); sampled: (L, SAMPLED) places for quantiles. Not saved, as they follow from the spec.
    """

    layer_of_weight: Tensor
    sampled: Tensor
    levels: Tensor

    def __init__(self, spec: NetworkSpec, size: int) -> None:
        super().__init__()
        self.size = size
        self.lengths = [layer.stop - layer.start for layer in spec.layers]
        self.counts = [-(-length // size) for length in self.lengths]
        sizes = torch.tensor(self.lengths)
        self.register_buffer("layer_of_weight", torch.repeat_interleave(sizes), persistent=False)
        # Quantiles of large layers are taken from evenly spaced values: sorting all would cost more than
        # the rest of the encoder.
        # In double precision: beyond 2^24 weights, single precision would step outside the layer.
        sampled = [
            torch.linspace(layer.start, layer.stop - 1, SAMPLED, dtype=torch.float64).long() for layer in spec.layers
        ]
        self.register_buffer("sampled", torch.stack(sampled), persistent=False)
        # Here, so that it is where the weights are: numbers that become a tensor there would be waited for.
        self.register_buffer("levels", torch.tensor(QUANTILES), persistent=False)

    def __len__(self) -> int:
        """Number of chunks N."""
        return sum(self.counts)

    # Both by whole layers: an index of every weight, and its gradient, would take several times as long.
    def cut(self, weights: Tensor) -> Tensor:
        """Cut (B, P) into (B, N, C), padded with zeros where a chunk is not full."""
        parts: list[Tensor] = []
        for part, count in zip(weights.split(self.lengths, dim=1), self.counts, strict=True):
            parts += [part, part.new_zeros(len(part), count * self.size - part.shape[1])]
        return torch.cat(parts, dim=1).unflatten(1, (-1, self.size))

    def join(self, chunks: Tensor) -> Tensor:
        """Join chunks (B, N, C) to (B, P); undoes `cut`."""
        pieces = [
            piece
            for length, count in zip(self.lengths, self.counts, strict=True)
            for piece in (length, count * self.size - length)
        ]
        return torch.cat(chunks.flatten(1).split(pieces, dim=1)[::2], dim=1)

    def statistics(self, weights: Tensor) -> Tensor:
        """(B, P) to (B, L, F): mean, standard deviation, its logarithm and quantiles of each layer."""
        values = weights[:, self.sampled]  # (B, L, SAMPLED)
        quantiles = torch.quantile(values, self.levels.to(values.dtype), dim=-1).movedim(0, -1)
        deviation = values.std(dim=-1, keepdim=True)
        parts = (values.mean(dim=-1, keepdim=True), deviation, (deviation + 1e-3).log(), quantiles)
        return torch.cat(parts, dim=-1)
