"""Compare target and predicted instances of a zoo that a space was not trained on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import overload

import numpy as np
import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError

from netspace_cli.core.data.data import Data
from netspace_cli.core.data.images import ImageData
from netspace_cli.core.encoding.decode import classified_as, decode_row
from netspace_cli.core.encoding.encode import divided, encode_together
from netspace_cli.core.encoding.inputs import Inputs
from netspace_cli.core.encoding.refine import refined_at_once
from netspace_cli.core.kinds.images import ImageEvaluation
from netspace_cli.core.kinds.kind import Evaluation, Judged
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.workers import Workers, in_order, spread
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Instance, Zoo

from .same_data import check_zoo_images


@dataclass(frozen=True)
class _Part:
    """Instances of one architecture that are encoded together."""

    arch: str
    instances: tuple[Instance, ...]


@dataclass(frozen=True)
class _Compared:
    """What an instance is compared by.

    Attributes:
        recognised: the architecture that its embedding is classified as.
        target, predicted: outputs, as in `Judged`.
    """

    recognised: str
    target: np.ndarray
    predicted: np.ndarray


def read_targets(zoo: Zoo, split: str) -> Iterator[tuple[tuple[Instance, ...], list[Network]]]:
    """Read the instances of a split and their networks, one architecture at a time.

    Raises:
        ConfigError: the zoo has no instances of the split.
        InputFileError: a file is missing or is not the one the manifest describes.
    """
    for architecture, chosen in _targets(zoo, split):
        yield chosen, [zoo.network(i, architecture) for i in chosen]


def _targets(zoo: Zoo, split: str) -> list[tuple[Architecture, tuple[Instance, ...]]]:
    if not zoo.select(split=split):
        raise ConfigError(f"{zoo.path} has no {split} instances.", "Choose another split, or train some.")
    by_architecture = [(each, zoo.select(split=split, arch=each.name)) for each in zoo.architectures()]
    return [(architecture, chosen) for architecture, chosen in by_architecture if chosen]


def count_parts(zoo: Zoo, space: Space, split: str, refine_steps: int, runner: Runner) -> int:
    """Into how many parts the work of `evaluate` can be divided."""
    return len(_parts(zoo, space, split, refine_steps, runner))


def _parts(zoo: Zoo, space: Space, split: str, steps: int, runner: Runner) -> list[_Part]:
    return [
        _Part(architecture.name, tuple(part))
        for architecture, chosen in _targets(zoo, split)
        for part in divided(chosen, refined_at_once(space, architecture.name, steps, runner))
    ]


@overload
def evaluate(
    zoo: Zoo,
    space: Space,
    data: ImageData,
    runner: Runner,
    *,
    split: str = "test",
    refine_steps: int = 0,
    workers: Workers[Inputs] | None = None,
) -> ImageEvaluation: ...


@overload
def evaluate(
    zoo: Zoo,
    space: Space,
    data: Data,
    runner: Runner,
    *,
    split: str = "test",
    refine_steps: int = 0,
    workers: Workers[Inputs] | None = None,
) -> Evaluation: ...


def evaluate(
    zoo: Zoo,
    space: Space,
    data: Data,
    runner: Runner,
    *,
    split: str = "test",
    refine_steps: int = 0,
    workers: Workers[Inputs] | None = None,
) -> Evaluation:
    """Encode and decode every instance of a split, and compare both on test images or a grid of points.

    Args:
        split: of the zoo's instances.
        refine_steps: see `encode`; 0 for what the encoder alone gives.
        workers: processes that open this zoo, this space and these data; None for this process alone.
    Raises:
        ConfigError: the zoo has no instances of the split.
        WrongSpace: the zoo is of other data than the space, or has an architecture that the space lacks.
    """
    check_zoo_images(zoo, space)
    space, data = runner.place(space), runner.place(data)
    seen = files_seen(space)
    training = _training_networks(zoo) if split != "train" else iter(())
    parts = _parts(zoo, space, split, refine_steps, runner)
    evaluator = space.kind.evaluator(data, runner, training)
    work = partial(_compared, steps=refine_steps)
    with (
        runner.progress("scoring", sum(len(part.instances) for part in parts)) as tick,
        closing(spread(work, parts, Inputs(space, data, zoo), runner, workers)) as outcomes,
    ):
        pairs = zip(parts, in_order(outcomes), strict=True)
        for _, own in groupby(pairs, key=lambda pair: pair[0].arch):
            judged = []
            for part, found in own:
                judged += [_judged(i, each, seen) for i, each in zip(part.instances, found, strict=True)]
                tick(len(found))
            evaluator.judge(judged)
    return evaluator.evaluation()


def _compared(part: _Part, inputs: Inputs, runner: Runner, *, steps: int) -> list[_Compared]:
    """Compare the instances of a part with their predicted instances."""
    assert inputs.zoo is not None and inputs.data is not None
    space = runner.place(inputs.space)
    networks = [inputs.zoo.network(i, inputs.architectures[part.arch]) for i in part.instances]
    embeddings = encode_together(networks, inputs, runner, refine_steps=steps)
    evaluator = space.kind.evaluator(runner.place(inputs.data), runner, ())
    targets = evaluator.outputs(networks)
    predicted = evaluator.outputs([decode_row(embedding, space, arch=part.arch) for embedding in embeddings])
    recognised = [classified_as(embedding, space).name for embedding in embeddings]
    return [
        _Compared(name, one.numpy(), other.numpy())
        for name, one, other in zip(recognised, targets, predicted, strict=True)
    ]


def _judged(instance: Instance, found: _Compared, seen: frozenset[str] | None) -> Judged:
    target, predicted = torch.from_numpy(found.target), torch.from_numpy(found.predicted)
    known = None if seen is None else instance.sha256 in seen
    return Judged(instance.id, instance.arch, found.recognised, target, predicted, known)


def _training_networks(zoo: Zoo) -> Iterator[Network]:
    for architecture in zoo.architectures():
        for instance in zoo.select(split="train", arch=architecture.name):
            yield zoo.network(instance, architecture)


def files_seen(space: Space) -> frozenset[str] | None:
    """SHA-256 of each file that a space was trained on; None if the space does not record them."""
    sums = [row.get("sha256") for row in space.record["zoo"]]
    return frozenset(sums) if all(isinstance(s, str) and s for s in sums) else None
