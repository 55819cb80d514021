"""The interface of all backbones, so that no caller needs to know which one it has."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
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
    """What a backbone may use of an architecture before training, from training instances only.

    Attributes:
        spec: its parameters.
        start: (P,) the predicted instance's starting point; None where all values are loaded afterwards.
        further: (K - 1, P) further starting points; None without any, or if all values are loaded
            afterwards.
        starts: K, how many starting points there are.
        scale: (L,) standard deviation of each layer's values over the training instances.
        run: from parameters (B, P) and inputs (N, ...) to outputs (B, N, K), for encoders that probe networks; None
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
        """Encode instances of one architecture, (B, P), as embeddings (B, E)."""
        raise NotImplementedError

    def decode(self, arch: str, embeddings: Tensor, start: int = 0) -> Tensor:
        """Decode embeddings (B, E) to weights (B, P) of the named architecture.

        Args:
            start: number of the starting point, below `starts_of(arch)`. From 0 an embedding decodes to a network that
                answers as its own; from another one, to a network as good, with mistakes of its own.
        """
        raise NotImplementedError

    def starts_of(self, arch: str) -> int:
        """Number of starting points of an architecture."""
        return 1

    def check_start(self, arch: str, start: int) -> None:
        """Refuse a starting point that an architecture does not have.

        Raises:
            ConfigError: says how many it has.
        """
        count = self.starts_of(arch)
        if not 0 <= start < count:
            these = "one starting point" if count == 1 else f"{count} starting points"
            own = setting("start", count - 1) + (" or less" if count > 1 else "")
            raise ConfigError(
                f"there is no start {start}: this space has {these} for {arch}, counted from 0.",
                f"Give {own}, or train a space with {setting('space.starts', 10)}.",
            )

    def set_further_starts(self, arch: str, weights: Tensor) -> None:
        """Set an architecture's starting points after the first to weights (K - 1, P).

        Raises:
            ValueError: it has another number of them.
        """
        if len(weights):
            raise ValueError(f"{arch} has one starting point; {len(weights)} more were given")

    def further_weights(self, arch: str, starts: Sequence[int] | None = None) -> Tensor:
        """An architecture's starting points after the first as weights (K - 1, P), or those of some numbers (B, P).

        Raises:
            ValueError: it has one starting point.
        """
        raise ValueError(f"{arch} has one starting point")

    def further_starts(self, archs: Collection[str]) -> list[tuple[nn.Parameter, float]]:
        """Each architecture's starting points except number 0, as in `starts`; without those that have one alone."""
        return []

    def directions(self, arch: str) -> Mapping[str, Directions] | None:
        """Directions along which an embedding moves an architecture's weights, by parameter.

        None if the backbone has no direct path from embedding to weights.
        """
        return None

    def starts(self, archs: Collection[str]) -> list[tuple[nn.Parameter, float]]:
        """Each architecture's bias in the decoder, and the factor for its learning rate.

        The bias takes the place of a predicted instance, whatever the embedding. With the factor, a step moves it as
        far as the same step would move weights. Empty if the backbone has no such biases.
        """
        return []

    @property
    def probe_count(self) -> int:
        """Number of inputs that networks are run on for encoding; 0 if they are not run."""
        return 0

    def begin_at(self, inputs: Tensor) -> None:
        """Set the first probes to images or points (N, ...), N at most `probe_count`."""

    def ordered_parameters(self) -> list[nn.Parameter]:
        """All parameters in the order in which the optimiser of a saved run numbers them."""
        return list(self.parameters())
