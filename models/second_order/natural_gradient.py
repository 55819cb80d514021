"""Descent by the natural gradient, with Kronecker factors of the Fisher information that follow the training.

For a layer with weights W (n, m), inputs x with a one for the bias, and gradients g of the loss at its outputs, the
Fisher information is nearly A ⊗ G with A = E[x xᵀ] and G = E[g gᵀ] (K-FAC: Martens and Grosse, 2015; convolutions:
Grosse and Martens, 2016, section 3). Against a gradient D the step is (A ⊗ G + damping)⁻¹ D.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from .curvature import LayerSums, drawn_loss, has_factors, layer_sums

# Layers with more inputs or outputs than this are left out: eigenvectors of their factors take too long.
MOST = 1024
# Beside eigenvalues of the Fisher information, in nats: where the answers hardly depend on weights, steps stay small.
DAMPING = 1e-2
MOMENTUM = 0.9
# The most that a step and what momentum makes of it may change the answers, in nats of Kullback-Leibler divergence.
FURTHEST = 0.1
# Steps between two looks at the factors, images that are looked at, and the share that is kept of what was seen before.
RENEW, IMAGES, KEPT = 12, 32, 0.85


class NaturalGradient:
    """Moves the linear layers and convolutions of a module.

    Args:
        module: in training; its buffers stay as they are.
        generator: draws the labels of the Fisher information, on the processor.
        values: whether outputs are values with a squared error, not logits.
    """

    def __init__(self, module: nn.Module, generator: torch.Generator, *, values: bool = False) -> None:
        self._module, self._generator, self._values = module, generator, values
        self._layers = {f"{name}.weight": _Layer(layer) for name, layer in _separate_layers(module)}
        self._taken = 0

    def parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that it moves."""
        for layer in self._layers.values():
            yield from layer.parameters()

    def begin(self, inputs: Tensor) -> None:
        """Leave out layers that the module does not run as such.

        Args:
            inputs: (B, ...) as in training.
        """
        sums = self._sums(inputs)
        self._layers = {name: layer for name, layer in self._layers.items() if sums[name].places}

    def step(self, inputs: Tensor, rate: float) -> None:
        """Move along the gradients that the parameters have.

        Args:
            inputs: (B, ...) that they are of.
            rate: of a step with momentum.
        """
        if self._taken % RENEW == 0:
            self._look(self._sums(inputs), len(inputs[:IMAGES]))
        layers = list(self._layers.values())
        gradients = [layer.gradient() for layer in layers]
        naturals = [layer.natural(each) for layer, each in zip(layers, gradients, strict=True)]
        share = self._share(gradients, naturals, rate)
        for layer, natural in zip(layers, naturals, strict=True):
            layer.move(share * natural, rate)
        self._taken += 1

    @staticmethod
    def _share(gradients: Sequence[Tensor], naturals: Sequence[Tensor], rate: float) -> float:
        """The share of a step that changes answers by `FURTHEST` at most (Ba et al., 2017, section 5)."""
        # Half the product with the Fisher information, which is at most that with the gradient.
        slope = sum(float((one * other).sum()) for one, other in zip(gradients, naturals, strict=True))
        change = (rate / (1 - MOMENTUM)) ** 2 * slope / 2
        return min(1.0, (FURTHEST / change) ** 0.5) if change > 0 else 1.0

    def _sums(self, inputs: Tensor) -> dict[str, LayerSums]:
        return layer_sums(
            self._module,
            {**dict(self._module.named_parameters()), **dict(self._module.named_buffers())},
            inputs[:IMAGES],
            lambda outputs: drawn_loss(outputs.float(), self._values, self._generator),
            dtype=torch.float32,
            biases=True,
        )

    def _look(self, sums: dict[str, LayerSums], images: int) -> None:
        for name, layer in self._layers.items():
            layer.look(sums[name], images)
            layer.decompose()


class _Layer:
    """A linear layer or a convolution, its factors, and how they turn a gradient into a step."""

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        self._layer = layer
        self._factors: tuple[Tensor, ...] = ()
        self._looks = 0
        self._bases: tuple[Tensor, Tensor]
        self._inverse: Tensor
        self._velocity: Tensor | float = 0.0

    def parameters(self) -> list[nn.Parameter]:
        """The weight, and the bias if there is one."""
        return list(self._layer.parameters(recurse=False))

    def look(self, sums: LayerSums, images: int) -> None:
        """Take in the factors of a few images: per image of the inputs, per place of the gradients."""
        assert isinstance(sums.inputs, Tensor)
        assert isinstance(sums.gradients, Tensor)
        seen = (sums.inputs / images, sums.gradients / sums.places)
        if not self._factors:
            self._factors = seen
        self._looks += 1
        for factor, new in zip(self._factors, seen, strict=True):
            factor.lerp_(new, max(1 - KEPT, 1 / self._looks))

    def decompose(self) -> None:
        """Find the eigenvectors of the factors, and the inverse of the damped products of their eigenvalues."""
        (of_inputs, right), (of_gradients, left) = map(_eigenvectors, self._factors)
        self._bases = (left, right)
        self._inverse = 1 / (of_gradients.clamp_min(0)[:, None] * of_inputs.clamp_min(0) + DAMPING)

    @torch.no_grad()
    def gradient(self) -> Tensor:
        """(n, m) of the loss, the bias's as the last column."""
        weight, bias = (
            each.grad if isinstance(each, Tensor) else None for each in (self._layer.weight, self._layer.bias)
        )
        flat = torch.zeros_like(self._layer.weight).flatten(1) if weight is None else weight.flatten(1)
        if self._layer.bias is None:
            return flat
        return torch.cat([flat, (torch.zeros_like(self._layer.bias) if bias is None else bias)[:, None]], dim=1)

    @torch.no_grad()
    def natural(self, gradient: Tensor) -> Tensor:
        """The same as a natural gradient."""
        left, right = self._bases
        return left @ (self._inverse * (left.T @ gradient @ right)) @ right.T

    @torch.no_grad()
    def move(self, natural: Tensor, rate: float) -> None:
        """Take a step with momentum."""
        weight, bias = self._layer.weight, self._layer.bias
        self._velocity = MOMENTUM * self._velocity + natural
        weight.sub_(rate * self._velocity[:, : weight[0].numel()].reshape(weight.shape))
        if bias is not None:
            bias.sub_(rate * self._velocity[:, -1])


def _eigenvectors(factor: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of a symmetric matrix."""
    try:
        values, vectors = torch.linalg.eigh(factor)
    except torch.linalg.LinAlgError:  # of many nearly equal eigenvalues, for want of precision
        values, vectors = (each.to(factor.dtype) for each in torch.linalg.eigh(factor.double()))
    return values, vectors


def _separate_layers(module: nn.Module) -> Iterator[tuple[str, nn.Linear | nn.Conv2d]]:
    """Layers with factors that are not too large and share nothing with others."""
    uses: dict[int, int] = {}
    for each in module.modules():
        for parameter in each.parameters(recurse=False):
            uses[id(parameter)] = uses.get(id(parameter), 0) + 1
    for name, layer in module.named_modules():
        if not has_factors(layer) or not isinstance(layer, nn.Linear | nn.Conv2d):
            continue
        own = list(layer.parameters(recurse=False))
        sides = (len(layer.weight), layer.weight[0].numel() + 1)
        if max(sides) <= MOST and all(each.requires_grad and uses[id(each)] == 1 for each in own):
            yield name, layer
