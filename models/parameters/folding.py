"""Fold batch norms into the layers before them, and undo it.

In evaluation a batch norm with scale g, shift b, running mean m and variance v is an affine map, so
`norm(layer(x))` is one layer: weight · g / sqrt(v + eps), bias (bias − m) · g / sqrt(v + eps) + b.
Which norm follows which layer is seen by running the module once, not read off its names.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..errors import UnknownArchitecture
from .watched import run_watched

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class FoldedPair:
    """A batch norm and the layer it is folded into.

    Attributes:
        layer, norm: names of the two modules.
        biased: whether the layer has a bias of its own.
        affine: whether the norm has a scale and a shift.
        eps: the norm's.
    """

    layer: str
    norm: str
    biased: bool
    affine: bool
    eps: float


@dataclass(frozen=True)
class Trace:
    """Result of one traced run.

    Attributes:
        order: modules with parameters, in order of use.
        pairs: layers and norms.
        unused: batch norms that the run did not come by.
    """

    order: tuple[str, ...]
    pairs: tuple[FoldedPair, ...]
    unused: tuple[str, ...] = ()


def trace(module: nn.Module, example: Tensor) -> Trace:
    """Run a module once to find the order of its layers and which norm follows which.

    Args:
        module: any module; put into evaluation mode.
        example: an input it accepts.
    Raises:
        UnknownArchitecture: a batch norm that cannot be folded (its input is not a layer's output, it keeps no
            running statistics), or a layer used twice.
    """
    module.eval()
    names = {m: name for name, m in module.named_modules()}
    order: list[str] = []
    # Outputs are kept alive until the end: a freed tensor's identity could be taken by another.
    made_by: dict[int, tuple[str, Tensor]] = {}
    pairs: list[FoldedPair] = []

    def hook(used: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        name = names[used]
        if name in order:
            raise UnknownArchitecture(
                f"the module {name!r} is used more than once in a forward pass.",
                "netspace needs one use for each set of parameters.",
            )
        order.append(name)
        if isinstance(used, NORMS):
            pairs.append(_pair(module, made_by.get(id(inputs[0])) if inputs else None, name, used))
        elif isinstance(used, LAYERS):
            made_by[id(output)] = (name, output)

    with_own = [m for m in names if any(True for _ in m.parameters(recurse=False)) or isinstance(m, NORMS)]
    run_watched(module, example, with_own, hook)
    unused = tuple(name for m, name in names.items() if isinstance(m, NORMS) and name not in order)
    return Trace(tuple(order), tuple(pairs), unused)


def _pair(module: nn.Module, source: tuple[str, Tensor] | None, name: str, norm: nn.Module) -> FoldedPair:
    if source is None:
        raise UnknownArchitecture(
            f"the batch norm {name!r} does not follow a convolution or linear layer directly.",
            "netspace folds batch norms into the layer before them; this one cannot be folded.",
        )
    layer = module.get_submodule(source[0])
    own = dict(layer.named_parameters(recurse=False))
    if "weight" not in own or len(own["weight"]) != norm.num_features or norm.running_mean is None:
        raise UnknownArchitecture(
            f"the batch norm {name!r} cannot be folded into {source[0]!r}.",
            "A layer with a plain weight, one output for each feature of the norm, and running statistics are needed.",
        )
    eps, affine = norm.eps, norm.affine
    assert isinstance(eps, float) and isinstance(affine, bool)
    return FoldedPair(source[0], name, layer.bias is not None, affine, eps)


def fused_module(module: nn.Module, pairs: Sequence[FoldedPair], unused: Sequence[str] = ()) -> nn.Module:
    """Copy a module without its norms, with the biases that folding adds to layers.

    Args:
        unused: norms that are taken away without being folded.
    """
    fused = copy.deepcopy(module).eval()
    for pair in pairs:
        layer = fused.get_submodule(pair.layer)
        if layer.bias is None:
            weight = layer.weight
            assert isinstance(weight, Tensor)
            layer.bias = nn.Parameter(torch.zeros(weight.shape[0], device=weight.device))
    for name in (*(pair.norm for pair in pairs), *unused):
        parent, _, leaf = name.rpartition(".")
        setattr(fused.get_submodule(parent), leaf, nn.Identity())
    return fused


def without(state: Mapping[str, Tensor], modules: Sequence[str]) -> dict[str, Tensor]:
    """A state dict without the values of some modules."""
    return {name: tensor for name, tensor in state.items() if name.rpartition(".")[0] not in modules}


def check_folding(
    module: nn.Module, fused: nn.Module, pairs: Sequence[FoldedPair], images: Tensor, unused: Sequence[str] = ()
) -> None:
    """Refuse pairs if folding them would change the function.

    Following a layer is not enough: something else may read the layer's output too, or alter it in place
    before the norm sees it.

    Args:
        module, fused: with its norms and without, both in evaluation mode.
        pairs: what is folded.
        images: an input, not constant.
        unused: norms that were taken away.
    Raises:
        UnknownArchitecture: the outputs differ at random statistics, or an unused norm is used after all.
    """
    # A shared parameter under its first name alone.
    state: dict[str, Tensor] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    random = torch.Generator().manual_seed(0)
    for pair in pairs:
        names = ("running_mean", "running_var", "weight", "bias") if pair.affine else ("running_mean", "running_var")
        for leaf in names:
            like = state[f"{pair.norm}.{leaf}"]
            # Positive, so that it does for a variance; about one, so that deep networks stay in range.
            state[f"{pair.norm}.{leaf}"] = 0.5 + torch.rand(like.shape, generator=random).to(like)
    with torch.no_grad():
        expected = functional_call(module, state, (images,))
        try:
            folded = functional_call(fused, without(fold(state, pairs), unused), (images,))
        except AttributeError as failure:
            raise UnknownArchitecture(
                f"of the batch norms {', '.join(unused[:6])} one is used otherwise than by calling it ({failure}).",
                "netspace folds batch norms into the layers before them; these cannot be folded.",
            ) from failure
    off, size = float((folded - expected).abs().max()), float(expected.abs().max())
    if not off <= 1e-3 * size:
        raise UnknownArchitecture(
            f"folding its batch norms changes the outputs by up to {off:.2g}; the largest is {size:.2g}.",
            "Nothing may read or change a layer's output before the batch norm that follows it.",
        )


def fold(state: Mapping[str, Tensor], pairs: Sequence[FoldedPair]) -> dict[str, Tensor]:
    """Fold a full state dict: same function in evaluation mode, no norms.

    Exact where the norm normalises to the identity (see `unfold`), else to float32 rounding.
    """
    folded = dict(state)
    for pair in pairs:
        mean, variance = folded.pop(f"{pair.norm}.running_mean"), folded.pop(f"{pair.norm}.running_var")
        folded.pop(f"{pair.norm}.num_batches_tracked", None)
        gain = folded.pop(f"{pair.norm}.weight") if pair.affine else torch.ones_like(mean)
        shift = folded.pop(f"{pair.norm}.bias") if pair.affine else torch.zeros_like(mean)
        scale = gain / torch.sqrt(variance + pair.eps)
        weight = folded[f"{pair.layer}.weight"]
        bias = folded.get(f"{pair.layer}.bias", torch.zeros_like(mean))
        folded[f"{pair.layer}.weight"] = weight * scale.reshape(-1, *[1] * (weight.dim() - 1))
        folded[f"{pair.layer}.bias"] = (bias - mean) * scale + shift
    return folded


def unfold(folded: Mapping[str, Tensor], pairs: Sequence[FoldedPair]) -> dict[str, Tensor]:
    """Convert a folded state dict to the full layout, with norms that do nothing.

    The scale is sqrt(1 + eps) for a variance of one, so that folding again divides the same number by
    itself: `fold(unfold(x)) == x`, bit for bit. A norm without scale and shift takes the bias as minus
    its running mean, and is exact to rounding.
    """
    state = dict(folded)
    for pair in pairs:
        bias = state.pop(f"{pair.layer}.bias")
        ones = torch.ones_like(bias)
        scale = torch.sqrt(ones + pair.eps)
        if pair.biased:
            state[f"{pair.layer}.bias"] = torch.zeros_like(bias)
        if pair.affine:
            state |= {f"{pair.norm}.weight": scale, f"{pair.norm}.bias": bias}
        state[f"{pair.norm}.running_mean"] = torch.zeros_like(bias) if pair.affine else -bias
        state[f"{pair.norm}.running_var"] = ones if pair.affine else ones - pair.eps
        state[f"{pair.norm}.num_batches_tracked"] = torch.zeros((), dtype=torch.int64, device=bias.device)
    return state
