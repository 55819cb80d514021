"""Rivals: plain ways to make more networks, which samples must beat."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError, RunFailed
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.networks.factories import fresh_module
from netspace_cli.core.runtime import optimisers
from netspace_cli.core.runtime.minimise import AdamSchedule
from netspace_cli.core.runtime.runner import Runner, drawing_by, kept_random_state

from .methods import Method, Mix, Noise, Soup
from .population import Population

Rivals: TypeAlias = Literal["none", "quick", "all"]
FRESH_LR = 1e-3


def check_rivals(rivals: str) -> None:
    """Refuse an unknown choice of rivals.

    Raises:
        ConfigError: says what there is.
    """
    if rivals not in get_args(Rivals):
        raise ConfigError(
            f"unknown rivals {rivals!r}.", f"Give one of {', '.join(get_args(Rivals))}: {setting('rivals')}."
        )


def weight_rivals(population: Population) -> dict[str, Method]:
    """Methods on weights that the population has enough instances for, by their names in the table."""
    count = len(population)
    found: dict[str, Method] = {"noise copies": Noise()}
    if count >= 2:
        found["aligned mixes"] = Mix()
    if count >= 3:
        found["aligned soups"] = Soup(parents=min(Soup().parents, count - 1))
    return found


def train_fresh(
    architecture: Architecture, data: LabelledData, runner: Runner, index: int, *, steps: int, images: int
) -> Tensor:
    """Train a new network (P,) on labels for this many steps.

    Adam with a cosine schedule. The result is on the processor.

    Args:
        data: on the runner's device.
        index: its number, which its first values and its images are drawn by.
        images: images a step.
    Raises:
        RunFailed: the loss is not finite.
    """
    with kept_random_state():
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=runner.generator("fresh", index))))
        module = runner.place(fresh_module(architecture.name, architecture.io))
    schedule = AdamSchedule(steps, images, FRESH_LR, 0.0)
    optimizer = optimisers.Adam(module.parameters(), schedule.lr)
    module.train()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = schedule.rate(step)
        generator = runner.generator("fresh", index, step)
        inputs, labels = data.draw("train", images, generator)
        with drawing_by(generator), runner.autocast():
            loss = data.io.problem.loss(module(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if not torch.isfinite(loss):
            raise RunFailed(f"a fresh network's loss is not finite at step {step + 1}.", "Leave fresh networks out.")
    runner.count(steps, "steps")
    state = {name: tensor.detach().cpu() for name, tensor in module.eval().state_dict().items()}
    return architecture.to_weights(state)
