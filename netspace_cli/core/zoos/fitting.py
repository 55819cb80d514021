"""Fit networks to shapes and pictures, many at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from netspace_models.architectures import Architecture
from netspace_models.errors import RunFailed
from netspace_models.wording import setting
from torch import Tensor
from torch.autograd.function import once_differentiable

from netspace_cli.core.networks.factories import fresh_module
from netspace_cli.core.runtime.minimise import AdamSchedule, minimise
from netspace_cli.core.runtime.runner import Runner, kept_random_state
from netspace_cli.core.shapes.samples import Shape
from netspace_cli.core.shapes.sources import ShapeSource
from netspace_cli.core.shapes.values import UNITS

# Weights of a network are filled up to a multiple of this, so that all are moved by whole vectors: the last few of all
# would be rounded otherwise, and whose they are depends on how many networks there are.
_WHOLE = 32


@dataclass(frozen=True)
class FitPlan:
    """Settings of fitting.

    Attributes:
        arch: of all networks.
        counts: instances by split, (train, val, test); None for all there are, 8/1/1.
        steps, points, lr: of Adam; the rate falls to a hundredth as a cosine.
        together: networks fitted at once.
        shared_init: whether all start from the same network; each has a start of its own otherwise.
        licence: recorded with every instance.
    """

    arch: str = "siren"
    counts: tuple[int, int, int] | None = None
    steps: int = 8000
    points: int = 128
    lr: float = 3e-4
    together: int = 16
    shared_init: bool = False
    licence: str = "CC0-1.0"

    def settings(self) -> dict[str, Any]:
        """Settings that every instance is fitted with, for the manifest."""
        return {"steps": self.steps, "points": self.points, "lr": self.lr, "shared_init": self.shared_init}


@dataclass(frozen=True)
class FitJob:
    """A network to fit: id and split of the instance, its source, and its place among all (a seed)."""

    id: str
    split: str
    source: ShapeSource
    seed: int


def starts(group: Sequence[FitJob], architecture: Architecture, plan: FitPlan) -> Tensor:
    """(N, P) new networks, each from its own seed, or all the same."""
    rows = []
    for job in group:
        with kept_random_state():
            torch.manual_seed(0 if plan.shared_init else job.seed)
            module = fresh_module(architecture.name, architecture.io)
        rows.append(architecture.to_weights(module.state_dict()))
    return torch.stack(rows)


def fit(
    begin: Tensor,
    shapes: Sequence[Shape],
    architecture: Architecture,
    plan: FitPlan,
    runner: Runner,
    description: str = "fitting",
) -> Tensor:
    """Fit networks to shapes, all at once.

    The squared error (eq. 2) at points drawn from each shape's samples. What one network becomes does not depend on the
    others; on one thread of a processor it has the same bits however many there are.

    Args:
        begin: (N, P) one network a shape.
    Returns:
        (N, P), on the processor.
    Raises:
        ConfigError: fp16.
        RunFailed: a loss or the weights found are not finite, or memory runs out.
    """
    count, size = begin.shape
    at_once = runner.rows_at_once(count, plan.points * UNITS)
    if count == 1 and at_once > 1:
        # Alone it would be rounded otherwise than among others, so it is fitted beside itself.
        shapes, begin = [*shapes, *shapes], begin.repeat(2, 1)
    points, values = (runner.place(torch.cat([getattr(s, what) for s in shapes])) for what in ("points", "values"))
    counts = torch.tensor([len(s.points) for s in shapes])[:, None]
    first = counts.cumsum(dim=0) - counts

    def loss_at(weights: Tensor, step: int) -> Tensor:
        # The same numbers between 0 and 1 for all, which fall on some of each shape's samples however many it has.
        drawn = torch.rand(plan.points, generator=runner.generator("fit", step), dtype=torch.float64)
        places = runner.place(first + (drawn * counts).long())

        def loss_of(part: Tensor, rows: slice) -> Tensor:
            with runner.autocast():
                found = architecture.run_each(part[:, :size], points[places[rows]])
                # The mean of each network by itself: over all it would be rounded by how many there are.
                return (found - values[places[rows]]).square().flatten(1).mean(1).sum()

        return in_parts(loss_of, weights, at_once)

    runner.check_gradients()
    descent = AdamSchedule(plan.steps, plan.points, plan.lr, plan.lr / 100)
    with runner.guard(f"fitting {count} networks at once", f"Lower {setting('together')} or {setting('points')}."):
        start = F.pad(runner.place(begin), (0, -size % _WHOLE))
        found = minimise(start, loss_at, descent, runner, description=description, fused=True)
    found = found[:count, :size]
    if not torch.isfinite(found).all():
        raise RunFailed(
            f"the weights are not finite after step {plan.steps} of {plan.steps}.", f"Lower {setting('lr')}."
        )
    return found.cpu().contiguous()


def in_parts(loss_of: Callable[[Tensor, slice], Tensor], weights: Tensor, size: int) -> Tensor:
    """Sum losses of rows, taking the gradient of some rows at a time.

    Args:
        loss_of: from rows (b, P) and their places to the sum of their losses.
        weights: (N, P).
        size: rows at a time; one more in the end in place of a part of one row, which would be rounded otherwise.
    Returns:
        A scalar with the value and the gradient of `loss_of` on all rows.
    """
    total, gradients = torch.zeros((), device=weights.device), list[Tensor]()
    starts = list(range(0, len(weights), size))
    if size > 1 and len(starts) > 1 and len(weights) - starts[-1] == 1:
        starts.pop()
    for start, end in zip(starts, [*starts[1:], len(weights)], strict=True):
        rows = slice(start, end)
        part = weights[rows].detach().requires_grad_(True)
        loss = loss_of(part, rows)
        gradients += torch.autograd.grad(loss, part)
        total = total + loss.detach()
    found: Tensor = _WithGradient.apply(weights, total, torch.cat(gradients))
    return found


class _WithGradient(torch.autograd.Function):
    """A value with a known gradient."""

    @staticmethod
    def forward(context: Any, variables: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        context.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(context: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = context.saved_tensors
        return outer[0] * gradient, None, None
