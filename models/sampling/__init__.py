"""Densities and generators of embeddings: learn from rows (N, E), draw new ones.

All have `draw(generator)`, which gives one embedding (E,): the generator alone decides it, so that a sample is the
same whether it is drawn alone or among many. `draw_many` draws one for each generator.
"""

from __future__ import annotations

from .density import Density, draw_many
from .flow import Flow, FlowSettings, fit_flow
from .gan import Gan, GanSettings, fit_gan
from .kde import KernelDensity, bandwidths, fit_kernel_density, sample_with_one_seed
from .neighbours import NeighbourBox, NeighbourSettings, check_neighbours, fit_neighbour_box
from .spread import Spread, apartness, spread_of

__all__ = [
    "Density",
    "Flow",
    "FlowSettings",
    "Gan",
    "GanSettings",
    "KernelDensity",
    "NeighbourBox",
    "NeighbourSettings",
    "Spread",
    "apartness",
    "bandwidths",
    "check_neighbours",
    "draw_many",
    "fit_flow",
    "fit_gan",
    "fit_kernel_density",
    "fit_neighbour_box",
    "sample_with_one_seed",
    "spread_of",
]
