"""Starting points that learn with their batch norms in place are, folded, what a decoder writes."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from netspace_models.architectures import Architecture, ImageIO
from netspace_models.architectures.architecture import describe
from netspace_models.architectures.registry import build
from netspace_models.training.unfolded import UnfoldedStarts, learns_unfolded, scale_as_fresh
from torch import Tensor, nn

from tests.small_networks import seeded

IO = ImageIO(3, 8, 4)
RESNET = build("resnet8", IO)
IMAGES = torch.randn(16, 3, 8, 8, generator=seeded())


def used(architecture: Architecture, seed: int) -> nn.Module:
    """A module whose norms have seen something, and some of whose channels are turned round."""
    torch.manual_seed(seed)
    module = deepcopy(architecture.module).train()
    for layer in (m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.BatchNorm2d)):
        layer.reset_parameters()  # others may have used the architecture before
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.3, 1.2)
        norm.weight.data[::4] *= -1
        nn.init.normal_(norm.bias, 0.0, 0.2)
    for _ in range(20):
        module(torch.randn(16, 3, 8, 8))
    return module


@pytest.fixture
def starts() -> UnfoldedStarts:
    return UnfoldedStarts(RESNET, [used(RESNET, 1), used(RESNET, 2)])


def small_change(size: float = 0.01) -> Tensor:
    return size * torch.randn(RESNET.parameter_count, generator=seeded(5))


def test_a_change_of_folded_weights_is_what_folding_gives(starts: UnfoldedStarts) -> None:
    """By running statistics, as after training."""
    starts.eval()
    folded = starts.weights()
    assert folded.shape == (2, RESNET.parameter_count)
    for start in (1, 2):
        for change in (torch.zeros(RESNET.parameter_count), small_change()):
            found, wanted = starts.run(start, change, IMAGES), RESNET.run(folded[start - 1] + change, IMAGES)
            torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    moved = RESNET.run(folded[0] + small_change(), IMAGES) - RESNET.run(folded[0], IMAGES)
    assert moved.std() > 0.05 * wanted.std(), "a change that shows"


def test_a_channel_that_is_off_is_changed_a_little(starts: UnfoldedStarts) -> None:
    norm = next(m for m in starts.modules_by_start[0].modules() if isinstance(m, nn.BatchNorm2d))
    with torch.no_grad():
        norm.weight.zero_()
    off = starts.run(1, torch.zeros(RESNET.parameter_count), IMAGES)
    on = starts.run(1, small_change(), IMAGES)
    assert on.isfinite().all() and (on - off).std() < off.std()


def test_in_training_images_of_a_batch_normalise_each_other(starts: UnfoldedStarts) -> None:
    still = torch.zeros(RESNET.parameter_count)
    before = [s.clone() for s in starts.statistics()]
    alone = starts.run(1, still, IMAGES)
    module = used(RESNET, 1).train()
    torch.testing.assert_close(alone, module(IMAGES))
    changed = [not torch.equal(a, b) for a, b in zip(before, starts.statistics(), strict=True)]
    half = len(changed) // 2
    assert all(changed[:half]) and not any(changed[half:]), "those of the starting point that was run"


def test_layers_before_norms_are_as_large_as_fresh_ones_and_the_function_stays() -> None:
    torch.manual_seed(3)
    fresh = deepcopy(RESNET.module)
    for module in fresh.modules():
        if isinstance(module, nn.Conv2d):
            module.reset_parameters()
    network = used(RESNET, 1).eval()
    with torch.no_grad():
        network.get_parameter("conv1.weight").mul_(5)
        network.get_buffer("bn1.running_mean").mul_(5)
        network.get_buffer("bn1.running_var").mul_(25)
    before, linear = network(IMAGES), network.get_parameter("fc.weight").clone()
    scale_as_fresh(RESNET, network, fresh)
    torch.testing.assert_close(network(IMAGES), before, atol=1e-3, rtol=1e-3)
    for pair in RESNET.pairs:
        own, wanted = (m.get_parameter(f"{pair.layer}.weight").detach().norm() for m in (network, fresh))
        torch.testing.assert_close(own, wanted)
    assert torch.equal(network.get_parameter("fc.weight"), linear), "no norm comes after it"


def test_gradients_reach_the_change_and_the_starting_point(starts: UnfoldedStarts) -> None:
    change = small_change().requires_grad_(True)
    starts.run(2, change, IMAGES).square().sum().backward()
    assert change.grad is not None and change.grad.abs().max() > 0
    first, second = ([p.grad for p in m.parameters()] for m in starts.modules_by_start)
    assert not any(g is not None for g in first) and all(g is not None and g.abs().max() > 0 for g in second)


def test_only_norms_are_in_training_mode() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 4))
    architecture = describe("with-dropout", module, IO)
    starts = UnfoldedStarts(architecture, [module]).train()
    same = [starts.run(1, torch.zeros(architecture.parameter_count), IMAGES) for _ in range(2)]
    assert torch.equal(*same), "no dropout draws"
    assert module[1].training and not module[2].training


def test_which_architectures_learn_with_norms() -> None:
    assert learns_unfolded(RESNET) and not learns_unfolded(build("lenetlike", IO))
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), nn.Flatten(), nn.Linear(144, 4))
    assert not learns_unfolded(describe("plain", plain, IO))
    assert not learns_unfolded(replace(RESNET, pairs=()))
