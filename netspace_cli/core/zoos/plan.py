"""Plan of a zoo's training, and its runs."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from netspace_models.architectures.initialise import RULES
from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from .zoo import SPLITS

EPOCHS = 20
INITS = ("default", *RULES)
SPACINGS, OPTIMIZERS, SCHEDULES = ("even", "geometric"), ("adam", "adamw", "sgd"), ("cosine", "constant")


def check_images_an_epoch(epoch_images: int, batch: int) -> None:
    """Refuse epochs of fewer images than a step has; 0 is for all.

    Raises:
        ConfigError: says both numbers.
    """
    if 0 < epoch_images < batch:
        raise ConfigError(
            f"an epoch of {epoch_images} images is less than a step, which has {batch}.",
            f"Give {setting('epoch_images', batch)} or more, or {setting('batch', epoch_images)}.",
        )


@dataclass(frozen=True)
class ZooPlan:
    """Settings of a zoo's training.

    Attributes:
        arch: architecture names or factories.
        counts: runs of each architecture by split, (train, val, test).
        epochs: lowest and highest number of epochs; runs are spread over the range. None for the last of
            `keep_epochs`, or for 20.
        spacing: "even", or "geometric": each the same factor above the one before, since performance grows
            about with the logarithm of the epochs.
        optimizer: "adam", "adamw" or "sgd" (momentum 0.9).
        lr: highest learning rate.
        schedule: "cosine": the rate falls to zero as a cosine over each instance's own epochs; "constant": it stays.
        weight_decay: of the optimiser; of "adam" an L2 penalty, of "adamw" decoupled.
        init: "default", as the architecture's module draws its weights, or a rule of published zoos (`RULES` in
            `models/architectures/initialise.py`).
        batch: images a step.
        epoch_images: training images of an epoch, newly drawn each time; 0 for all.
        keep_epochs: after which epochs of a run it is kept as an instance, ascending; () for its end alone. Nothing is
            trained beyond the last of them.
        licence: recorded with every instance.
        together: networks trained at once, without effect on what they become but by rounding; None for 64 of the
            architectures that are faster so. Those with batch norms are trained one by one.
    """

    arch: tuple[str, ...]
    counts: tuple[int, int, int] = (16, 2, 8)
    epochs: tuple[int, int] | None = None
    spacing: str = "even"
    optimizer: str = "adam"
    lr: float = 1e-3
    schedule: str = "cosine"
    weight_decay: float = 0.0
    init: str = "default"
    batch: int = 64
    epoch_images: int = 0
    keep_epochs: tuple[int, ...] = ()
    licence: str = "CC0-1.0"
    together: int | None = None

    @property
    def span(self) -> tuple[int, int]:
        """Lowest and highest number of epochs."""
        last = self.keep_epochs[-1] if self.keep_epochs else EPOCHS
        return self.epochs or (last, last)

    def settings(self, precision: str) -> dict[str, Any]:
        """Settings that every instance is trained with, for the manifest, without defaults."""
        settings: dict[str, Any] = {
            "optimizer": self.optimizer,
            "lr": self.lr,
            "weight_decay": self.weight_decay,
            "batch": self.batch,
        }
        unusual = {
            "epoch_images": (self.epoch_images, 0),
            "schedule": (self.schedule, "cosine"),
            "init": (self.init, "default"),
            "precision": (precision, "float32"),
        }
        return settings | {name: value for name, (value, usual) in unusual.items() if value != usual}

    def check(self) -> None:
        """Refuse invalid numbers and names.

        Raises:
            ConfigError: names the number or the name.
        """
        if not self.arch or len(set(self.arch)) < len(self.arch):
            raise ConfigError(
                f"architectures {', '.join(self.arch) or 'none'}: each must be named exactly once.",
                f"Give each with {setting('arch')}; {setting('counts')} says how many instances.",
            )
        if min(self.counts) < 0 or sum(self.counts) < 1:
            raise ConfigError(f"{self.counts} instances cannot be trained.", "Give three counts, e.g. 16/2/8.")
        _check_word("spacing", self.spacing, SPACINGS)
        _check_word("optimizer", self.optimizer, OPTIMIZERS)
        _check_word("schedule", self.schedule, SCHEDULES)
        _check_word("init", self.init, INITS)
        self._check_epochs()
        if self.together is not None and self.together < 1:
            raise ConfigError(
                f"{self.together} networks cannot be trained at once.", f"Give {setting('together', 1)} or more."
            )
        if self.lr <= 0 or self.batch < 1:
            raise ConfigError(f"lr {self.lr} and batch {self.batch} must be above zero.")
        check_images_an_epoch(self.epoch_images, self.batch)

    def _check_epochs(self) -> None:
        low, high = self.span
        if not 0 <= low <= high:
            raise ConfigError(
                f"epochs {low}-{high} is not a range.", "Give one number, or LOW-HIGH with 0 <= LOW <= HIGH."
            )
        if self.spacing == "geometric" and low < 1:
            raise ConfigError(
                f"epochs {low}-{high} cannot be spaced geometrically: there is no factor from {low}.", "Start at 1."
            )
        kept = self.keep_epochs
        if list(kept) != sorted(set(kept)) or (kept and kept[0] < 0):
            raise ConfigError(
                f"epochs {', '.join(map(str, kept))} cannot be kept: they must ascend from 0 or later.",
                f"Give each once, e.g. {setting('keep_epochs', (5, 10, 25))}.",
            )
        if kept and kept[-1] > low:
            raise ConfigError(
                f"epoch {kept[-1]} cannot be kept of a run of {low} epochs.",
                f"Keep earlier ones, or train longer: {setting('epochs', kept[-1])}.",
            )


def _check_word(name: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        raise ConfigError(f"unknown {name} {word!r}.", f"Use {', '.join(known[:-1])} or {known[-1]}.")


@dataclass(frozen=True)
class Job:
    """One run: a network trained from its seed, with one or several instances.

    Attributes:
        id: of the run; of its instance, where only its end is kept.
        epochs: over which its rate falls.
        keep: the epochs after which it is kept; () for its end alone.
    """

    id: str
    arch: str
    split: str
    seed: int
    epochs: int
    keep: tuple[int, ...] = ()

    def instances(self) -> dict[int, str]:
        """Ids of its instances by epoch, in order."""
        return {e: f"{self.id}-e{e:04d}" for e in self.keep} if self.keep else {self.epochs: self.id}

    def record(self, plan: ZooPlan, precision: str) -> dict[str, Any]:
        """How its instances are trained, for the manifest."""
        settings = plan.settings(precision)
        return settings | {"run": self.id, "epochs": self.epochs} if self.keep else settings

    def without(self, done: Collection[str]) -> Job | None:
        """The rest of the job if some instances exist; None if all do."""
        missing = tuple(epoch for epoch, id in self.instances().items() if id not in done)
        if not missing:
            return None
        return replace(self, keep=missing) if self.keep else self


def jobs_of(plan: ZooPlan, seed: int) -> list[Job]:
    """Runs of a plan, in a fixed order.

    Splits and numbers of epochs are drawn from the seed, so that no split has a particular range of epochs.
    """
    jobs = []
    total = sum(plan.counts)
    low, high = plan.span
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
            jobs.append(Job(f"{label}-{seed + i:04d}", arch, split, seed + i, e, plan.keep_epochs))
    return jobs
