"""Gauss-Newton steps on an embedding, for networks whose values at a point are asked for one point at a time.

Near an embedding z a predicted network's values at R places are f + J dz. The change wanted is the short one that
brings them near the values wanted: dz of (J' J + l) dz = J' (wanted - f). Products with J and J' are cheap: the
derivative of a value with respect to a layer's weight (n, m) is an outer product, of the gradient at the layer's
outputs and of its inputs. So the equations are solved by conjugate gradients, which need products alone; and where
they would need hundreds of them, as networks hardly answer to most directions, they need few once J' J is undone
nearly, layer by layer, as the Kronecker product of what its outputs and its inputs have in common (K-FAC: Martens &
Grosse, 2015).
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
# Of the equations, in units of the mean square of the rows of J.
DAMPING = 1e-4
# Of conjugate gradients, at most; and the share of what they began with at which they end.
ITERATIONS = 15
SOLVED = 1e-6
# So many points at most judge how far to go.
JUDGES = 2048
# Signed distances that are near zero.
NEAR = 0.1


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

    def push(self, change: Tensor) -> Tensor:
        """(E,) to (R,): J times a change of the embedding."""
        moved = [
            ((left @ change[places].unflatten(0, (left.shape[1], -1))) * right).sum(dim=1)
            for left, right, places in self.parts
        ]
        return torch.stack(moved).sum(dim=0)

    def pull(self, weights: Tensor) -> Tensor:
        """(R,) to (E,): J' times the weights."""
        found = weights.new_zeros(self.size)
        for left, right, places in self.parts:
            # Weights go with the narrower factor: this is done some hundred times a second.
            wide = left.shape[1] > right.shape[1]
            part = left.T @ (right * weights[:, None]) if wide else (left * weights[:, None]).T @ right
            found.index_add_(0, places, part.flatten())
        return found

    def mean_square(self) -> float:
        """Of a row of J: how much a value answers to the embedding as a whole."""
        squares = [left.square().sum(dim=1) * right.square().sum(dim=1) for left, right, _ in self.parts]
        return float(torch.stack(squares).sum(dim=0).mean())


class Undoing:
    """Nearly (J' J + l)^-1: of each part by itself, as if its outputs and its inputs had nothing to do with each other.

    Args:
        tangent: J; damping: l, above zero.
    """

    def __init__(self, tangent: Tangent, damping: float) -> None:
        self._parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        for left, right, places in tangent.parts:
            outputs, by_output = torch.linalg.eigh(left.T @ left)
            inputs, by_input = torch.linalg.eigh(right.T @ right)
            common = outputs.clamp(min=0)[:, None] * inputs.clamp(min=0) / len(left)
            self._parts.append((by_output, by_input, 1 / (common + damping), places))

    def __call__(self, gradient: Tensor) -> Tensor:
        """(E,) to (E,)."""
        found = torch.zeros_like(gradient)
        for by_output, by_input, factor, places in self._parts:
            part = by_output.T @ gradient[places].unflatten(0, factor.shape) @ by_input
            found.index_add_(0, places, (by_output @ (factor * part) @ by_input.T).flatten())
        return found


def gauss_newton_change(tangent: Tangent, residuals: Tensor, damping: float, *, iterations: int = ITERATIONS) -> Tensor:
    """A short change of an embedding that takes residuals near zero.

    Args:
        residuals: (R,) values wanted minus values found.
        damping: of the equations, above zero, in units of the mean square of the rows of J.
        iterations: of conjugate gradients; with as many as there are values, the equations are solved.
    Returns:
        (E,).
    """
    damping *= tangent.mean_square()
    undo = Undoing(tangent, damping)
    left_over = tangent.pull(residuals)
    change, nearly = torch.zeros_like(left_over), undo(left_over)
    along, length = nearly, left_over @ nearly
    enough = SOLVED**2 * length
    for _ in range(iterations):
        if not length > enough:
            break
        answer = tangent.pull(tangent.push(along)) + damping * along
        share = length / (along @ answer)
        change, left_over = change + share * along, left_over - share * answer
        nearly, before = undo(left_over), length
        length = left_over @ nearly
        along = nearly + length / before * along
    return change


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


def weights_by_distance(wanted: Tensor) -> Tensor:
    """(R,) of mean one: the nearer to a surface a signed distance is wanted, the more it weighs.

    A solid is decided by signs alone: an error of 0.01 is nothing far from its surface, and a leg of a chair near it.
    """
    weights = 1 / (1 + wanted.abs() / NEAR)
    return weights / weights.mean()


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
    def step(
        self, embedding: Tensor, wanted: Tensor, points: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, float]:
        """An embedding (E,) whose network is nearer to the values wanted (N K,) at the points (N, D), or the same.

        Args:
            weights: (N K,) of the squared errors; None for all alike.
        Returns:
            It, and its mean squared error at those of the points that judge; which is not finite only if it was so
            before.
        """
        values, factors = value_factors(self.architecture, self.decode(embedding[None])[0], points)
        if not bool(values.isfinite().all()):
            return embedding, torch.inf
        residuals = wanted - values
        if weights is not None:
            strength = weights.sqrt()
            residuals = residuals * strength
            factors = {name: (left * strength[:, None], right) for name, (left, right) in factors.items()}
        tangent = tangent_of(self.directions, factors, len(embedding))
        change = gauss_newton_change(tangent, residuals, self.damping)
        tried = torch.stack([embedding, *(embedding + share * change for share in SHARES)])
        judges = slice(None, None, -(-len(points) // JUDGES))
        found = self.architecture.run_each(self.decode(tried), points[judges]).flatten(1)
        squares = (found - _of(judges, wanted, points)).square()
        if weights is not None:
            squares = squares * _of(judges, weights, points)
        losses = squares.mean(dim=1).nan_to_num(nan=torch.inf)
        best = int(losses.argmin())
        return tried[best], float(losses[best])


def _of(judges: slice, values: Tensor, points: Tensor) -> Tensor:
    """Of values (N K,) at N points those of some points."""
    return values.unflatten(0, (len(points), -1))[judges].flatten()
