"""Follow hidden units through a module's computation.

Every operation of one run is seen as torch's own operators. Beside each tensor goes one of the same shape that names,
for each value, the unit it is of. Operations that move values about are run on these names as well; layers make new
units; where the values of two units meet, as in a residual addition, the two are one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from .unit_rules import RULES, Operation
from .units import FIXED, NotFollowed, Units, Value, constant, fixed, mapped_outputs, values_in

# New tensors of one value, whatever they are made like.
CREATED = ("full_like", "new_full", "new_ones", "new_zeros", "ones_like", "zeros_like")


def follow(module: nn.Module, inputs: Tensor) -> Units:
    """Find the hidden units of a module and their places in its parameters.

    Args:
        module: without batch norms, in evaluation mode.
        inputs: an input that it accepts.
    Returns:
        Units and claims; what the outputs have is FIXED.
    Raises:
        NotFollowed: an operation that is not known, or one that looks at values.
    """
    parameters = dict(module.named_parameters())
    units = Units({name: parameter.shape for name, parameter in parameters.items()})
    follower = _Follower(units)
    for name, parameter in parameters.items():
        places = torch.arange(parameter.numel()).reshape(parameter.shape)
        follower.know(Value(parameter, places, name))
    follower.know(fixed(inputs))
    try:
        with torch.no_grad(), follower:
            output = module(inputs)
    except NotFollowed:
        raise
    except Exception as failure:
        reason = str(failure).partition("\n")[0]
        raise NotFollowed(f"netspace does not follow its units ({type(failure).__name__}: {reason})") from failure
    outputs = follower.value(output).units
    units.tie(outputs, torch.full_like(outputs, FIXED))
    units.claims = {place: units.same(found) for place, found in units.claims.items()}
    return units


class _Follower(TorchDispatchMode):
    """Observe every operation, and record the units of each tensor."""

    def __init__(self, units: Units) -> None:
        super().__init__()
        self.units = units
        # The values keep their tensors alive: a freed one's identity could be taken by another.
        self.known: dict[int, Value] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # torch would import its compiler, which takes seconds, to keep that from compiling this.
        return False

    def know(self, value: Value) -> None:
        """Record what is known about a tensor."""
        self.known[id(value.real)] = value

    def value(self, tensor: Tensor) -> Value:
        """What is known about a tensor; a tensor from before the run is a constant."""
        return self.known.get(id(tensor)) or constant(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func.name().partition("::")[2].partition(".")[0] not in RULES:
            with self:  # in inference mode operations come whole
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        values = (self._with_units(args), self._with_units(kwargs))
        real = func(*args, **kwargs)
        for value in values_in(self._followed(Operation(self.units, func, *values, real))):
            self.know(value)
        return real

    def _followed(self, call: Operation) -> Any:
        if call.name in CREATED or not call.values:
            return mapped_outputs(call.real, constant)
        if all(v.parameter is None and bool((v.units <= FIXED).all()) for v in call.values):
            moves_not = any(bool((v.units == FIXED).any()) for v in call.values)
            if moves_not and not isinstance(call.real, Tensor | list | tuple):
                raise NotFollowed(f"its run depends on values of its inputs, by {call.name}")
            return mapped_outputs(call.real, fixed if moves_not else constant)
        if call.name not in RULES:
            raise NotFollowed(f"netspace does not follow units through {call.name}")
        return RULES[call.name](call)

    def _with_units(self, arguments: Any) -> Any:
        if isinstance(arguments, Tensor):
            return self.value(arguments)
        if isinstance(arguments, list | tuple):
            return [self._with_units(each) for each in arguments]
        return {k: self._with_units(v) for k, v in arguments.items()} if isinstance(arguments, dict) else arguments
