"""The neurons backbone's parts for one architecture: rows to tokens to embedding, and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ...parameters.spec import NetworkSpec
from ..backbone import ArchitectureInit
from .rows import NeuronRows

POSITION_DEVIATION = 0.02
# Of the layers that write weights, against torch's usual first values: decoding begins close to the starting point.
FIRST_WRITTEN = 0.1


class ArchitectureTokens(nn.Module):
    """Linear layers into and out of tokens for each layer's rows, and positions on both sides.

    Args:
        name: for messages.
        init: what was known of it before training.
        embedding_size: E; width: D of a token.
        divided: whether weights are read and written in units of their layer's standard deviation.
        started: whether what is written is added to the starting point.
    Raises:
        ConfigError: a layer whose deviation is not above zero.
    """

    scale: Tensor | None
    layer_of_weight: Tensor

    def __init__(
        self, name: str, init: ArchitectureInit, embedding_size: int, width: int, *, divided: bool, started: bool
    ) -> None:
        super().__init__()
        self.spec: NetworkSpec = init.spec
        self.rows = NeuronRows(init.spec)
        count, sizes = self.rows.count, [m for _, m in self.rows.shapes]
        self.read = nn.ModuleList(nn.Linear(m, width) for m in sizes)
        self.read_positions = nn.Parameter(POSITION_DEVIATION * torch.randn(count, width))
        self.compress = nn.Linear(count * width, embedding_size)
        self.expand = nn.Linear(embedding_size, count * width)
        self.write_positions = nn.Parameter(POSITION_DEVIATION * torch.randn(count, width))
        self.write = nn.ModuleList(nn.Linear(width, m) for m in sizes)
        self.register_buffer("scale", _checked(name, init) if divided else None)
        layers = torch.tensor([layer.stop - layer.start for layer in init.spec.layers])
        self.register_buffer("layer_of_weight", torch.repeat_interleave(layers), persistent=False)
        self.start: nn.Parameter | None = None
        if started:
            self.start = nn.Parameter(torch.zeros(init.spec.size) if init.start is None else init.start / self.sigma())
        with torch.no_grad():
            for layer in self.write:
                assert isinstance(layer, nn.Linear)
                layer.weight.mul_(FIRST_WRITTEN)
                layer.bias.zero_()

    def sigma(self) -> Tensor:
        """(P,) standard deviation of each weight's layer; (1,) if weights are not divided by it."""
        return torch.ones_like(self.compress.bias[:1]) if self.scale is None else self.scale[self.layer_of_weight]

    def tokens(self, weights: Tensor) -> Tensor:
        """Convert weights (B, P) to tokens (B, T, D)."""
        groups = self.rows.cut(weights / self.sigma())
        read = [layer(group) for layer, group in zip(self.read, groups, strict=True)]
        return torch.cat(read, dim=1) + self.read_positions

    def embed(self, tokens: Tensor) -> Tensor:
        """Convert tokens (B, T, D) to embeddings (B, E)."""
        embeddings: Tensor = self.compress(tokens.flatten(1))
        return embeddings

    def unfold(self, embeddings: Tensor) -> Tensor:
        """Convert embeddings (B, E) to tokens (B, T, D)."""
        tokens: Tensor = self.expand(embeddings)
        return tokens.unflatten(1, self.write_positions.shape) + self.write_positions

    def weights(self, tokens: Tensor) -> Tensor:
        """Convert tokens (B, T, D) to weights (B, P)."""
        groups = tokens.split([n for n, _ in self.rows.shapes], dim=1)
        written = self.rows.join([layer(group) for layer, group in zip(self.write, groups, strict=True)])
        if self.start is not None:
            written = written + self.start
        return written * self.sigma()


def _checked(name: str, init: ArchitectureInit) -> Tensor:
    if not bool((init.scale > 0).all()):
        layer = init.spec.layers[int((~(init.scale > 0)).nonzero()[0])]
        raise ConfigError(
            f"the layer {layer.name!r} of {name} has a standard deviation that is not above zero.",
            "Give a layer that never varies a small positive one, or set backbone.units to 'raw'.",
        )
    return init.scale.clone()
