"""A maximum over convolutions whose backward pass is at the maximum alone: as plain autograd has it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from netspace_models.backbones.conv.peaks import peaks
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck

SIZES = [(1, 1), (2, 2), (1, 3), (3, 4), (2, 5), (2, 9), (3, 31), (1, 64)]


def layers(channels: int = 3, *, bias: bool = True, seed: int = 0) -> tuple[nn.Conv2d, nn.Conv2d]:
    torch.manual_seed(seed)
    sizes = ((1, channels), (channels, 2 * channels))
    first, second = (nn.Conv2d(n, m, (1, 3), stride=(1, 2), padding=(0, 1), bias=bias) for n, m in sizes)
    return first, second


def plain(grid: Tensor, first: nn.Conv2d, second: nn.Conv2d) -> Tensor:
    """As published."""
    hidden = F.leaky_relu(first(grid), 0.01)
    return F.leaky_relu(second(hidden), 0.01).amax(dim=3, keepdim=True)


def gradients(grid: Tensor, first: nn.Conv2d, second: nn.Conv2d, way) -> tuple[Tensor, ...]:  # type: ignore[no-untyped-def]
    values = way(grid, first, second)
    wanted = [grid, *first.parameters(), *second.parameters()]
    slopes = torch.linspace(-1, 2, values.numel(), dtype=values.dtype).reshape(values.shape)
    return (values, *torch.autograd.grad((values * slopes).sum(), [t for t in wanted if t.requires_grad]))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_values_are_equal_bits_and_gradients_those_of_plain_autograd(height: int, width: int, bias: bool) -> None:
    first, second = layers(bias=bias)
    grid = torch.randn(2, 1, height, width, generator=torch.Generator().manual_seed(1)).requires_grad_()
    ours, theirs = (gradients(grid, first, second, way) for way in (peaks, plain))
    assert torch.equal(ours[0], theirs[0])
    with torch.no_grad():
        assert torch.equal(peaks(grid, first, second), theirs[0])
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_gradients_of_every_order_are_right() -> None:
    first, second = (layer.double() for layer in layers(2))
    grid = torch.randn(1, 1, 2, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()

    def of(grid: Tensor, *parameters: Tensor) -> Tensor:
        return peaks(grid, first, second)

    inputs = (grid, *first.parameters(), *second.parameters())
    assert gradcheck(of, inputs)
    assert gradgradcheck(of, inputs)


def test_a_tie_gives_its_gradient_once() -> None:
    """Zeros after the last weight are alike, so their places tie."""
    first, second = layers()
    grid = F.pad(torch.randn(2, 1, 3, 5), (0, 40))
    ours, theirs = (gradients(grid, first, second, way) for way in (peaks, plain))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_in_half_precision_every_parameter_has_a_gradient() -> None:
    first, second = layers()
    grid = torch.randn(2, 1, 3, 31)
    exact = gradients(grid, first, second, plain)
    with torch.autocast("cpu", torch.bfloat16):
        values = peaks(grid, first, second)
        assert torch.equal(values, plain(grid, first, second))
        rough = gradients(grid, first, second, peaks)
    assert len(rough) == len(exact) == 5
    for one, other in zip(rough, exact, strict=True):
        assert (one - other).norm() < 0.1 * other.norm()


def test_frozen_layers_pass_the_gradient_on_and_keep_none() -> None:
    first, second = (layer.requires_grad_(False) for layer in layers())
    grid = torch.randn(2, 1, 3, 31, requires_grad=True)
    ours, theirs = (gradients(grid, first, second, way)[1] for way in (peaks, plain))
    torch.testing.assert_close(ours, theirs)
    assert peaks(grid.detach(), first, second).grad_fn is None


def test_little_is_kept_for_the_backward_pass() -> None:
    first, second = layers(8)
    grid, kept = torch.randn(1, 1, 2, 4000), [0]

    def note(tensor: Tensor) -> Tensor:
        kept[0] += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        peaks(grid, first, second)
    assert kept[0] < 2 * 8 * 1000
