"""Remove stray fragments and restore thin connections after solving.

A leg of a chair may hang on a few voxels: the mean of all errors hardly sees them, and a viewer sees nothing else. So
wrong voxels are solved for by themselves, with a margin, while the rest of the network is held in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
import torch
from netspace_models.second_order.gauss_newton import Solver, weights_by_distance
from torch import Tensor

from netspace_cli.core.runtime.runner import Runner

from .components import fragments_of
from .voxels import Voxels, away_from_surface, distances_at

# Points of a step: half of them evenly over the box, half near a surface.
POINTS = 8192
# Steps at most; voxels at most from a connection to a fragment, and to the rest; weight of wrong voxels.
STEPS, AROUND, WEIGHT = 24, 3, 10.0
# Voxels at most that a step adds, so that the rest keeps its weight.
MOST = 500
# How far outside wrong voxels are to be at least, and how far inside missing connections. Less where the rest is to
# stay as it is: with larger margins, refined shapes come out less like their own.
MARGINS, GENTLE_MARGINS = (0.02, 0.01), (0.005, 0.005)
# A connection that holds by less than this share of the latter counts as broken.
HOLD = 0.25
# Where the rest is to stay, the mean error may rise by this share at most; beyond it, more is wrong than a connection.
COST = 0.05


def even_and_near(values: Tensor, generator: torch.Generator) -> Tensor:
    """(POINTS,) indices of voxels: half drawn evenly, half where values (M,) are nearest to zero."""
    evenly = torch.randperm(len(values), generator=generator)[: POINTS // 2].to(values.device)
    near = values.abs().topk(min(POINTS // 2, len(values)), largest=False).indices
    return torch.cat([evenly, near])


@dataclass(frozen=True)
class VoxelTargets:
    """Target signed distances of a network in voxels.

    Attributes:
        voxels: where.
        values: (M,) signed distances there.
    """

    voxels: Voxels
    values: Tensor

    def away_from_surface(self) -> VoxelTargets:
        """The targets of a whole grid in the voxels away from every surface."""
        voxels = away_from_surface(self.voxels, self.values)
        return VoxelTargets(voxels, self.values[torch.from_numpy(voxels.places).to(self.values.device)])


def remove_fragments(
    embedding: Tensor, wanted: VoxelTargets, fine: Sequence[VoxelTargets], solver: Solver, runner: Runner
) -> Tensor:
    """Move an embedding towards target values until its network has no other fragments than the targets have.

    Fragments are searched for in a grid's voxels away from every surface, then in smaller voxels near the surface.

    Args:
        embedding: (E,) whose network has nearly the values wanted.
        wanted: in all voxels of a grid; fine: in those of `refine_near_surface`, for one factor after another.
    Returns:
        (E,); the embedding itself where no step helps.
    """
    return _corrected(embedding, wanted, fine, solver, runner, MARGINS, lambda _: wanted.values)


def remove_only_fragments(
    embedding: Tensor, wanted: VoxelTargets, fine: Sequence[VoxelTargets], solver: Solver, runner: Runner
) -> Tensor:
    """Remove fragments, and keep the network unchanged elsewhere.

    Returns:
        (E,); the embedding itself where its error on the values wanted would rise by more than COST.
    """

    def values(each: Tensor) -> Tensor:
        return _values_in(each, wanted.voxels, solver, runner)

    found = _corrected(embedding, wanted, fine, solver, runner, GENTLE_MARGINS, values)
    if found is embedding:
        return embedding
    before, after = (float((values(each) - wanted.values).abs().mean()) for each in (embedding, found))
    return found if after <= (1 + COST) * before else embedding


def _corrected(
    embedding: Tensor,
    wanted: VoxelTargets,
    fine: Sequence[VoxelTargets],
    solver: Solver,
    runner: Runner,
    margins: tuple[float, float],
    elsewhere: Callable[[Tensor], Tensor],
) -> Tensor:
    """(E,) corrected in coarse voxels, then in finer ones, within STEPS in total.

    Args:
        margins: how far outside and inside wrong voxels are to be at least.
        elsewhere: from an embedding to what its network is to be in all voxels wanted.
    """
    steps = iter(range(STEPS))
    for looked in (wanted.away_from_surface(), *fine):
        embedding = _corrected_in(embedding, looked, wanted, solver, runner, steps, margins, elsewhere)
    return embedding


def _corrected_in(
    embedding: Tensor,
    looked: VoxelTargets,
    wanted: VoxelTargets,
    solver: Solver,
    runner: Runner,
    steps: Iterator[int],
    margins: tuple[float, float],
    elsewhere: Callable[[Tensor], Tensor],
) -> Tensor:
    """(E,) corrected in the given voxels, until nothing is wrong there or no steps are left."""
    outside, inside = margins
    firmly = torch.where(looked.values < 0, looked.values.clamp(max=-inside), looked.values.clamp(min=outside))
    asked = torch.zeros(0, dtype=torch.long, device=firmly.device)
    for _ in steps:
        wrong = _wrong_voxels(_values_in(embedding, looked.voxels, solver, runner), looked, HOLD * inside)
        if not len(wrong):
            break
        if len(wrong) > MOST:
            wrong = wrong[torch.randperm(len(wrong), generator=runner.generator("wrong"))[:MOST].to(wrong.device)]
        # What is wrong again weighs more.
        asked = torch.cat([asked, wrong])
        rest = elsewhere(embedding)
        # The stream keeps its older name, which decides what it draws.
        near = even_and_near(rest, runner.generator("mend"))
        values = torch.cat([rest[near], firmly[asked]])
        points = torch.cat([wanted.voxels.points[near], looked.voxels.points[asked]])
        weights = torch.cat([weights_by_distance(rest[near]), firmly.new_full((len(asked),), WEIGHT)])
        before = embedding
        embedding, _ = solver.step(before, values, points, weights / weights.mean())
        if torch.equal(embedding, before):
            break
    return embedding


def _values_in(embedding: Tensor, voxels: Voxels, solver: Solver, runner: Runner) -> Tensor:
    """(M,) values of an embedding's network in the voxels."""
    with torch.no_grad():
        weights = solver.decode(embedding[None])[0]
    return distances_at(voxels.points, solver.architecture, weights, runner)


def _wrong_voxels(found: Tensor, wanted: VoxelTargets, margin: float) -> Tensor:
    """(C,) indices of voxels in unwanted fragments, and of missing ones between fragments and the rest.

    Args:
        found: (M,) values in the voxels.
        margin: what comes off when the solid shrinks by this distance counts as a fragment, too.
    """
    solid, inside, firm = (wanted.voxels.inside(v) for v in (wanted.values, found, found + margin))
    loose = fragments_of(inside)
    fragments = loose | fragments_of(firm)
    if not fragments.any():
        return torch.zeros(0, dtype=torch.long, device=found.device)
    near = solid & scipy.ndimage.binary_dilation(fragments, iterations=AROUND)
    holds = near & ~firm & scipy.ndimage.binary_dilation(firm & ~fragments, iterations=AROUND)
    broken = holds if holds.any() else near & ~inside
    wrong = (loose & ~solid) | broken
    return torch.from_numpy(np.flatnonzero(wanted.voxels.at(wrong))).to(found.device)
