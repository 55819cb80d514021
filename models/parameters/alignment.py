"""Align hidden units with a reference's.

Weight matching (Ainsworth, Hayase and Srinivasa, "Git Re-Basin", section 3.2): for one group of hidden units at a
time, all others held, the best order is a linear assignment; repeated until no group changes (coordinate ascent, so a
local optimum). Of several tries the one that ends nearest is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import scipy
import torch
from torch import Tensor

from ..errors import ConfigError
from ..wording import setting
from .spec import NetworkSpec
from .symmetry import HiddenGroup, Reorderable, draw_orders, entries_of, units_of

ROUNDS = 50
# Values that are gathered at once, in double precision.
MOST_VALUES = 1 << 21


def align(
    reference: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    groups: Sequence[HiddenGroup],
    *,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Reorder the hidden units of `state` to match `reference` best; the function stays the same.

    Args:
        reference, state: folded parameters of two networks of one architecture.
        groups: its reorderable hidden units.
        generator: draws the order in which groups are visited in each round.
    Returns:
        The parameters reordered; never further from `reference` than they were.
    """
    spec = NetworkSpec.of({name: tuple(tensor.shape) for name, tensor in state.items()})
    matching = _Matching(spec, groups, _values(spec.flatten(reference)))
    (found,) = matching.ascend(_values(spec.flatten(state))[None], _visits(len(groups), generator))
    return {n: t.to(state[n]) for n, t in spec.unflatten(found).items()}


def align_weights(
    architecture: Reorderable,
    reference: Tensor,
    weights: Tensor,
    generator: torch.Generator,
    *,
    tries: int = 1,
) -> Tensor:
    """Reorder the hidden units of many networks to match `reference` best; their functions stay the same.

    What becomes of a network does not depend on the others.

    Args:
        architecture: with its parameters and hidden groups; without any, the weights stay as they are.
        reference: (P,).
        weights: (N, P) instances.
        generator: draws the order in which groups are visited, and where other tries begin.
        tries: how often the ascent begins, first from the order as it is, then from random ones; the result that is
            nearest to `reference` is kept.
    Returns:
        (N, P), on the device of `weights`; none further from `reference` than it was.
    Raises:
        ConfigError: no try.
    """
    if tries < 1:
        raise ConfigError(f"cannot align with {tries} tries.", f"Give at least one: {setting('tries', 1)}.")
    groups = architecture.hidden_groups
    if not groups or not len(weights):
        return weights.clone()
    matching = _Matching(architecture.spec, groups, _values(reference))
    visits = [_visits(len(groups), generator)]
    orders: list[Sequence[Tensor]] = [()]
    for _ in range(tries - 1):
        orders.append(draw_orders(groups, generator))
        visits.append(_visits(len(groups), generator))
    at_once = max(1, MOST_VALUES // architecture.spec.size)
    aligned = [matching.best(part, orders, visits) for part in _values(weights).split(at_once)]
    return torch.cat(aligned).to(weights)


def _values(weights: Tensor) -> Tensor:
    """Move values to the processor, where assignments are solved."""
    return weights.detach().cpu().float()


def _visits(groups: int, generator: torch.Generator) -> list[list[int]]:
    """The order in which each round visits the groups."""
    return [torch.randperm(groups, generator=generator).tolist() for _ in range(ROUNDS)]


class _Matching:
    """The hidden groups of an architecture, prepared for matching with a reference.

    Args:
        spec, groups: of the architecture.
        reference: (P,).
    """

    def __init__(self, spec: NetworkSpec, groups: Sequence[HiddenGroup], reference: Tensor) -> None:
        self.spec, self.reference = spec, reference.double()
        state = spec.unflatten(self.reference)
        self.groups = [_Units(group, state) for group in groups]
        names = [{member.name for member in group.members} for group in groups]
        # Which groups' gains change with the order of a group.
        self.beside = torch.tensor(
            [
                [bool(own & others) and (i != j or self.groups[i].tied) for j, others in enumerate(names)]
                for i, own in enumerate(names)
            ]
        )

    def best(self, weights: Tensor, orders: Sequence[Sequence[Tensor]], visits: Sequence[list[list[int]]]) -> Tensor:
        """Return the result nearest to the reference over several tries: (N, P) to (N, P)."""
        ends = [self.ascend(weights, each, begin=order) for order, each in zip(orders, visits, strict=True)]
        best, nearest = ends[0], ends[0].double() @ self.reference
        for end in ends[1:]:
            product = end.double() @ self.reference
            # Rounding is no reason to prefer a later try.
            better = product - nearest > 1e-9 * nearest.abs()
            best, nearest = torch.where(better[:, None], end, best), torch.where(better, product, nearest)
        return best

    def ascend(self, weights: Tensor, visits: Sequence[Sequence[int]], begin: Sequence[Tensor] = ()) -> Tensor:
        """Repeat rounds until no order changes: (N, P) to a new (N, P).

        Args:
            weights: float32.
            visits: the order of groups in each round.
            begin: one order for each group to begin from; without any, the order as it is.
        """
        state = {name: each.clone() for name, each in self.spec.unflatten(weights.double()).items()}
        networks = torch.arange(len(weights))
        for units, order in zip(self.groups, begin, strict=False):
            units.reorder(state, networks, order.expand(len(weights), -1))
        # A group whose gain is the same as when it was last matched has its best order already.
        stale = torch.ones(len(weights), len(self.groups), dtype=torch.bool)
        for visited in visits:
            for i in visited:
                asked = networks[stale[:, i]]
                stale[:, i] = False
                moved = self.groups[i].match(state, asked) if len(asked) else asked
                stale[moved] |= self.beside[i]
            if not stale.any():
                break
        return torch.cat([state[p.name].reshape(len(weights), -1) for p in self.spec.parameters], dim=1).float()


class _Units:
    """One hidden group beside the reference's units.

    Attributes:
        size: how many units.
        tied: whether two members are axes of one parameter.

    Args:
        group: where the units lie.
        reference: parameters in double precision.
    """

    def __init__(self, group: HiddenGroup, reference: Mapping[str, Tensor]) -> None:
        self.size, self.members = group.size, group.members
        self.tied = len({member.name for member in group.members}) < len(group.members)
        self.whole = {member.name: reference[member.name] for member in group.members}
        self.reference = [units_of(reference[member.name], member) for member in group.members]
        self.entries = [entries_of(m, reference[m.name].shape[m.axis]) for m in group.members]

    def match(self, state: Mapping[str, Tensor], networks: Tensor) -> Tensor:
        """Reorder the units of some networks in place where that brings them nearer.

        Args:
            state: parameters of all networks, each (N, *shape).
            networks: which to look at.
        Returns:
            Those of them that changed.
        """
        gain = self._gain(state, networks)
        matched = (scipy.optimize.linear_sum_assignment(each, maximize=True)[1] for each in gain.numpy())
        orders = torch.stack([torch.from_numpy(order) for order in matched])
        found = gain.gather(2, orders[:, :, None]).sum((1, 2))
        # Rounding could let two equal orders swap for ever.
        better = found - gain.diagonal(dim1=1, dim2=2).sum(1) > 1e-9 * gain.abs().sum((1, 2))
        moved, orders = networks[better], orders[better]
        if not self.tied or not len(moved):
            self.reorder(state, moved, orders)
            return moved
        # A parameter that moves along two axes: the gain is not linear in the order, so see whether it is one.
        before = self._product(state, moved)
        self.reorder(state, moved, orders)
        worse = self._product(state, moved) - before <= 1e-9 * before.abs()
        self.reorder(state, moved[worse], orders[worse].argsort(dim=1))
        return moved[~worse]

    def reorder(self, state: Mapping[str, Tensor], networks: Tensor, orders: Tensor) -> None:
        """Move unit order[i] of a network to place i, in place."""
        for member, entries in zip(self.members, self.entries, strict=True):
            tensor = state[member.name]
            for network, order in zip(networks.tolist(), orders, strict=True):
                moved = tensor[network].index_select(member.axis, entries[order].flatten())
                tensor[network].index_copy_(member.axis, entries.flatten(), moved)

    def _gain(self, state: Mapping[str, Tensor], networks: Tensor) -> Tensor:
        """Inner products of each unit of the reference with each unit of each network: (networks, size, size)."""
        gain = torch.zeros(len(networks), self.size, self.size, dtype=torch.float64)
        for member, reference in zip(self.members, self.reference, strict=True):
            tensor = state[member.name][networks]
            units = torch.stack([units_of(each, member) for each in tensor])
            gain.baddbmm_(reference.expand(len(units), -1, -1), units.transpose(1, 2))
        return gain

    def _product(self, state: Mapping[str, Tensor], networks: Tensor) -> Tensor:
        """Inner product with the reference over all parameters that have the units, each counted once."""
        products = torch.zeros(len(networks), dtype=torch.float64)
        for name, whole in self.whole.items():
            products += (state[name][networks] * whole).flatten(1).sum(1)
        return products
