"""Train many small networks of a zoo at once.

Each has its own first weights, its own order of images and its own augmentation, drawn as if it were trained alone. On
a processor two networks are run at a time, always two, since for another number sums are rounded in another order: what
becomes of a network does not depend on the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import groupby

import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import RunFailed
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.networks.factories import resolve_architecture
from netspace_cli.core.runtime.runner import Runner, drawing_by

from .plan import Job, ZooPlan
from .train_one import Schedule, Snapshot, fresh, not_finite, optimiser_of, steps_an_epoch, stretches

TOGETHER = 64
# Networks that a processor runs at a time, and trains side by side: a network is written when its group is done.
PAIR, ON_PROCESSOR = 2, 8


@dataclass
class _Cohort:
    """Networks with the same number of epochs, which share a learning rate.

    Attributes:
        weights: (P,) of each job.
        finite: (n,) whether the last loss of each was.
    """

    jobs: list[Job]
    weights: list[Tensor]
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    finite: Tensor

    @property
    def last(self) -> int:
        """The last epoch that is kept of any of them."""
        return max(max(job.instances()) for job in self.jobs)


def together_of(architecture: Architecture, together: int | None, most: int = TOGETHER) -> int:
    """Number of networks of an architecture to train at once.

    Args:
        together: as asked for; None for `most` of those that run many at once faster than one by one.
    Returns:
        1 where training is not the same move of all weights: batch norms have statistics of one network, dropout has
        draws, frozen parameters stay.
    """
    module = architecture.module
    if (
        architecture.pairs
        or any(True for _ in module.buffers())
        or any(isinstance(m, _DropoutNd) for m in module.modules())
        or not all(p.requires_grad for p in module.parameters())
    ):
        return 1
    if hasattr(module, "forward_each"):
        return together or most
    return 1 if together is None or _trains_otherwise(architecture) else together


def _trains_otherwise(architecture: Architecture) -> bool:
    """Whether a module gives other outputs in training than otherwise, as by dropout without a module of its own."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(8, *architecture.io.input_shape, generator=generator)
    module = deepcopy(architecture.module)
    with drawing_by(generator), torch.no_grad():
        return not torch.equal(module.train()(inputs), module.eval()(inputs))


def train_many(jobs: Sequence[Job], plan: ZooPlan, data: LabelledData, runner: Runner) -> Iterator[Snapshot]:
    """Train several runs of one architecture and yield their snapshots.

    Args:
        jobs: of one architecture without batch norms.
        data: on the runner's device.
    Raises:
        RunFailed: the loss of one is not finite; raised when the others are trained.
    """
    architecture = resolve_architecture(jobs[0].arch, data.io)
    steps = steps_an_epoch(data, plan.epoch_images, plan.batch)
    ordered = sorted(jobs, key=lambda job: job.epochs)
    cohorts = [_cohort(list(own), architecture, plan, data, runner) for _, own in groupby(ordered, lambda j: j.epochs)]
    failed: dict[str, RunFailed] = {}
    for epochs in stretches({epoch for job in jobs for epoch in job.instances()}):
        left = [job for c in cohorts for job in c.jobs]
        doing = f"training {left[0].id}" + (f" and {len(left) - 1} more" if len(left) > 1 else "")
        with runner.progress(doing, steps * len(epochs)) as tick:
            for epoch in epochs:
                orders = _Orders(left, epoch, data, runner)
                for step in range(steps):
                    _step(cohorts, orders, slice(step * plan.batch, (step + 1) * plan.batch), architecture, runner)
                    tick()
                for job in _broken(cohorts):
                    failed.setdefault(job.id, not_finite(job, epoch))
        for cohort in cohorts:
            yield from (s for s in _snapshots(cohort, epochs.stop, architecture) if s.job.id not in failed)
        cohorts = [c for c in cohorts if epochs.stop < c.last]
    if failed:
        raise min(failed.items())[1]


def _cohort(jobs: list[Job], architecture: Architecture, plan: ZooPlan, data: LabelledData, runner: Runner) -> _Cohort:
    # Not as rows of one tensor: how values near its end are rounded depends on how many there are.
    states = (fresh(job, plan, data).state_dict() for job in jobs)
    weights = [runner.place(architecture.to_weights(state)) for state in states]
    steps = jobs[0].epochs * steps_an_epoch(data, plan.epoch_images, plan.batch)
    return _Cohort(jobs, weights, *optimiser_of(plan, weights, steps), torch.ones(len(jobs), dtype=torch.bool))


def _broken(cohorts: Sequence[_Cohort]) -> Iterator[Job]:
    """Jobs whose last loss was not finite."""
    for cohort in cohorts:
        yield from (job for job, finite in zip(cohort.jobs, cohort.finite.tolist(), strict=True) if not finite)


def _snapshots(cohort: _Cohort, epoch: int, architecture: Architecture) -> Iterator[Snapshot]:
    for job, weights in zip(cohort.jobs, cohort.weights, strict=True):
        if epoch in job.instances():
            yield Snapshot(job, epoch, architecture.to_state(weights.cpu()))


class _Orders:
    """Images of an epoch, drawn for each network as if it were alone."""

    def __init__(self, jobs: Sequence[Job], epoch: int, data: LabelledData, runner: Runner) -> None:
        self.data = data
        self.generators = [runner.generator("zoo", job.id, epoch) for job in jobs]
        total = len(data.splits["train"].labels)
        self.orders = torch.stack([torch.randperm(total, generator=g) for g in self.generators])

    def batch(self, rows: slice, step: slice) -> tuple[Tensor, Tensor]:
        """(B, N, …) inputs and labels for some of the networks."""
        return self.data.augmented_each("train", self.orders[rows, step], generators=self.generators[rows])


def _step(cohorts: Sequence[_Cohort], orders: _Orders, step: slice, architecture: Architecture, runner: Runner) -> None:
    """Take one step of each network."""
    start = 0
    for cohort in cohorts:
        count = len(cohort.jobs)
        at_once = PAIR if runner.device.type == "cpu" else count
        found = []
        for first in range(0, count, at_once):
            last = min(first + at_once, count)
            part = torch.stack(cohort.weights[first:last])
            batch = orders.batch(slice(start + first, start + last), step)
            gradients, finite = _gradients(architecture, part, batch, at_once, runner)
            for own, gradient in zip(cohort.weights[first:last], gradients, strict=True):
                own.grad = gradient
            found.append(finite)
        cohort.finite = torch.cat(found)
        cohort.optimizer.step()
        cohort.schedule.step()
        start += count


def _gradients(
    architecture: Architecture, weights: Tensor, batch: tuple[Tensor, Tensor], at_once: int, runner: Runner
) -> tuple[Tensor, Tensor]:
    """Gradients (n, P) of networks' own losses, and whether these are finite (n,).

    Args:
        weights: (n, P).
        batch: (n, N, …) inputs and labels.
        at_once: number to run; where there are fewer networks, the last one runs beside itself.
    """
    count = len(weights)
    rows = [min(i, count - 1) for i in range(at_once)]
    weights, images, labels = (values[rows] for values in (weights, *batch))
    weights.requires_grad_(True)
    with runner.autocast():
        logits = architecture.run_each(weights, images)
        losses = architecture.io.problem.losses(logits.flatten(0, 1), labels.flatten(0, 1)).view(labels.shape[:2])
    # A mean for each network, summed: the gradient of each is that of its own loss.
    (gradients,) = torch.autograd.grad(losses.mean(dim=1).sum(), weights)
    return gradients[:count], losses.detach().isfinite().all(dim=1)[:count]
