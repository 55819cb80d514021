"""An architecture: its module, its parameters in PRep order, and how to run instances."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from math import ceil, prod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from ..errors import NamesDiffer, UnknownArchitecture
from ..network_io import NetworkIO
from ..parameters.folding import FoldedPair, check_folding, fold, fused_module, trace, unfold, without
from ..parameters.spec import NetworkSpec
from ..parameters.symmetry import HiddenGroup, draw_orders, reorder_each
from ..parameters.trace_groups import TracedGroups, trace_groups
from .largest_output import largest_output

Form = Literal["full", "fused"]
_DOES_NOT_RUN = (RuntimeError, TypeError, ValueError, IndexError, AssertionError)
# Values of a layer's outputs that stay in a processor's cache: 8 MiB.
CACHED_VALUES = 2**21
# Products of convolutions, an input, that take some seconds.
_MANY_PRODUCTS = 3e10


@dataclass(frozen=True, eq=False)
class Architecture:
    """Everything netspace knows about an architecture. Made by `describe`, never by hand.

    Attributes:
        name: e.g. "resnet32".
        io: its inputs and outputs.
        module: the ordinary module, batch norms and all, on the CPU; a template, its values mean nothing.
        fused: the same with batch norms folded away.
        pairs: which norm is folded into which layer.
        spec: the folded parameters in PRep order.
        own_groups: the reorderable hidden units that the module names itself; None where it names none.
        unused: batch norms of the module that it never runs; their values are not kept.
        shared: other names of parameters in a state dict, with the name under which `spec` has each.
        constants: names of buffers that no training changes; a state dict must have the module's own values.
    """

    name: str
    io: NetworkIO
    module: nn.Module
    fused: nn.Module
    pairs: tuple[FoldedPair, ...]
    spec: NetworkSpec
    own_groups: tuple[HiddenGroup, ...] | None
    unused: tuple[str, ...] = ()
    shared: Mapping[str, str] = field(default_factory=dict)
    constants: tuple[str, ...] = ()

    @property
    def hidden_groups(self) -> tuple[HiddenGroup, ...]:
        """Hidden units that can be reordered: named by the module, else found by tracing; () if unknown."""
        return self._traced_groups.groups if self.own_groups is None else self.own_groups

    @property
    def why_no_groups(self) -> str:
        """The reason why no hidden groups are known, as half a sentence; "" if they are known."""
        if self.hidden_groups:
            return ""
        return self._traced_groups.reason if self.own_groups is None else "its hidden_groups() names none"

    @cached_property
    def _traced_groups(self) -> TracedGroups:
        # Asked for only when needed: it takes longer than all else that is known of an architecture.
        return trace_groups(self.fused, self.io.example(2, torch.Generator().manual_seed(0)))

    @cached_property
    def largest_output(self) -> int:
        """Number of values of the largest output of one of its layers, for one input."""
        return largest_output(self.fused, self.io.example(2, torch.Generator().manual_seed(0)))

    @property
    def parameter_count(self) -> int:
        """Number of folded parameters P."""
        return self.spec.size

    def form_of(self, state: Mapping[str, Tensor]) -> Form:
        """The form of a state dict: full or fused.

        Raises:
            NamesDiffer: neither; the differences are to the nearer of the two.
        """
        failures = []
        for form in ("full", "fused"):
            try:
                self.layout(form).check(_without_counters(state), self.name)
            except NamesDiffer as failure:
                failures.append(failure)
            else:
                return form
        raise min(failures, key=difference)

    def layout(self, form: Form) -> NetworkSpec:
        """Names and shapes of a form's state dict, without batch counters."""
        if form == "fused" and not (self.shared or self.constants):
            return self.spec
        if form == "fused":
            return NetworkSpec.of({n: tuple(t.shape) for n, t in _without_counters(self.fused.state_dict()).items()})
        return NetworkSpec.of({n: tuple(t.shape) for n, t in _without_counters(self.module.state_dict()).items()})

    def to_weights(self, state: Mapping[str, Tensor]) -> Tensor:
        """Convert a state dict of either form to flat weights (P,).

        Raises:
            NamesDiffer: it is neither form of this architecture.
            UnknownArchitecture: parameters that are one in the module differ in it, or other constants.
        """
        form = self.form_of(state)
        self._check_fixed(state)
        fixed = {*self.shared, *self.constants}
        state = {name: tensor for name, tensor in without(state, self.unused).items() if name not in fixed}
        folded = fold(state, self.pairs) if form == "full" and self.pairs else dict(state)
        return self.spec.flatten(folded)

    def to_state(self, weights: Tensor, form: Form = "full") -> dict[str, Tensor]:
        """Convert flat weights (P,) to a state dict that the module (or its fused form) loads strictly."""
        folded = {n: t.clone() for n, t in self.spec.unflatten(weights).items()}
        if form == "fused" and not (self.shared or self.constants):
            return folded
        full = folded if form == "fused" else unfold(folded, self.pairs)
        full |= {other: full[name].clone() for other, name in self.shared.items()}
        own = (self.fused if form == "fused" else self.module).state_dict()
        return {name: full[name] if name in full else own[name].to(weights.device, copy=True) for name in own}

    def versions(self, form: Form = "full") -> dict[str, int]:
        """Versions of the modules whose state dict `to_state` gives, by name: some are not loaded without."""
        module = self.fused if form == "fused" else self.module
        return {name: each._version for name, each in module.named_modules(remove_duplicate=False)}

    def _check_fixed(self, state: Mapping[str, Tensor]) -> None:
        """Refuse values that flat weights could not restore."""
        for other, name in self.shared.items():
            if not torch.equal(state[other], state[name]):
                raise UnknownArchitecture(
                    f"{other} and {name} are one parameter of {self.name}, and have different values here.",
                    "Name the architecture that it was trained as.",
                )
        own = self.module.state_dict()
        for name in self.constants:
            if not torch.equal(state[name].to(own[name]), own[name]):
                raise UnknownArchitecture(
                    f"the buffer {name} has other values than {self.name} makes, and netspace keeps parameters alone.",
                    "Give networks whose buffers are those of a new module.",
                )

    def run(self, weights: Tensor, inputs: Tensor) -> Tensor:
        """Compute an instance's outputs, differentiable in its weights.

        Args:
            weights: flat parameters (P,).
            inputs: (B, *io.input_shape), on the same device.
        Returns:
            (B, K).
        """
        state = self.spec.unflatten(weights)
        buffers = {n: b.to(weights.device) for n, b in self.fused.named_buffers()}
        if not self.shared:
            return functional_call(self.fused, {**buffers, **state}, (inputs,), strict=True)
        # By torch's own tying, a module with two names would be left with these values.
        tied = {other: state[name] for other, name in self._tied.items()}
        return functional_call(self.fused, {**buffers, **state, **tied}, (inputs,), tie_weights=False)

    @cached_property
    def _tied(self) -> dict[str, str]:
        """The shared parameters of two modules, not those of one module with two names."""
        owners = {
            name: self.fused.get_submodule(name.rpartition(".")[0]) for pair in self.shared.items() for name in pair
        }
        return {other: name for other, name in self.shared.items() if owners[other] is not owners[name]}

    def run_each(self, weights: Tensor, inputs: Tensor) -> Tensor:
        """Compute the outputs of many instances at once.

        A module with a method `forward_each(state, inputs)` does this itself: from each parameter of all networks
        (B, *shape) and inputs (B, N, *io.input_shape), or (1, N, *io.input_shape) for all of them, to (B, N, K).

        Args:
            weights: (B, P).
            inputs: (N, *io.input_shape) for all of them, or (B, N, *io.input_shape), each its own.
        Returns:
            (B, N, K).
        """
        shared = inputs.dim() == 1 + len(self.io.input_shape)
        each = getattr(self.fused, "forward_each", None)
        if each is not None:
            own = inputs[None] if shared else inputs
            size = self._at_a_time(len(weights), own)
            parts = zip(weights.split(size), own.split(size) if len(own) > 1 else repeat(own), strict=False)
            outputs: list[Tensor] = [each(self.spec.unflatten(part), given) for part, given in parts]
            return torch.cat(outputs) if len(outputs) > 1 else outputs[0]
        return vmap(self.run, in_dims=(0, None if shared else 0))(weights, inputs)

    def _at_a_time(self, count: int, inputs: Tensor) -> int:
        """Number of instances to run at a time on inputs (1 or B, N, …): all, or even parts that fit into a cache."""
        if inputs.device.type != "cpu" or inputs.dim() < 4:
            return max(1, count)
        most = max(2, CACHED_VALUES // max(1, inputs.shape[1] * self.largest_output))
        return ceil(count / ceil(count / most)) if count else 1

    def run_several(self, weights: Tensor, inputs: Tensor) -> Tensor:
        """Compute the outputs of several instances on the same inputs: at once where that is faster, else one by one.

        On a processor, convolutions are faster at once for some small networks alone; their modules say so
        (`faster_at_once`, from tests/benchmarks/run_each.py). It is not measured as it goes: the same command would
        give other bits from one day to the next. An accelerator is always faster at once.

        Args:
            weights: (B, P).
            inputs: (N, *io.input_shape).
        Returns:
            (B, N, K).
        """
        if self.faster_at_once(len(weights), weights.device):
            return self.run_each(weights, inputs)
        return torch.stack([self.run(own, inputs) for own in weights])

    def faster_at_once(self, count: int, device: torch.device) -> bool:
        """Whether `run_several` runs this many instances at once on a device."""
        has_convolutions = len(self.io.input_shape) > 1
        if has_convolutions and (count == 1 or device.type == "cpu"):
            return count > 1 and bool(getattr(self.fused, "faster_at_once", False))
        return hasattr(self.fused, "forward_each") or self._can_be_mapped

    @cached_property
    def _can_be_mapped(self) -> bool:
        """Whether `vmap` gives what runs one by one give: not for every user's module."""
        example = self.io.example(2, torch.Generator().manual_seed(0))
        weights = torch.zeros(2, self.parameter_count)
        try:
            return self.run_each(weights, example).shape == (2, 2, self.io.outputs)
        except _DOES_NOT_RUN:
            return False

    def shuffle(self, weights: Tensor, generator: torch.Generator) -> Tensor:
        """Reorder the hidden units at random without changing the function: (P,) to (P,)."""
        return self.shuffle_each(weights[None], generator)[0]

    def shuffle_each(self, weights: Tensor, generator: torch.Generator) -> Tensor:
        """`shuffle` several networks, each in its own way: (B, P) to (B, P). Draws as one after the other do."""
        groups = self.hidden_groups
        if not groups or not len(weights):
            return weights
        drawn = [draw_orders(groups, generator) for _ in weights]
        orders = [torch.stack(own) for own in zip(*drawn, strict=True)]
        state = reorder_each(self.spec.unflatten(weights), groups, orders)
        return torch.cat([state[p.name].reshape(len(weights), -1) for p in self.spec.parameters], dim=1)


def describe(name: str, module: nn.Module, io: NetworkIO, *, verify: bool = True) -> Architecture:
    """Build the description of a module.

    Args:
        name: what it is to be called.
        module: any `nn.Module` that takes inputs (B, *io.input_shape) and gives (B, K). If it has a method
            `hidden_groups()`, that names its reorderable hidden units; else they are found by tracing, if asked for.
        io: its inputs and outputs.
        verify: run the module to see that its outputs, folding and hidden groups are what they seem; the built-in
            architectures' are seen to by tests.
    Raises:
        UnknownArchitecture: it does not run on such inputs, gives another number of outputs, has a batch norm
            that cannot be folded, values that are not parameters, or invalid hidden groups.
    """
    module = module.eval()
    example = io.example(2 if verify else 1, torch.Generator().manual_seed(0))
    if verify:
        _check_outputs(name, module, io, example)
    try:
        traced = trace(module, example) if verify else trace(*_quick(module, example))
    except _DOES_NOT_RUN as failure:
        raise _does_not_run(name, io, failure) from failure
    fused = fused_module(module, traced.pairs, traced.unused).requires_grad_(False)
    groups = getattr(module, "hidden_groups", None)
    spec = NetworkSpec.of(_shapes_in_order(fused, traced.order))
    own_groups = groups() if groups else None
    shared, constants = _fixed(module, (*(pair.norm for pair in traced.pairs), *traced.unused))
    _check_shared(name, shared, traced.pairs)
    architecture = Architecture(
        name, io, module, fused, traced.pairs, spec, own_groups, traced.unused, shared, constants
    )
    if verify:
        _verify(architecture, example)
    return architecture


def _fixed(module: nn.Module, norms: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Other names of shared parameters with their first name, and names of buffers that are not those of norms."""
    first: dict[int, str] = {}
    shared = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if first.setdefault(id(parameter), name) != name:
            shared[name] = first[id(parameter)]
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    others = without({name: t for name, t in module.state_dict().items() if name not in parameters}, norms)
    return shared, tuple(_without_counters(others))


def _check_shared(name: str, shared: Mapping[str, str], pairs: Sequence[FoldedPair]) -> None:
    """Refuse shared parameters of layers whose batch norms would be folded into them."""
    layers = {f"{pair.layer}.{leaf}" for pair in pairs for leaf in ("weight", "bias")}
    layers |= {f"{pair.norm}.{leaf}" for pair in pairs for leaf in ("weight", "bias")}
    for other, first in shared.items():
        if {other, first} & layers:
            raise UnknownArchitecture(
                f"{name}: {other} and {first} are one parameter, and a batch norm follows.",
                "netspace folds batch norms into the layers before them; a shared layer cannot have two.",
            )


def _does_not_run(name: str, io: NetworkIO, failure: Exception) -> UnknownArchitecture:
    return UnknownArchitecture(
        f"{name} does not run on {io.describe_inputs()}: {failure}", "Give the data it was made for."
    )


def _quick(module: nn.Module, example: Tensor) -> tuple[nn.Module, Tensor]:
    """The module and the example, without values if it would take long to run the one on the other."""
    pixels = prod(example.shape[2:])
    if pixels * sum(p.numel() for p in module.parameters() if p.dim() == 4) < _MANY_PRODUCTS:
        return module, example
    return copy.deepcopy(module).to("meta"), example.to("meta")


def _check_outputs(name: str, module: nn.Module, io: NetworkIO, example: Tensor) -> None:
    """Refuse a module that does not run on two inputs, or gives other outputs."""
    try:
        with torch.no_grad():
            outputs = module(example)
    except _DOES_NOT_RUN as failure:
        raise _does_not_run(name, io, failure) from failure
    is_tensor = isinstance(outputs, Tensor)
    result = f"outputs of shape {tuple(outputs.shape)}" if is_tensor else f"a {type(outputs).__name__}"
    if not is_tensor or tuple(outputs.shape) != (2, io.outputs):
        raise UnknownArchitecture(
            f"{name} gives {result} for two {io.one}s; {(2, io.outputs)} is needed for {io.describe()}.",
            f"The factory must build {io.network}. Where a library's function gives another number, name a function of "
            f"your own that calls it with {io.outputs}.",
        )


def _verify(architecture: Architecture, images: Tensor) -> None:
    _check_values(architecture)
    if architecture.pairs or architecture.unused:
        check_folding(architecture.module, architecture.fused, architecture.pairs, images, architecture.unused)
    if architecture.own_groups:
        _check_groups(architecture, images)


def _check_values(architecture: Architecture) -> None:
    """Refuse a module that flat parameters could not restore."""
    if not architecture.spec.parameters:
        raise UnknownArchitecture(f"{architecture.name} has no parameters.", "There is nothing to encode.")
    restored = unfold(architecture.spec.unflatten(torch.zeros(architecture.parameter_count)), architecture.pairs)
    kept = {*restored, *architecture.shared, *architecture.constants}
    lost = [
        n for n in _without_counters(without(architecture.module.state_dict(), architecture.unused)) if n not in kept
    ]
    if lost:
        raise UnknownArchitecture(
            f"{architecture.name} keeps values that its parameters do not hold: {', '.join(lost[:6])}.",
            "Parameters must not be shared under two names; register constants with persistent=False.",
        )


def _check_groups(architecture: Architecture, images: Tensor) -> None:
    """Refuse hidden groups whose reordering changes what the module computes."""
    weights = architecture.to_weights(architecture.module.state_dict())
    try:
        shuffled = architecture.shuffle(weights, torch.Generator().manual_seed(0))
    except (KeyError, IndexError, RuntimeError) as failure:
        raise UnknownArchitecture(
            f"the hidden groups of {architecture.name} do not fit its parameters: {failure}.",
            "Name folded parameters: a layer followed by a batch norm has a bias.",
        ) from failure
    before, after = architecture.run(weights, images), architecture.run(shuffled, images)
    off, size = float((after - before).abs().max()), float(before.abs().max())
    if not off <= 1e-3 * size:
        raise UnknownArchitecture(
            f"reordering the hidden groups of {architecture.name} changes its outputs by up to {off:.2g}; "
            f"the largest is {size:.2g}.",
            "Each group must name every parameter axis that its units lie on.",
        )


def _shapes_in_order(fused: nn.Module, order: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Shapes by name in order of use; parameters that belong to no traced module come last."""
    place = {name: i for i, name in enumerate(order)}
    shapes = {n: tuple(p.shape) for n, p in fused.named_parameters()}
    return dict(sorted(shapes.items(), key=lambda item: place.get(item[0].rpartition(".")[0], len(place))))


def _without_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}


def difference(failure: NamesDiffer) -> int:
    """Number of names in which a state dict differs from the expected one."""
    return len(failure.missing) + len(failure.unexpected) + len(failure.misshaped)
