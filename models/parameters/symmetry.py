"""Permutation symmetry: reorder hidden units without changing the function.

A group is a set of hidden units with one order; its members are the places in the *folded*
parameters where that order shows. Reordering every member of a group alike leaves the function as it
was; reordering one member alone does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn

from ..sending import sent
from .spec import NetworkSpec


@dataclass(frozen=True)
class Member:
    """One axis of a parameter that follows a group's order.

    Attributes:
        name: the parameter.
        axis: the axis along which units lie.
        block: how many consecutive entries belong to one unit (a flattened feature map has several).
        places: where on the axis the group's units lie, counted in units; None where they are all of it.
    """

    name: str
    axis: int
    block: int = 1
    places: tuple[int, ...] | None = None


@dataclass(frozen=True)
class HiddenGroup:
    """`size` hidden units, and all the places that follow their order."""

    size: int
    members: tuple[Member, ...]


class Reorderable(Protocol):
    """The parts of an `Architecture` used here; this room cannot import it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def spec(self) -> NetworkSpec:
        """Its folded parameters."""

    @property
    def hidden_groups(self) -> tuple[HiddenGroup, ...]:
        """Its reorderable hidden units."""


def chain(module: nn.Module, layers: Sequence[str]) -> tuple[HiddenGroup, ...]:
    """Groups of a plain chain of convolutions and linear layers, where each feeds only the next.

    Args:
        module: holds the layers; only their sizes are read.
        layers: names in order of use; every one has a bias once folded.
    """
    groups = []
    for here, after in pairwise(layers):
        units, inputs = _shape(module, here)[0], _shape(module, after)[1]
        groups.append(
            HiddenGroup(
                units,
                (
                    Member(f"{here}.weight", 0),
                    Member(f"{here}.bias", 0),
                    Member(f"{after}.weight", 1, block=inputs // units),
                ),
            )
        )
    return tuple(groups)


def _shape(module: nn.Module, layer: str) -> torch.Size:
    return module.get_parameter(f"{layer}.weight").shape


def draw_orders(groups: Sequence[HiddenGroup], generator: torch.Generator) -> tuple[Tensor, ...]:
    """Draw one random order, (size,) int64, for each group."""
    return tuple(torch.randperm(group.size, generator=generator) for group in groups)


def reorder(state: Mapping[str, Tensor], groups: Sequence[HiddenGroup], orders: Sequence[Tensor]) -> dict[str, Tensor]:
    """Reorder a network's hidden units; the function stays the same.

    Args:
        state: folded parameters by name.
        groups: from the architecture's `hidden_groups`.
        orders: one (size,) int64 permutation for each group; unit i of the result is unit orders[i].
    Returns:
        A new dict; parameters that no group touches are the same tensors.
    """
    result = dict(state)
    for group, order in zip(groups, orders, strict=True):
        for member in group.members:
            tensor = result[member.name]
            (sources,) = _sources(member, order.cpu()[None], tensor.shape[member.axis])
            result[member.name] = tensor.index_select(member.axis, sources.to(tensor.device))
    return result


def reorder_each(
    state: Mapping[str, Tensor], groups: Sequence[HiddenGroup], orders: Sequence[Tensor]
) -> dict[str, Tensor]:
    """Reorder several networks, each in its own way.

    Args:
        state: their folded parameters by name, each (B, *shape).
        groups: from the architecture's `hidden_groups`, at least one.
        orders: one (B, size) int64 for each group, on the processor; row b is what `reorder` takes for network b.
    Returns:
        A new dict, with the same bits as network by network; parameters that no group touches are the same tensors.
    """
    result = dict(state)
    moves = [(m, order) for group, order in zip(groups, orders, strict=True) for m in group.members]
    sources = [_sources(member, order, state[member.name].shape[member.axis + 1]) for member, order in moves]
    # All at once: each is small, and sending takes its time.
    there = sent(torch.cat(sources, dim=1), state[moves[0][0].name].device)
    parts = there.split([each.shape[1] for each in sources], dim=1)
    for (member, _), part in zip(moves, parts, strict=True):
        tensor = result[member.name]
        along = [len(part), *(1 for _ in tensor.shape[1:])]
        along[member.axis + 1] = part.shape[1]
        result[member.name] = tensor.gather(member.axis + 1, part.view(along).expand_as(tensor))
    return result


def _sources(member: Member, orders: Tensor, length: int) -> Tensor:
    """From where each entry of a member's axis comes, (B, length), by orders (B, size) of its group."""
    if member.places is None and member.block == 1:
        return orders
    entries = entries_of(member, length)
    if member.places is None:
        return entries[orders].flatten(1)
    sources = torch.arange(length).repeat(len(orders), 1)
    sources[:, entries.flatten()] = entries[orders].flatten(1)
    return sources


@lru_cache(maxsize=4096)
def entries_of(member: Member, length: int) -> Tensor:
    """Places of a group's units on a member's axis: (units, block) int64, kept for the next who asks."""
    starts = torch.arange(length // member.block) if member.places is None else torch.tensor(member.places)
    return starts[:, None] * member.block + torch.arange(member.block)


def units_of(tensor: Tensor, member: Member) -> Tensor:
    """View a member by unit: (units, everything else that belongs to a unit)."""
    rows = tensor.movedim(member.axis, 0)
    rows = rows.reshape(rows.shape[0] // member.block, -1)
    return rows if member.places is None else rows[list(member.places)]
