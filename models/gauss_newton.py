"""Gauss-Newton steps on an embedding, for networks whose values at a point are asked for one point at a time.

Near an embedding z a predicted network's values at R places are f + J dz. The shortest dz that brings them to the
values wanted is J' (J J' + l)^-1 (wanted - f): R equations, however many values an embedding has. J J' is cheap:
the derivative of a value with respect to a layer's weight (n, m) is an outer product, of the gradient at the layer's
outputs and of its inputs, so that of two such derivatives the inner product is a product of two short ones (the
tangent kernel of Jacot et al., 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .architectures import Architecture
from .errors import ConfigError

# By parameter, (R, n) and (R, m): the derivative of value r with respect to the parameter, seen as a matrix (n, m), is
# the outer product of the rows r.
Factors = dict[str, tuple[Tensor, Tensor]]
# Shares of a change, of which the one that serves best is taken: networks are not linear.
SHARES = (1.0, 0.5, 0.25, 0.125)
# Of the equations, in units of their mean diagonal.
DAMPING = 1e-4
# Damping is raised so many times at most, each time tenfold, until the equations can be solved.
RAISED = 6


def value_factors(architecture: Architecture, vector: Tensor, points: Tensor) -> tuple[Tensor, Factors]:
    """A network's values, and how each depends on the parameters of its linear layers.

    Layers that see other than one row for each point are left out: their derivatives are no outer products.

    Args:
        vector: (P,); points: (N, D).
    Returns:
        (R,) values, R = N K, those of a point together; and the factors of each linear layer's weight and bias.
    """
    module = architecture.fused
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    hooks = [
        layer.register_forward_hook(lambda _, given, found, name=name: seen.update({name: (given[0].detach(), found)}))
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear)
    ]
    with torch.enable_grad():
        try:
            state = architecture.spec.unflatten(vector.detach().requires_grad_(True))
            buffers = {name: b.to(vector.device) for name, b in module.named_buffers()}
            values = functional_call(module, {**buffers, **state}, (points,), strict=True)
        finally:
            for hook in hooks:
                hook.remove()
        plain = {name: pair for name, pair in seen.items() if pair[1].dim() == 2 and len(pair[1]) == len(points)}
        outputs = [found for _, found in plain.values()]
        columns = [
            torch.autograd.grad(column.sum(), outputs, retain_graph=True, allow_unused=True, materialize_grads=True)
            for column in values.unbind(dim=1)
        ]
    factors: Factors = {}
    for i, (name, (given, _)) in enumerate(plain.items()):
        gradients = torch.stack([column[i] for column in columns], dim=1).flatten(0, 1)  # (R, n)
        factors[f"{name}.weight"] = gradients, given.repeat_interleave(values.shape[1], dim=0)
        factors[f"{name}.bias"] = gradients, torch.ones_like(gradients[:, :1])
    return values.detach().flatten(), factors


@dataclass(frozen=True)
class Tangent:
    """How R values depend on an embedding, in factors.

    Attributes:
        parts: (R, a), (R, b) and places (a b,): the derivative of value r with respect to these places of the
            embedding is the outer product of the rows r.
        size: E.
    """

    parts: tuple[tuple[Tensor, Tensor, Tensor], ...]
    size: int

    def gram(self) -> Tensor:
        """(R, R) J J', where no place belongs to two parts."""
        rows = self.parts[0][0]
        found = rows.new_zeros(len(rows), len(rows))
        for left, right, _ in self.parts:
            found.addcmul_(left @ left.T, right @ right.T)
        return found

    def pull(self, weights: Tensor) -> Tensor:
        """(R,) to (E,): J' times the weights."""
        found = weights.new_zeros(self.size)
        for left, right, places in self.parts:
            found.index_add_(0, places, ((left * weights[:, None]).T @ right).flatten())
        return found


def gauss_newton_change(tangent: Tangent, residuals: Tensor, damping: float) -> Tensor:
    """The shortest change of an embedding that nearly takes residuals to zero.

    Args:
        residuals: (R,) values wanted minus values found.
        damping: of the equations, in units of their mean diagonal; raised where rounding leaves them unsolvable.
    Returns:
        (E,).
    """
    gram = tangent.gram()
    own = gram.diagonal().mean()
    identity = torch.eye(len(gram), device=gram.device, dtype=gram.dtype)
    damping = max(damping, torch.finfo(gram.dtype).eps)
    factor, failed = torch.linalg.cholesky_ex(gram + damping * own * identity)
    for _ in range(RAISED):
        if not failed:
            break
        damping *= 10
        factor, failed = torch.linalg.cholesky_ex(gram + damping * own * identity)
    return tangent.pull(torch.cholesky_solve(residuals[:, None], factor)[:, 0])


def tangent_of(cuts: Mapping[str, tuple[Tensor, Tensor, Tensor]], factors: Factors, size: int) -> Tangent:
    """What values depend on where each parameter moves along directions of its own.

    Args:
        cuts: by parameter, (n, a) and (m, b) directions and places (a b,) of the embedding.
        factors: of the values; parameters without have no part in it.
    Raises:
        ConfigError: no parameter has any.
    """
    parts = [
        (factors[name][0] @ left, factors[name][1] @ right, places)
        for name, (left, right, places) in cuts.items()
        if name in factors
    ]
    if not parts:
        raise ConfigError(
            "these networks have no linear layer that sees each point once, so there is nothing to solve for.",
            "Refine them by Adam: refine.method = 'adam', backbone.solve = 0.",
        )
    return Tangent(tuple(parts), size)


@dataclass(frozen=True)
class Solver:
    """What a step on one embedding asks for.

    Attributes:
        architecture: of networks that are signals.
        decode: from embeddings (B, E) to parameters (B, P).
        directions: along which `decode` moves parameters with the embedding, as of `tangent_of`.
        damping: as of `gauss_newton_change`.
    """

    architecture: Architecture
    decode: Callable[[Tensor], Tensor]
    directions: Mapping[str, tuple[Tensor, Tensor, Tensor]]
    damping: float

    @torch.no_grad()
    def step(self, embedding: Tensor, wanted: Tensor, points: Tensor) -> tuple[Tensor, float]:
        """An embedding (E,) whose network is nearer to the values wanted (N K,) at the points (N, D), or the same.

        Returns:
            It, and its mean squared error there; which is not finite only if it was so before.
        """
        values, factors = value_factors(self.architecture, self.decode(embedding[None])[0], points)
        tangent = tangent_of(self.directions, factors, len(embedding))
        change = gauss_newton_change(tangent, wanted - values, self.damping)
        tried = torch.stack([embedding, *(embedding + share * change for share in SHARES)])
        found = self.architecture.run_each(self.decode(tried), points).flatten(1)
        losses = (found - wanted).square().mean(dim=1).nan_to_num(nan=torch.inf)
        best = int(losses.argmin())
        return tried[best], float(losses[best])
