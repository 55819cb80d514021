"""Minimising: as torch's Adam does, to the last bit."""

from __future__ import annotations

import pytest
import torch
from netspace_models.errors import RunFailed
from torch import Tensor

from netspace_cli.core.runtime.minimise import AdamSchedule, minimise
from netspace_cli.core.runtime.runner import Runner


def bowl(embeddings: Tensor, step: int) -> Tensor:
    return (embeddings.square() * torch.arange(1, 6)).sum() + step * embeddings.sum()


@pytest.mark.parametrize("fused", [False, True])
def test_the_steps_are_those_of_torch_s_adam(fused: bool) -> None:
    start, schedule = torch.linspace(-1, 1, 10).reshape(2, 5), AdamSchedule(7, lr=0.1)
    found = minimise(start, bowl, schedule, Runner("cpu"), description="steps", fused=fused)
    values = start.clone().requires_grad_(True)
    adam = torch.optim.Adam([values], fused=fused or None)
    for step in range(7):
        adam.param_groups[0]["lr"] = schedule.rate(step)
        adam.zero_grad()
        bowl(values, step).backward()
        adam.step()
    assert torch.equal(found, values.detach())
    assert torch.equal(start, torch.linspace(-1, 1, 10).reshape(2, 5))


def test_a_loss_that_is_not_finite_ends_it() -> None:
    with pytest.raises(RunFailed, match="not finite at step 1 of 3"):
        minimise(
            torch.ones(1, 2), lambda z, _: z.sum() * torch.inf, AdamSchedule(3), Runner("cpu"), description="steps"
        )
