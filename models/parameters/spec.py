"""The parameters of an architecture in PRep order: names, shapes and places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from ..errors import NamesDiffer


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter: its name, shape, and first place in the flat weights."""

    name: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """Number of values."""
        return prod(self.shape)

    @property
    def layer(self) -> str:
        """Name of the module that owns it ("" for the root)."""
        return self.name.rpartition(".")[0]


@dataclass(frozen=True)
class Layer:
    """Consecutive parameters of one module: places `start` to `stop` of the flat weights."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class NetworkSpec:
    """The parameters of a folded architecture in PRep order."""

    parameters: tuple[ParameterSpec, ...]

    @classmethod
    def of(cls, shapes: Mapping[str, tuple[int, ...]]) -> NetworkSpec:
        """Build from shapes by name, in order."""
        parameters, offset = [], 0
        for name, shape in shapes.items():
            parameters.append(ParameterSpec(name, tuple(shape), offset))
            offset += prod(shape)
        return cls(tuple(parameters))

    @property
    def size(self) -> int:
        """Total number of values P."""
        last = self.parameters[-1]
        return last.offset + last.size

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Runs of parameters with one owner; a convolution's weight and bias are one layer."""
        layers: list[Layer] = []
        for p in self.parameters:
            if layers and layers[-1].name == p.layer:
                layers[-1] = Layer(p.layer, layers[-1].start, p.offset + p.size)
            else:
                layers.append(Layer(p.layer, p.offset, p.offset + p.size))
        return tuple(layers)

    def check(self, state: Mapping[str, Tensor], owner: str) -> None:
        """Refuse a state dict with other names or shapes.

        Raises:
            NamesDiffer: with all missing, unexpected and misshaped names.
        """
        expected = {p.name: p.shape for p in self.parameters}
        missing = [n for n in expected if n not in state]
        unexpected = [n for n in state if n not in expected]
        misshaped = [
            f"{n}: {tuple(state[n].shape)}, expected {shape}"
            for n, shape in expected.items()
            if n in state and tuple(state[n].shape) != shape
        ]
        if missing or unexpected or misshaped:
            raise NamesDiffer(owner, missing, unexpected, misshaped)

    def flatten(self, state: Mapping[str, Tensor]) -> Tensor:
        """Flatten a state dict to weights (P,), float32, on the device of `state`."""
        return torch.cat([state[p.name].reshape(-1).float() for p in self.parameters])

    def unflatten(self, weights: Tensor) -> dict[str, Tensor]:
        """View (..., P) as parameters by name, each (..., *shape); undoes `flatten` exactly.

        Where a gradient is taken the views are not to be changed in place.
        """
        lead = weights.shape[:-1]
        # Cut at once: the gradient is put together once, and not filled up with zeros for each parameter.
        parts = weights.split([p.size for p in self.parameters], dim=-1)
        return {p.name: part.reshape((*lead, *p.shape)) for p, part in zip(self.parameters, parts, strict=True)}
