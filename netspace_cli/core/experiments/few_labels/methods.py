"""Methods to adapt a network to few labelled images, with the same images and number of steps."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from netspace_models.architectures import Architecture
from netspace_models.errors import RunFailed
from torch import Tensor, nn

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.files.checkpoint import read_checkpoint
from netspace_cli.core.networks.factories import fresh_module
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime import optimisers
from netspace_cli.core.runtime.minimise import AdamSchedule
from netspace_cli.core.runtime.progress import Tick
from netspace_cli.core.runtime.runner import Runner, kept_random_state
from netspace_cli.core.search.baselines import random_subspace
from netspace_cli.core.search.image_objective import ImageObjective
from netspace_cli.core.search.lso import image_objective, parametrisation_of
from netspace_cli.core.search.search import search
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Instance, Zoo

# Of Adam. A method begins with its three of the ladder and goes on while the best is the lowest or the highest.
LADDER = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
RATES: dict[str, tuple[float, ...]] = {
    "space": (0.01, 0.03, 0.1),
    "random subspace": (0.01, 0.03, 0.1),
    "all weights": (0.0003, 0.001, 0.003),
    "from scratch": (0.001, 0.003, 0.01),
}
METHODS = tuple(RATES)


@dataclass(frozen=True)
class Start:
    """What the methods start from: one instance in three forms.

    Attributes:
        space: on the device of the work.
        network: the instance, on the device of the work.
        module: the instance as its checkpoint has it, with its batch norms, on the processor.
        embedding: (E,) of the instance, on the device of the work.
    """

    space: Space
    network: Network
    module: nn.Module
    embedding: Tensor


@dataclass(frozen=True)
class Adapted:
    """The best state of a method's run by validation, the start included.

    Attributes:
        weights: (P,) the network, on the device of the work.
        step: after how many steps.
        accuracy, loss: on the validation images.
    """

    weights: Tensor
    step: int
    accuracy: float
    loss: float


def adapt(
    method: str,
    start: Start,
    data: ImageData,
    runner: Runner,
    *,
    lr: float,
    steps: int,
    images: int,
    description: str = "adapting",
) -> Adapted:
    """Adapt by one of METHODS, from labels only.

    "space" moves the embedding of a frozen decoder, "random subspace" as many numbers around the instance,
    "all weights" the instance itself, "from scratch" a new module of its architecture.

    Args:
        data: its training images are the labelled ones; on the device of the work.
        runner: its seed draws the images of each step and the new module.
        lr, steps, images: of Adam; the rate falls to a twentieth as a cosine.
        description: for the progress.
    Raises:
        RunFailed: the loss is not finite.
    """
    architecture, schedule = start.network.architecture, AdamSchedule(steps, images, lr, lr / 20)
    if method in ("all weights", "from scratch"):
        with kept_random_state():
            torch.manual_seed(runner.seed)
            fresh = method == "from scratch"
            module = fresh_module(architecture.name, architecture.io) if fresh else deepcopy(start.module)
            with runner.progress(description, steps) as tick:
                return train_module(runner.place(module), architecture, data, runner, schedule, tick)
    if method == "space":
        parametrisation = parametrisation_of(start.space, start.embedding[None], architecture.name)
    else:
        parametrisation = random_subspace(start.network, start.space.model.embedding_size)
    objective = image_objective(start.space, data, runner, None)
    found = search(parametrisation, objective, steps=steps, lr=lr, images=images, description=description)
    return Adapted(found.weights, found.step, found.validation.accuracy, found.validation.loss)


def instance_module(zoo: Zoo, instance: Instance, architecture: Architecture) -> nn.Module:
    """Build an instance's module in the layout of its checkpoint, for ordinary training.

    Unlike a predicted instance it has its batch norms, which learn while it is trained.
    """
    state = read_checkpoint(zoo.file_of(instance)).state
    template = architecture.module if architecture.form_of(state) == "full" else architecture.fused
    module = deepcopy(template).requires_grad_(True)
    # `form_of` has compared all names but those of the norms' counters, which some leave out.
    module.load_state_dict(state, strict=False)
    return module


def train_module(
    module: nn.Module, architecture: Architecture, data: ImageData, runner: Runner, schedule: AdamSchedule, tick: Tick
) -> Adapted:
    """Train all parameters of a module, with the images and rates that `search` takes.

    Args:
        module: of the architecture, in either of its forms, on the device of the work; is trained.
        tick: receives every step.
    Raises:
        RunFailed: the loss is not finite.
    """
    objective, every = ImageObjective(data, runner), max(1, schedule.steps // 10)
    optimizer = optimisers.Adam(module.parameters(), lr=schedule.lr)
    best = _look(module, architecture, objective, 0)
    for step in range(1, schedule.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step - 1)
        generator = runner.generator("lso", step - 1)
        drawn = torch.randint(len(data.splits["train"]), (schedule.images,), generator=generator)
        pictures, labels = data.augmented("train", drawn, generator=generator)
        loss = F.cross_entropy(module.train()(pictures), labels)
        if not torch.isfinite(loss):
            raise RunFailed(f"the loss is not finite at step {step} of {schedule.steps}.", "Lower the rate.")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        runner.count(1, "steps")
        tick(1, loss=loss.item())
        if step % every == 0 or step == schedule.steps:
            best = max(best, _look(module, architecture, objective, step), key=lambda a: (a.accuracy, -a.loss))
    return best


def _look(module: nn.Module, architecture: Architecture, objective: ImageObjective, step: int) -> Adapted:
    weights = architecture.to_weights({name: t.detach().clone() for name, t in module.state_dict().items()})
    accuracy, loss = objective.score(architecture, weights, "val")
    return Adapted(weights, step, accuracy, loss)
