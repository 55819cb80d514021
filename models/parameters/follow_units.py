"""Follow hidden units through what a module computes.

Every operation of one run is seen as a node of a graph of torch's own operators. Beside each tensor goes one of the
same shape that names, for each value, the unit it is of. Operations that move values about are run on these names as
well; layers make new units; where the values of two units meet, as in a residual addition, the two are one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from .unit_rules import RULES, Call
from .units import FIXED, NotFollowed, Units, Value, constant, fixed, mapped, mapped_outputs

# New tensors of one value, whatever they are made like.
CREATED = ("full_like", "new_full", "new_ones", "new_zeros", "ones_like", "zeros_like")


def follow(module: nn.Module, inputs: Tensor) -> Units:
    """The hidden units of a module and where they lie in its parameters.

    Args:
        module: without batch norms, in evaluation mode.
        inputs: an input that it accepts.
    Returns:
        Units and claims; what the outputs have is FIXED.
    Raises:
        NotFollowed: an operation that is not known, or the run cannot be traced.
    """
    parameters = dict(module.named_parameters())

    def run(state: dict[str, Tensor], x: Tensor) -> Any:
        return functional_call(module, state, (x,))

    try:
        with torch.no_grad():
            graph = make_fx(run)(parameters, inputs)
    except Exception as failure:
        raise NotFollowed(f"its run cannot be traced ({type(failure).__name__})") from failure
    units = Units({name: parameter.shape for name, parameter in parameters.items()})
    given = [Value(p.detach(), torch.arange(p.numel()).reshape(p.shape), name) for name, p in parameters.items()]
    try:
        with torch.no_grad():
            output = _Follower(graph, units).run(*given, fixed(inputs))
    except NotFollowed:
        raise
    except Exception as failure:
        reason = str(failure).partition("\n")[0]
        raise NotFollowed(f"netspace does not follow its units ({type(failure).__name__}: {reason})") from failure
    units.tie(output.units, torch.full_like(output.units, FIXED))
    units.claims = {place: units.same(found) for place, found in units.claims.items()}
    return units


class _Follower(fx.Interpreter):
    """Runs a graph on values together with their units."""

    def __init__(self, graph: fx.GraphModule, units: Units) -> None:
        super().__init__(graph, garbage_collect_values=False)
        self.extra_traceback = False  # it would become part of the reason
        self.units = units

    def run_node(self, n: fx.Node) -> Any:
        if n.op == "placeholder":
            return next(self.args_iter)
        if n.op == "get_attr":
            return constant(self.fetch_attr(str(n.target)))
        return super().run_node(n)

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not hasattr(target, "_schema"):
            return target(*args, **kwargs)  # an item of several outputs
        real = target(*mapped(args, lambda v: v.real), **mapped(kwargs, lambda v: v.real))
        call = Call(self.units, target, args, kwargs, real)
        if call.name in CREATED or not call.values:
            return mapped_outputs(real, constant)
        if all(v.parameter is None and bool((v.units <= FIXED).all()) for v in call.values):
            moves_not = any(bool((v.units == FIXED).any()) for v in call.values)
            return mapped_outputs(real, fixed if moves_not else constant)
        if call.name not in RULES:
            raise NotFollowed(f"netspace does not follow units through {call.name}")
        return RULES[call.name](call)
