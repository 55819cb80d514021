"""Train a zoo's instances further on their own or other images, beside networks from scratch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError, RunFailed
from netspace_models.wording import setting
from torch import Tensor, nn

from netspace_cli.core.data.data import Data, LabelledData
from netspace_cli.core.networks.factories import fresh_module
from netspace_cli.core.networks.scores import labels_of, logits_of, scores
from netspace_cli.core.networks.trainable import check_images_a_step, check_trains
from netspace_cli.core.runtime import optimisers
from netspace_cli.core.runtime.results import Result, plain
from netspace_cli.core.runtime.runner import Runner, kept_random_state
from netspace_cli.core.runtime.workers import Workers, spread_and_keep

from .inputs import ZooInputs
from .listing import append_instance
from .plan import check_images_an_epoch
from .train_one import steps_an_epoch, stretches, train_epoch
from .tuned_zoo import TunedZoo
from .zoo import Instance, Zoo

# Images on which batch norms find the statistics that folding has taken from them.
NORM_IMAGES = 512


@dataclass(frozen=True)
class FineTuning:
    """Settings of further training; the learning rate is constant.

    Attributes:
        epochs: after which accuracies are measured, 0 for before any.
        optimizer: "adam" or "sgd" (momentum 0.9); lr, weight_decay: of it.
        batch: images a step.
        epoch_images: training images of an epoch, newly drawn each time; 0 for all.
    """

    epochs: tuple[int, ...] = (0, 1, 5, 25)
    optimizer: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    batch: int = 64
    epoch_images: int = 0

    def check(self) -> None:
        """Refuse invalid numbers.

        Raises:
            ConfigError: names the number.
        """
        if not self.epochs or min(self.epochs) < 0 or list(self.epochs) != sorted(set(self.epochs)):
            raise ConfigError(
                f"epochs {', '.join(map(str, self.epochs)) or 'none'}: each must be above the one before, from 0.",
                f"Give them in order: {setting('epochs', (0, 1, 5, 25))}.",
            )
        if self.optimizer not in ("adam", "sgd"):
            raise ConfigError(f"unknown optimizer {self.optimizer!r}.", "Use adam or sgd.")
        if self.lr <= 0 or self.batch < 1 or self.epoch_images < 0:
            raise ConfigError(f"lr {self.lr:g} and batch {self.batch} must be above zero.")
        check_images_an_epoch(self.epoch_images, self.batch)


@dataclass(frozen=True)
class Tuned(Result):
    """One network after further training.

    Attributes:
        id: of the instance; of a network from scratch, of the instance that it replaces.
        arch: its architecture; start: "zoo" or "scratch".
        accuracy: on the test images, a fraction by epoch.
    """

    id: str
    arch: str
    start: str
    accuracy: dict[int, float]


# What came of a network, and the instance that it has become, where it is kept.
_Outcome = tuple[Tuned, Instance | None]


def finetune(
    zoo: Zoo,
    instances: Sequence[Instance],
    data: LabelledData,
    plan: FineTuning,
    runner: Runner,
    *,
    scratch: bool = True,
    output: Path | str | None = None,
    workers: Workers[ZooInputs] | None = None,
) -> list[Tuned]:
    """Train instances further.

    Args:
        instances: of the zoo.
        data: of the zoo's size and classes, on any device.
        scratch: train a fresh network beside each, on the same images in the same order.
        output: folder of the zoo that the instances become, with their own names and splits, as they are after the last
            epoch; what is there already is not trained again. Of each, `training` has `finetuned_from`, the digest of
            the start's file; `start`, its epochs and how it was trained; `finetune_plan` and `finetune_seed`; and
            `test_by_epoch`, scores on the test images. None to keep no networks.
        workers: processes that open this zoo and these data; None for this process alone.
    Raises:
        ConfigError: no instances, a plan that cannot be followed, images of another size or other classes, or a folder
            that holds something else; fp16.
        InputFileError: a network in that folder is missing or changed.
        RunFailed: a loss or a score is not finite.
    """
    check_finetuning(zoo, instances, data, plan)
    runner.check_gradients()
    tasks = [(instance, start) for instance in instances for start in ("zoo", "scratch")[: 1 + scratch]]
    made = None if output is None else tuned_zoo(Path(output), plan, runner.seed)
    done: dict[int, _Outcome] = {}
    if made is not None:
        made.begin(zoo, data.record())
        done = {place: there for place, task in enumerate(tasks) if (there := _finished(made, task)) is not None}

    def keep(outcome: _Outcome) -> None:
        if made is not None and outcome[1] is not None:
            append_instance(made.path, outcome[1])

    work = partial(_tuned, plan=plan, made=made)
    inputs = ZooInputs(zoo, data)
    with (
        runner.progress("training further", len(tasks), len(done)) as tick,
        closing(spread_and_keep(work, tasks, done, keep, inputs, runner, workers)) as finished,
    ):
        found = {}
        for place, (each, _) in finished:
            found[place] = each
            if place not in done:
                runner.count(1, "networks")
                tick(1)
    return [found[place] for place in range(len(tasks))]


def tuned_zoo(path: Path, plan: FineTuning, seed: int) -> TunedZoo:
    """The zoo that instances become by a plan."""
    return TunedZoo(path, plain({"finetune_plan": settings_of(plan), "finetune_seed": seed}))


def _finished(made: TunedZoo, task: tuple[Instance, str]) -> _Outcome | None:
    """What an earlier command has made of a task."""
    instance, start = task
    there = made.finished(instance, start)
    return None if there is None else (Tuned(instance.id, instance.arch, start, there[0]), there[1])


def _tuned(
    task: tuple[Instance, str], inputs: ZooInputs, runner: Runner, *, plan: FineTuning, made: TunedZoo | None
) -> _Outcome:
    """Train one network, an instance or a fresh one in its place, and write what came of it."""
    instance, start = task
    architecture, data = inputs.architectures[instance.arch], runner.place(inputs.data)
    if start == "zoo":
        module = restored_module(architecture, inputs.zoo.network(instance, architecture).weights, data, runner)
    else:
        module = runner.place(_fresh(architecture, instance.id, runner))
    curve = dict(_trained(module, architecture, instance.id, data, plan, runner))
    tuned = Tuned(instance.id, instance.arch, start, curve)
    if made is None:
        return tuned, None
    if start == "scratch":
        made.keep_scratch(instance, curve)
        return tuned, None
    state = _state_of(module)
    reached = scores(architecture, runner.place(architecture.to_weights(state)), data, runner)
    accuracy = {split: round(_finite(score, instance.id), 6) for split, score in reached.items()}
    return tuned, made.keep(instance, state, curve, accuracy)


def check_finetuning(zoo: Zoo, instances: Sequence[Instance], data: LabelledData, plan: FineTuning) -> None:
    """Refuse zoos and images that do not allow further training, before any work.

    Raises:
        ConfigError: says why.
    """
    plan.check()
    if not instances:
        raise ConfigError(f"{zoo.path} has no instances to train further.", "Give a zoo that has some.")
    if zoo.io != data.io:
        raise ConfigError(
            f"{zoo.path} is a zoo for {zoo.io.describe()}; these {data.io.one}s are {data.io.describe()}.",
            f"Give {zoo.io.one}s like its own: {setting('data')}.",
        )
    images, names = min(plan.batch, len(data.splits["train"])), {instance.arch for instance in instances}
    for architecture in (a for a in zoo.architectures() if a.name in names):
        check_trains(architecture)
        check_images_a_step(architecture, images, setting("batch", plan.batch), setting("batch", 2))


def summarised(found: Sequence[Tuned]) -> list[dict[str, Any]]:
    """{start, epoch, n, accuracy, deviation?} per start and epoch."""
    rows: list[dict[str, Any]] = []
    for start in dict.fromkeys(each.start for each in found):
        of_start = [each for each in found if each.start == start]
        for epoch in of_start[0].accuracy:
            reached = torch.tensor([each.accuracy[epoch] for each in of_start], dtype=torch.float64)
            row = {"start": start, "epoch": epoch, "n": len(reached), "accuracy": float(reached.mean())}
            rows.append(row | ({"deviation": float(reached.std())} if len(reached) > 1 else {}))
    return rows


def settings_of(plan: FineTuning) -> dict[str, Any]:
    """A plan as JSON."""
    return asdict(plan)


def _fresh(architecture: Architecture, name: str, runner: Runner) -> nn.Module:
    with kept_random_state():
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=runner.generator("scratch", name))))
        return fresh_module(architecture.name, architecture.io)


def restored_module(architecture: Architecture, weights: Tensor, data: Data, runner: Runner) -> nn.Module:
    """Restore an instance as a trainable module on the runner's device, with the same function.

    Folded batch norms come back with statistics of one, which are not those of their inputs: the first step of training
    would make another network of it. They are given those of training images, and scale and shift that undo these.

    Args:
        weights: (P,).
        data: on the runner's device.
    """
    with kept_random_state():
        module = fresh_module(architecture.name, architecture.io)
    state = architecture.to_state(weights)
    module.load_state_dict(state)
    module = runner.place(module).eval()
    if not architecture.pairs:
        return module
    seen: dict[str, Tensor] = {}

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        def see(used: nn.Module, given: tuple[Tensor, ...]) -> None:
            seen[name] = given[0].movedim(1, 0).flatten(1)

        return module.get_submodule(name).register_forward_pre_hook(see)

    handles = [watch(pair.norm) for pair in architecture.pairs if pair.affine]
    with torch.no_grad():
        module(data.sample("train", NORM_IMAGES, runner.generator("norms"))[0])
        for handle in handles:
            handle.remove()
        for name, values in seen.items():
            norm = module.get_submodule(name)
            mean, variance = values.mean(1), values.var(1)
            eps = next(pair.eps for pair in architecture.pairs if pair.norm == name)
            norm.load_state_dict(
                {
                    **norm.state_dict(),
                    "weight": (variance + eps).sqrt(),
                    "bias": norm.state_dict()["bias"] + mean,
                    "running_mean": mean,
                    "running_var": variance,
                }
            )
    return module


def _trained(
    module: nn.Module, architecture: Architecture, name: str, data: LabelledData, plan: FineTuning, runner: Runner
) -> Iterator[tuple[int, float]]:
    """Train a module in place, and return test accuracies by epoch."""
    labels = labels_of(data, "test")
    optimizer = _optimiser(plan, module)
    steps = steps_an_epoch(data, plan.epoch_images, plan.batch)
    for epochs in stretches(plan.epochs):
        with runner.progress(f"training {name} further", steps * len(epochs)) as tick:
            for epoch in epochs:
                generator = runner.generator("finetune", name, epoch)
                loss = train_epoch(
                    module, optimizer, data, generator, runner, batch=plan.batch, steps=steps, after_step=tick
                )
                _finite(loss.item(), name)
        weights = runner.place(architecture.to_weights(_state_of(module)))
        score = data.io.problem.scored(logits_of(architecture, weights, data, "test", runner), labels)
        yield epochs.stop, _finite(score, name)


def _state_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}


def _finite(value: float, name: str) -> float:
    """A loss or a score of a network, which is refused if it is not finite."""
    if not isfinite(value):
        raise RunFailed(f"the loss of {name} is not finite while it is trained further.", f"Lower {setting('lr')}.")
    return value


def _optimiser(plan: FineTuning, module: nn.Module) -> torch.optim.Optimizer:
    if plan.optimizer == "sgd":
        return optimisers.SGD(module.parameters(), plan.lr, momentum=0.9, weight_decay=plan.weight_decay)
    # All tensors in one pass: one by one they take as long as a tenth of a small network's step.
    return optimisers.Adam(module.parameters(), plan.lr, weight_decay=plan.weight_decay, fused=True)
