"""Polish samples: a few label steps on each embedding through the frozen decoder.

The labels' cross entropy alone (eq. 4 of the NetSpace publication) and never a teacher: imitation would make samples
alike. Nothing is selected on the way; the last step is kept.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from netspace_models.errors import ConfigError
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.encoding.inputs import Inputs
from netspace_cli.core.kinds.labelled import require_labelled
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.minimise import AdamSchedule, minimise
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.workers import Workers, in_order, spread
from netspace_cli.core.spaces.space import Space

from .methods import METHODS
from .sample import Sample, Samples, decoded


def check_polishing(method: str, steps: int, lr: float | None = None) -> None:
    """Refuse to polish samples without embeddings.

    Raises:
        ConfigError: fewer than no steps, a rate that is not above 0 or without steps, or a method on weights.
    """
    if lr is not None and lr <= 0:
        raise ConfigError(f"cannot polish at a rate of {lr:g}.", f"Give one above 0: {setting('polish_lr', 0.003)}.")
    if lr is not None and not steps:
        raise ConfigError(
            f"{setting('polish_lr', lr)} is the rate of polishing, and no steps were asked for.",
            f"Say how many: {setting('polish', 100)}.",
        )
    if steps < 0:
        raise ConfigError(f"cannot polish by {steps} steps.", f"Give 0 or more: {setting('polish', 100)}.")
    if steps and method in METHODS and METHODS[method].on_weights:
        raise ConfigError(
            f"polishing moves embeddings, but samples of the method {method} have none.",
            f"Leave out {setting('polish')}, or draw by a method of embeddings.",
        )


def polish_schedule(space: Space, arch: str, steps: int, lr: float | None = None) -> AdamSchedule:
    """Schedule for this many steps: a rate, or the space's own of optimising, falling to a twentieth."""
    lr = lr or space.recipe.lso.rate(arch)
    return AdamSchedule(steps, space.recipe.lso.images, lr, lr / 20)


def polish(
    samples: Samples,
    space: Space,
    data: LabelledData,
    runner: Runner,
    *,
    steps: int,
    lr: float | None = None,
    workers: Workers[Inputs] | None = None,
) -> Samples:
    """Move each sample's embedding by label steps on training images.

    Args:
        samples: of a method of embeddings, from `space`.
        steps: how many, on as many images each as the space's own optimising has.
        lr: highest learning rate; None for the space's own of optimising. A low one keeps samples near the embeddings
            that they were drawn like.
        workers: processes that open this space and these data; None for this process alone.
    Raises:
        ConfigError: a method on weights, or a rate that is not above 0.
        RunFailed: a loss is not finite.
    """
    check_polishing(samples.method, steps, lr)
    if not steps:
        return samples
    runner.check_gradients()
    architecture, tasks = samples.population.architecture, [_begun(each) for each in samples.samples]
    schedule = polish_schedule(space, architecture.name, steps, lr)
    inputs = Inputs(runner.place(space), runner.place(data))
    work = partial(_polished, arch=architecture.name, schedule=schedule)
    done = []
    with (
        runner.progress("polishing", len(samples)) as tick,
        closing(spread(work, tasks, inputs, runner, workers)) as outcomes,
    ):
        for each, (embedding, weights) in zip(samples.samples, in_order(outcomes), strict=True):
            network = Network(architecture, torch.from_numpy(weights))
            polished = each.polished + steps
            done.append(replace(each, embedding=torch.from_numpy(embedding), network=network, polished=polished))
            tick(1)
    return replace(samples, samples=tuple(done))


@dataclass(frozen=True)
class _Begun:
    """A sample to polish: its number, its embedding (E,) and its starting point."""

    index: int
    embedding: np.ndarray
    start: int


def _begun(each: Sample) -> _Begun:
    if each.embedding is None:
        raise ConfigError(f"sample {each.index} has no embedding to polish.", f"Leave out {setting('polish')}.")
    return _Begun(each.index, each.embedding.detach().cpu().numpy(), each.start)


def _polished(
    begun: _Begun, inputs: Inputs, runner: Runner, *, arch: str, schedule: AdamSchedule
) -> tuple[np.ndarray, np.ndarray]:
    """The embedding (E,) and the weights (P,) of a polished sample."""
    assert inputs.data is not None
    space, data = runner.place(inputs.space), runner.place(require_labelled(inputs.data))
    architecture = space.model.architecture(arch)

    def loss_at(current: Tensor, step: int) -> Tensor:
        # Its own images: what becomes of a sample does not depend on the others.
        images, labels = data.draw("train", schedule.images, runner.generator("polish", begun.index, step))
        with runner.autocast():
            weights = space.model.decode(arch, current, begun.start)[0]
            return data.io.problem.loss(architecture.run(weights, images), labels)

    start = runner.place(torch.from_numpy(begun.embedding))[None]
    found = minimise(start, loss_at, schedule, runner, description=f"polishing sample {begun.index}")[0].cpu()
    runner.count(schedule.steps, "steps")
    return found.numpy(), decoded(found, begun.start, arch, space, runner).cpu().numpy()
