"""Cut an architecture's weights into chunks, and compute statistics of its layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...parameters.spec import NetworkSpec

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
STATISTICS = 3 + len(QUANTILES)
SAMPLED = 2048


class Chunks(nn.Module):
    """Division of an architecture's flat weights into chunks, none of which crosses the end of a layer.

    Buffers (not saved; they follow from the spec): `places` (N, C) where each value of each chunk lies,
    P for padding; `layer_of_weight` (P,); `layer_of_chunk` (N,).
    """

    places: Tensor
    inverse: Tensor
    layer_of_weight: Tensor
    sampled: Tensor

    def __init__(self, spec: NetworkSpec, size: int) -> None:
        super().__init__()
        rows = []
        for layer in spec.layers:
            count = -(-(layer.stop - layer.start) // size)
            row = torch.arange(layer.start, layer.start + count * size).view(count, size)
            rows.append(torch.where(row < layer.stop, row, spec.size))
        places = torch.cat(rows)
        sizes = torch.tensor([layer.stop - layer.start for layer in spec.layers])
        inverse = torch.empty(spec.size, dtype=torch.int64)
        flat = places.flatten()
        real = flat < spec.size
        inverse[flat[real]] = torch.arange(len(flat))[real]
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("inverse", inverse, persistent=False)
        self.register_buffer("layer_of_weight", torch.repeat_interleave(sizes), persistent=False)
        # Quantiles of large layers are taken from evenly spaced values: sorting all would cost more than
        # the rest of the encoder.
        # In double precision: beyond 2^24 weights, single precision would step outside the layer.
        sampled = [
            torch.linspace(layer.start, layer.stop - 1, SAMPLED, dtype=torch.float64).long() for layer in spec.layers
        ]
        self.register_buffer("sampled", torch.stack(sampled), persistent=False)

    def cut(self, weights: Tensor) -> Tensor:
        """Cut (B, P) into (B, N, C), padded with zeros where a chunk is not full."""
        return F.pad(weights, (0, 1))[:, self.places]

    def join(self, chunks: Tensor) -> Tensor:
        """Join chunks (B, N, C) to (B, P); undoes `cut`."""
        return chunks.flatten(1)[:, self.inverse]

    def statistics(self, weights: Tensor) -> Tensor:
        """(B, P) to (B, L, F): mean, standard deviation, its logarithm and quantiles of each layer."""
        values = weights[:, self.sampled]  # (B, L, SAMPLED)
        levels = torch.tensor(QUANTILES, device=values.device, dtype=values.dtype)
        quantiles = torch.quantile(values, levels, dim=-1).movedim(0, -1)
        deviation = values.std(dim=-1, keepdim=True)
        parts = (values.mean(dim=-1, keepdim=True), deviation, (deviation + 1e-3).log(), quantiles)
        return torch.cat(parts, dim=-1)
