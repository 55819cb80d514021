"""Gradient steps on embeddings with all else frozen; shared by refining and optimising."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from netspace_models.errors import RunFailed
from netspace_models.wording import setting
from torch import Tensor

from .optimisers import Adam
from .runner import Runner


@dataclass(frozen=True)
class AdamSchedule:
    """Adam on the embedding; the rate falls from `lr` to `lr_end` by a cosine.

    Attributes:
        steps: how many.
        images: images a step.
        lr, lr_end: first and last rate.
    """

    steps: int
    images: int = 128
    lr: float = 0.02
    lr_end: float = 0.001

    def rate(self, step: float) -> float:
        """The rate of a step, counted from 0; between two steps where time is what counts."""
        cosine = 0.5 * (1 + math.cos(math.pi * step / max(1, self.steps)))
        return self.lr_end + (self.lr - self.lr_end) * cosine


def minimise(
    start: Tensor,
    loss_at: Callable[[Tensor, int], Tensor],
    schedule: AdamSchedule,
    runner: Runner,
    *,
    description: str,
    fused: bool = False,
    after: Callable[[int, Tensor, float], None] | None = None,
) -> Tensor:
    """Follow the gradient of a loss from `start`.

    Args:
        start: (B, E); left as it is.
        loss_at: from embeddings (B, E) and the step's number to a scalar.
        schedule: steps and rates; runner: shows the progress.
        description: for the progress.
        fused: whether all of Adam is one pass over the values: faster where these are many; else torch chooses.
        after: called after each step with the number of steps done, the embeddings and the step's loss.
    Returns:
        (B, E) after the last step.
    Raises:
        RunFailed: the loss is not finite.
    """
    embedding = start.detach().clone().requires_grad_(True)
    adam = Adam([embedding], schedule.lr, fused=fused or None)
    with runner.progress(description, schedule.steps) as tick:
        for step in range(schedule.steps):
            loss = loss_at(embedding, step)
            value = loss.item()  # read once: an accelerator finishes all it was given first
            if not math.isfinite(value):
                raise RunFailed(
                    f"the loss is not finite at step {step + 1} of {schedule.steps}.", f"Lower {setting('lr')}."
                )
            adam.zero_grad()
            loss.backward()
            adam.param_groups[0]["lr"] = schedule.rate(step)
            adam.step()
            if after is not None:
                after(step + 1, embedding.detach(), value)
            tick(1, loss=value)
    return embedding.detach()
