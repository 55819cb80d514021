"""Recombine aligned networks into new ones, unit by unit.

A hidden unit is what makes its value: its row of incoming weights, its bias, and whatever else lies on the first
axis of a parameter. Each unit is taken whole from one parent. What the layers after it do with its value belongs to
the rows of their own units: a column stays with its row. So a group's members on axis 0, the output axis of linear
layers and convolutions, decide; its members on other axes do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..errors import ConfigError
from .symmetry import HiddenGroup, Reorderable, entries_of


def recombine(
    parents: Sequence[Mapping[str, Tensor]], groups: Sequence[HiddenGroup], generator: torch.Generator
) -> dict[str, Tensor]:
    """Build a network in which each unit comes from one parent, drawn uniformly.

    A unit of a group that several layers write to, as a residual stream, comes from one parent in all of them. Rows
    that no group has (the classes, say) are drawn one by one; a layer's weight and bias share the draw.

    Args:
        parents: folded parameters of networks of one architecture, their hidden units aligned.
        groups: the architecture's `hidden_groups`.
        generator: draws one parent for each unit.
    Returns:
        New tensors, on the parents' device.
    Raises:
        ConfigError: no parents, or their parameters differ in names or shapes.
    """
    _check(parents)
    shapes = {name: tuple(tensor.shape) for name, tensor in parents[0].items()}
    units, count = units_of_rows(shapes, groups)
    drawn = torch.randint(len(parents), (count,), generator=generator)
    result = {}
    for name, shape in shapes.items():
        stacked = torch.stack([parent[name] for parent in parents])
        chosen = drawn[units[name]].to(stacked.device)
        rows = torch.arange(len(chosen), device=stacked.device)
        result[name] = stacked.reshape(len(parents), len(chosen), -1)[chosen, rows].reshape(shape)
    return result


def recombine_weights(
    architecture: Reorderable, weights: Tensor, parents_each: int, count: int, generator: torch.Generator
) -> Tensor:
    """Build many networks, each recombined from its own parents.

    The first networks are the same however many are drawn.

    Args:
        architecture: with its parameters and hidden groups.
        weights: (N, P) aligned instances.
        parents_each: how many distinct instances each network comes from.
        count: how many networks.
        generator: draws the parents, then their units, for one network after another.
    Returns:
        (count, P).
    Raises:
        ConfigError: fewer instances than parents, or no parents at all.
    """
    if not 1 <= parents_each <= len(weights):
        raise ConfigError(
            f"{parents_each} parents of a {architecture.name} cannot be drawn from {len(weights)} instances.",
            f"Ask for 1 to {len(weights)} of them.",
        )
    shapes = {p.name: p.shape for p in architecture.spec.parameters}
    by_name, units = units_of_rows(shapes, architecture.hidden_groups)
    by_weight = torch.cat(
        [by_name[p.name].repeat_interleave(p.size // len(by_name[p.name])) for p in architecture.spec.parameters]
    )
    places = torch.arange(architecture.spec.size, device=weights.device)
    children = []
    for _ in range(count):
        parents = torch.randperm(len(weights), generator=generator)[:parents_each]
        drawn = parents[torch.randint(parents_each, (units,), generator=generator)]
        children.append(weights[drawn[by_weight].to(weights.device), places])
    return torch.stack(children) if children else weights[:0]


def units_of_rows(
    shapes: Mapping[str, tuple[int, ...]], groups: Sequence[HiddenGroup]
) -> tuple[dict[str, Tensor], int]:
    """The unit that each row of each parameter belongs to.

    Args:
        shapes: of the folded parameters, by name.
        groups: the architecture's `hidden_groups`.
    Returns:
        By parameter the units of its rows, (rows,) int64, one row for a scalar; and how many units there are.
    """
    units = {name: torch.full((shape[0] if shape else 1,), -1) for name, shape in shapes.items()}
    count = 0
    for group in groups:
        for member in group.members:
            if member.axis == 0:
                entries = entries_of(member, len(units[member.name]))
                units[member.name][entries] = torch.arange(count, count + group.size)[:, None]
        count += group.size
    # What no group has; by layer, so that weight and bias of a class are one unit.
    alone: dict[tuple[str, int], int] = {}
    for name, rows in units.items():
        owner = (name.rpartition(".")[0], len(rows))
        if owner not in alone and bool((rows < 0).any()):
            alone[owner], count = count, count + len(rows)
        units[name] = torch.where(rows < 0, alone.get(owner, 0) + torch.arange(len(rows)), rows)
    return units, count


def _check(parents: Sequence[Mapping[str, Tensor]]) -> None:
    if not parents:
        raise ConfigError("no parents to recombine.", "Give at least one network.")
    first = {name: tuple(tensor.shape) for name, tensor in parents[0].items()}
    for number, parent in enumerate(parents[1:], start=2):
        shapes = {name: tuple(tensor.shape) for name, tensor in parent.items()}
        differing = sorted(n for n in {*first, *shapes} if first.get(n) != shapes.get(n))
        if differing:
            name = differing[0]
            raise ConfigError(
                f"parent {number} is of another architecture than parent 1: {name} has shape {shapes.get(name)}, "
                f"not {first.get(name)}.",
                "Recombine networks of one architecture.",
            )
