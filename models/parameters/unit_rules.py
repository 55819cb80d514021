"""Rules for what each of torch's operators does to hidden units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .units import CONSTANT, NotFollowed, Units, Value, fixed, mapped, mapped_outputs, values_in

# Each value becomes another by itself.
ALONE = (
    *("_to_copy", "abs", "celu", "clamp", "clamp_max", "clamp_min", "cos", "elu", "erf", "exp", "gelu"),
    *("hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "log", "log1p", "mish", "neg", "pow"),
    *("reciprocal", "relu", "rsqrt", "sigmoid", "sign", "silu", "sin", "softplus", "softshrink", "sqrt"),
    *("square", "tanh", "threshold"),
)
# Values meet those at the same place.
TOGETHER = ("add", "sub", "mul", "div", "maximum", "minimum", "rsub", "_prelu_kernel")
# Values move and stay what they are.
MOVED = (
    *("alias", "cat", "clone", "contiguous", "detach", "expand", "flip", "permute", "repeat", "roll", "select"),
    *("slice", "split", "split_with_sizes", "squeeze", "stack", "t", "transpose", "unbind", "unsafe_split"),
    *("unsqueeze", "pixel_shuffle", "pixel_unshuffle", "lift_fresh_copy"),
)
RESHAPED = ("_unsafe_view", "view", "reshape", "_reshape_alias")
# One value from several of one unit's map.
POOLED = (
    *("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_avg_pool1d", "adaptive_max_pool2d"),
    *("avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool2d_with_indices"),
    *("max_pool3d_with_indices", "reflection_pad2d", "replication_pad2d", "upsample_bilinear2d"),
    *("upsample_nearest2d",),
)
REDUCED = ("amax", "amin", "mean", "sum")


@dataclass(frozen=True)
class Operation:
    """One operation: known units, operator, arguments and result."""

    units: Units
    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    real: Any

    @property
    def name(self) -> str:
        """The operator's name, the same whether or not it works in place."""
        return str(self.target._schema.name.partition("::")[2].removesuffix("_"))

    @property
    def values(self) -> list[Value]:
        """All tensor arguments."""
        return values_in((self.args, self.kwargs))

    def given(self, place: int, default: Any = None) -> Any:
        """An argument by its place, if it was given."""
        return self.args[place] if len(self.args) > place else default

    def activation(self, place: int = 0) -> Tensor:
        """The units of an argument that is computed."""
        value = self.args[place]
        if not isinstance(value, Value) or value.parameter is not None:
            raise NotFollowed(f"the parameter {getattr(value, 'parameter', '')} goes through {self.name}")
        return self.units.same(value.units)

    def whole_parameter(self, value: Value | None) -> str | None:
        """The name of an argument that is an unchanged parameter."""
        if value is None:
            return None
        name = value.parameter
        if name is None:
            raise NotFollowed(f"{self.name} takes weights that are not a parameter")
        if not torch.equal(value.units, torch.arange(value.units.numel()).reshape(self.units.shapes[name])):
            raise NotFollowed(f"{self.name} takes the parameter {name} in another form")
        return name


def _one_unit(units: Tensor, axes: Sequence[int], name: str) -> Tensor:
    """The single unit that values along some axes share; the axes are kept, with size 1."""
    if not axes:
        return units
    top = units.amax(tuple(axes), keepdim=True)
    if not bool(((units == top) | (units == CONSTANT)).all()):
        raise NotFollowed(f"{name} takes values of several units as one")
    return top


def _along(units: Tensor, axis: int, name: str) -> Tensor:
    """The units along one axis, (size,), if they are the same along all others."""
    return _one_unit(units, [d for d in range(units.dim()) if d != axis], name).flatten()


def _varying(units: Tensor) -> list[int]:
    """The axes along which units differ."""
    return [d for d in range(units.dim()) if bool((units != units.narrow(d, 0, 1)).any())]


def _moved(call: Operation) -> Any:
    names = {value.parameter for value in call.values}
    if len(names) > 1:
        raise NotFollowed(f"{call.name} joins the parameter {min(n for n in names if n)} with something else")
    (name,) = names
    moved = call.target(*mapped(call.args, lambda v: v.units), **mapped(call.kwargs, lambda v: v.units))
    if isinstance(moved, Tensor):
        return Value(call.real, moved, name)
    return tuple(Value(real, units, name) for real, units in zip(call.real, moved, strict=True))


def _reshaped(call: Operation) -> Value:
    # A view of the values need not be one of their units, which may lie otherwise in memory.
    (value,) = call.values
    return Value(call.real, value.units.reshape(call.real.shape), value.parameter)


def _padded(call: Operation) -> Value:
    return Value(call.real, call.target(call.activation(), call.args[1], CONSTANT))


def _alone(call: Operation) -> Value:
    if len(call.values) > 1:
        raise NotFollowed(f"{call.name} takes several tensors")
    return Value(call.real, call.activation())


def _together(call: Operation) -> Value:
    computed = [value.units for value in call.values if value.parameter is None]
    if not computed:
        raise NotFollowed(f"the parameter {call.values[0].parameter} goes through {call.name}")
    result = torch.full((1,) * call.real.dim(), CONSTANT)
    for units in computed:
        result = _met(call.units, result, _with_axes(units, call.real.dim()))
    result = result.expand(call.real.shape)
    for value in call.values:
        if value.parameter is not None:
            _claim_elementwise(call, value, result)
    return Value(call.real, result)


def _with_axes(units: Tensor, axes: int) -> Tensor:
    return units.reshape((1,) * (axes - units.dim()) + tuple(units.shape))


def _met(units: Units, one: Tensor, other: Tensor) -> Tensor:
    """Units of values that are combined, with equally many axes. Values that are the same for all units tie none."""
    one, other = units.same(one), units.same(other)
    shape = torch.broadcast_shapes(one.shape, other.shape)
    for units_here, same_for_all in ((one, other), (other, one)):
        varying = _varying(units_here)
        if varying and all(same_for_all.shape[d] == 1 for d in varying) and not _varying(same_for_all):
            return units_here.expand(shape)
    return units.tie(one.expand(shape), other.expand(shape))


def _claim_elementwise(call: Operation, value: Value, met: Tensor) -> None:
    """A parameter applied element by element: a scale, shift or slope."""
    name, places = str(value.parameter), _with_axes(value.units, met.dim())
    wide = [d for d in range(met.dim()) if places.shape[d] > 1]
    axes = [axis for axis, size in enumerate(call.units.shapes[name]) if size > 1]
    if not torch.equal(places.flatten(), torch.arange(places.numel())) or len(wide) != len(axes):
        raise NotFollowed(f"{call.name} takes the parameter {name} in another form")
    for d, axis in zip(wide, axes, strict=True):
        if d in _varying(met):
            call.units.claim(name, axis, _along(met, d, call.name))


def _pooled(call: Operation) -> Any:
    units = call.activation()
    spatial = int(call.name.partition("d_with")[0].rstrip("d")[-1])
    over = _one_unit(units, range(units.dim() - spatial, units.dim()), call.name)
    return mapped_outputs(call.real, lambda real: Value(real, over.expand(real.shape)))


def _reduced(call: Operation) -> Value:
    units = call.activation()
    axes = call.given(1) or list(range(units.dim()))
    kept = _one_unit(units, axes, call.name)
    return Value(call.real, kept.reshape(call.real.shape))


def _convolution(call: Operation) -> Value:
    inputs = _along(call.activation(), 1, call.name)
    weight, bias = call.whole_parameter(call.args[1]), call.whole_parameter(call.args[2])
    transposed, groups = call.args[6], call.args[8]
    assert weight is not None
    shape, outputs = call.units.shapes[weight], call.real.shape[1]
    if groups == 1:
        made = call.units.new(outputs)
        call.units.claim(weight, 0 if transposed else 1, inputs)
    elif groups == len(inputs) == shape[0] // (outputs // groups) and not transposed:
        made = inputs.repeat_interleave(outputs // groups)  # each map goes on by itself
    else:
        raise NotFollowed(f"the convolution {weight.rpartition('.')[0]!r} has {groups} groups for {len(inputs)} inputs")
    call.units.claim(weight, 1 if transposed else 0, made)
    if bias is not None:
        call.units.claim(bias, 0, made)
    return Value(call.real, made.reshape(-1, *[1] * (call.real.dim() - 2)).expand(call.real.shape))


def _linear(call: Operation) -> Value:
    """A product with a matrix, with an optional bias."""
    if call.name == "addmm":
        bias, x, weight = call.args
    else:
        x, weight, bias = (*call.args, None, None)[:3]
    place = next(i for i, value in enumerate(call.args) if value is x)
    units = call.activation(place)
    inputs = _along(units, units.dim() - 1, call.name)
    name = weight.parameter
    turned = name is not None and weight.units.shape != call.units.shapes[name]
    if name is not None and not turned and len(weight.units) > 1:
        turned = bool(weight.units[1, 0] != weight.units.shape[1])
    name = call.whole_parameter(Value(weight.real, weight.units.T, name) if turned else weight)
    assert name is not None
    rows_are_outputs = turned != (call.name == "linear")
    made = call.units.new(call.real.shape[-1])
    call.units.claim(name, 1 if rows_are_outputs else 0, inputs)
    call.units.claim(name, 0 if rows_are_outputs else 1, made)
    result = made.expand(call.real.shape)
    if bias is not None and bias.parameter is None:
        result = _met(call.units, _with_axes(made, call.real.dim()), _with_axes(bias.units, call.real.dim()))
    elif bias is not None:
        _claim_elementwise(call, bias, result)
    return Value(call.real, result.expand(call.real.shape))


def _layer_norm(call: Operation) -> Any:
    units = call.activation()
    inside = [d in range(units.dim() - len(call.args[1]), units.dim()) for d in _varying(units)]
    if any(inside) and not all(inside):
        raise NotFollowed(f"{call.name} normalises only some of the units")
    for value in call.args[2:4]:
        if value is not None:
            _claim_elementwise(call, value, units)
    normed, *statistics = call.real
    return (Value(normed, units), *(fixed(each) for each in statistics))


RULES: Mapping[str, Callable[[Operation], Any]] = {
    **dict.fromkeys(ALONE, _alone),
    **dict.fromkeys(TOGETHER, _together),
    **dict.fromkeys(MOVED, _moved),
    **dict.fromkeys(POOLED, _pooled),
    **dict.fromkeys(REDUCED, _reduced),
    **dict.fromkeys(("addmm", "mm", "linear"), _linear),
    **dict.fromkeys(RESHAPED, _reshaped),
    "constant_pad_nd": _padded,
    "convolution": _convolution,
    "native_layer_norm": _layer_norm,
}
