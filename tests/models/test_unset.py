"""Modules whose values are loaded afterwards are built without drawing any."""

from __future__ import annotations

import torch
from netspace_models.unset import Unset
from torch import Tensor, nn

from tests.small_networks import seeded

NORM = {"weight": 1.0, "running_mean": 0.0}


class Drawing(nn.Module):
    """Draws in several ways, and has a constant of its own that no file has."""

    fixed: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.conv, self.norm = nn.Linear(3, 4), nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)
        self.free = nn.Parameter(torch.randn(2, 5, generator=None))
        self.even = nn.Parameter(torch.empty(7).uniform_(-1, 1))
        self.register_buffer("fixed", torch.randn(3, generator=seeded(1)), persistent=False)


def test_nothing_is_drawn_and_all_can_be_loaded() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with Unset():
        found = Drawing()
    assert torch.equal(torch.get_rng_state(), before)
    wanted = Drawing()
    assert not torch.equal(torch.get_rng_state(), before)
    found.load_state_dict(wanted.state_dict(), strict=True)
    for name, tensor in [*wanted.named_parameters(), *wanted.named_buffers()]:
        assert torch.equal(tensor, {**dict(found.named_parameters()), **dict(found.named_buffers())}[name]), name


def test_constants_stay() -> None:
    """What is filled with a number, and what has a generator of its own, is as always."""
    with Unset():
        found = Drawing()
    assert torch.equal(found.fixed, torch.randn(3, generator=seeded(1)))
    assert all(torch.equal(found.norm.state_dict()[n], torch.full((2,), v)) for n, v in NORM.items())
