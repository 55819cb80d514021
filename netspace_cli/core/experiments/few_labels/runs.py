"""Runs of the experiment with few labels: their list, their order, and their work."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError, RunFailed
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.images import ImageData, Split
from netspace_cli.core.data.shift import SHIFTS, check_shifts, shifted
from netspace_cli.core.encoding.decode import decode_row
from netspace_cli.core.experiments.held_out import Scale, refined_input
from netspace_cli.core.experiments.run_log import RunLog
from netspace_cli.core.networks.scores import accuracy, labels_of, logits_of
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Instance, Zoo

from .methods import LADDER, METHODS, RATES, Start, adapt, instance_module

# What is scored before anything is adapted: the instance, and what its embedding decodes to.
STANDING = ("as it stands", "as decoded")

Run = dict[str, Any]


@dataclass(frozen=True)
class FewLabels:
    """Amount of work of the experiment.

    Attributes:
        per_class: numbers of labelled images of each class.
        seeds: how many, the runner's and those after it; each draws other labelled images and other streams.
        shifts: of all splits.
        steps, images: of each run.
        val_images: most validation images to choose the rate and the step by.
        refine_steps: of the instance's embedding, on the images as they are.
    """

    per_class: tuple[int, ...] = (5, 20, 100)
    seeds: int = 5
    shifts: tuple[str, ...] = SHIFTS
    steps: int = 300
    images: int = 128
    val_images: int = 2000
    refine_steps: int = 300

    def check(self, data: ImageData) -> None:
        """Refuse what the data do not allow, before any work.

        Raises:
            ConfigError: no such shift, or more labelled images than a class has.
        """
        check_shifts(self.shifts)
        if min(self.per_class, default=0) < 1 or len(set(self.per_class)) < len(self.per_class):
            raise ConfigError(
                f"{', '.join(map(str, self.per_class)) or 'no number of'} labelled images a class cannot be drawn.",
                f"Give numbers above zero, each once: {setting('per_class', (5, 20))}.",
            )
        counts = torch.bincount(data.splits["train"].labels.cpu(), minlength=data.io.classes)
        fewest, most = int(counts.argmin()), max(self.per_class)
        if most > counts[fewest]:
            raise ConfigError(
                f"{data.name} has {counts[fewest]} training images of the class {data.class_names[fewest]!r}; "
                f"{most} labelled images a class were asked for.",
                f"Ask for at most {counts[fewest]} with {setting('per_class')}.",
            )


@dataclass(frozen=True, eq=False)
class Bench:
    """Shared by the runs of one experiment. The start is made on first use, so not if all runs are finished."""

    zoo: Zoo
    instance: Instance
    architecture: Architecture
    space: Space
    data: ImageData
    runner: Runner
    plan: FewLabels

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that runs in one table must share; seeds, shifts and counts may be added to."""
        return {
            "instance": self.instance.id,
            "instance_sha256": self.instance.sha256,
            "space_sha256": self.space.sha256,
            "data": self.data.record(),
            **{k: v for k, v in asdict(self.plan).items() if k not in ("per_class", "seeds", "shifts")},
            "rates": RATES,
            "ladder": LADDER,
            "precision": self.runner.precision_name,
            "seed": self.runner.seed,
        }

    @property
    def seeds(self) -> list[int]:
        """Seeds, the runner's first; the first seed chooses the rates."""
        return [self.runner.seed + i for i in range(self.plan.seeds)]

    @cached_property
    def start(self) -> Start:
        """The instance, also encoded, and refined on the unshifted images."""
        space, data = self.runner.place(self.space), self.runner.place(self.data)
        scale = Scale(refine_steps=self.plan.refine_steps)
        given = refined_input(self.zoo, self.instance, space, data, self.runner, scale)
        assert given.network is not None
        network = replace(given.network, weights=self.runner.place(given.network.weights))
        module = instance_module(self.zoo, self.instance, self.architecture)
        return Start(space, network, module, self.runner.place(given.embedding))


@dataclass(frozen=True, eq=False)
class Shifted:
    """The images of one shift, made on first use, and the runs on them."""

    bench: Bench
    shift: str

    @cached_property
    def data(self) -> ImageData:
        """The images on the device of the work."""
        runner = self.bench.runner
        return runner.place(shifted(self.bench.data, self.shift, generator=runner.generator("shift", self.shift)))

    @cached_property
    def chosen_by(self) -> Tensor:
        """Indices of the validation images that choose, on the processor; the same for every shift and seed."""
        order = torch.randperm(len(self.data.splits["val"]), generator=self.bench.runner.generator("few labels", "val"))
        return order[: self.bench.plan.val_images].sort().values

    def standing(self, what: str) -> Run:
        """Score one of STANDING."""
        start, arch = self.bench.start, self.bench.architecture.name
        network = start.network if what == STANDING[0] else decode_row(start.embedding, start.space, arch=arch)
        val, test = (self._correct(network.weights, split) for split in ("val", "test"))
        return {"val_accuracy": val, "test_accuracy": test}

    def adapted(self, method: str, per_class: int, seed: int, rate: float) -> Run:
        """Do one run: the step chosen on validation, and its score on the test split."""
        plan, runner = self.bench.plan, copy(self.bench.runner)
        runner.seed = seed
        data = self.labelled(per_class, runner)
        common: dict[str, Any] = {"lr": rate, "steps": plan.steps, "images": plan.images}
        words = f"{self.shift}, {per_class} a class, {method}, rate {rate}, seed {seed}"
        try:
            found = adapt(method, self.bench.start, data, runner, **common, description=words)
        except RunFailed as failure:
            if failure.__cause__ is not None:  # the machine's failure, such as too little memory, not the rate's
                raise
            return {"step": None, "val_accuracy": None, "test_accuracy": None, "error": failure.message}
        test = self._correct(found.weights, "test")
        return {"step": found.step, "val_accuracy": found.accuracy, "val_loss": found.loss, "test_accuracy": test}

    def labelled(self, per_class: int, runner: Runner) -> ImageData:
        """Images that a run may use: this many training images of each class, and the validation images that choose.

        Args:
            runner: its seed draws the training images, the same ones whatever the shift and the method.
        """
        train, val = self.data.splits["train"], self.data.splits["val"]
        generator = runner.generator("few labels", "train")
        index = balanced(train.labels.cpu(), self.data.io.classes, per_class, generator)
        known, choosing = _part(train, index), _part(val, self.chosen_by)
        # In the test images' place too: what adapts never holds those.
        return replace(self.data, splits={"train": known, "val": choosing, "test": choosing})

    def _correct(self, weights: Tensor, split: str) -> float:
        logits = logits_of(self.bench.architecture, weights, self.data, split, self.bench.runner)
        index = self.chosen_by if split == "val" else slice(None)
        return accuracy(logits[index], labels_of(self.data, split)[index])


def _part(split: Split, index: Tensor) -> Split:
    index = index.to(split.images.device)
    return Split(split.images[index], split.labels[index])


def balanced(labels: Tensor, classes: int, per_class: int, generator: torch.Generator) -> Tensor:
    """Draw equally many images of each class; a smaller draw from the same stream is part of a larger one.

    Args:
        labels: (N,) on the processor.
    Returns:
        (classes · per_class,) indices.
    """
    order = torch.randperm(len(labels), generator=generator)
    return torch.cat([order[labels[order] == c][:per_class] for c in range(classes)])


def all_runs(bench: Bench, log: RunLog) -> list[Run]:
    """Return every run of the plan, in order; those in the log are not repeated.

    Returns:
        What is logged; of the runs of METHODS also `used`, whether the rate is the one chosen.
    """
    plan = bench.plan
    found: list[Run] = []
    with bench.runner.progress("few labels", len(plan.shifts) * len(plan.per_class) * len(METHODS)) as tick:
        for shift in plan.shifts:
            work = _Work(Shifted(bench, shift), log)
            found += [work.done(what) for what in STANDING]
            for per_class in plan.per_class:
                for method in METHODS:
                    found += work.tuned(method, per_class)
                    tick(1)
    return found


@dataclass(frozen=True)
class _Work:
    """The runs of one shift."""

    images: Shifted
    log: RunLog

    def tuned(self, method: str, per_class: int) -> list[Run]:
        """Run the first seed with several rates, then the other seeds with the best of them."""
        first, *others = self.images.bench.seeds
        tried = [self.done(method, per_class, first, rate) for rate in RATES[method]]
        while (rate := next_rate(tried)) is not None:
            tried.append(self.done(method, per_class, first, rate))
        best = best_run(tried)["rate"]
        averaged = [self.done(method, per_class, seed, best) for seed in others]
        return [{**run, "used": run["rate"] == best} for run in (*tried, *averaged)]

    def done(self, method: str, per_class: int = 0, seed: int | None = None, rate: float | None = None) -> Run:
        """Return a run from the log, or do it."""
        shift = self.images.shift
        what = {"shift": shift, "per_class": per_class, "method": method, "seed": seed, "rate": rate}
        there = self.log.find(what)
        if there is not None:
            return there
        if seed is None or rate is None:
            return self.log.add({**what, **self.images.standing(method)})
        return self.log.add({**what, **self.images.adapted(method, per_class, seed, rate)})


def best_run(tried: Sequence[Run]) -> Run:
    """The best run by validation accuracy, then loss; the first of equals.

    Raises:
        RunFailed: none was finished.
    """
    finished = [run for run in tried if run["val_accuracy"] is not None]
    if not finished:
        rates = ", ".join(str(run["rate"]) for run in tried)
        raise RunFailed(
            f"{tried[0]['method']}: none of the rates {rates} works: {tried[0]['error']}", "Take fewer steps."
        )
    return max(finished, key=lambda run: (run["val_accuracy"], -run["val_loss"]))


def next_rate(tried: Sequence[Run]) -> float | None:
    """The rate of LADDER beyond the lowest or highest tried, if that one is the best; else None.

    If the best state is the common start, other rates would not improve it.
    """
    best, rates = best_run(tried), [run["rate"] for run in tried]
    place = LADDER.index(best["rate"])
    beyond = place - 1 if best["rate"] == min(rates) else place + 1 if best["rate"] == max(rates) else -1
    return LADDER[beyond] if best["step"] and 0 <= beyond < len(LADDER) else None
