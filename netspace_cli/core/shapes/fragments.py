"""Mending shapes: what solving leaves of crumbs is taken away, and the thin holds are given back that it broke.

A leg of a chair hangs on a few cells: to the mean of all errors they are nothing, to whoever looks at it everything.
So these cells are asked for by themselves, firmly, while the network's other values are asked to stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from netspace_models.second_order.gauss_newton import Solver, weights_by_distance
from scipy import ndimage
from torch import Tensor

from netspace_cli.core.runtime.runner import Runner

from .components import fragments_of
from .voxels import Voxels, distances_at, far

# Points that solvers are asked at: half of them evenly over the box, half near a surface.
POINTS = 8192
# Steps at most; holds are so many cells at most from a crumb and from the rest; what is wrong weighs so much.
MENDS, AROUND, WEIGHT = 24, 3, 10.0
# Cells at most that are asked for anew in a step, so that the rest is heard.
MOST = 500
# How far outside crumbs are to be at least, and how far inside what they have come off from. Less where the rest is to
# stay as it is: asked more firmly, refined shapes come out less like their own.
FIRM, FIRM_KEEPING = (0.02, 0.01), (0.005, 0.005)
# What hangs on less than this share of the latter is hardly held.
MARGIN = 0.25
# Where the rest is to stay, the mean error may rise by this share at most; else there is more wrong than a hold or two.
COST = 0.05


def even_and_near(values: Tensor, generator: torch.Generator) -> Tensor:
    """(POINTS,) places of cells to ask at: half of them drawn evenly, half where values (M,) are nearest to zero."""
    evenly = torch.randperm(len(values), generator=generator)[: POINTS // 2].to(values.device)
    near = values.abs().topk(min(POINTS // 2, len(values)), largest=False).indices
    return torch.cat([evenly, near])


@dataclass(frozen=True)
class VoxelTargets:
    """What is to be where.

    Attributes:
        cells: where.
        values: (M,) signed distances there.
    """

    cells: Voxels
    values: Tensor

    def far(self) -> VoxelTargets:
        """Of a grid's cells those far from every surface."""
        cells = far(self.cells, self.values)
        return VoxelTargets(cells, self.values[torch.from_numpy(cells.places).to(self.values.device)])


def remove_fragments(
    embedding: Tensor, wanted: VoxelTargets, fine: Sequence[VoxelTargets], solver: Solver, runner: Runner, *, keep: bool
) -> Tensor:
    """(E,) an embedding whose network has no crumbs but those wanted; as it was where that leads nowhere.

    Crumbs are looked for in the grid's cells far from every surface, then in smaller and smaller ones near the surface.

    Args:
        embedding: (E,) whose network has nearly the values wanted.
        wanted: in all cells of a grid; fine: in those near the surface, `cut`.
        keep: ask the network to stay as it is elsewhere, and leave all as it was where it does not; without, ask it
            to be as wanted there, too.
    """
    begin, steps = embedding, iter(range(MENDS))
    for looked in (wanted.far(), *fine):
        embedding = _mended(embedding, looked, wanted, solver, runner, steps, keep=keep)
    if not keep or embedding is begin:
        return embedding
    errors = [float((_found(e, wanted.cells, solver, runner) - wanted.values).abs().mean()) for e in (begin, embedding)]
    return embedding if errors[1] <= (1 + COST) * errors[0] else begin


def _mended(
    embedding: Tensor,
    looked: VoxelTargets,
    wanted: VoxelTargets,
    solver: Solver,
    runner: Runner,
    steps: Iterator[int],
    *,
    keep: bool,
) -> Tensor:
    """(E,) mended where it is looked at, as long as there are steps."""
    outside, inside = FIRM_KEEPING if keep else FIRM
    firmly = torch.where(looked.values < 0, looked.values.clamp(max=-inside), looked.values.clamp(min=outside))
    elsewhere = wanted.values
    asked = torch.zeros(0, dtype=torch.long, device=firmly.device)
    for _ in steps:
        wrong = _crumbled(_found(embedding, looked.cells, solver, runner), looked, MARGIN * inside)
        if not len(wrong):
            break
        if len(wrong) > MOST:
            wrong = wrong[torch.randperm(len(wrong), generator=runner.generator("wrong"))[:MOST].to(wrong.device)]
        # What is wrong again weighs more.
        asked = torch.cat([asked, wrong])
        if keep:
            elsewhere = _found(embedding, wanted.cells, solver, runner)
        near = even_and_near(elsewhere, runner.generator("mend"))
        values = torch.cat([elsewhere[near], firmly[asked]])
        points = torch.cat([wanted.cells.points[near], looked.cells.points[asked]])
        weights = torch.cat([weights_by_distance(elsewhere[near]), firmly.new_full((len(asked),), WEIGHT)])
        before = embedding
        embedding, _ = solver.step(before, values, points, weights / weights.mean())
        if torch.equal(embedding, before):
            break
    return embedding


def _found(embedding: Tensor, cells: Voxels, solver: Solver, runner: Runner) -> Tensor:
    """(M,) what an embedding's network says in the cells."""
    with torch.no_grad():
        weights = solver.decode(embedding[None])[0]
    return distances_at(cells.points, solver.architecture, weights, runner)


def _crumbled(found: Tensor, wanted: VoxelTargets, margin: float) -> Tensor:
    """(C,) which of the cells are in crumbs where nothing is wanted, or should hold crumbs where something is.

    Args:
        margin: what comes off where the solid shrinks by so much is a crumb, too: it hangs on too little.
    """
    solid, inside, firm = (wanted.cells.inside(v) for v in (wanted.values, found, found + margin))
    loose = fragments_of(inside)
    crumbs = loose | fragments_of(firm)
    if not crumbs.any():
        return torch.zeros(0, dtype=torch.long, device=found.device)
    near = solid & ndimage.binary_dilation(crumbs, iterations=AROUND)
    holds = near & ~firm & ndimage.binary_dilation(firm & ~crumbs, iterations=AROUND)
    broken = holds if holds.any() else near & ~inside
    wrong = (loose & ~solid) | broken
    return torch.from_numpy(np.flatnonzero(wanted.cells.at(wrong))).to(found.device)
