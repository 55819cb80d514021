"""Draw networks that were never trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from netspace_models.errors import ConfigError, NotFinite
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.results import Result, Table
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo

from .methods import Method, method_named, settings_of
from .population import TOP, Population, population_of


@dataclass(frozen=True, eq=False)
class Sample(Result):
    """One drawn network.

    Attributes:
        index: its number: sample 7 is the same alone and among many.
        network: on the processor.
        embedding: (E,) that it is decoded from, start: from which starting point; None of methods on weights.
        parents: ids of the instances whose weights it is made of.
        polished: label steps on its embedding.
        norms_of: id of the instance whose batch-norm statistics it was given; "" for none.
    """

    index: int
    network: Network
    embedding: Tensor | None = None
    start: int = 0
    parents: tuple[str, ...] = ()
    polished: int = 0
    norms_of: str = ""


@dataclass(frozen=True, eq=False)
class Samples(Table):
    """Networks drawn by one method.

    Attributes:
        method, settings: how they were drawn; seed: of the runner.
        top: share of the training instances that were learnt from, the most accurate on validation images.
        population: these instances.
        samples: in order of their numbers.
    """

    method: str
    settings: dict[str, Any]
    seed: int
    top: float
    population: Population
    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def records(self) -> list[dict[str, Any]]:
        """The samples."""
        return [each.to_dict() for each in self.samples]

    @property
    def networks(self) -> list[Network]:
        """The networks of all samples."""
        return [each.network for each in self.samples]

    @property
    def embeddings(self) -> Tensor | None:
        """(n, E) embeddings of all samples; None for methods on weights."""
        found = [each.embedding for each in self.samples if each.embedding is not None]
        return torch.stack(found) if len(found) == len(self.samples) else None

    def changed(self, change: Callable[[Sample], Sample]) -> Samples:
        """A copy with each sample changed."""
        return replace(self, samples=tuple(change(each) for each in self.samples))


def sample(
    space: Space,
    count: int,
    method: str | Method,
    runner: Runner,
    *,
    arch: str | None = None,
    zoo: Zoo | None = None,
    top: float = TOP,
    first: int = 0,
) -> Samples:
    """Draw networks of one architecture.

    Args:
        space: of classifiers, on any device.
        count: how many.
        method: a name of `METHODS`, or a method with settings of its own.
        runner: its seed and a sample's number decide what is drawn.
        arch: of which architecture; None where the space has one alone.
        zoo: that the space was trained on; methods on weights need it.
        top: share of the training instances to learn from, the most accurate on validation images; 1 for all.
        first: number of the first sample.
    Raises:
        ConfigError: fewer than one network, no such method, or one that cannot draw from such a space.
        WrongSpace: the space does not have `arch`.
        NotFinite: a sample decodes to NaN or infinity.
    """
    chosen = method_named(method) if isinstance(method, str) else method
    population = population_of(space, arch=arch, zoo=zoo, top=top)
    return sample_from(population, space, count, chosen, runner, top=top, first=first)


def sample_from(
    population: Population,
    space: Space,
    count: int,
    method: Method,
    runner: Runner,
    *,
    top: float = 1.0,
    first: int = 0,
) -> Samples:
    """Draw as `sample` does, from a population that is already read; `top` is for the record."""
    check_drawing(population, space, count, method)
    space = runner.place(space)
    draw = method.begin(population, space, runner)
    samples = []
    with runner.progress(f"drawing by {method.name}", count) as tick:
        for index in range(first, first + count):
            drawn = draw(index, runner.generator("sample", index))
            weights = drawn.weights
            if drawn.embedding is not None:
                weights = decoded(drawn.embedding, drawn.start, population.architecture.name, space, runner)
            assert weights is not None
            _check_finite(weights, index, method.name)
            network = Network(population.architecture, weights.detach().cpu())
            samples.append(Sample(index, network, drawn.embedding, drawn.start, drawn.parents))
            tick(1)
    runner.count(count, "networks")
    return Samples(method.name, settings_of(method), runner.seed, top, population, tuple(samples))


def check_drawing(population: Population, space: Space, count: int, method: Method) -> None:
    """Refuse what cannot be drawn, before anything is learnt.

    Raises:
        ConfigError: fewer than one network, or what the method says.
    """
    if count < 1:
        raise ConfigError(f"{count} networks cannot be drawn.", f"Ask for at least one: {setting('count', 10)}.")
    method.check(population, space)


def decoded(embedding: Tensor, start: int, arch: str, space: Space, runner: Runner) -> Tensor:
    """Decode an embedding (E,) from its starting point: (P,) on the runner's device.

    One at a time, so that the same embedding always gives the same bits.
    """
    with torch.no_grad():
        return space.model.decode(arch, runner.place(embedding)[None], start)[0]


def stacked_weights(networks: Sequence[Network]) -> Tensor:
    """(n, P) weights of networks of one architecture."""
    return torch.stack([each.weights for each in networks])


def _check_finite(weights: Tensor, index: int, method: str) -> None:
    if not bool(torch.isfinite(weights).all()):
        raise NotFinite(
            f"sample {index} of the method {method} has weights that are NaN or infinite.",
            f"Draw nearer to the training instances: a smaller {setting('bandwidth')}, or another method.",
        )
