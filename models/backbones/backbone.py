"""What every backbone does, so that nothing above knows which one it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from ..architectures import Architecture
from ..errors import ConfigError
from ..parameters.spec import NetworkSpec
from ..second_order.curvature import Moments
from ..wording import setting

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
        further: (K - 1, P) further starting points; None where there are none, or where all values are loaded
            afterwards.
        starts: K, how many starting points there are.
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
    further: Tensor | None = None
    starts: int = 1


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

    def decode(self, arch: str, embeddings: Tensor, start: int = 0) -> Tensor:
        """Embeddings (B, E) to predicted parameters (B, P) of the architecture named.

        Args:
            start: number of the starting point, below `start_count`. From 0 an embedding decodes to a network that
                answers as its own; from another one, to a network as good, with mistakes of its own.
        """
        raise NotImplementedError

    @property
    def start_count(self) -> int:
        """Number of starting points of each architecture."""
        return 1

    def check_start(self, start: int) -> None:
        """Refuse a starting point that is not there.

        Raises:
            ConfigError: says how many there are.
        """
        count = self.start_count
        if not 0 <= start < count:
            these = "one starting point" if count == 1 else f"{count} starting points"
            raise ConfigError(
                f"there is no start {start}: this space has {these} for each architecture, counted from 0.",
                f"Give {setting('start', count - 1)} or less, or train a space with {setting('space.starts', 10)}.",
            )

    def further_starts(self) -> list[tuple[nn.Parameter, float]]:
        """All starting points but number 0, as of `starts`; nothing where there is one alone."""
        return []

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
