"""Bring one network's hidden units into the order that lies nearest to another's.

Weight matching: for one group of hidden units at a time, all others held, the best order is a linear
assignment; repeated until no group changes (coordinate ascent, so a local optimum).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .symmetry import HiddenGroup, Member, reorder, units_of

ROUNDS = 50


def align(
    reference: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    groups: Sequence[HiddenGroup],
    *,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """`state` with its hidden units in the order that best matches `reference`: the same function.

    Args:
        reference, state: folded parameters of two networks of one architecture.
        groups: its reorderable hidden units.
        generator: draws the order in which groups are visited in each round.
    Returns:
        The parameters reordered; never further from `reference` than they were.
    """
    aligned = dict(state)
    for _ in range(ROUNDS):
        changed = False
        for i in torch.randperm(len(groups), generator=generator).tolist():
            group = groups[i]
            order = _best_order(reference, aligned, group)
            if not torch.equal(order, torch.arange(group.size)):
                aligned, changed = reorder(aligned, [group], [order]), True
        if not changed:
            break
    return aligned


def _best_order(reference: Mapping[str, Tensor], state: Mapping[str, Tensor], group: HiddenGroup) -> Tensor:
    """The order with the largest inner product; the order as it is wherever that is no smaller."""
    gain = torch.zeros(group.size, group.size, dtype=torch.float64)
    for member in group.members:
        gain += _rows(reference[member.name], member) @ _rows(state[member.name], member).T
    _, columns = linear_sum_assignment(gain.numpy(), maximize=True)
    order = torch.from_numpy(columns)
    # Rounding could let two equal orders swap for ever.
    better = gain[torch.arange(group.size), order].sum() - gain.diagonal().sum()
    return order if better > 1e-9 * gain.abs().sum() else torch.arange(group.size)


def _rows(tensor: Tensor, member: Member) -> Tensor:
    """(units, everything else) of one parameter, in double precision on the processor."""
    return units_of(tensor.detach().cpu().double(), member)
