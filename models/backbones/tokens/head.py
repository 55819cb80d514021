"""The tokens backbone's parts for one architecture, shared by all readers and writers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...architectures import Architecture
from ...errors import ConfigError
from ...parameters.spec import NetworkSpec
from ..backbone import ArchitectureInit, Directions, Run
from .chunks import Chunks


class DirectPath(nn.Module):
    """Direct path from an embedding's values to all weights: linear, without a bias."""

    def forward(self, embeddings: Tensor) -> Tensor:
        """Map (B, E) to (B, P); values of unit variance give weights of unit mean square."""
        raise NotImplementedError

    def directions(self) -> dict[str, Directions] | None:
        """Directions along which each parameter moves, by name; None if the path has none."""
        return None


class ArchitectureHead(nn.Module):
    """Chunks, layer scales, bias and direct path of one architecture.

    Args:
        init: what was known of it before training.
        chunks: how it is cut.
        biases: (K, P) what an embedding of zeros decodes to from each starting point, in units of its layers' scales.
        direct: path; gain: of that path, 0 to turn it off.
    """

    scale: Tensor
    further: nn.Parameter | None

    def __init__(
        self, init: ArchitectureInit, chunks: Chunks, biases: Tensor, direct: DirectPath, *, gain: float
    ) -> None:
        super().__init__()
        self.spec: NetworkSpec = init.spec
        self.run: Run | None = init.run
        self.architecture: Architecture | None = init.architecture
        self.gain = gain
        self.chunks = chunks
        self.register_buffer("scale", init.scale.clone())
        self.bias = nn.Parameter(biases[0].clone())
        # Apart, so that heads of one starting point have the values they always had.
        self.register_parameter("further", nn.Parameter(biases[1:].clone()) if len(biases) > 1 else None)
        self.direct = direct

    def sigma(self) -> Tensor:
        """(P,) standard deviation of each weight's layer."""
        return self.scale[self.chunks.layer_of_weight]

    @property
    def start_count(self) -> int:
        """Number of starting points K."""
        return 1 if self.further is None else 1 + len(self.further)

    def write(self, embeddings: Tensor, start: int = 0) -> Tensor:
        """Map embeddings (B, E) to weights (B, P) in units of each layer: a starting bias and the direct path."""
        bias = self.bias if self.further is None or start == 0 else self.further[start - 1]
        written: Tensor = bias + self.gain * self.direct(embeddings)
        return written

    def directions(self) -> dict[str, Directions] | None:
        """Directions along which an embedding moves each parameter by the direct path, in its own units; None without
        any.
        """
        directions = self.direct.directions() if self.gain else None
        if directions is None:
            return None
        factor = {p.name: self.gain * self.sigma()[p.offset] for p in self.spec.parameters}
        return {name: (factor[name] * left, right, places) for name, (left, right, places) in directions.items()}


def starting_biases(name: str, init: ArchitectureInit, chunks: Chunks) -> Tensor:
    """(K, P) initial biases of a head: the starting points in units of the layers' scales.

    If they will be loaded later, the first one is drawn from a normal distribution.

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
        first = torch.randn(init.spec.size)
        return torch.cat([first[None], torch.zeros(init.starts - 1, init.spec.size)])
    starts = init.start[None] if init.further is None else torch.cat([init.start[None], init.further])
    assert len(starts) == init.starts
    return starts / init.scale[chunks.layer_of_weight]
