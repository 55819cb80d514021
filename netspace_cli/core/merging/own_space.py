"""A space made on the members themselves, for architectures that no space has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError, Interrupted
from netspace_models.parameters.alignment import align_weights
from netspace_models.parameters.recombine import recombine_weights
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.training.loop import train
from netspace_cli.core.zoos.listing import append_instance
from netspace_cli.core.zoos.zoo import Instance, create_zoo, open_zoo, write_instance

NAME = "auto"
# Of a budget, the least that is left for all else.
LEAST_LEFT = 0.5
# Steps of trials, by which it is measured what a step takes; the first one is slower, with all that is prepared.
TRIALS = (1, 1, 9)


@dataclass(frozen=True)
class OwnSpace:
    """How a space is made on members.

    Attributes:
        steps: of its training.
        recombined: networks beside the members, each of two aligned ones, unit by unit.
        noise: on them, in units of the deviation of the weights.
        embedding_size, width: of the tokens backbone.
        images: a step of training.
    """

    steps: int = 300
    recombined: int = 8
    noise: float = 0.05
    embedding_size: int = 1024
    width: int = 64
    images: int = 64

    def recipe(self) -> Recipe:
        """All settings. The encoder sees networks with their hidden units in a new order at every step, and with noise;
        each imitates its own answers at temperature 1, and blends of two those of both."""
        backbone = {"kind": "tokens", "embedding_size": self.embedding_size, "latents": 8, "width": self.width}
        steps = {"steps": self.steps, "validate_every": max(1, self.steps // 3), "checkpoint_every": self.steps}
        usual = {"instances": 4, "lr": 2e-3, "warmup": self.steps // 10, "temperature": 1.0, "noise": 0.05}
        return recipe_from(
            {
                "space": {"name": NAME},
                "backbone": {**backbone, "reader": {"probes": 16}},
                "train": {**steps, **usual, "images": self.images},
            }
        )


def check_members_of(members: Sequence[Network], architecture: Architecture) -> None:
    """Refuse to make a space on too few.

    Raises:
        ConfigError: fewer than two members of the architecture.
    """
    count = sum(member.architecture.name == architecture.name for member in members)
    if count < 2:
        raise ConfigError(
            f"a space made on the members takes two of a {architecture.name}; {count} of these members are one.",
            f"Leave out {setting('space')}, or choose the architecture of several members: {setting('arch')}.",
        )


def space_of(
    members: Sequence[Network],
    architecture: Architecture,
    data: LabelledData,
    runner: Runner,
    *,
    plan: OwnSpace | None = None,
    seconds: float | None = None,
) -> Space:
    """Train a space on members of one architecture: on them, and on noisy recombinations of them, aligned.

    Args:
        members: at least two of the architecture; others are left out.
        data: images that they are trained to be imitated on; labels are not used.
        runner: its seed draws.
        plan: how; None for the usual way.
        seconds: that it takes about, in fewer steps where these are too few; None for all steps.
    Raises:
        ConfigError: fewer than two members of the architecture.
    """
    plan, begun = plan or OwnSpace(), perf_counter()
    check_members_of(members, architecture)
    if seconds is None:
        return _made(members, architecture, data, runner, plan)
    taken: list[float] = []
    for steps in TRIALS:
        before = perf_counter()
        space = _made(members, architecture, data, runner, replace(plan, steps=steps))
        taken.append(perf_counter() - before)
        left = seconds - (perf_counter() - begun)
        if left < taken[-1]:
            return space
    steps = steps_within(left, taken, plan.steps)
    return space if steps <= TRIALS[-1] else _made(members, architecture, data, runner, replace(plan, steps=steps))


def share_of(budget: float | None) -> float | None:
    """Seconds of a budget for making a space; None for no limit."""
    return None if budget is None else (1 - LEAST_LEFT) * budget


def steps_within(seconds: float, taken: Sequence[float], most: int) -> int:
    """Steps for which there is time, at least one.

    Args:
        taken: seconds of each of the `TRIALS`.
        most: steps at most.
    """
    (_, shorter, longer), (_, fewer, more) = taken, TRIALS
    # A trial that was slowed down by something else must not make steps cheap.
    step = max((longer - shorter) / (more - fewer), longer / (5 * more))
    return min(most, max(1, fewer + int((seconds - shorter) / step)))


def _made(
    members: Sequence[Network], architecture: Architecture, data: LabelledData, runner: Runner, plan: OwnSpace
) -> Space:
    own = [member.weights.cpu() for member in members if member.architecture.name == architecture.name]
    with TemporaryDirectory(prefix="netspace-") as folder:
        path = Path(folder) / "zoo"
        create_zoo(path, data.record(), {})
        for place, (split, weights) in enumerate(_instances(own, architecture, plan, runner)):
            name = f"{split}-{place:04d}"
            file = write_instance(path, name, architecture.name, architecture.to_state(weights, "fused"), "")
            append_instance(path, Instance(name, architecture.name, split, file, sha256_of(path / file)))
        try:
            return train(open_zoo(path), Path(folder) / f"{NAME}.safetensors", plan.recipe(), data, runner)
        except Interrupted as stopped:
            raise Interrupted(
                "stopped while a space was made on the members; nothing was kept.",
                "Begin again.",
                exit_code=stopped.exit_code,
            ) from stopped


def _instances(
    own: Sequence[Tensor], architecture: Architecture, plan: OwnSpace, runner: Runner
) -> Iterator[tuple[str, Tensor]]:
    """Members and recombinations to train on, and two more of the latter to validate by."""
    aligned = align_weights(architecture, own[0], torch.stack(list(own)), runner.generator("merge", "align"))
    generator = runner.generator("merge", "space")
    count = plan.recombined + 2
    mixed = recombine_weights(architecture, aligned, 2, count, generator)
    mixed = mixed + plan.noise * mixed.std() * torch.randn(mixed.shape, generator=generator)
    yield from (("train", each) for each in aligned)
    yield from (("val" if i < 2 else "train", each) for i, each in enumerate(mixed))
