"""Hidden units of a module as found in one run, and their places in the parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

# What is not of a unit: FIXED values differ from place to place and may not move, those of CONSTANT are all the same.
FIXED, CONSTANT = 0, -1


class NotFollowed(Exception):
    """An operation that units cannot be followed through; the text names it."""


@dataclass(frozen=True)
class Value:
    """A tensor of the run.

    Attributes:
        real: its values.
        units: of which unit each value is, or FIXED, or CONSTANT; of a parameter, the place of each value in it.
        parameter: the name of the parameter that it is, perhaps seen otherwise.
    """

    real: Tensor
    units: Tensor
    parameter: str | None = None


@dataclass
class Units:
    """All units found so far, and their places in the parameters.

    Attributes:
        shapes: of the parameters.
        root: for each unit one that it is one with; itself where it is alone.
        claims: by parameter and axis, the unit of each place on the axis.
    """

    shapes: Mapping[str, torch.Size]
    root: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.int64))
    claims: dict[tuple[str, int], Tensor] = field(default_factory=dict)

    def new(self, count: int) -> Tensor:
        """Make new units."""
        fresh = torch.arange(len(self.root), len(self.root) + count)
        self.root = torch.cat([self.root, fresh])
        return fresh

    def same(self, units: Tensor) -> Tensor:
        """Replace units by their roots; CONSTANT stays."""
        return torch.where(units < 0, units, self.root[units.clamp(min=0)])

    def tie(self, one: Tensor, other: Tensor) -> Tensor:
        """Merge units that meet at the same places of two tensors of one shape, and return the result's units."""
        both = (one != CONSTANT) & (other != CONSTANT)
        count = len(self.root)
        for pair in (one[both] * count + other[both]).unique().tolist():
            a, b = sorted(self.root[list(divmod(pair, count))].tolist())
            if a != b:
                self.root[self.root == b] = a
        return self.same(torch.where(one == CONSTANT, other, one))

    def claim(self, parameter: str, axis: int, units: Tensor) -> None:
        """Record which units the places on a parameter's axis belong to."""
        before = self.claims.get((parameter, axis), units)
        self.claims[parameter, axis] = self.tie(before, units)


def constant(real: Tensor) -> Value:
    """A tensor that no unit made: CONSTANT if it has one number everywhere."""
    same = real.numel() == 0 or bool((real == real.flatten()[0]).all())
    return Value(real, torch.full(real.shape, CONSTANT if same else FIXED))


def fixed(real: Tensor) -> Value:
    """A tensor with different values at its places, such as the inputs."""
    return Value(real, torch.full(real.shape, FIXED))


def mapped(values: Any, change: Callable[[Value], Any]) -> Any:
    """Map each value in nested arguments."""
    if isinstance(values, Value):
        return change(values)
    if isinstance(values, list | tuple):
        return type(values)(mapped(v, change) for v in values)
    return {k: mapped(v, change) for k, v in values.items()} if isinstance(values, dict) else values


def mapped_outputs(real: Any, make: Callable[[Tensor], Value]) -> Any:
    """Map each tensor among an operation's outputs; other outputs are kept."""
    if isinstance(real, Tensor):
        return make(real)
    return [mapped_outputs(each, make) for each in real] if isinstance(real, list | tuple) else real


def values_in(arguments: Any) -> list[Value]:
    """All values in nested arguments."""
    found: list[Value] = []
    mapped(arguments, found.append)
    return found
