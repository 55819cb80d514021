"""What the tokens backbone has of each architecture, whichever parts read and write it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...architectures import Architecture
from ...errors import ConfigError
from ...parameters.spec import NetworkSpec
from ..backbone import ArchitectureInit, Directions, Run
from .chunks import Chunks


class DirectPath(nn.Module):
    """The way of an embedding's own values to all weights: linear, and without a bias."""

    def forward(self, embeddings: Tensor) -> Tensor:
        """(B, E) to (B, P); values of unit variance give weights of unit mean square."""
        raise NotImplementedError

    def directions(self) -> dict[str, Directions] | None:
        """Along what each parameter is moved, by name; None where that is not along directions."""
        return None


class ArchitectureHead(nn.Module):
    """One architecture: its chunks, its layers' scales, its bias and its direct path.

    Args:
        init: what was known of it before training.
        chunks: how it is cut.
        bias: (P,) what is decoded from an embedding of zeros, in units of its layers' scales.
        direct: path; gain: of that path, 0 to turn it off.
    """

    scale: Tensor

    def __init__(
        self, init: ArchitectureInit, chunks: Chunks, bias: Tensor, direct: DirectPath, *, gain: float
    ) -> None:
        super().__init__()
        self.spec: NetworkSpec = init.spec
        self.run: Run | None = init.run
        self.architecture: Architecture | None = init.architecture
        self.gain = gain
        self.chunks = chunks
        self.register_buffer("scale", init.scale.clone())
        self.bias = nn.Parameter(bias)
        self.direct = direct

    def sigma(self) -> Tensor:
        """(P,) each weight's layer's standard deviation."""
        return self.scale[self.chunks.layer_of_weight]

    def write(self, embeddings: Tensor) -> Tensor:
        """(B, E) to (B, P), in units of each layer: the bias and the direct path."""
        written: Tensor = self.bias + self.gain * self.direct(embeddings)
        return written

    def directions(self) -> dict[str, Directions] | None:
        """Along what an embedding moves each parameter by the direct path, in its own units; None without such."""
        directions = self.direct.directions() if self.gain else None
        if directions is None:
            return None
        factor = {p.name: self.gain * self.sigma()[p.offset] for p in self.spec.parameters}
        return {name: (factor[name] * left, right, places) for name, (left, right, places) in directions.items()}


def starting_bias(name: str, init: ArchitectureInit, chunks: Chunks) -> Tensor:
    """(P,) a head's first bias: the starting point in units of the layers' scales, or drawn from a normal distribution.

    Raises:
        ConfigError: a layer whose scale is not above zero.
    """
    if not bool((init.scale > 0).all()):
        layer = init.spec.layers[int((~(init.scale > 0)).nonzero()[0])]
        raise ConfigError(
            f"the layer {layer.name!r} of {name} has a scale that is not above zero.",
            "Give a layer that never varies a small positive one.",
        )
    if init.start is None:
        return torch.randn(init.spec.size)
    return init.start / init.scale[chunks.layer_of_weight]
