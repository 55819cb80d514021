"""Find the hidden groups of any module by following its units through one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .follow_units import follow
from .symmetry import HiddenGroup, Member, draw_orders, reorder
from .units import NotFollowed, Units

# Of the largest output: what reordering may change, by rounding.
TOLERANCE = 1e-4

Place = tuple[str, int]
"""A parameter and an axis of it."""


@dataclass(frozen=True)
class TracedGroups:
    """The hidden groups found, or the reason why not.

    Attributes:
        groups: reorderable hidden units, () if unknown.
        reason: why they are unknown; "" if known.
    """

    groups: tuple[HiddenGroup, ...]
    reason: str = ""


def trace_groups(module: nn.Module, inputs: Tensor) -> TracedGroups:
    """Find the hidden groups of a plain network: convolutions, linear layers, residual sums, concatenations.

    They are right or none: outputs are compared before and after random reorderings.

    Args:
        module: without batch norms, in evaluation mode.
        inputs: an input that it accepts, not constant.
    """
    # Whatever the caller is in the middle of: the comparison needs full precision.
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(inputs.device.type, enabled=False):
        try:
            units = follow(module, inputs)
        except NotFollowed as failure:
            return TracedGroups((), str(failure))
        groups = _groups(units, [name for name, _ in module.named_parameters()])
        if not groups:
            return TracedGroups((), "none of its units can change places")
        changed = _changed(module, inputs, groups)
    return TracedGroups((), changed) if changed else TracedGroups(groups)


def _groups(units: Units, parameters: Sequence[str]) -> tuple[HiddenGroup, ...]:
    """Group units that are at like places of the same parameters."""
    order = {name: i for i, name in enumerate(parameters)}
    ordered = sorted(units.claims, key=lambda place: (order[place[0]], place[1]))
    places: dict[int, dict[Place, list[int]]] = {}
    for place in ordered:
        for position, unit in enumerate(units.claims[place].tolist()):
            if unit > 0:
                places.setdefault(unit, {}).setdefault(place, []).append(position)
    alike: dict[tuple[tuple[Place, int, bool], ...], list[dict[Place, list[int]]]] = {}
    for unit in sorted(places):
        found = places[unit]
        signature = tuple((place, len(at), _is_block(at)) for place, at in found.items())
        alike.setdefault(signature, []).append(found)
    return tuple(
        HiddenGroup(len(found), tuple(m for place, _, block in signature for m in _members(place, block, found, units)))
        for signature, found in alike.items()
        if len(found) > 1
    )


def _is_block(positions: Sequence[int]) -> bool:
    """Whether places are one run that begins at a multiple of its length."""
    first, count = positions[0], len(positions)
    return first % count == 0 and list(positions) == list(range(first, first + count))


def _members(place: Place, is_block: bool, found: Sequence[Mapping[Place, list[int]]], units: Units) -> list[Member]:
    """Members for like units on one axis; one per value if a unit's values are apart."""
    name, axis = place
    length, count = len(units.claims[place]), len(found[0][place])
    if is_block:
        starts = tuple(at[place][0] // count for at in found)
        return [Member(name, axis, count, None if starts == tuple(range(length // count)) else starts)]
    return [Member(name, axis, places=tuple(at[place][k] for at in found)) for k in range(count)]


def _changed(module: nn.Module, inputs: Tensor, groups: Sequence[HiddenGroup]) -> str:
    """Say by how much random reorderings change the outputs at random weights; "" if they do not."""
    generator = torch.Generator().manual_seed(0)
    state = {name: _random_like(each, generator) for name, each in module.named_parameters()}
    buffers = {n: b.double() if b.is_floating_point() else b for n, b in module.named_buffers()}
    x = inputs.double()
    try:
        return _difference(module, state, buffers, x, groups, generator)
    except RuntimeError:  # a module that knows single precision alone
        single = {name: each.float() for name, each in state.items()}
        return _difference(module, single, dict(module.named_buffers()), inputs, groups, generator)


def _random_like(parameter: Tensor, generator: torch.Generator) -> Tensor:
    """Random values that differ between units, and keep the size of activations."""
    fan_in = parameter[0].numel() if parameter.dim() > 1 else 4
    return torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / max(1, fan_in) ** 0.5


def _difference(
    module: nn.Module,
    state: Mapping[str, Tensor],
    buffers: Mapping[str, Tensor],
    inputs: Tensor,
    groups: Sequence[HiddenGroup],
    generator: torch.Generator,
) -> str:
    before = functional_call(module, {**buffers, **state}, (inputs,))
    for _ in range(2):
        reordered = reorder(state, groups, draw_orders(groups, generator))
        after = functional_call(module, {**buffers, **reordered}, (inputs,))
        off, size = float((after - before).abs().max()), float(before.abs().max())
        if not off <= TOLERANCE * size:
            return f"reordering its units would change its outputs by up to {off:.2g}; the largest is {size:.2g}"
    return ""
