"""The interface of backbone settings in a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from annotated_types import Ge, Gt, Le
from torch import nn

from ..errors import ConfigError
from ..network_io import NetworkIO
from .backbone import ArchitectureInit, Backbone

# Bounds are checked where a recipe is read. A value beyond them that comes from code is refused by `build` where it
# makes no backbone. Strangers' files have recipes in them: no size is without an upper bound, and what is built
# as often as it says has a low one.
MOST, MOST_PARTS = 1_000_000, 256
Positive = Annotated[int, Gt(0), Le(MOST)]
Count = Annotated[int, Ge(0), Le(MOST)]
Parts = Annotated[int, Gt(0), Le(MOST_PARTS)]


@dataclass(frozen=True)
class Settings:
    """A table of a recipe. Refuses unknown keys, NaN and infinity."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}


@dataclass(frozen=True)
class BackboneSettings(Settings):
    """The `[backbone]` table of a recipe; each kind of backbone has its own.

    Attributes:
        kind: name of the backbone in the registry.
        embedding_size: E.
    """

    kind: str
    embedding_size: Positive

    def build(self, inits: Mapping[str, ArchitectureInit], io: NetworkIO) -> Backbone:
        """Build a new backbone; values are drawn from torch's current stream.

        Args:
            inits: what is known of each architecture, by name, smallest first.
            io: what they take and give.
        Raises:
            ConfigError: sizes that do not go together.
            DoesNotFit: an architecture is too large.
        """
        raise NotImplementedError

    def build_head(self, architectures: int) -> nn.Module:
        """Build a new classifier of embeddings (B, E) into architectures, logits (B, A)."""
        raise NotImplementedError

    @classmethod
    def translate(cls, table: Mapping[str, Any]) -> dict[str, Any]:
        """Rename keys of older recipes to their present names.

        Raises:
            ConfigError: a value has both.
        """
        return dict(table)

    @property
    def needs_curvature(self) -> bool:
        """Whether `build` needs `ArchitectureInit.moments`."""
        return False

    @property
    def solvable(self) -> bool:
        """Whether the decoder writes along directions (`Backbone.directions`), so that embeddings can be solved for."""
        return False

    @property
    def has_starts(self) -> bool:
        """Whether an architecture can have several starting points."""
        return False

    def describe_decoder(self) -> str:
        """Describe the settings that decide `solvable`, for messages: "the conv backbone"."""
        return f"the {self.kind} backbone"

    @property
    def granularity(self) -> tuple[str, int]:
        """Key and value of the setting that must divide the embedding size."""
        return "embedding_size", self.embedding_size

    def with_embedding_size(self, size: int) -> Self:
        """The same settings with another E, and a granularity of at most the present one.

        Raises:
            ConfigError: the backbone has no such size.
        """
        raise ConfigError(
            f"the {self.kind} backbone supports only the embedding size {self.embedding_size}.", "Use another backbone."
        )

    def settings_to_lower(self, by_weights: bool) -> tuple[str, ...]:
        """Recipe keys that affect memory most, e.g. "backbone.width", "train.images".

        Args:
            by_weights: where the model's own values take most of it; else a step's activations do.
        """
        return ("backbone.embedding_size",) if by_weights else ("train.images",)
