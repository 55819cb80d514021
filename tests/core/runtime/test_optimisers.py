"""Optimisers are torch's to the bit, and load no compiler."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from netspace_cli.core.runtime import optimisers
from netspace_cli.core.runtime.muon import Muon
from tests.small_networks import seeded

KINDS: dict[str, dict[str, Any]] = {
    "Adam": {"fused": True},
    "AdamW": {"weight_decay": 0.1},
    "SGD": {"momentum": 0.9},
}
LOADS = """
import sys, torch
from netspace_cli.core.runtime import optimisers
from netspace_cli.core.runtime.muon import Muon
for kind in (optimisers.Adam, optimisers.AdamW, optimisers.SGD, Muon):
    values = torch.ones(2, 2, requires_grad=True)
    optimizer = kind([values], lr=0.1)
    values.square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
sys.exit("torch._dynamo" in sys.modules)
"""


def run(kind: type[Optimizer], settings: dict[str, Any], *, stop_after: int) -> Tensor:
    """Values after six steps, in a new optimiser from the state of the first after some of them."""
    values = torch.randn(4, 3, generator=seeded(0)).requires_grad_()
    optimizer = kind([{"params": [values], "lr": 0.05}], **settings)
    for step in range(6):
        if step == stop_after:
            state = optimizer.state_dict()
            optimizer = kind([{"params": [values], "lr": 0.05}], **settings)
            optimizer.load_state_dict(state)
        optimizer.zero_grad()
        (values**3).sum().backward()
        optimizer.step()
    assert values.requires_grad
    return values.detach()


@pytest.mark.parametrize("name", KINDS)
def test_the_bits_are_those_of_torch_s_class(name: str) -> None:
    wanted = run(getattr(torch.optim, name), KINDS[name], stop_after=99)
    assert torch.equal(run(getattr(optimisers, name), KINDS[name], stop_after=99), wanted)
    assert torch.equal(run(getattr(optimisers, name), KINDS[name], stop_after=3), wanted)


@pytest.mark.parametrize("kind", [optimisers.Adam, optimisers.AdamW, optimisers.SGD, Muon])
def test_a_class_is_found_where_it_says_it_is(kind: type[Optimizer]) -> None:
    assert getattr(sys.modules[kind.__module__], kind.__name__) is kind
    assert kind.__doc__


def test_torch_s_compiler_is_not_loaded() -> None:
    assert subprocess.run([sys.executable, "-c", LOADS], check=False).returncode == 0
