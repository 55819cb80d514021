"""Jacobians of a network's values, kept as factors.

The derivative of a value with respect to a linear layer's weight (n, m) is an outer product: of the gradient at the
layer's outputs (n,) and of its inputs (m,). So J is kept as the two factors, and products with J and J' are cheap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..architectures import Architecture
from ..errors import ConfigError

# By parameter, (R, n) and (R, m): the derivative of value r with respect to the parameter, seen as a matrix (n, m), is
# the outer product of the rows r.
Factors = dict[str, tuple[Tensor, Tensor]]


def value_factors(architecture: Architecture, weights: Tensor, points: Tensor) -> tuple[Tensor, Factors]:
    """Values of a network, and factors of their derivatives by the parameters of its linear layers.

    Layers that see more than one row for each point are left out: their derivatives are not outer products.

    Args:
        weights: (P,); points: (N, D).
    Returns:
        (R,) values, R = N K, those of a point together; and the factors of each linear layer's weight and bias.
    """
    module = architecture.fused
    # By layer, its inputs and its outputs.
    activations: dict[str, tuple[Tensor, Tensor]] = {}
    hooks = [
        layer.register_forward_hook(
            lambda _, inputs, outputs, name=name: activations.update({name: (inputs[0].detach(), outputs)})
        )
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear)
    ]
    with torch.enable_grad():
        try:
            state = architecture.spec.unflatten(weights.detach().requires_grad_(True))
            buffers = {name: b.to(weights.device) for name, b in module.named_buffers()}
            values = functional_call(module, {**buffers, **state}, (points,), strict=True)
        finally:
            for hook in hooks:
                hook.remove()
        plain = {name: pair for name, pair in activations.items() if pair[1].dim() == 2 and len(pair[1]) == len(points)}
        outputs = [layer_outputs for _, layer_outputs in plain.values()]
        # Points do not mix, so the gradient of a column's sum has each point's own gradient in its row.
        columns = [
            torch.autograd.grad(column.sum(), outputs, retain_graph=True, allow_unused=True, materialize_grads=True)
            for column in values.unbind(dim=1)
        ]
    factors: Factors = {}
    for i, (name, (layer_inputs, _)) in enumerate(plain.items()):
        gradients = torch.stack([column[i] for column in columns], dim=1).flatten(0, 1)  # (R, n)
        factors[f"{name}.weight"] = gradients, layer_inputs.repeat_interleave(values.shape[1], dim=0)
        factors[f"{name}.bias"] = gradients, torch.ones_like(gradients[:, :1])
    return values.detach().flatten(), factors


@dataclass(frozen=True)
class FactoredJacobian:
    """The derivative J (R, E) of R values with respect to an embedding, in factors.

    Attributes:
        parts: (R, a), (R, b) and places (a b,): the derivative of value r with respect to these places of the
            embedding is the outer product of the rows r.
        size: E.
    """

    parts: tuple[tuple[Tensor, Tensor, Tensor], ...]
    size: int

    def jvp(self, change: Tensor) -> Tensor:
        """J v: multiply by a change of the embedding, (E,) to (R,)."""
        products = [
            ((left @ change[places].unflatten(0, (left.shape[1], -1))) * right).sum(dim=1)
            for left, right, places in self.parts
        ]
        return torch.stack(products).sum(dim=0)

    def vjp(self, weights: Tensor) -> Tensor:
        """J' w: multiply by a weight for each value, (R,) to (E,)."""
        product = weights.new_zeros(self.size)
        for left, right, places in self.parts:
            # The narrower factor is weighted: this is done some hundred times a second.
            wide = left.shape[1] > right.shape[1]
            part = left.T @ (right * weights[:, None]) if wide else (left * weights[:, None]).T @ right
            product.index_add_(0, places, part.flatten())
        return product

    def mean_square(self) -> float:
        """Mean square of the rows of J: how much a value depends on the whole embedding."""
        # The square of an outer product is the product of the squares.
        squares = [left.square().sum(dim=1) * right.square().sum(dim=1) for left, right, _ in self.parts]
        return float(torch.stack(squares).sum(dim=0).mean())


def factored_jacobian(
    directions: Mapping[str, tuple[Tensor, Tensor, Tensor]], factors: Factors, size: int
) -> FactoredJacobian:
    """Jacobian of values by an embedding that moves parameters along directions.

    Args:
        directions: by parameter, U (n, a), V (m, b) and places (a b,) of the embedding: it receives U M V'.
        factors: of the values; parameters without are left out.
        size: E.
    Raises:
        ConfigError: no parameter has factors.
    """
    # d value / d M = U' (gradient inputs') V = (gradient U)' (inputs V).
    parts = [
        (factors[name][0] @ left, factors[name][1] @ right, places)
        for name, (left, right, places) in directions.items()
        if name in factors
    ]
    if not parts:
        raise ConfigError(
            "these networks have no linear layer that sees each point once, so there is nothing to solve for.",
            "Refine them by Adam: refine.method = 'adam', backbone.solve.steps = 0.",
        )
    return FactoredJacobian(tuple(parts), size)
