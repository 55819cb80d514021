"""An architecture: its module, its parameters in PRep order, and how to run predicted instances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..errors import NamesDiffer, UnknownArchitecture
from ..folding import FoldedPair, fold, fused_module, trace, unfold
from ..spec import NetworkSpec
from ..symmetry import HiddenGroup, draw_orders, reorder
from .signal import Signal

Form = Literal["full", "fused"]


@dataclass(frozen=True, eq=False)
class Architecture:
    """What netspace knows of an architecture; made by `describe`, never by hand.

    Attributes:
        name: e.g. "resnet32".
        signal: what it takes and gives.
        module: the ordinary module, batch norms and all, on the CPU; a template, its values mean nothing.
        fused: the same with batch norms folded away.
        pairs: which norm is folded into which layer.
        spec: the folded parameters in PRep order.
        hidden_groups: reorderable hidden units, () where they are not known.
    """

    name: str
    signal: Signal
    module: nn.Module
    fused: nn.Module
    pairs: tuple[FoldedPair, ...]
    spec: NetworkSpec
    hidden_groups: tuple[HiddenGroup, ...]

    @property
    def parameters(self) -> int:
        """Number of folded parameters P."""
        return self.spec.size

    def form_of(self, state: Mapping[str, Tensor]) -> Form:
        """Which layout a state dict has.

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
        """Names and shapes of a form's state dict, batch counters left out."""
        if form == "fused":
            return self.spec
        return NetworkSpec.of({n: tuple(t.shape) for n, t in _without_counters(self.module.state_dict()).items()})

    def to_vector(self, state: Mapping[str, Tensor]) -> Tensor:
        """A state dict of either form to flat parameters (P,).

        Raises:
            NamesDiffer: it is neither form of this architecture.
        """
        form = self.form_of(state)
        folded = fold(state, self.pairs) if form == "full" and self.pairs else dict(state)
        return self.spec.flatten(folded)

    def to_state(self, vector: Tensor, form: Form = "full") -> dict[str, Tensor]:
        """Flat parameters (P,) to a state dict that the module (or its fused form) loads strictly."""
        folded = {n: t.clone() for n, t in self.spec.unflatten(vector).items()}
        if form == "fused":
            return folded
        full = unfold(folded, self.pairs)
        return {name: full[name] for name in self.module.state_dict()}

    def run(self, vector: Tensor, inputs: Tensor) -> Tensor:
        """The predicted instance's outputs, differentiable in its parameters.

        Args:
            vector: flat parameters (P,).
            inputs: (B, C, S, S), on the same device.
        Returns:
            (B, K) logits.
        """
        state = self.spec.unflatten(vector)
        buffers = {n: b.to(vector.device) for n, b in self.fused.named_buffers()}
        return functional_call(self.fused, {**buffers, **state}, (inputs,), strict=True)

    def shuffle(self, vector: Tensor, generator: torch.Generator) -> Tensor:
        """The same function with its hidden units in a random order: (P,) to (P,)."""
        if not self.hidden_groups:
            return vector
        orders = draw_orders(self.hidden_groups, generator)
        return self.spec.flatten(reorder(self.spec.unflatten(vector), self.hidden_groups, orders))


def describe(name: str, module: nn.Module, signal: Signal) -> Architecture:
    """All that netspace needs to know of a module.

    Args:
        name: what it is to be called.
        module: any `nn.Module` that takes (B, C, S, S) and gives (B, K). If it has a method
            `hidden_groups()`, that names its reorderable hidden units.
        signal: C, S and K.
    Raises:
        UnknownArchitecture: it does not run on such images, gives another number of logits, or has a
            batch norm that cannot be folded.
    """
    module = module.eval()
    example = torch.zeros(2, signal.channels, signal.size, signal.size)
    try:
        outputs = module(example)
    except RuntimeError as failure:
        raise UnknownArchitecture(
            f"{name} does not run on images of {signal.describe()}: {failure}",
            "Give the data it was made for.",
        ) from failure
    if tuple(outputs.shape) != (2, signal.classes):
        raise UnknownArchitecture(
            f"{name} gives outputs of shape {tuple(outputs.shape)} for two images; {(2, signal.classes)} is needed.",
            "The factory must build a classifier with one logit a class.",
        )
    seen = trace(module, example)
    fused = fused_module(module, seen.pairs).requires_grad_(False)
    groups = getattr(module, "hidden_groups", None)
    spec = NetworkSpec.of(_shapes_in_order(fused, seen.order))
    return Architecture(name, signal, module, fused, seen.pairs, spec, groups() if groups else ())


def _shapes_in_order(fused: nn.Module, order: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Shapes by name in order of use; parameters that belong to no traced module come last."""
    place = {name: i for i, name in enumerate(order)}
    shapes = {n: tuple(p.shape) for n, p in fused.named_parameters()}
    return dict(sorted(shapes.items(), key=lambda item: place.get(item[0].rpartition(".")[0], len(place))))


def _without_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}


def difference(failure: NamesDiffer) -> int:
    """How far a state dict is from what was expected: the number of names in disagreement."""
    return len(failure.missing) + len(failure.unexpected) + len(failure.misshaped)
