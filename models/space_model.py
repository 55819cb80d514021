"""The module of a space: backbone, ClassId head and architectures."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .architectures import Architecture
from .backbones import Backbone
from .errors import ConfigError, WrongSpace


class SpaceModel(nn.Module):
    """Encoder, decoder and classifier of a space.

    Args:
        architectures: in the order of their ClassIds, smallest first.
        backbone: encodes and decodes them.
        head: (B, E) to (B, A) logits; None for a space of one architecture.
    Raises:
        ConfigError: architectures out of order, or several without a head.
    """

    def __init__(self, architectures: Sequence[Architecture], backbone: Backbone, head: nn.Module | None) -> None:
        super().__init__()
        sizes = ", ".join(f"{a.name} ({a.parameter_count:,})" for a in architectures)
        if [a.parameter_count for a in architectures] != sorted(a.parameter_count for a in architectures):
            raise ConfigError(f"architectures out of order: {sizes}.", "Give them by parameter count, smallest first.")
        if len(architectures) > 1 and head is None:
            raise ConfigError(
                f"a space of several architectures needs a head: {sizes}.", "Give it one head for all of them."
            )
        self.architectures = tuple(architectures)
        self.backbone = backbone
        self.head = head

    @property
    def embedding_size(self) -> int:
        """Embedding size E."""
        return self.backbone.embedding_size

    def ordered_parameters(self) -> list[nn.Parameter]:
        """All parameters in the order in which the optimiser of a saved run numbers them."""
        head = [] if self.head is None else list(self.head.parameters())
        return [*self.backbone.ordered_parameters(), *head]

    def class_id(self, arch: str) -> int:
        """ClassId of an architecture: its place by number of parameters.

        Raises:
            WrongSpace: the space does not have it.
        """
        names = [a.name for a in self.architectures]
        if arch not in names:
            raise WrongSpace(
                f"this space has no {arch}; it has {', '.join(names)}.",
                "Use another space (`netspace spaces` lists the built-in ones), or train one.",
            )
        return names.index(arch)

    def architecture(self, arch: str) -> Architecture:
        """Return an architecture of the space by name.

        Raises:
            WrongSpace: the space does not have it.
        """
        return self.architectures[self.class_id(arch)]

    def encode(self, arch: str, weights: Tensor) -> Tensor:
        """Encode instances of one architecture, (B, P), as embeddings (B, E)."""
        self.class_id(arch)
        return self.backbone.encode(arch, weights)

    def decode(self, arch: str, embeddings: Tensor, start: int = 0) -> Tensor:
        """Decode embeddings (B, E) to weights (B, P) of the named architecture.

        Args:
            start: number of the starting point; see `Backbone.decode`.
        Raises:
            ConfigError: the space has fewer starting points.
        """
        self.class_id(arch)
        self.backbone.check_start(arch, start)
        return self.backbone.decode(arch, embeddings, start)

    def classify(self, embeddings: Tensor) -> Tensor:
        """Embeddings (B, E) to ClassId logits (B, A)."""
        if self.head is None:
            return embeddings.new_zeros(len(embeddings), 1)
        return self.head(embeddings)

    def recognise(self, embeddings: Tensor) -> list[Architecture]:
        """Recognise the architecture of each embedding (B, E): the classifier's argmax."""
        return [self.architectures[i] for i in self.classify(embeddings).argmax(1).tolist()]
