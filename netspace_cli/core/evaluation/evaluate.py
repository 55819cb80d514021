"""Compare target and predicted instances of a zoo that a space was not trained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import overload

from netspace_models.errors import ConfigError

from netspace_cli.core.data.data import Data
from netspace_cli.core.data.images import ImageData
from netspace_cli.core.encoding.decode import classified_as, decode_row
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.kinds.images import ImageEvaluation
from netspace_cli.core.kinds.kind import Evaluation, Judged
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Instance, Zoo

from .same_data import check_zoo_images


def read_targets(zoo: Zoo, split: str) -> Iterator[tuple[tuple[Instance, ...], list[Network]]]:
    """Read the instances of a split and their networks, one architecture at a time.

    Raises:
        ConfigError: the zoo has no instances of the split.
        InputFileError: a file is missing or is not the one the manifest describes.
    """
    if not zoo.select(split=split):
        raise ConfigError(f"{zoo.path} has no {split} instances.", "Choose another split, or train some.")
    for architecture in zoo.architectures():
        chosen = zoo.select(split=split, arch=architecture.name)
        if chosen:
            yield chosen, [zoo.network(i, architecture) for i in chosen]


@overload
def evaluate(
    zoo: Zoo, space: Space, data: ImageData, runner: Runner, *, split: str = "test", refine_steps: int = 0
) -> ImageEvaluation: ...


@overload
def evaluate(
    zoo: Zoo, space: Space, data: Data, runner: Runner, *, split: str = "test", refine_steps: int = 0
) -> Evaluation: ...


def evaluate(
    zoo: Zoo, space: Space, data: Data, runner: Runner, *, split: str = "test", refine_steps: int = 0
) -> Evaluation:
    """Encode and decode every instance of a split, and compare both on test images or a grid of points.

    Args:
        split: of the zoo's instances.
        refine_steps: see `encode`; 0 for what the encoder alone gives.
    Raises:
        ConfigError: the zoo has no instances of the split.
        WrongSpace: the zoo is of other data than the space, or has an architecture that the space lacks.
    """
    check_zoo_images(zoo, space)
    space, data = runner.place(space), runner.place(data)
    seen = files_seen(space)
    training = _training_networks(zoo) if split != "train" else iter(())
    evaluator = space.kind.evaluator(data, runner, training)
    for chosen, networks in read_targets(zoo, split):
        embeddings = encode(networks, space, runner, data=data, refine_steps=refine_steps).vectors
        arch, judged = networks[0].architecture.name, []
        with runner.progress(f"scoring {arch}", len(chosen)) as tick:
            for instance, network, embedding in zip(chosen, networks, runner.place(embeddings), strict=True):
                target = evaluator.outputs(network)
                predicted = evaluator.outputs(decode_row(embedding, space, arch=arch))
                recognised = classified_as(embedding, space).name
                known = None if seen is None else instance.sha256 in seen
                judged.append(Judged(instance.id, arch, recognised, target, predicted, known))
                tick()
        evaluator.judge(judged)
    return evaluator.evaluation()


def _training_networks(zoo: Zoo) -> Iterator[Network]:
    for architecture in zoo.architectures():
        for instance in zoo.select(split="train", arch=architecture.name):
            yield zoo.network(instance, architecture)


def files_seen(space: Space) -> frozenset[str] | None:
    """SHA-256 of each file that a space was trained on; None if the space does not record them."""
    sums = [row.get("sha256") for row in space.record["zoo"]]
    return frozenset(sums) if all(isinstance(s, str) and s for s in sums) else None
