"""Convolutions with max-pooling, for many networks at once.

The images of a batch lie innermost in memory, (B, C, S, S, N), so that all copies run along them. Under 2 x 2
pooling, the four outputs of a window are taken for outputs of four filters, one row and column larger, on patches two
pixels apart: there are a third of the copies, and pooling is the maximum of four arrays.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function


def pooled_convolution(images: Tensor, weight: Tensor, bias: Tensor, pool: int) -> Tensor:
    """Convolve without padding and max-pool, with separate weights for each network.

    Args:
        images: (B, C, S, S, N), the images of each network last.
        weight: (B, M, C, k, k).
        bias: (B, M).
        pool: 2 for the maximum of each window of 2 x 2 outputs, an odd row or column at the end left out; 1 for none.
    Returns:
        (B, M, R, R, N), R = (S - k + 1) // pool.
    """
    # Patches are taken apart into blocks of pool x pool pixels, so that they must be made of whole ones.
    whole = (weight.shape[-1] + pool - 1) % pool == 0
    outputs = _by_patches(images, weight, pool) if images.is_cpu and whole else _grouped(images, weight, pool)
    # The maximum of values that are all shifted alike: the bias is added to a quarter of them.
    return outputs + bias[:, :, None, None, None]


def _grouped(images: Tensor, weight: Tensor, pool: int) -> Tensor:
    """Compute as one grouped convolution."""
    B, C, S, _, N = images.shape
    M, k = weight.shape[1], weight.shape[-1]
    outputs = F.conv2d(images.permute(4, 0, 1, 2, 3).reshape(N, B * C, S, S), weight.reshape(B * M, C, k, k), groups=B)
    outputs = F.max_pool2d(outputs, pool) if pool > 1 else outputs
    return outputs.view(N, B, M, *outputs.shape[2:]).permute(1, 2, 3, 4, 0)


def _by_patches(images: Tensor, weight: Tensor, pool: int) -> Tensor:
    """Compute one product per network, with patches one after another, so that they fit in a processor's cache."""
    (B, _, S, _, N), (M, k) = images.shape, (weight.shape[1], weight.shape[-1])
    R = (S - k + 1) // pool
    used = pool * R + k - 1
    corners = [(row, column) for row in range(pool) for column in range(pool)]
    filters = torch.stack([F.pad(weight, (j, pool - 1 - j, i, pool - 1 - i)) for i, j in corners], dim=1)
    outputs: Tensor = _Products.apply(images[:, :, :used, :used], filters.flatten(1, 2), pool)
    if pool > 1:
        # With all values of a window one above the other: of equal ones the first wins, as in any `max_pool2d`.
        windows = outputs.view(B, len(corners), 1, -1).permute(0, 3, 1, 2)
        outputs = F.max_pool2d(windows, (len(corners), 1)).permute(0, 2, 3, 1)
    return outputs.reshape(B, M, R, R, N)


class _Products(Function):
    """Filters (B, F, C, K, K) times patches `step` pixels apart: (B, F, R R N).

    Patches are copied again for the gradient, since they take many times the memory of the images.
    """

    @staticmethod
    def forward(images: Tensor, filters: Tensor, step: int) -> Tensor:
        """Compute the products."""
        patches = _room_for_patches(images, filters, step)
        flat = patches.view(filters[0, 0].numel(), -1)
        outputs = images.new_empty(*filters.shape[:2], flat.shape[1])
        for image, rows, output in zip(images, filters.flatten(2), outputs, strict=True):
            patches.copy_(_patches(image, filters.shape[-1], step))
            torch.mm(rows, flat, out=output)
        return outputs

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        """Keep the images and the filters."""
        images, filters, ctx.step = inputs
        ctx.save_for_backward(images, filters)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None]:
        """Gradients of filters and, if needed, of images."""
        images, filters = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted
            return *_differentiable_gradients(images, filters, ctx.step, gradient), None
        patches = _room_for_patches(images, filters, ctx.step)
        flat = patches.view(filters[0, 0].numel(), -1)
        of_filters = torch.empty_like(filters)
        of_images = torch.zeros_like(images) if ctx.needs_input_grad[0] else None
        rows, of_rows = filters.flatten(2), of_filters.flatten(2)
        for network, part in enumerate(gradient.unbind()):
            patches.copy_(_patches(images[network], filters.shape[-1], ctx.step))
            torch.mm(part, flat.T, out=of_rows[network])
            if of_images is not None:
                torch.mm(rows[network].T, part, out=flat)
                _add_patches(of_images[network], patches, ctx.step)
        return of_images, of_filters, None


def _patches(image: Tensor, kernel: int, step: int) -> Tensor:
    """View (C, S, S, N) as (C, K, K, R, R, N)."""
    return image.unfold(1, kernel, step).unfold(2, kernel, step).permute(0, 4, 5, 1, 2, 3)


def _room_for_patches(images: Tensor, filters: Tensor, step: int) -> Tensor:
    return images.new_empty(_patches(images[0], filters.shape[-1], step).shape)


def _add_patches(image: Tensor, patches: Tensor, step: int) -> None:
    """Add every patch to the place (C, S, S, N) that it was copied from.

    It adds blocks of step x step pixels at a time, which do not overlap at one shift.
    """
    _, K, _, R, _, _ = patches.shape
    blocks = image.unflatten(2, (-1, step)).unflatten(1, (-1, step))  # (C, S/step, step, S/step, step, N)
    parts = patches.unflatten(2, (-1, step)).unflatten(1, (-1, step)).permute(1, 3, 0, 5, 2, 6, 4, 7)
    for row in range(K // step):
        for column in range(K // step):
            blocks[:, row : row + R, :, column : column + R].add_(parts[row, column])


def _differentiable_gradients(
    images: Tensor, filters: Tensor, step: int, gradient: Tensor
) -> tuple[Tensor | None, Tensor]:
    """The same gradients, by operations that torch can differentiate."""
    B, C, S, _, N = images.shape
    M, K = filters.shape[1], filters.shape[-1]
    outputs = F.conv2d(
        images.permute(4, 0, 1, 2, 3).reshape(N, B * C, S, S), filters.reshape(B * M, C, K, K), stride=step, groups=B
    )
    outputs = outputs.view(N, B, M, -1).permute(1, 2, 3, 0).flatten(2)
    wanted = [t for t in (images, filters) if t.requires_grad]
    found = list(torch.autograd.grad(outputs, wanted, gradient, create_graph=True))
    of_filters = found.pop() if filters.requires_grad else torch.zeros_like(filters)
    return found[0] if found else None, of_filters
