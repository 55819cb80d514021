"""The recipe's `[backbone]` of the conv backbone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

from torch import nn

from ...errors import ConfigError
from ...heads import ConvHead
from ...network_io import NetworkIO
from ...parameters.prep_grid import published_height
from ...wording import setting
from ..backbone import ArchitectureInit
from ..settings import BackboneSettings, Positive
from .backbone import ConvBackbone


@dataclass(frozen=True)
class ConvSettings(BackboneSettings):
    """Sizes of the conv backbone.

    Attributes:
        embedding_size: E.
        height, width: size of the PRep; height None is the published one for the architectures and the image size.
        side: side of the picture that the embedding is read as.
    """

    kind: Literal["conv"] = "conv"
    embedding_size: Positive = 4096
    height: Positive | None = None
    width: Positive = 10_000
    side: Positive = 64

    def build(self, inits: Mapping[str, ArchitectureInit], io: NetworkIO) -> ConvBackbone:
        image_size = io.input_shape[-1] if io.logits else 0
        height = self.height or published_height(architectures=len(inits), size=image_size)
        return ConvBackbone(inits, embedding_size=self.embedding_size, height=height, width=self.width, side=self.side)

    def build_head(self, architectures: int) -> nn.Module:
        return ConvHead(self.embedding_size, architectures)

    @property
    def granularity(self) -> tuple[str, int]:
        return "side", self.side

    def with_embedding_size(self, size: int) -> Self:
        sides = [side for side in range(4, self.side + 1, 4) if size % side**2 == 0]
        if not sides:
            raise ConfigError(
                f"the conv backbone cannot read {size} values as pictures: {size} is not a multiple of 4 x 4.",
                f"Give multiples of 32: {setting('sizes', (64, 256, 1024))}.",
            )
        return replace(self, embedding_size=size, side=max(sides))

    def settings_to_lower(self, by_weights: bool) -> tuple[str, ...]:
        return "backbone.embedding_size", "backbone.height"
