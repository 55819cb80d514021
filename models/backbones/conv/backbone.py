"""The published backbone: convolutions on PReps.

At an embedding of 4,096 values and grids of width 10,000 these are the published sizes; for other grids
the same construction with sizes in proportion.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ConfigError
from ...parameters.prep_grid import check_fits, from_prep, to_prep
from ...parameters.spec import NetworkSpec
from ..backbone import ArchitectureInit, Backbone
from .peaks import SLOPE, peaks


class PRepEncoder(nn.Module):
    """Encode PReps (B, 1, H, W), for any H and W, as embeddings (B, E).

    Two convolutions along the width and a maximum over it, then the same along the height.

    Raises:
        ConfigError: E is not a multiple of 32.
    """

    def __init__(self, embedding_size: int) -> None:
        super().__init__()
        if embedding_size < 32 or embedding_size % 32:
            raise ConfigError(
                f"the conv backbone cannot make embeddings of {embedding_size} values.", "Choose a multiple of 32."
            )
        h = embedding_size // 32
        self.conv1 = nn.Conv2d(1, h, (1, 3), stride=(1, 2), padding=(0, 1))
        self.conv2 = nn.Conv2d(h, 2 * h, (1, 3), stride=(1, 2), padding=(0, 1))
        self.conv3 = nn.Conv2d(2 * h, 4 * h, (3, 1), padding=(1, 0))
        self.conv4 = nn.Conv2d(4 * h, 32 * h, (3, 1), padding=(1, 0))

    def forward(self, prep: Tensor) -> Tensor:
        x = peaks(prep, self.conv1, self.conv2)  # (B, 2h, H, 1)
        x = F.leaky_relu(self.conv3(x), SLOPE)
        return F.leaky_relu(self.conv4(x).amax(dim=2).flatten(1), SLOPE)


class PRepDecoder(nn.Module):
    """Decode embeddings (B, E) to PReps (B, 1, H, W).

    Four convolutions with reshapes between them, then a scale and a bias for every element.

    Args:
        embedding_size: E, a multiple of side².
        height: H, a multiple of 4.
        width: W, a multiple of 8.
        side: of the square picture the embedding is read as, a multiple of 4; 64 as published.
    Raises:
        ConfigError: sizes that the construction cannot do.
    """

    def __init__(self, embedding_size: int, *, height: int, width: int, side: int = 64) -> None:
        super().__init__()
        if side < 4 or side % 4:
            raise ConfigError(
                f"the conv backbone cannot read an embedding as a picture of side {side}.",
                "The side must be a multiple of 4.",
            )
        if min(height, width, embedding_size) < 1 or height % 4 or width % 8 or embedding_size % side**2:
            raise ConfigError(
                f"the conv backbone cannot decode {embedding_size} values to a PRep of {height} x {width}.",
                f"The height must be a multiple of 4, the width of 8, the embedding size of {side**2}.",
            )
        area = side * side
        self.height, self.width, self.side = height, width, side
        self.pictures = embedding_size // area
        # Published (side 64): (256 H, 32, 32) is viewed as (128, H, 2048).
        self.span = area // 2
        self.conv1 = nn.Conv2d(self.pictures, 256 * height, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(128, width // 8, 3, stride=2, padding=1)
        # (W/8, H/2, span/2) has H · W · span / 32 values, viewed as (span/4, H/2, W/4).
        self.conv3 = nn.Conv2d(area // 8, 256, 3, stride=2, padding=1)
        self.conv4 = nn.Conv2d(256, 32, 3, padding=1)
        self.scale = nn.Parameter(0.001 * torch.randn(1, 1, height, width))
        self.bias = nn.Parameter(0.01 * torch.rand(1, 1, height, width))

    def forward(self, embedding: Tensor) -> Tensor:
        b, h, w = embedding.shape[0], self.height, self.width
        x = embedding.reshape(b, self.pictures, self.side, self.side)
        x = F.leaky_relu(self.conv1(x), SLOPE).reshape(b, 128, h, self.span)
        x = F.leaky_relu(self.conv2(x), SLOPE).reshape(b, self.conv3.in_channels, h // 2, w // 4)
        x = F.leaky_relu(self.conv3(x), SLOPE)
        x = self.conv4(x).reshape(b, 1, h, w)
        return x * self.scale + self.bias


class ConvBackbone(Backbone):
    """PRep encoder and decoder, shared by all architectures of a space.

    Args:
        architectures: what is known of each; only the specs are used, the start is as published.
        embedding_size: E.
        height, width: the PRep's grid.
        side: of the picture the embedding is read as.
    Raises:
        ConfigError: sizes that the construction cannot do.
        DoesNotFit: an architecture has more parameters than the grid holds.
    """

    def __init__(
        self,
        architectures: Mapping[str, ArchitectureInit],
        *,
        embedding_size: int = 4096,
        height: int = 8,
        width: int = 10_000,
        side: int = 64,
    ) -> None:
        super().__init__()
        self.specs: Mapping[str, NetworkSpec] = {n: a.spec for n, a in architectures.items()}
        for name, spec in self.specs.items():
            check_fits(spec.size, height=height, width=width, owner=name, multiple=4, of_recipe=True)
        self.embedding_size, self.height, self.width = embedding_size, height, width
        self.encoder = PRepEncoder(embedding_size)
        self.decoder = PRepDecoder(embedding_size, height=height, width=width, side=side)

    def encode(self, arch: str, weights: Tensor) -> Tensor:
        prep = to_prep(weights, height=self.height, width=self.width, owner=arch)
        return self.encoder(prep.unsqueeze(1))

    def decode(self, arch: str, embeddings: Tensor, start: int = 0) -> Tensor:
        self.check_start(arch, start)
        grid = self.decoder(embeddings).squeeze(1)
        return from_prep(grid, parameters=self.specs[arch].size)
