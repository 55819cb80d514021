"""What the tokens backbone knows of one architecture: how its weights are cut, and how they are written."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError
from ..spec import NetworkSpec
from .base import ArchitectureInit
from .bases import LayerBases
from .sketch import sketch_plan

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
STATISTICS = 3 + len(QUANTILES)
SAMPLED = 2048


class Chunks(nn.Module):
    """How an architecture's flat parameters are cut into chunks that cross no layer's end.

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

    def cut(self, vectors: Tensor) -> Tensor:
        """(B, P) to (B, N, C), zeros where a chunk is not full."""
        return F.pad(vectors, (0, 1))[:, self.places]

    def join(self, chunks: Tensor) -> Tensor:
        """(B, N, C) to (B, P); undoes `cut`."""
        return chunks.flatten(1)[:, self.inverse]

    def statistics(self, vectors: Tensor) -> Tensor:
        """(B, P) to (B, L, F): each layer's mean, deviation, its logarithm, and quantiles."""
        values = vectors[:, self.sampled]  # (B, L, SAMPLED)
        levels = torch.tensor(QUANTILES, device=values.device, dtype=values.dtype)
        quantiles = torch.quantile(values, levels, dim=-1).movedim(0, -1)
        deviation = values.std(dim=-1, keepdim=True)
        parts = (values.mean(dim=-1, keepdim=True), deviation, (deviation + 1e-3).log(), quantiles)
        return torch.cat(parts, dim=-1)


class ArchitectureCodec(nn.Module):
    """What the tokens backbone learns for one architecture: positions, queries, the bias; and its sketch."""

    scale: Tensor
    source: Tensor
    signs: Tensor

    def __init__(
        self,
        name: str,
        init: ArchitectureInit,
        *,
        chunk: int,
        width: int,
        embedding_size: int,
        path: str,
        read: str,
        write: str,
    ) -> None:
        super().__init__()
        self.spec = init.spec
        self.chunks = Chunks(init.spec, chunk)
        count, layers = len(self.chunks.places), len(init.spec.layers)
        if read == "all":
            self.positions = nn.Parameter(0.02 * torch.randn(count, width))
            self.layers = nn.Parameter(0.02 * torch.randn(layers, width))
        if write == "all":
            self.queries = nn.Parameter(torch.randn(count, width))
        if not bool((init.scale > 0).all()):
            layer = init.spec.layers[int((~(init.scale > 0)).nonzero()[0])]
            raise ConfigError(
                f"the layer {layer.name!r} of {name} has a scale that is not above zero.",
                "Give a layer that never varies a small positive one.",
            )
        self.register_buffer("scale", init.scale.clone())
        sigma = self.scale[self.chunks.layer_of_weight]
        start = torch.randn(init.spec.size) if init.start is None else init.start / sigma
        self.bias = nn.Parameter(start.clone())
        self.bases = None
        if path != "sketch":
            self.bases = LayerBases(init.spec, embedding_size, init.moments, learnt=path == "learnt")
        source, signs = sketch_plan(name, init.spec.size, embedding_size)
        self.register_buffer("source", source, persistent=False)
        self.register_buffer("signs", signs, persistent=False)

    def sigma(self) -> Tensor:
        """(P,) each weight's layer's standard deviation."""
        return self.scale[self.chunks.layer_of_weight]

    def direct(self, embeddings: Tensor) -> Tensor:
        """(B, E) to (B, P): the embedding's own way to the weights."""
        if self.bases is not None:
            return self.bases(embeddings)
        return embeddings[:, self.source] * self.signs
