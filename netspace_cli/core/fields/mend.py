"""Mending shapes: what solving leaves of crumbs is taken away, and the thin holds are given back that it broke.

A leg of a chair hangs on a few cells: to the mean of all errors they are nothing, to whoever looks at it everything.
So these cells are asked for by themselves, firmly, while the network's other values are asked to stay.
"""

from __future__ import annotations

import numpy as np
import torch
from netspace_models.gauss_newton import Solver, weights_by_distance
from scipy import ndimage
from torch import Tensor

from netspace_cli.core.runner import Runner

from .cells import Cells, distances_at
from .pieces import crumbs_of

# Points that solvers are asked at: half of them evenly over the box, half near a surface.
POINTS = 8192
# Steps at most; around crumbs so many cells are looked at, and what is wrong there weighs so much.
MENDS, AROUND, WEIGHT = 24, 3, 10.0
# How far outside crumbs are to be at least, and how far inside what they have come off from. Less where the rest is to
# stay as it is: asked more firmly, refined shapes come out less like their own.
FIRM, FIRM_KEEPING = (0.02, 0.01), (0.005, 0.005)
# Where the rest is to stay, the mean error may rise by this share at most; else there is more wrong than a hold or two.
COST = 0.05


def even_and_near(values: Tensor, generator: torch.Generator) -> Tensor:
    """(POINTS,) places of cells to ask at: half of them drawn evenly, half where values (M,) are nearest to zero."""
    evenly = torch.randperm(len(values), generator=generator)[: POINTS // 2].to(values.device)
    near = values.abs().topk(min(POINTS // 2, len(values)), largest=False).indices
    return torch.cat([evenly, near])


def mended(embedding: Tensor, wanted: Tensor, cells: Cells, solver: Solver, runner: Runner, *, keep: bool) -> Tensor:
    """(E,) an embedding whose network has no crumbs but those wanted; as it was where that leads nowhere.

    Args:
        embedding: (E,) whose network has nearly the values wanted.
        wanted: (M,) signed distances in the cells.
        keep: ask the network to stay as it is elsewhere, and leave all as it was where it does not; without, ask it
            to be as wanted there, too.
    """
    outside, inside = FIRM_KEEPING if keep else FIRM
    firmly = torch.where(wanted < 0, wanted.clamp(max=-inside), wanted.clamp(min=outside))
    asked, begin = wanted.new_zeros(0, dtype=torch.long), embedding
    for _ in range(MENDS):
        found = _found(embedding, cells, solver, runner)
        wrong = _crumbled(found, wanted, cells)
        if not len(wrong):
            break
        # What is wrong again weighs more.
        asked = torch.cat([asked, wrong])
        elsewhere = found if keep else wanted
        near = even_and_near(elsewhere, runner.generator("mend"))
        values, places = torch.cat([elsewhere[near], firmly[asked]]), torch.cat([near, asked])
        weights = torch.cat([weights_by_distance(elsewhere[near]), wanted.new_full((len(asked),), WEIGHT)])
        before = embedding
        embedding, _ = solver.step(before, values, cells.points[places], weights / weights.mean())
        if torch.equal(embedding, before):
            break
    if not keep or embedding is begin:
        return embedding
    errors = [float((_found(e, cells, solver, runner) - wanted).abs().mean()) for e in (begin, embedding)]
    return embedding if errors[1] <= (1 + COST) * errors[0] else begin


def _found(embedding: Tensor, cells: Cells, solver: Solver, runner: Runner) -> Tensor:
    """(M,) what an embedding's network says in the cells."""
    with torch.no_grad():
        vector = solver.decode(embedding[None])[0]
    return distances_at(cells.points, solver.architecture, vector, runner)


def _crumbled(found: Tensor, wanted: Tensor, cells: Cells) -> Tensor:
    """(C,) cells in crumbs where nothing is wanted, or outside near crumbs where something is."""
    inside, solid = ((v < 0).cpu().numpy().reshape(cells.sides) for v in (found, wanted))
    crumbs = crumbs_of(inside)
    if not crumbs.any():
        return wanted.new_zeros(0, dtype=torch.long)
    broken = solid & ~inside & ndimage.binary_dilation(crumbs, iterations=AROUND)
    return torch.from_numpy(np.flatnonzero((crumbs & ~solid) | broken)).to(wanted.device)
