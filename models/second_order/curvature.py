"""Kronecker factors of curvature: directions of a layer's weights that the outputs depend on.

For a layer with weights W (n, m), inputs x and gradients g of the loss at its outputs, the Fisher information
is nearly E[g gᵀ] ⊗ E[x xᵀ] (K-FAC: Martens and Grosse, 2015). The eigenvectors of the two factors are the
directions in which a change of W shows most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.hooks import RemovableHandle

Moments = dict[str, tuple[Tensor, Tensor]]


@dataclass
class _Gathered:
    """Sums over places and images of outer products: inputs (m, m) and gradients (n, n)."""

    inputs: Tensor | float = 0.0
    gradients: Tensor | float = 0.0


def curvature_moments(
    module: nn.Module,
    state: Mapping[str, Tensor],
    inputs: Tensor,
    *,
    generator: torch.Generator,
    values: bool = False,
) -> Moments:
    """Kronecker factors of each convolution and linear layer, by name of the weight.

    Labels are drawn from the network's own answers, so none are needed.

    Args:
        module: a folded module; its own values are not used and stay as they are.
        state: its parameters.
        inputs: (B, ...) images or points, on the device of `state`.
        generator: draws the labels, on the processor.
        values: whether outputs are values with a squared error (eq. 2), not logits; then what is drawn are
            errors of deviation one.
    Returns:
        By parameter name the second moments of inputs (m, m) and of gradients (n, n), in float64 on the
        processor, where the weight is seen as (n, m): outputs by inputs. Layers in groups are left out.
    """
    found = moments_in_place(module, state, inputs, lambda outputs: _drawn_loss(outputs, values, generator))
    return {name: (sums.cpu(), gradients.cpu()) for name, (sums, gradients) in found.items()}


def moments_in_place(
    module: nn.Module, state: Mapping[str, Tensor], inputs: Tensor, loss: Callable[[Tensor], Tensor]
) -> Moments:
    """Moments as in `curvature_moments`, of any loss of the outputs, on the device of `state`."""
    gathered: dict[str, _Gathered] = {}
    hooks = [
        layer.register_forward_hook(_watch(gathered.setdefault(f"{name}.weight", _Gathered())))
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)
    ]
    try:
        parameters = {n: t.detach().clone().requires_grad_(True) for n, t in state.items()}
        loss(functional_call(module, parameters, (inputs,))).backward()
    finally:
        _remove(hooks)
    return {
        name: (sums.inputs, sums.gradients)
        for name, sums in gathered.items()
        if isinstance(sums.inputs, Tensor) and isinstance(sums.gradients, Tensor)
    }


def _drawn_loss(outputs: Tensor, values: bool, generator: torch.Generator) -> Tensor:
    """A loss whose gradient at the outputs has the Fisher information as its second moment."""
    if values:
        return (outputs * torch.randn(outputs.shape, generator=generator).to(outputs.device)).sum()
    shares = outputs.detach().float().softmax(dim=-1).cpu()
    labels = torch.multinomial(shares, 1, generator=generator)[:, 0].to(outputs.device)
    return F.cross_entropy(outputs, labels, reduction="sum")


def _watch(sums: _Gathered):  # type: ignore[no-untyped-def]  # the type of hooks is torch's own affair
    def hook(layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        rows = _input_rows(layer, arguments[0].detach()).double()
        sums.inputs = sums.inputs + rows.T @ rows

        def gradient_hook(gradient: Tensor) -> None:
            last = gradient.movedim(1, -1) if isinstance(layer, nn.Conv2d) else gradient
            flat = last.reshape(-1, last.shape[-1]).double()
            sums.gradients = sums.gradients + flat.T @ flat

        output.register_hook(gradient_hook)

    return hook


def _input_rows(layer: nn.Module, inputs: Tensor) -> Tensor:
    """(R, m) inputs that the rows of a layer's weights are multiplied with, at every place of every image."""
    if isinstance(layer, nn.Conv2d):
        padding = layer.padding if isinstance(layer.padding, tuple) else (0, 0)
        patches = F.unfold(inputs, layer.kernel_size, layer.dilation, padding, layer.stride)  # (B, m, places)
        return patches.transpose(1, 2).flatten(0, 1)
    return inputs.reshape(-1, inputs.shape[-1])


def _remove(hooks: list[RemovableHandle]) -> None:
    for hook in hooks:
        hook.remove()
