"""Order hidden units by incoming weights, from the inputs onwards: exact for reordered copies.

The inputs of a network have one order, so units of the first layer are told apart by their incoming weights alone; with
them in order, those of the next layer are, and so on. Weight matching (`alignment`) looks at outgoing weights as well,
whose order is not known yet, and so may miss that a network is a copy; begun from here it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import scipy
import torch
from torch import Tensor

from .alignment import align_weights
from .symmetry import HiddenGroup, Reorderable, reorder, units_of

# A group of a residual stream has rows in later layers too, which are in order after the first round.
ROUNDS = 2


def match_incoming(
    reference: Mapping[str, Tensor], state: Mapping[str, Tensor], groups: Sequence[HiddenGroup]
) -> dict[str, Tensor]:
    """Reorder hidden units so that their incoming weights are nearest to those of `reference`.

    Args:
        reference, state: folded parameters of two networks of one architecture.
        groups: its hidden groups, those next to the inputs first.
    """
    found = dict(state)
    for _ in range(ROUNDS):
        for group in groups:
            gain = torch.zeros(group.size, group.size, dtype=torch.float64)
            for member in group.members:
                if member.axis == 0:
                    own, other = (units_of(each[member.name].double(), member) for each in (reference, found))
                    gain += own @ other.T
            order = torch.from_numpy(scipy.optimize.linear_sum_assignment(gain.numpy(), maximize=True)[1])
            found = reorder(found, [group], [order])
    return found


def align_closely(architecture: Reorderable, reference: Tensor, weights: Tensor, generator: torch.Generator) -> Tensor:
    """Run `align_weights` from the given order and from `match_incoming`; keep the nearer result per network.

    Args:
        reference: (P,); weights: (N, P); both on the processor.
    Returns:
        (N, P).
    """
    groups, spec = architecture.hidden_groups, architecture.spec
    if not groups or not len(weights):
        return weights.clone()
    known = spec.unflatten(reference)
    begun = torch.stack([spec.flatten(match_incoming(known, spec.unflatten(each), groups)) for each in weights])
    ends = [align_weights(architecture, reference, each, generator) for each in (weights, begun)]
    near = [(end - reference).norm(dim=1) for end in ends]
    return torch.where((near[1] < near[0])[:, None], ends[1], ends[0])
