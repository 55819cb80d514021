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


def unrest(architecture: Architecture, weights: Tensor, images: Tensor, labels: Tensor) -> float:
    """The share of the mean gradient in the directions in which gradients of images are largest.

    Args:
        weights: (P,); images: (N, C, S, S); labels: (N,).
    Returns:
        Sum over `DIRECTIONS` of N times the squared mean, over the mean square, of the images' gradients along each:
        that of random signs is 1 a direction, and of equal gradients N.
    """

    def loss(own: Tensor, image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(architecture.run(own, image[None]), label[None])

    each = vmap(grad(loss), (None, 0, 0))
    gradients = torch.cat(
        [each(weights, x, y) for x, y in zip(images.split(_BATCH), labels.split(_BATCH), strict=True)]
    )
    # Directions and what lies along them follow from products of the images' gradients alone: with these as U S V',
    # the mean is V S U' 1 / N, and its share along each direction (u' 1)² / N of what is there.
    _, vectors = torch.linalg.eigh((gradients @ gradients.T).double())
    return float(vectors[:, -DIRECTIONS:].sum(0).square().sum())


def images_held(architecture: Architecture) -> int:
    """For how many images gradients can be held."""
    return MOST_VALUES // max(1, architecture.parameter_count)
