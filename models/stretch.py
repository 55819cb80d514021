"""Stretching networks that are shapes: a change of coordinates that a perceptron's own weights can make.

With f(x) = L(W x + b) and L the rest of the network, f((x - t) / s) is L(W' x + b') with W' = W diag(1 / s) and
b' = b - W' t. So a zoo of shapes has more shapes in it than networks, each as exact as the network it comes from.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .architectures import Architecture, FieldSignal
from .errors import ConfigError
from .spec import ParameterSpec

# The answers of a stretched network and of the network itself may differ by so much of their spread.
TOLERANCE = 1e-3


def stretched(architecture: Architecture, vectors: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """The networks g(x) = c f((x - shift) / scale), where c is the geometric mean of a network's scale.

    If f is the signed distance to a surface, g is zero on the surface stretched; it is its signed distance where
    the scale is the same along all axes, and else near it.

    Args:
        architecture: of perceptrons: the first layer is linear in the coordinates, the last in the values.
        vectors: (B, P); scale, shift: (B, D), the scale above zero.
    Returns:
        (B, P).
    """
    first, last = _ends(architecture)
    state = {name: t.clone() for name, t in architecture.spec.unflatten(vectors).items()}
    weight = state[f"{first.layer}.weight"] / scale[:, None]
    state[f"{first.layer}.weight"] = weight
    state[f"{first.layer}.bias"] = state[f"{first.layer}.bias"] - (weight @ shift[:, :, None])[:, :, 0]
    mean = scale.log().mean(dim=1).exp()
    state[f"{last.layer}.weight"] = state[f"{last.layer}.weight"] * mean[:, None, None]
    state[f"{last.layer}.bias"] = state[f"{last.layer}.bias"] * mean[:, None]
    return torch.cat([state[p.name].flatten(1) for p in architecture.spec.parameters], dim=1)


def check_stretching(architecture: Architecture, vector: Tensor, points: Tensor) -> None:
    """Refuse an architecture that `stretched` does not stretch; its layers' shapes alone do not tell.

    Args:
        vector: (P,) any network of it; points: (N, D) of the box.
    Raises:
        ConfigError: it is no perceptron of coordinates.
    """
    count = points.shape[1]
    scale, shift = torch.linspace(1.1, 1.4, count), torch.linspace(-0.1, 0.2, count)
    scale, shift = scale.to(vector), shift.to(vector)
    try:
        moved = stretched(architecture, vector[None], scale[None], shift[None])[0]
        found = architecture.run(moved, points)
        wanted = scale.log().mean().exp() * architecture.run(vector, (points - shift) / scale)
    except (KeyError, StopIteration, RuntimeError) as failure:
        raise _refusal(architecture) from failure
    if (found - wanted).abs().max() > TOLERANCE * wanted.std(correction=0):
        raise _refusal(architecture)


def _ends(architecture: Architecture) -> tuple[ParameterSpec, ParameterSpec]:
    """The weights of the first and of the last layer."""
    signal = architecture.signal
    assert isinstance(signal, FieldSignal)
    weights = [p for p in architecture.spec.parameters if len(p.shape) == 2]
    first = next(p for p in weights if p.shape[1] == signal.dimensions)
    last = next(p for p in reversed(weights) if p.shape[0] == signal.values)
    return first, last


def _refusal(architecture: Architecture) -> ConfigError:
    return ConfigError(
        f"{architecture.name} cannot be stretched: its first layer is not linear in the coordinates, or its last not "
        "in the values.",
        "Train without it: -s train.stretch=1.",
    )
