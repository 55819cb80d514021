"""Polish samples: a few label steps on each embedding through the frozen decoder.

The labels' cross entropy alone (eq. 4 of the NetSpace publication) and never a teacher: imitation would make samples
alike. Nothing is selected on the way; the last step is kept.
"""

from __future__ import annotations

from dataclasses import replace

from netspace_models.errors import ConfigError
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.minimise import AdamSchedule, minimise
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space

from .methods import METHODS, Draw
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
    samples: Samples, space: Space, data: LabelledData, runner: Runner, *, steps: int, lr: float | None = None
) -> Samples:
    """Move each sample's embedding by label steps on training images.

    Args:
        samples: of a method of embeddings, from `space`.
        steps: how many, on as many images each as the space's own optimising has.
        lr: highest learning rate; None for the space's own of optimising. A low one keeps samples near the embeddings
            that they were drawn like.
    Raises:
        ConfigError: a method on weights, or a rate that is not above 0.
        RunFailed: a loss is not finite.
    """
    check_polishing(samples.method, steps, lr)
    if not steps:
        return samples
    runner.check_gradients()
    space, data = runner.place(space), runner.place(data)
    schedule = polish_schedule(space, samples.population.architecture.name, steps, lr)
    with runner.progress("polishing", len(samples)) as tick:

        def polished(each: Sample) -> Sample:
            found = _polished(each, samples, space, data, runner, schedule)
            tick(1)
            return found

        return samples.changed(polished)


def _polished(
    each: Sample, samples: Samples, space: Space, data: LabelledData, runner: Runner, schedule: AdamSchedule
) -> Sample:
    if each.embedding is None:
        raise ConfigError(f"sample {each.index} has no embedding to polish.", f"Leave out {setting('polish')}.")
    architecture = samples.population.architecture

    def loss_at(current: Tensor, step: int) -> Tensor:
        # Its own images: what becomes of a sample does not depend on the others.
        images, labels = data.draw("train", schedule.images, runner.generator("polish", each.index, step))
        with runner.autocast():
            weights = space.model.decode(architecture.name, current, each.start)[0]
            return data.io.problem.loss(architecture.run(weights, images), labels)

    begun = runner.place(each.embedding)[None]
    found = minimise(begun, loss_at, schedule, runner, description=f"polishing sample {each.index}")[0].cpu()
    runner.count(schedule.steps, "steps")
    weights = decoded(Draw(found, each.start), samples.population, space, runner).cpu()
    return replace(
        each, embedding=found, network=Network(architecture, weights), polished=each.polished + schedule.steps
    )
