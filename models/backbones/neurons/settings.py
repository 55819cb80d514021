"""The recipe's `[backbone]` of the neurons backbone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

from torch import nn

from ...errors import ConfigError
from ...heads import MLPHead
from ...network_io import NetworkIO
from ..backbone import ArchitectureInit
from ..settings import BackboneSettings, Parts, Positive
from .architecture import ArchitectureTokens
from .backbone import Blocks, NeuronsBackbone


@dataclass(frozen=True)
class NeuronsSettings(BackboneSettings):
    """Sizes of the neurons backbone.

    The defaults are for two processor cores and networks of a few thousand weights.

    Published sizes, of the 2021 representation of the same networks, are width 800, depth 2, 4 heads and 700 values
    an embedding.

    Attributes:
        embedding_size: values of an embedding E.
        width: width D of a token.
        depth: blocks of the encoder, and of the decoder.
        heads: heads of each attention.
        expansion: width of a block's feed-forward part, in multiples of D.
        units: units in which weights are read and written: "deviation", the standard deviation of their layer over the
            training instances, or "raw", as published.
        start: "instance": weights are added to the decoder's starting point (`space.start`), which is learnt further;
            "none": they are written from nothing, as published.
        bounded: keep embeddings between -1 and 1.
    """

    kind: Literal["neurons"] = "neurons"
    embedding_size: Positive = 128
    width: Positive = 128
    depth: Parts = 2
    heads: Positive = 4
    expansion: Positive = 2
    units: Literal["deviation", "raw"] = "deviation"
    start: Literal["instance", "none"] = "instance"
    bounded: bool = False

    def build(self, inits: Mapping[str, ArchitectureInit], io: NetworkIO) -> NeuronsBackbone:
        """Build the backbone from its parts.

        What is drawn at random is drawn in this order: a seed gives the same values for ever.
        """
        sizes = {name: getattr(self, name) for name in ("embedding_size", "width", "depth", "heads", "expansion")}
        if min(sizes.values()) < 1 or self.width % self.heads:
            named = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise ConfigError(
                f"the neurons backbone cannot be made with {named}.",
                "Choose sizes of 1 or more, and a width that the heads divide.",
            )
        architectures = {
            name: ArchitectureTokens(
                name,
                init,
                self.embedding_size,
                self.width,
                divided=self.units == "deviation",
                started=self.start == "instance",
            )
            for name, init in inits.items()
        }
        reader, writer = (
            Blocks(self.width, depth=self.depth, heads=self.heads, expansion=self.expansion) for _ in range(2)
        )
        return NeuronsBackbone(self.embedding_size, architectures, reader, writer, bounded=self.bounded)

    def build_head(self, architectures: int) -> nn.Module:
        return MLPHead(self.embedding_size, architectures)

    @property
    def granularity(self) -> tuple[str, int]:
        """No setting: any embedding size works."""
        return "embedding_size", 1

    def with_embedding_size(self, size: int) -> Self:
        return replace(self, embedding_size=size)

    def settings_to_lower(self, by_weights: bool) -> tuple[str, ...]:
        if by_weights:
            return "backbone.width", "backbone.embedding_size"
        return "train.images", "backbone.width"
