"""The contrastive term against its formula, and what it does not depend on."""

from __future__ import annotations

import math

import pytest
import torch
from netspace_models.training.contrast import ProjectionHead, nt_xent
from torch import Tensor

from tests.small_networks import seeded


def views(count: int = 5, size: int = 4) -> tuple[Tensor, Tensor]:
    generator = seeded()
    return torch.randn(count, size, generator=generator), torch.randn(count, size, generator=generator)


def by_hand(one: Tensor, other: Tensor, temperature: float) -> float:
    every = [v / v.norm() for v in (*one, *other)]
    count, losses = len(one), []
    for i, view in enumerate(every):
        partner = every[(i + count) % (2 * count)]
        rest = [math.exp(float(view @ each) / temperature) for j, each in enumerate(every) if j != i]
        losses.append(-math.log(math.exp(float(view @ partner) / temperature) / sum(rest)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_it_is_the_published_formula(temperature: float) -> None:
    one, other = views()
    assert nt_xent(one, other, temperature=temperature).item() == pytest.approx(by_hand(one, other, temperature), 1e-4)


def test_order_length_and_which_view_is_first_do_not_matter() -> None:
    one, other = views()
    loss = nt_xent(one, other, temperature=0.2)
    order = torch.randperm(5, generator=seeded(1))
    for same in ((one[order], other[order]), (other, one), (3 * one, other / 7)):
        assert nt_xent(*same, temperature=0.2).item() == pytest.approx(loss.item(), rel=1e-5)
    assert nt_xent(one, other[order], temperature=0.2).item() != pytest.approx(loss.item(), rel=1e-3)


def test_like_views_of_unlike_networks_are_best() -> None:
    apart = torch.eye(4)
    assert nt_xent(apart, apart, temperature=0.05) < 1e-3
    assert nt_xent(apart, apart.roll(1, 0), temperature=0.05) > 10
    assert nt_xent(torch.ones(4, 3), torch.ones(4, 3), temperature=0.05).item() == pytest.approx(math.log(7), rel=1e-4)


def test_the_head_projects_embeddings_of_any_size() -> None:
    head = ProjectionHead(6, 3)
    assert head(torch.randn(2, 6)).shape == (2, 3)
    assert (head(torch.randn(50, 6)) - head(torch.zeros(1, 6))).std() > 0
