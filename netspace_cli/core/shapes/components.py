"""The pieces of a solid on a grid: which of them are too small to be meant, and the shape without them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# A piece this much smaller than the largest is a crumb.
CRUMB = 0.1
# Outside a solid, distances fall short of the grid's own by so many cells at most.
SLACK = 0.5


def connected_components(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(R, …) which piece each cell belongs to, from 1 on, 0 for none; and (N + 1,) the cells of each, 0 of none. Cells
    that share a side touch."""
    labels, _ = ndimage.label(inside)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels, sizes


def without_fragments(inside: np.ndarray, meant: np.ndarray | None = None) -> np.ndarray:
    """(R, …) cells of the large pieces of a solid.

    Args:
        inside: (R, …) cells of the solid.
        meant: (R, …) cells whose pieces stay, however small.
    """
    labels, sizes = connected_components(inside)
    stay = sizes >= CRUMB * sizes.max()
    if meant is not None:
        stay[labels[meant & inside]] = True
    return stay[labels] & inside


def fragments_of(inside: np.ndarray) -> np.ndarray:
    """(R, …) the other cells of a solid."""
    return inside & ~without_fragments(inside)


def distances_without_fragments(
    values: np.ndarray, ceiling: np.ndarray, cell: float, *, meant: np.ndarray | None = None
) -> np.ndarray:
    """Signed distances to a solid's large pieces alone.

    What is no solid but nearly one is lifted, too: outside, to what the grid says, nearly, or to the ceiling.

    Args:
        values: (R, …) signed distances, nearly, one for each cell.
        ceiling: (R, …) how far they may be lifted; of crumbs half a cell at least.
        cell: its side.
        meant: as of `without_fragments`.
    Returns:
        (R, …); `values` itself where there is no solid.
    """
    inside = values < 0
    if not inside.any():
        return values
    solid = without_fragments(inside, meant)
    away = (ndimage.distance_transform_edt(~solid) - 0.5) * cell
    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    of_crumbs = ~solid[tuple(nearest)]
    lifted = np.maximum(values, np.minimum(away - SLACK * cell, ceiling))
    found = np.where(solid, values, np.where(of_crumbs, np.minimum(away, np.maximum(ceiling, cell / 2)), lifted))
    return found.astype(values.dtype)
