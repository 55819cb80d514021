"""Whether a network's training has come to rest, which it has not where its function is taken for another one.

Where training ends, the mean gradient of the loss is small in those directions in which single images' gradients are
large. With other activations or another pooling than in training, it is not.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from netspace_models.architectures import Architecture
from torch import Tensor
from torch.func import grad, vmap

# Directions that are looked at, those in which gradients of images are largest.
DIRECTIONS = 8
# Values of the gradients of all images that are held at once, and images at once.
MOST_VALUES, _BATCH = 64_000_000, 64
# Iterations that find the directions, and how many more directions are iterated.
_ITERATIONS, _SPARE = 4, 16


def unrest(
    architecture: Architecture, weights: Tensor, images: Tensor, labels: Tensor, directions: int = DIRECTIONS
) -> float:
    """The share of the mean gradient in the directions in which gradients of images are largest.

    Args:
        weights: (P,); images: (N, C, S, S); labels: (N,).
        directions: how many.
    Returns:
        Sum over directions of N times the squared mean, over the mean square, of the images' gradients along each:
        that of random signs is 1 a direction, and of equal gradients N.
    """

    def loss(own: Tensor, image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(architecture.run(own, image[None]), label[None])

    each = vmap(grad(loss), (None, 0, 0))
    gradients = torch.cat(
        [each(weights, x, y) for x, y in zip(images.split(_BATCH), labels.split(_BATCH), strict=True)]
    )
    # With the gradients as U S V', the mean is V S U' 1 / N, and its share along each direction (u' 1)² / N of what
    # is there.
    return float(_largest(gradients, directions).sum(0).square().sum())


def _largest(gradients: Tensor, count: int) -> Tensor:
    """The left singular vectors (N, count) of the largest singular values of (N, P), by subspace iteration."""
    generator = torch.Generator().manual_seed(0)
    size = min(count + _SPARE, *gradients.shape)
    basis = torch.randn(gradients.shape[1], size, generator=generator).to(gradients)
    for _ in range(_ITERATIONS):
        basis, _ = torch.linalg.qr(gradients.T @ (gradients @ basis))
    left, _, _ = torch.linalg.svd((gradients @ basis).double(), full_matrices=False)
    return left[:, :count]


def images_held(architecture: Architecture) -> int:
    """For how many images gradients can be held."""
    return MOST_VALUES // max(1, architecture.parameter_count)
