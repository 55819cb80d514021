"""Muon for the weights of layers, Adam for the rest, at one rate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from netspace_cli.core.merging.optimisers import adam, adam_and_muon
from tests.small_networks import seeded

RATE = 0.01


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 10))


def loss_of(module: nn.Module) -> Tensor:
    return module(torch.randn(16, 3, 6, 6, generator=seeded())).square().mean()


def test_a_step_on_weights_has_like_singular_values_and_adam_s_size() -> None:
    module = net()
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    adam_and_muon(list(module.parameters())).step(loss_of(module), RATE)
    for name in ("0.weight", "3.weight"):
        change = (module.get_parameter(name).detach() - before[name]).flatten(1)
        values = torch.linalg.svdvals(change)
        assert values.max() < 2.5 * values.min(), name
        assert 0.1 * RATE < change.square().mean().sqrt() < 0.3 * RATE


def test_biases_move_as_by_adam() -> None:
    one, other = net(), net()
    names = ("0.bias", "3.bias")
    adam_and_muon(list(one.parameters())).step(loss_of(one), RATE)
    adam([other.get_parameter(name) for name in names]).step(loss_of(other), RATE)
    for name in names:
        assert torch.allclose(one.get_parameter(name), other.get_parameter(name))
        assert not torch.equal(one.get_parameter(name), net().get_parameter(name))
    assert torch.equal(other.get_parameter("0.weight"), net().get_parameter("0.weight"))


def test_it_comes_down_whatever_shapes_there_are() -> None:
    """Weights may lie in memory in any order; a module may have no biases, or no weights."""
    for module in (
        net(),
        net().to(memory_format=torch.channels_last),
        nn.Sequential(nn.Flatten(), nn.Linear(108, 4, bias=False)),
        nn.Sequential(nn.BatchNorm2d(3)),
    ):
        before, optimiser = loss_of(module).item(), adam_and_muon(list(module.parameters()))
        for _ in range(20):
            optimiser.step(loss_of(module), RATE)
        assert loss_of(module).item() < 0.8 * before


def test_a_gradient_is_that_of_its_own_step_alone() -> None:
    module = net()
    optimiser = adam_and_muon(list(module.parameters()))
    optimiser.step(loss_of(module), 0.0)
    first = [each.grad.clone() for each in module.parameters() if each.grad is not None]
    optimiser.step(loss_of(module), 0.0)
    assert all(
        torch.equal(a, each.grad) for a, each in zip(first, module.parameters(), strict=True) if each.grad is not None
    )
    assert len(first) == 4
