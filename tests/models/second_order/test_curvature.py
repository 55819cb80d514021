"""Moments of curvature, by hand."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from netspace_models.architectures import ImageIO
from netspace_models.second_order.curvature import curvature_moments
from torch import nn

from tests.small_networks import seeded, small_classifier

IO = ImageIO(1, 8, 3)


def test_moments_of_a_linear_layer_are_sums_of_outer_products() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    state = {n: torch.randn_like(t) for n, t in module.state_dict().items()}
    images = torch.rand(6, 1, 2, 2, generator=seeded())
    inputs, gradients = curvature_moments(module, state, images, generator=seeded(1))["1.weight"]
    flat = images.flatten(1)
    logits = flat @ state["1.weight"].T + state["1.bias"]
    labels = torch.multinomial(logits.softmax(1), 1, generator=seeded(1))[:, 0]
    slopes = logits.softmax(1) - F.one_hot(labels, 3)
    assert torch.allclose(inputs.float(), flat.T @ flat, atol=1e-5)
    assert torch.allclose(gradients.float(), slopes.T @ slopes, atol=1e-5)


def test_moments_of_a_convolution_are_those_of_its_patches() -> None:
    module = nn.Sequential(nn.Conv2d(2, 5, 3, stride=2, padding=1), nn.Flatten())
    state = {n: torch.randn_like(t) for n, t in module.state_dict().items()}
    images = torch.rand(4, 2, 6, 6, generator=seeded())
    inputs, gradients = curvature_moments(module, state, images, generator=seeded())["0.weight"]
    padded = F.pad(images, (1, 1, 1, 1))
    patches = [padded[:, :, r : r + 3, c : c + 3].flatten(1) for r in (0, 2, 4) for c in (0, 2, 4)]
    rows = torch.cat(patches)
    assert torch.allclose(inputs.float(), rows.T @ rows, atol=1e-4)
    assert gradients.shape == (5, 5) and inputs.shape == (18, 18)


def test_the_module_is_left_as_it_was() -> None:
    architecture, state, images = small_classifier("resnet8")
    before = {n: t.clone() for n, t in architecture.fused.state_dict().items()}
    moments = curvature_moments(architecture.fused, state, images, generator=seeded())
    assert set(moments) == {p.name for p in architecture.spec.parameters if len(p.shape) > 1}
    assert all(torch.equal(t, before[n]) for n, t in architecture.fused.state_dict().items())
    assert not any(module._forward_hooks for module in architecture.fused.modules())
    assert all(p.grad is None for p in architecture.fused.parameters())
