"""Rescale neural fields by changing their own weights.

With f(x) = L(W x + b) and L the rest of the network, f((x - t) / s) is L(W' x + b') with W' = W diag(1 / s) and
b' = b - W' t. So a zoo of shapes has more shapes in it than networks, each as exact as the network it comes from.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ..errors import ConfigError
from ..network_io import NetworkIO
from ..wording import setting
from .spec import NetworkSpec, ParameterSpec

# Largest allowed error of a rescaled network's values, as a share of their standard deviation.
TOLERANCE = 1e-3


class Field(Protocol):
    """The parts of an `Architecture` used here; this room cannot import it."""

    @property
    def name(self) -> str:
        """Name, for error messages."""

    @property
    def io(self) -> NetworkIO:
        """A FieldIO."""

    @property
    def spec(self) -> NetworkSpec:
        """Its parameters."""

    def run(self, weights: Tensor, inputs: Tensor) -> Tensor:
        """Map weights (P,) and points (N, D) to values (N, K)."""


def rescaled(architecture: Field, weights: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Rescale each network f to g(x) = c f((x - shift) / scale), where c is the geometric mean of its scale.

    If f is the signed distance to a surface, g is zero on the rescaled surface. It is the signed distance to it
    where the scale is the same along all axes, and close to it elsewhere.

    Args:
        architecture: of perceptrons: the first layer is linear in the coordinates, the last in the values.
        weights: (B, P); scale, shift: (B, D), the scale above zero.
    Returns:
        (B, P).
    """
    first, last = _first_and_last_weights(architecture)
    state = {name: t.clone() for name, t in architecture.spec.unflatten(weights).items()}
    # f((x - t) / s): W' = W diag(1 / s), b' = b - W' t.
    weight = state[f"{first.layer}.weight"] / scale[:, None]
    state[f"{first.layer}.weight"] = weight
    state[f"{first.layer}.bias"] = state[f"{first.layer}.bias"] - (weight @ shift[:, :, None])[:, :, 0]
    # Values are distances: they grow by the mean scale.
    mean = scale.log().mean(dim=1).exp()
    state[f"{last.layer}.weight"] = state[f"{last.layer}.weight"] * mean[:, None, None]
    state[f"{last.layer}.bias"] = state[f"{last.layer}.bias"] * mean[:, None]
    return torch.cat([state[p.name].flatten(1) for p in architecture.spec.parameters], dim=1)


def check_rescaling(architecture: Field, weights: Tensor, points: Tensor) -> None:
    """Refuse an architecture that `rescaled` does not work for, by running it: shapes alone do not show this.

    Args:
        weights: (P,) any network of it; points: (N, D) of the box.
    Raises:
        ConfigError: it is not a perceptron of coordinates.
    """
    count = points.shape[1]
    scale, shift = torch.linspace(1.1, 1.4, count), torch.linspace(-0.1, 0.2, count)
    scale, shift = scale.to(weights), shift.to(weights)
    try:
        predicted = rescaled(architecture, weights[None], scale[None], shift[None])[0]
        values = architecture.run(predicted, points)
        expected = scale.log().mean().exp() * architecture.run(weights, (points - shift) / scale)
    except (KeyError, StopIteration, RuntimeError) as failure:
        raise _refusal(architecture) from failure
    if (values - expected).abs().max() > TOLERANCE * expected.std(correction=0):
        raise _refusal(architecture)


def _first_and_last_weights(architecture: Field) -> tuple[ParameterSpec, ParameterSpec]:
    """Weights of the first and of the last layer."""
    (dimensions,), values = architecture.io.input_shape, architecture.io.outputs
    weights = [p for p in architecture.spec.parameters if len(p.shape) == 2]
    first = next(p for p in weights if p.shape[1] == dimensions)
    last = next(p for p in reversed(weights) if p.shape[0] == values)
    return first, last


def _refusal(architecture: Field) -> ConfigError:
    return ConfigError(
        f"{architecture.name} cannot be stretched: its first layer is not linear in the coordinates, or its last layer "
        "not in the values.",
        f"Train without it: {setting('train.stretch', 1)}.",
    )
