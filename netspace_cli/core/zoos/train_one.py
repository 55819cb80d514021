"""Train one network of a zoo: a new module, its optimiser, its epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from netspace_models.architectures.initialise import initialise
from netspace_models.errors import RunFailed
from torch import Tensor, nn

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.networks.factories import fresh_module
from netspace_cli.core.runtime import optimisers
from netspace_cli.core.runtime.progress import Tick
from netspace_cli.core.runtime.runner import Runner, drawing_by, kept_random_state

from .plan import Job, ZooPlan

Schedule = torch.optim.lr_scheduler.LRScheduler


def fresh(job: Job, plan: ZooPlan, data: LabelledData) -> nn.Module:
    """Make a newly initialised module; values depend only on the plan's rule and the job's seed."""
    with kept_random_state():
        torch.manual_seed(job.seed)
        module = fresh_module(job.arch, data.io)
    if plan.init != "default":
        initialise(module, plan.init, torch.Generator().manual_seed(job.seed))
    return module


def steps_an_epoch(data: LabelledData, epoch_images: int, batch: int) -> int:
    """Steps per epoch of `epoch_images` images, 0 for all; images that do not fill a batch are left out."""
    total = len(data.splits["train"])
    return max(1, min(total, epoch_images or total) // batch)


def optimiser_of(
    plan: ZooPlan, parameters: list[nn.Parameter] | list[Tensor], steps: int
) -> tuple[torch.optim.Optimizer, Schedule]:
    """Make the plan's optimiser and its learning rate schedule for this many steps."""
    optimizer: torch.optim.Optimizer
    if plan.optimizer == "sgd":
        optimizer = optimisers.SGD(parameters, plan.lr, momentum=0.9, weight_decay=plan.weight_decay)
    else:
        kind = optimisers.AdamW if plan.optimizer == "adamw" else optimisers.Adam
        optimizer = kind(parameters, plan.lr, weight_decay=plan.weight_decay)
    if plan.schedule == "constant":
        return optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))


@dataclass(frozen=True)
class Snapshot:
    """A run after one of its epochs.

    Attributes:
        epoch: how many.
        state: of its module, on the processor.
    """

    job: Job
    epoch: int
    state: dict[str, Tensor]


def train_one(job: Job, plan: ZooPlan, data: LabelledData, runner: Runner) -> Iterator[Snapshot]:
    """Train a run and yield its snapshots, up to the last that is kept.

    Args:
        data: on the runner's device.
    Raises:
        RunFailed: the loss is not finite.
    """
    module = runner.place(fresh(job, plan, data))
    steps = steps_an_epoch(data, plan.epoch_images, plan.batch)
    optimizer, schedule = optimiser_of(plan, list(module.parameters()), job.epochs * steps)
    for epochs in stretches(job.instances()):
        with runner.progress(f"training {job.id}", steps * len(epochs)) as tick:

            def after_step(tick: Tick = tick) -> None:
                schedule.step()
                tick()

            for epoch in epochs:
                generator = runner.generator("zoo", job.id, epoch)
                loss = train_epoch(
                    module, optimizer, data, generator, runner, batch=plan.batch, steps=steps, after_step=after_step
                )
                if not torch.isfinite(loss):
                    raise not_finite(job, epoch)
        yield Snapshot(job, epochs.stop, {n: t.detach().cpu().clone() for n, t in module.state_dict().items()})


def stretches(kept: Iterable[int]) -> list[range]:
    """Epochs, counted from 0, to train one after the other until the first number of epochs that is kept, from there
    until the next, and so on."""
    ends = sorted(kept)
    return [range(first, last) for first, last in pairwise([0, *ends])]


def train_epoch(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: LabelledData,
    generator: torch.Generator,
    runner: Runner,
    *,
    batch: int,
    steps: int,
    after_step: Callable[[], None] | None = None,
) -> Tensor:
    """Train a module for an epoch, on labels, in an order that the generator draws; returns the last step's loss.

    Args:
        module: on the runner's device; left in training mode.
        data: on the runner's device.
        after_step: called after each step, as by a schedule of the rate.
    """
    module.train()
    order = torch.randperm(len(data.splits["train"]), generator=generator)
    with drawing_by(generator):
        for step in range(steps):
            images, labels = data.augmented("train", order[step * batch : (step + 1) * batch], generator=generator)
            with runner.autocast():
                loss = data.io.problem.loss(module(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if after_step is not None:
                after_step()
    return loss.detach()


def not_finite(job: Job, epoch: int) -> RunFailed:
    """The error for a loss that is not finite in epoch `epoch`, counted from 0."""
    return RunFailed(f"{job.id}: the loss is not finite after epoch {epoch + 1}.", "Lower the learning rate.")
