"""A count sketch: a fixed sparse projection of the embedding into the weights.

Weight i receives sign(i) · z[hash(i)]. It has no parameters and stores no matrix, and gives every value of
an embedding a way to every part of a network.
"""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .head import DirectPath


class SketchPath(DirectPath):
    """The count sketch of one architecture.

    Args:
        name: seeds the plan; size: number of weights P; embedding_size: E.
    """

    source: Tensor
    signs: Tensor

    def __init__(self, name: str, size: int, embedding_size: int) -> None:
        super().__init__()
        source, signs = sketch_plan(name, size, embedding_size)
        self.register_buffer("source", source, persistent=False)
        self.register_buffer("signs", signs, persistent=False)

    def forward(self, embeddings: Tensor) -> Tensor:
        return embeddings[:, self.source] * self.signs


@lru_cache(maxsize=16)
def sketch_plan(name: str, size: int, embedding_size: int) -> tuple[Tensor, Tensor]:
    """Choose which value of the embedding each weight takes, and its sign.

    Every value of the embedding serves floor or ceil of size / embedding_size weights.

    Args:
        name: seeds the plan; the same name gives the same plan everywhere, for ever.
        size: number of weights P.
        embedding_size: E.
    Returns:
        (P,) int64 places in the embedding, (P,) float32 signs ±1: kept for the next who asks, so not to be written to.
    """
    key = np.uint64(zlib.crc32(name.encode()))
    random = _splitmix64(np.arange(size, dtype=np.uint64) + (key << np.uint64(32)))
    places = np.empty(size, dtype=np.int64)
    places[np.argsort(random, kind="stable")] = np.arange(size) % embedding_size
    # The order above follows the random numbers themselves, so the signs come from a second draw.
    signs = 1.0 - 2.0 * (_splitmix64(random) & np.uint64(1)).astype(np.float32)
    return torch.from_numpy(places), torch.from_numpy(signs)


def _splitmix64(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64: a bijection of 64-bit integers with well-mixed bits."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
