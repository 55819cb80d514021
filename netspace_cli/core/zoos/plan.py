"""What a zoo is to hold: the plan of its training, and the runs that it makes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from netspace_models.architectures.initialise import RULES
from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from .zoo import SPLITS

INITS = ("default", *RULES)
SPACINGS, OPTIMIZERS, SCHEDULES = ("even", "geometric"), ("adam", "adamw", "sgd"), ("cosine", "constant")


@dataclass(frozen=True)
class ZooPlan:
    """What to train.

    Attributes:
        arch: architecture names or factories.
        counts: instances of each architecture by split, (train, val, test).
        epochs: lowest and highest number of epochs; instances are spread over the range.
        spacing: "even", or "geometric": each the same factor above the one before, since performance grows
            about with the logarithm of the epochs.
        optimizer: "adam", "adamw" or "sgd" (momentum 0.9).
        lr: highest learning rate.
        schedule: "cosine": the rate falls to zero as a cosine over each instance's own epochs; "constant": it stays.
        weight_decay: of the optimiser; of "adam" an L2 penalty, of "adamw" decoupled.
        init: "default", as the architecture's module draws its weights, or a rule of published zoos (`RULES` in
            `models/architectures/initialise.py`).
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
    schedule: str = "cosine"
    weight_decay: float = 0.0
    init: str = "default"
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
        unusual = {
            "epoch_images": (self.epoch_images, 0),
            "schedule": (self.schedule, "cosine"),
            "init": (self.init, "default"),
            "precision": (precision, "float32"),
        }
        return settings | {name: value for name, (value, usual) in unusual.items() if value != usual}

    def check(self) -> None:
        """Refuse numbers and names that make no zoo.

        Raises:
            ConfigError: names the number or the name.
        """
        if not self.arch or len(set(self.arch)) < len(self.arch):
            raise ConfigError(
                f"architectures {', '.join(self.arch) or 'none'}: each must be named, and once.",
                f"Give each with {setting('arch')}; {setting('counts')} says how many instances.",
            )
        if min(self.counts) < 0 or sum(self.counts) < 1:
            raise ConfigError(f"{self.counts} instances cannot be trained.", "Give three counts, e.g. 16/2/8.")
        _check_word("spacing", self.spacing, SPACINGS)
        _check_word("optimizer", self.optimizer, OPTIMIZERS)
        _check_word("schedule", self.schedule, SCHEDULES)
        _check_word("init", self.init, INITS)
        self._check_epochs()
        if self.lr <= 0 or self.batch < 1:
            raise ConfigError(f"lr {self.lr} and batch {self.batch} must be above zero.")

    def _check_epochs(self) -> None:
        low, high = self.epochs
        if not 0 <= low <= high:
            raise ConfigError(
                f"epochs {low}-{high} is no range.", "Give one number, or LOW-HIGH with 0 <= LOW <= HIGH."
            )
        if self.spacing == "geometric" and low < 1:
            raise ConfigError(
                f"epochs {low}-{high} cannot be spaced geometrically: there is no factor from {low}.", "Begin at 1."
            )


def _check_word(name: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        raise ConfigError(f"no {name} is called {word!r}.", f"Use {', '.join(known[:-1])} or {known[-1]}.")


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
