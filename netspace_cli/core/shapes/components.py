"""Connected components of a solid on a grid, and its fragments (the small ones)."""

from __future__ import annotations

import numpy as np
import scipy

# A component below this share of the largest one's size is a fragment.
FRAGMENT_SHARE = 0.1
# Outside a solid, distances fall short of the grid's own by this many voxels at most.
SLACK = 0.5


def connected_components(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label the connected components of a solid; voxels that share a side are connected.

    Returns:
        (R, …) the component of each voxel, from 1 on, 0 outside; and (N + 1,) sizes in voxels, 0 for the outside.
    """
    labels, _ = scipy.ndimage.label(inside)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels, sizes


def without_fragments(inside: np.ndarray, meant: np.ndarray | None = None) -> np.ndarray:
    """Voxels (R, …) of a solid that are not in fragments.

    Args:
        inside: (R, …) voxels of the solid.
        meant: (R, …) voxels whose components stay, however small.
    """
    labels, sizes = connected_components(inside)
    stay = sizes >= FRAGMENT_SHARE * sizes.max()
    if meant is not None:
        stay[labels[meant & inside]] = True
    return stay[labels] & inside


def fragments_of(inside: np.ndarray) -> np.ndarray:
    """Voxels (R, …) of a solid that are in fragments."""
    return inside & ~without_fragments(inside)


def distances_without_fragments(
    values: np.ndarray, ceiling: np.ndarray, voxel: float, *, meant: np.ndarray | None = None
) -> np.ndarray:
    """Signed distances to a solid without its fragments.

    Parts that are nearly solid are lifted, too: outside, nearly to the grid's distances, or to the ceiling.

    Args:
        values: (R, …) signed distances, nearly, one for each voxel.
        ceiling: (R, …) how far they may be lifted; of fragments half a voxel at least.
        voxel: its side.
        meant: as in `without_fragments`.
    Returns:
        (R, …); `values` itself where there is no solid.
    """
    inside = values < 0
    if not inside.any():
        return values
    solid = without_fragments(inside, meant)
    away = (scipy.ndimage.distance_transform_edt(~solid) - 0.5) * voxel
    nearest = scipy.ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    of_fragments = ~solid[tuple(nearest)]
    lifted = np.maximum(values, np.minimum(away - SLACK * voxel, ceiling))
    found = np.where(solid, values, np.where(of_fragments, np.minimum(away, np.maximum(ceiling, voxel / 2)), lifted))
    return found.astype(values.dtype)
