"""Blend two signed distance functions, and choose evenly spaced blend weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import scipy
import torch
from netspace_models.training.losses import blended
from torch import Tensor

from .components import connected_components, distances_without_fragments, fragments_of, without_fragments
from .voxels import Voxels, upsampled

# Of the blends, in units of the half box.
WIDTH = 0.01
# Components that came off are joined through this many voxels.
JOINED = 2
# Blends that are looked at to space the steps, evenly by the logit of gamma up to so much.
LOOKS, LOGIT = 241, 18.0


@dataclass(frozen=True)
class BlendEnds:
    """Two signed distance functions in the voxels of the box.

    Attributes:
        points: (R^D, D) one in each of a grid's voxels.
        one, other: (R^D,) values there.
    """

    points: Tensor
    one: Tensor
    other: Tensor

    @property
    def voxels(self) -> Voxels:
        """Voxels of the points."""
        return Voxels(self.points)

    @property
    def sides(self) -> tuple[int, ...]:
        """(R, …), with D axes."""
        return self.voxels.sides

    @cached_property
    def meant(self) -> np.ndarray:
        """(R, …) fragments of both ends, which are kept."""
        one, other = (fragments_of(v.cpu().numpy().reshape(self.sides) < 0) for v in (self.one, self.other))
        return one & other

    def solid(self, gamma: Tensor) -> np.ndarray:
        """(R, …) inside of the blend at gamma, without its fragments."""
        return without_fragments(self._on_grid(gamma) < 0, self.meant)

    def blend(self, gamma: Tensor) -> Tensor:
        """(R^D,) blend of the ends at gamma, without its fragments.

        A blend is never above the ends' mean, and nowhere is it lifted above it.
        """
        mean = torch.lerp(self.one, self.other, gamma).cpu().numpy().reshape(self.sides)
        found = distances_without_fragments(self._on_grid(gamma), mean, 2 / self.sides[0], meant=self.meant)
        return torch.from_numpy(found.reshape(-1)).to(self.one)

    def blend_in(self, small: Voxels, gamma: Tensor, wanted: Tensor, one: Tensor, other: Tensor) -> Tensor:
        """(M,) blend at gamma in smaller voxels near its surface, where more fragments show.

        A component that is also inside in the larger voxels is meant: it is joined through voxels that are inside
        there, too. Others are removed.

        Args:
            small: the voxels, from `refine_near_surface`.
            wanted: (R^D,) `blend(gamma)`.
            one, other: (M,) the ends' values in the small voxels.
        """
        coarse, parts = wanted.cpu().numpy().reshape(self.sides), small.sides[0] // self.sides[0]
        # By less, it is the grid that knows no better.
        lifted = upsampled(coarse - self._on_grid(gamma) > 1 / self.sides[0], parts)
        parents = small.at(upsampled(coarse, parts))
        plain = blended(one, other, gamma, width=WIDTH).cpu().numpy()
        values = np.where(small.at(lifted), np.maximum(plain, parents), plain)
        solid = small.inside(torch.from_numpy(values))
        labels, _ = connected_components(solid & ~without_fragments(solid, upsampled(self.meant, parts)))
        held = np.isin(labels, np.unique(labels[upsampled(coarse < 0, parts)])[1:])
        near = scipy.ndimage.binary_dilation(held, iterations=parts * JOINED)
        values = np.where((small.at(labels) > 0) & ~small.at(held), np.maximum(-values, 0), values)
        values = np.where(small.at(near) & (parents < 0), np.minimum(values, parents), values)
        return torch.from_numpy(values).to(self.one)

    def _on_grid(self, gamma: Tensor) -> np.ndarray:
        return blended(self.one, self.other, gamma, width=WIDTH).cpu().numpy().reshape(self.sides)


def even_gammas(ends: BlendEnds, steps: int) -> Tensor:
    """(N + 1,) gammas from 0 to 1 at which solids overlap nearly equally with the one before.

    Evenly spaced gammas where the solids do not differ.
    """
    within = torch.linspace(-LOGIT, LOGIT, LOOKS, dtype=torch.float64).sigmoid()
    gammas = torch.cat([torch.zeros(1), within, torch.ones(1)]).to(ends.one)
    solids = [ends.solid(gamma) for gamma in gammas]
    changes = [(a ^ b).sum() / max(1, (a | b).sum()) for a, b in pairwise(solids)]  # 1 - IoU
    gone = np.cumsum([0.0, *changes])
    if not gone[-1] > 0:
        return torch.linspace(0, 1, steps + 1).to(gammas)
    chosen = np.searchsorted(gone, gone[-1] * np.linspace(0, 1, steps + 1)).clip(max=len(gammas) - 1)
    found = gammas[torch.from_numpy(chosen).to(gammas.device)]
    found[0], found[-1] = 0, 1
    return found
