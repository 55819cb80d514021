"""Train a zoo: many instances, other seeds, a fixed number of epochs or a range of them."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from netspace_models.errors import ConfigError, RunFailed
from netspace_models.wording import setting, speak, spoken
from torch import nn

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.networks.factories import fresh_module, resolve_architecture
from netspace_cli.core.networks.scores import scores
from netspace_cli.core.networks.trust import trusting
from netspace_cli.core.runtime.runner import Runner, kept_random_state

from .zoo import SPLITS, Instance, Zoo, append_instance, create_zoo, open_zoo, write_instance


@dataclass(frozen=True)
class ZooPlan:
    """What to train.

    Attributes:
        arch: architecture names or factories.
        counts: instances of each architecture by split, (train, val, test).
        epochs: lowest and highest number of epochs; instances are spread over the range.
        spacing: "even", or "geometric": each the same factor above the one before, since performance grows
            about with the logarithm of the epochs.
        optimizer: "adam" or "sgd" (momentum 0.9).
        lr: highest learning rate; it falls to zero as a cosine over each instance's own epochs.
        weight_decay: of the optimiser.
        batch: images a step.
        epoch_images: training images of an epoch, drawn anew each time; 0 for all.
        licence: recorded with every instance.
    """

    arch: tuple[str, ...]
    counts: tuple[int, int, int] = (16, 2, 8)
    epochs: tuple[int, int] = (20, 20)
    spacing: str = "even"
    optimizer: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    batch: int = 64
    epoch_images: int = 0
    licence: str = "CC0-1.0"

    def settings(self, precision: str) -> dict[str, Any]:
        """What every instance of the plan is trained with, for the manifest; left out what is as usual."""
        settings: dict[str, Any] = {
            "optimizer": self.optimizer,
            "lr": self.lr,
            "weight_decay": self.weight_decay,
            "batch": self.batch,
        }
        if self.epoch_images:
            settings["epoch_images"] = self.epoch_images
        return settings if precision == "float32" else {**settings, "precision": precision}

    def check(self) -> None:
        """Refuse numbers that make no zoo.

        Raises:
            ConfigError: names the number.
        """
        low, high = self.epochs
        if not self.arch or len(set(self.arch)) < len(self.arch):
            raise ConfigError(
                f"architectures {', '.join(self.arch) or 'none'}: each must be named, and once.",
                f"Give each with {setting('arch')}; {setting('counts')} says how many instances.",
            )
        if not 0 <= low <= high:
            raise ConfigError(
                f"epochs {low}-{high} is no range.", "Give one number, or LOW-HIGH with 0 <= LOW <= HIGH."
            )
        if min(self.counts) < 0 or sum(self.counts) < 1:
            raise ConfigError(f"{self.counts} instances cannot be trained.", "Give three counts, e.g. 16/2/8.")
        if self.spacing == "geometric" and low < 1:
            raise ConfigError(
                f"epochs {low}-{high} cannot be spaced geometrically: there is no factor from {low}.", "Begin at 1."
            )
        if self.spacing not in ("even", "geometric"):
            raise ConfigError(f"no spacing is called {self.spacing!r}.", "Use even or geometric.")
        if self.optimizer not in ("adam", "sgd"):
            raise ConfigError(f"no optimizer is called {self.optimizer!r}.", "Use adam or sgd.")
        if self.lr <= 0 or self.batch < 1:
            raise ConfigError(f"lr {self.lr} and batch {self.batch} must be above zero.")


@dataclass(frozen=True)
class Job:
    """One instance to train."""

    id: str
    arch: str
    split: str
    seed: int
    epochs: int


def jobs_of(plan: ZooPlan, seed: int) -> list[Job]:
    """The instances of a plan, in a fixed order; which split and how many epochs each gets is drawn from
    the seed, so that a split holds no particular range of epochs."""
    jobs = []
    total = sum(plan.counts)
    low, high = plan.epochs
    for arch in plan.arch:
        # Strings seed `random` the same way on every platform and version.
        draw = random.Random(f"{seed}/{arch}")
        shares = [i / max(1, total - 1) for i in range(total)]
        if plan.spacing == "geometric":
            epochs = [round(low * (high / low) ** share) for share in shares]
        else:
            epochs = [low + round((high - low) * share) for share in shares]
        splits = [s for s, n in zip(SPLITS, plan.counts, strict=True) for _ in range(n)]
        draw.shuffle(splits)
        for i, (e, split) in enumerate(zip(epochs, splits, strict=True)):
            label = arch.replace(":", ".")
            jobs.append(Job(f"{label}-{seed + i:04d}", arch, split, seed + i, e))
    return jobs


def train_zoo(
    path: Path,
    plan: ZooPlan,
    data: ImageData,
    runner: Runner,
    *,
    workers: int = 1,
) -> Zoo:
    """Train what a plan asks for and is not there yet; the manifest grows as instances are finished.

    Args:
        path: the zoo's folder; a zoo of the same data is added to.
        plan: checked before anything is written.
        data: the images, on any device.
        runner: device and root seed.
        workers: processes, each training one instance at a time on one processor thread.
    Raises:
        ConfigError: the plan makes no zoo, the folder holds another, or instances that another plan made; fp16.
        RunFailed: an instance's loss is not finite; those finished are kept.
    """
    plan.check()
    runner.check_gradients()
    for name in plan.arch:
        _check_batch(name, plan, data)
    zoo = create_zoo(path, data.record(), {"licence": plan.licence})
    done = {i.id: i for i in zoo.instances}
    jobs = jobs_of(plan, runner.seed)
    _check_done(path, jobs, done, plan.settings(runner.precision_name))
    todo = [j for j in jobs if j.id not in done]
    # Closed, so that workers end when the work is broken off here, and not some time later.
    with (
        runner.progress("training the zoo", len(todo)) as tick,
        closing(_results(todo, plan, data, runner, path, workers)) as results,
    ):
        for instance in results:
            append_instance(path, instance)
            runner.count(1, "instances")
            tick(1, id=instance.id, test=instance.accuracy["test"])
    return open_zoo(path)


def _check_batch(name: str, plan: ZooPlan, data: ImageData) -> None:
    """Refuse an architecture that cannot be trained on so few images a step: a batch norm over maps of one
    pixel has nothing to average over."""
    architecture = resolve_architecture(name, data.io)
    images = min(plan.batch, len(data.splits["train"].labels))
    if images > 1:
        return
    io = architecture.io
    with kept_random_state(), torch.no_grad():
        module = fresh_module(name, io).train()
        try:
            module(torch.zeros(1, *io.input_shape))
        except ValueError as failure:
            raise ConfigError(
                f"{name} cannot be trained on {images} image a step ({setting('batch', plan.batch)}): its batch norms "
                f"average over images ({failure}).",
                f"Give {setting('batch', 2)} or more.",
            ) from failure


def _check_done(path: Path, jobs: Sequence[Job], done: Mapping[str, Instance], settings: Mapping[str, Any]) -> None:
    """Refuse to count as done what another plan made: the splits and epochs would not be those asked for."""
    for job in jobs:
        there = done.get(job.id)
        if there is not None and (there.split, there.epochs) != (job.split, job.epochs):
            raise ConfigError(
                f"{path} has {job.id} already, as {there.split} instance of {there.epochs} epochs; "
                f"this plan makes it a {job.split} instance of {job.epochs} epochs.",
                f"Go on with the counts and epochs it was begun with, or add instances of another {setting('seed')}.",
            )
        if there is not None and there.training not in ({}, settings):
            raise ConfigError(
                f"{path} has {job.id} already, trained with {there.training}; this plan says {settings}.",
                f"Go on with the settings it was begun with, or add instances of another {setting('seed')}.",
            )


def _results(
    todo: list[Job], plan: ZooPlan, data: ImageData, runner: Runner, path: Path, workers: int
) -> Generator[Instance, None, None]:
    if workers <= 1:
        data = runner.place(data)
        for job in todo:
            yield train_instance(job, plan, data, runner, path)
        return
    arguments = (plan, data, str(runner.device), runner.precision_name, runner.seed, path)
    # Spawned, not forked: torch's thread pools do not survive a fork.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=speak, initargs=(spoken(),))
    try:
        waiting: set[Future[Instance]] = {pool.submit(_in_process, job, *arguments) for job in todo}
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            # What is finished is kept, whatever became of the others.
            done = [f.result() for f in finished if f.exception() is None]
            yield from sorted(done, key=lambda instance: instance.id)
            for future in finished:
                future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_process(
    job: Job, plan: ZooPlan, data: ImageData, device: str, precision: str, seed: int, path: Path
) -> Instance:
    # What the user has named was named in another process.
    with trusting(*plan.arch), Runner(device, precision=precision, threads=1, seed=seed) as runner:
        return train_instance(job, plan, runner.place(data), runner, path)


def train_instance(job: Job, plan: ZooPlan, data: ImageData, runner: Runner, zoo: Path) -> Instance:
    """Train one instance from its seed, write its checkpoint, score it on all splits.

    Raises:
        RunFailed: the loss is not finite.
    """
    architecture = resolve_architecture(job.arch, data.io)
    module = runner.place(_fresh(job, data))
    with runner.guard(f"training {job.id}", f"Lower {setting('batch')}."):
        _fit(module, job, plan, data, runner)
    state = {n: t.detach().cpu() for n, t in module.state_dict().items()}
    file = write_instance(zoo, job.id, architecture.name, state, plan.licence)
    weights = runner.place(architecture.to_weights(state))
    accuracy = {k: round(v, 6) for k, v in scores(architecture, weights, data, runner).items()}
    return Instance(
        id=job.id,
        arch=job.arch,
        split=job.split,
        file=file,
        sha256=sha256_of(zoo / file),
        seed=job.seed,
        epochs=job.epochs,
        accuracy=accuracy,
        licence=plan.licence,
        training=plan.settings(runner.precision_name),
    )


def _fresh(job: Job, data: ImageData) -> nn.Module:
    """A newly initialised module; its values are a function of the job's seed alone."""
    with kept_random_state():
        torch.manual_seed(job.seed)
        return fresh_module(job.arch, data.io)


def _fit(module: nn.Module, job: Job, plan: ZooPlan, data: ImageData, runner: Runner) -> None:
    total = len(data.splits["train"].labels)
    steps_an_epoch = max(1, min(total, plan.epoch_images or total) // plan.batch)
    optimizer = _optimizer(plan, module)
    steps = max(1, job.epochs * steps_an_epoch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    module.train()
    for epoch in range(job.epochs):
        generator = runner.generator("zoo", job.id, epoch)
        order = torch.randperm(total, generator=generator)
        for step in range(steps_an_epoch):
            index = order[step * plan.batch : (step + 1) * plan.batch]
            images, labels = data.augmented("train", index, generator=generator)
            with runner.autocast():
                loss = F.cross_entropy(module(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        if not torch.isfinite(loss):
            raise RunFailed(f"{job.id}: the loss is not finite after epoch {epoch + 1}.", "Lower the learning rate.")
    module.eval()


def _optimizer(plan: ZooPlan, module: nn.Module) -> torch.optim.Optimizer:
    if plan.optimizer == "sgd":
        return torch.optim.SGD(module.parameters(), plan.lr, momentum=0.9, weight_decay=plan.weight_decay)
    return torch.optim.Adam(module.parameters(), plan.lr, weight_decay=plan.weight_decay)


def zoo_so_far(path: Path, data: ImageData, archs: Sequence[str]) -> frozenset[str]:
    """The ids of the instances a zoo has already, before more are trained; nothing is made.

    Args:
        path: of the zoo; it need not be there.
        data, archs: of the instances to be trained.
    Raises:
        ConfigError: the folder holds a zoo of other data, or is no folder.
        UnknownArchitecture: no such architecture for these images.
    """
    for name in archs:
        resolve_architecture(name, data.io)
    if not (path / "zoo.json").is_file():
        if path.exists() and not path.is_dir():
            raise ConfigError(f"{path} is there already and is no zoo.", "Choose another folder.")
        return frozenset()
    zoo = open_zoo(path)
    if zoo.data != data.record():
        raise ConfigError(
            f"{path} is a zoo of {zoo.data['name']} ({zoo.io.describe()}); this is {data.name} ({data.io.describe()}).",
            "Choose another folder: a zoo has one data set.",
        )
    return frozenset(i.id for i in zoo.instances)
