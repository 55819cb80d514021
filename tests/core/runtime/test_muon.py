"""Muon: steps of like singular values and of the size of Adam's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from netspace_cli.core.runtime.muon import Muon, orthogonal
from tests.small_networks import seeded

RATE = 0.01


@pytest.mark.parametrize("shape", [(6, 75), (75, 6), (8, 3, 3, 3), (40, 2, 3, 3)])
def test_steps_on_weights_are_those_of_torch_s_muon(shape: tuple[int, ...]) -> None:
    """As far as the numbers go that torch's computes with."""
    own, other = (torch.randn(shape, generator=seeded()).requires_grad_() for _ in range(2))
    matrix = torch.nn.Parameter(other.detach().flatten(1))
    mine = Muon([own], RATE)
    theirs = torch.optim.Muon([matrix], lr=RATE, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    for step in range(4):
        own.grad = torch.randn(shape, generator=seeded(step))
        matrix.grad = own.grad.flatten(1)
        before = own.detach().clone()
        mine.step()
        theirs.step()
        moved = (own.detach() - before).norm()
        assert (own.detach().flatten(1) - matrix.detach()).norm() < 0.1 * moved


def test_a_matrix_of_zeros_stays_and_a_weight_without_gradient_does_not_move() -> None:
    assert torch.equal(orthogonal(torch.zeros(3, 5)), torch.zeros(3, 5))
    still = torch.ones(2, 2, requires_grad=True)
    Muon([still], RATE).step()
    assert torch.equal(still, torch.ones(2, 2))


@pytest.mark.parametrize("size", [1e-45, 1e-37, 1e-24, 1e-12, 1e-3, 1e3, 1e15])
def test_gradients_of_any_size_give_steps_that_are_finite(size: float) -> None:
    matrix = torch.randn(8, 75, generator=seeded())
    found = orthogonal(size * matrix)
    assert torch.isfinite(found).all()
    if size > 1e-10:
        assert torch.allclose(found, orthogonal(matrix), atol=1e-3)


def test_a_weight_whose_gradient_is_gone_for_long_stays_finite() -> None:
    weight = torch.ones(4, 6, requires_grad=True)
    optimiser = Muon([weight], RATE)
    weight.grad = torch.randn(4, 6, generator=seeded())
    for _ in range(2000):
        optimiser.step()
        weight.grad = torch.zeros(4, 6)
    assert torch.isfinite(weight).all()
    before = weight.detach().clone()
    optimiser.step()
    assert torch.equal(weight, before)


def test_a_run_that_went_on_from_its_state_moves_as_one_that_never_stopped() -> None:
    whole, first = (torch.ones(4, 6, requires_grad=True) for _ in range(2))
    gradients = [torch.randn(4, 6, generator=seeded(i)) for i in range(4)]
    optimiser = Muon([whole], RATE)
    for each in gradients:
        whole.grad = each
        optimiser.step()
    before = Muon([first], RATE)
    for each in gradients[:2]:
        first.grad = each
        before.step()
    second = first.detach().clone().requires_grad_()
    after = Muon([second], 5 * RATE)
    after.load_state_dict(before.state_dict())
    for each in gradients[2:]:
        second.grad = each
        after.step()
    assert torch.equal(second, whole)


def test_each_group_has_its_rate() -> None:
    slow, fast = (torch.zeros(3, 5, requires_grad=True) for _ in range(2))
    groups: list[dict[str, Any]] = [{"params": [slow]}, {"params": [fast], "lr": 3 * RATE}]
    optimiser = Muon(groups, RATE)
    slow.grad = fast.grad = torch.randn(3, 5, generator=seeded())
    optimiser.step()
    assert torch.allclose(fast, 3 * slow) and slow.any()
