"""What every backbone does, so that nothing above knows which one it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from ..architectures import Architecture
from ..parameters.spec import NetworkSpec
from ..second_order.curvature import Moments

Run = Callable[[Tensor, Tensor], Tensor]
# U (n, a), V (m, b) and places (a b,) of the embedding: the parameter, seen as a matrix (n, m), receives U M V',
# where M (a, b) are the values at these places.
Directions = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class ArchitectureInit:
    """What a backbone may learn of an architecture before training, from training instances alone.

    Attributes:
        spec: its parameters.
        start: (P,) the predicted instance's starting point; None where all values are loaded afterwards.
        scale: (L,) standard deviation of each layer's values over the training instances.
        run: from parameters (P,) and inputs to outputs (B, K), for encoders that probe a network; None
            where they are not to.
        architecture: of neural fields, for encoders that solve for their values; None where they are
            not to.
        moments: `curvature_moments` at `start`, for decoders that write along chosen directions; None where
            they are not known.
    """

    spec: NetworkSpec
    start: Tensor | None
    scale: Tensor
    run: Run | None = None
    moments: Moments | None = None
    architecture: Architecture | None = None


class Backbone(nn.Module):
    """Encoder and decoder of whole networks.

    Attributes:
        embedding_size: E.
        specs: parameters by architecture name.
    """

    embedding_size: int
    specs: Mapping[str, NetworkSpec]

    def encode(self, arch: str, weights: Tensor) -> Tensor:
        """Instances of one architecture, (B, P), to embeddings (B, E)."""
        raise NotImplementedError

    def decode(self, arch: str, embeddings: Tensor) -> Tensor:
        """Embeddings (B, E) to predicted parameters (B, P) of the architecture named."""
        raise NotImplementedError

    def directions(self, arch: str) -> Mapping[str, Directions] | None:
        """Along what an embedding moves the weights of an architecture by itself, by parameter; None where a backbone
        has no such way from the one to the other."""
        return None

    def starts(self, archs: Collection[str]) -> list[tuple[nn.Parameter, float]]:
        """What stands for a predicted instance of each architecture whatever the embedding, and how many times
        a weight's own step moves it as far as that weight; nothing where the backbone has no such thing."""
        return []

    @property
    def probe_count(self) -> int:
        """Number of inputs that networks are run on to be encoded; 0 where they are not run."""
        return 0

    def begin_at(self, inputs: Tensor) -> None:
        """Set the first of the probes to images, or points, (N, ...) with N at most `probe_count`."""

    def ordered_parameters(self) -> list[nn.Parameter]:
        """All parameters, in the order in which the optimiser of a saved run numbers them."""
        return list(self.parameters())
