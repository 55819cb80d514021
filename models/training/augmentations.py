"""Augmented views: networks as training shows them to the encoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..architectures import Architecture
from ..sending import sent


@dataclass(frozen=True)
class Augmentations:
    """Changes to apply to a network, in this order.

    Attributes:
        shuffle: reorder hidden units at random, which does not change what the network computes.
        noise: standard deviation of noise added to each weight, as a share of its layer's.
        multiplicative_noise: standard deviation of the factor, with mean 1, that each weight is multiplied by.
        erase: share of the weights that are set to zero, from 0 to 1.
        erase_kind: "block", one run of consecutive weights, or "scatter", anywhere.
    """

    shuffle: bool = True
    noise: float = 0.0
    multiplicative_noise: float = 0.0
    erase: float = 0.0
    erase_kind: Literal["block", "scatter"] = "block"


def augmented_view(
    architecture: Architecture, weights: Tensor, augmentations: Augmentations, generator: torch.Generator
) -> Tensor:
    """Change each network of (B, P) at random. Changes that are off draw nothing."""
    chosen = augmentations
    if chosen.shuffle:
        weights = architecture.shuffle_each(weights, generator)
    if chosen.noise:
        weights = weights + chosen.noise * layer_deviations(architecture, weights) * _normal(weights, generator)
    if chosen.multiplicative_noise:
        weights = weights * (1 + chosen.multiplicative_noise * _normal(weights, generator))
    if chosen.erase:
        weights = erased(weights, chosen.erase, generator, kind=chosen.erase_kind)
    return weights


def erased(
    weights: Tensor, share: float, generator: torch.Generator, *, kind: Literal["block", "scatter"] = "block"
) -> Tensor:
    """Set a share of each network's weights (B, P) to zero, rounded to whole weights."""
    size = weights.shape[1]
    count = round(share * size)
    mask = torch.zeros(weights.shape, dtype=torch.bool)
    for row, places in zip(mask, _places(len(weights), size, count, kind, generator), strict=True):
        row[places] = True
    return weights.masked_fill(sent(mask, weights.device), 0.0)


def _places(
    networks: int, size: int, count: int, kind: Literal["block", "scatter"], generator: torch.Generator
) -> Iterator[Tensor]:
    """Draw (count,) places for each network."""
    for _ in range(networks):
        if kind == "scatter":
            yield torch.randperm(size, generator=generator)[:count]
        else:
            yield torch.randint(size - count + 1, (1,), generator=generator) + torch.arange(count)


def layer_deviations(architecture: Architecture, weights: Tensor) -> Tensor:
    """(B, P) standard deviation of each value's layer, for (B, P)."""
    parts = [weights[:, layer.start : layer.stop] for layer in architecture.spec.layers]
    return torch.cat([deviation(part, dim=1).expand_as(part) for part in parts], dim=1)


def deviation(values: Tensor, *, dim: int) -> Tensor:
    """Standard deviation along an axis, which is kept with length one; 0 for a single value."""
    # A single value has no deviation: the divisor would be zero. In two passes, which torch's `std` takes longer than.
    apart = values - values.mean(dim=dim, keepdim=True)
    return torch.linalg.vector_norm(apart, dim=dim, keepdim=True) / max(1, values.shape[dim] - 1) ** 0.5


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return sent(torch.randn(like.shape, generator=generator), like.device)
