"""The published S_Neigh: draw in the box around a low-dimensional map and map back (extra `umap`).

"Hyper-Representations as Generative Models" (NeurIPS 2022), section 3.2, with the numbers of its public code: UMAP to
three components, 15 neighbours, distances from 0.01; a uniform draw between the least and the largest value of each
component; the inverse map.
"""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError
from .density import checked_rows


@dataclass(frozen=True)
class NeighbourSettings:
    """Settings of the map.

    Attributes:
        neighbours: of each embedding that the map keeps near; fewer where there are not as many.
        distance: least distance on the map.
        components: its dimensions.
    """

    neighbours: int = 15
    distance: float = 0.01
    components: int = 3


@dataclass(frozen=True, eq=False)
class NeighbourBox:
    """A map of embeddings and the box around it.

    Attributes:
        umap: fitted.
        low, high: (components,) the box.
    """

    umap: Any
    low: Tensor
    high: Tensor

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw one embedding (E,): the inverse map of a uniform point in the box."""
        point = self.low + torch.rand(len(self.low), generator=generator) * (self.high - self.low)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # One at a time: what the inverse map makes of a point depends on the points beside it.
            found = self.umap.inverse_transform(point[None].numpy())
        return torch.from_numpy(found)[0].float()


def check_neighbours() -> None:
    """Refuse boxes of neighbours where the extra is not installed.

    Raises:
        ConfigError: says how to install it.
    """
    check_umap("the method neighbours")


def check_umap(asked: str) -> None:
    """Refuse what needs UMAP where the extra is not installed.

    Args:
        asked: what needs it, for the message.
    Raises:
        ConfigError: says how to install it.
    """
    if importlib.util.find_spec("umap") is None:
        raise ConfigError(f"{asked} needs umap-learn, which is not installed.", "pip install 'netspace[umap]'")


def fit_neighbour_box(
    rows: Tensor, generator: torch.Generator, settings: NeighbourSettings | None = None
) -> NeighbourBox:
    """Fit a map to rows (N, E).

    Args:
        generator: draws the seed of the map.
    Raises:
        ConfigError: the extra is not installed, or fewer rows than the map has to have for its inverse.
    """
    check_neighbours()
    settings = settings or NeighbourSettings()
    rows = checked_rows(rows, "a map of neighbours", settings.components + 3)
    seed = int(torch.randint(2**31, (1,), generator=generator))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads, which a seed turns off, and of what umap imports
        from umap import UMAP

        umap = UMAP(
            n_neighbors=min(settings.neighbours, len(rows) - 1),
            min_dist=settings.distance,
            n_components=settings.components,
            random_state=seed,
            transform_seed=seed,
            n_jobs=1,
        ).fit(rows.numpy())
    places = torch.from_numpy(umap.embedding_).float()
    return NeighbourBox(umap, places.amin(0), places.amax(0))
