"""Methods to draw new networks: densities of a space's embeddings, and plain rivals on trained weights.

A method is a frozen set of settings. `METHODS` has all of them by name; a new one is a class here and a line there.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Protocol, TypeAlias

import torch
from netspace_models.errors import ConfigError
from netspace_models.parameters.incoming import align_closely
from netspace_models.sampling import (
    Density,
    GanSettings,
    check_neighbours,
    fit_flow,
    fit_gan,
    fit_kernel_density,
    fit_neighbour_box,
    sample_with_one_seed,
)
from netspace_models.sampling.kde import PUBLISHED_BANDWIDTH, Bandwidth
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space

from .population import Population


@dataclass(frozen=True, eq=False)
class Draw:
    """One draw: an embedding, or weights.

    Attributes:
        embedding: (E,); start: the starting point that it is decoded from.
        weights: (P,); parents: ids of the instances that they come from.
    """

    embedding: Tensor | None = None
    start: int = 0
    weights: Tensor | None = None
    parents: tuple[str, ...] = ()


Drawer: TypeAlias = Callable[[int, torch.Generator], Draw]
"""Draws sample number i with its own generator."""


class Method(Protocol):
    """One method to draw networks.

    Attributes:
        name: as people call it.
        on_weights: whether it works on the weights of training instances, so that it needs a zoo.
    """

    name: ClassVar[str]
    on_weights: ClassVar[bool]

    def check(self, population: Population, space: Space) -> None:
        """Refuse populations that the method cannot draw from, before anything is learnt.

        Raises:
            ConfigError: says what is missing.
        """
        ...

    def begin(self, population: Population, space: Space, runner: Runner) -> Drawer:
        """Learn from the population."""
        ...


@dataclass(frozen=True)
class _OfEmbeddings:
    """A method that draws embeddings from a density."""

    name: ClassVar[str]
    on_weights: ClassVar[bool] = False

    def check(self, population: Population, space: Space) -> None:
        """Check nothing: fitting the density checks everything."""

    def fit(self, population: Population, generator: torch.Generator) -> Density:
        """Fit the density to a population's embeddings."""
        raise NotImplementedError

    def begin(self, population: Population, space: Space, runner: Runner) -> Drawer:
        """Fit the density."""
        density = self.fit(population, runner.generator("sampler", self.name))
        return lambda index, generator: Draw(density.draw(generator))


@dataclass(frozen=True)
class Kde(_OfEmbeddings):
    """Kernel densities, one per dimension, independent of each other.

    Attributes:
        bandwidth: a number, or a rule ("scott", "silverman"); the publication's is 0.002.
    """

    name = "kde"
    bandwidth: Bandwidth = "scott"

    def fit(self, population: Population, generator: torch.Generator) -> Density:
        """Fit one density per dimension."""
        return fit_kernel_density(population.embeddings, self.bandwidth)


@dataclass(frozen=True)
class JointKde(_OfEmbeddings):
    """A kernel density over all dimensions; settings as in `Kde`."""

    name = "kde-joint"
    bandwidth: Bandwidth = "scott"

    def fit(self, population: Population, generator: torch.Generator) -> Density:
        """Fit one density."""
        return fit_kernel_density(population.embeddings, self.bandwidth, joint=True)


@dataclass(frozen=True)
class OneSeedKde:
    """The publication's public code, for experiments: draws all dimensions from one seed, so stored embeddings.

    Attributes:
        bandwidth: a number.
        seed: of all dimensions.
    """

    name: ClassVar[str] = "kde-one-seed"
    on_weights: ClassVar[bool] = False
    bandwidth: float = PUBLISHED_BANDWIDTH
    seed: int = 42

    def check(self, population: Population, space: Space) -> None:
        """Check nothing: drawing checks everything."""

    def begin(self, population: Population, space: Space, runner: Runner) -> Drawer:
        """Sample i is the last of the first i + 1 draws with the seed."""
        rows, seed, bandwidth = population.embeddings, self.seed, self.bandwidth
        drawn = torch.zeros(0, rows.shape[1])

        def draw(index: int, generator: torch.Generator) -> Draw:
            nonlocal drawn
            if index >= len(drawn):
                drawn = sample_with_one_seed(rows, max(64, 2 * index), seed, bandwidth=bandwidth)
            return Draw(drawn[index])

        return draw


@dataclass(frozen=True)
class Neighbours(_OfEmbeddings):
    """Draw a point in the box around UMAP's map and map it back, as published (extra `umap`)."""

    name = "neighbours"

    def check(self, population: Population, space: Space) -> None:
        """Refuse if the extra is not installed."""
        check_neighbours()

    def fit(self, population: Population, generator: torch.Generator) -> Density:
        """Fit the map and its box."""
        return fit_neighbour_box(population.embeddings, generator)


@dataclass(frozen=True)
class Gan(_OfEmbeddings):
    """A generative adversarial network.

    Attributes:
        steps: of its training.
    """

    name = "gan"
    steps: int = GanSettings().steps

    def fit(self, population: Population, generator: torch.Generator) -> Density:
        """Train it, in seconds."""
        return fit_gan(population.embeddings, generator, GanSettings(steps=self.steps))


@dataclass(frozen=True)
class Flow(_OfEmbeddings):
    """Flow matching, conditional on validation accuracy.

    Attributes:
        accuracy: that all samples are to have, as a fraction; None for that of a training instance drawn for each.
    """

    name = "flow"
    accuracy: float | None = None

    def check(self, population: Population, space: Space) -> None:
        """Refuse an accuracy that the flow cannot draw for."""
        if self.accuracy is None:
            return
        if not population.rated:
            raise ConfigError(
                "the flow cannot draw for an accuracy: the space does not record those of its instances.",
                f"Leave out {setting('accuracy')}.",
            )
        if not 0 <= self.accuracy <= 1:
            raise ConfigError(f"invalid accuracy {self.accuracy:g}.", f"Give a fraction: {setting('accuracy', 0.9)}.")

    def fit(self, population: Population, generator: torch.Generator) -> Density:
        """Train it, in seconds."""
        known = population.accuracies if population.rated else None
        return fit_flow(population.embeddings, generator, accuracies=known, wanted=self.accuracy)


@dataclass(frozen=True)
class Starts:
    """Draw sample i from the space's starting point i + 1 mod K, with an embedding as in `Kde`.

    Start 0 comes last: it imitates, and is not as good as those that learn from labels (`train.level_loss`).

    Attributes:
        bandwidth: as in `Kde`.
    """

    name: ClassVar[str] = "starts"
    on_weights: ClassVar[bool] = False
    bandwidth: Bandwidth = "scott"

    def check(self, population: Population, space: Space) -> None:
        """Refuse an architecture with one starting point."""
        name = population.architecture.name
        if space.starts_of(name) < 2:
            raise ConfigError(
                f"space {space.name!r} has one starting point for {name}; the method starts needs several.",
                f"Train a space with several ({setting('space.starts', 10)}), or draw by another method.",
            )

    def begin(self, population: Population, space: Space, runner: Runner) -> Drawer:
        """Fit the densities."""
        density = fit_kernel_density(population.embeddings, self.bandwidth)
        count = space.starts_of(population.architecture.name)
        return lambda index, generator: Draw(density.draw(generator), (index + 1) % count)


@dataclass(frozen=True)
class _OfWeights:
    """A method that makes networks from training instances' weights."""

    name: ClassVar[str]
    on_weights: ClassVar[bool] = True

    @property
    def least(self) -> int:
        """Number of instances that a network is made of."""
        raise NotImplementedError

    def check(self, population: Population, space: Space) -> None:
        """Refuse a population without weights, or with too few instances."""
        population.aligned_weights(self.name)
        if len(population) < self.least:
            raise ConfigError(
                f"the method {self.name} needs {self.least} training instances; there are {len(population)} to draw "
                "from.",
                f"Draw from more of them ({setting('top', 1.0)}), or train a larger zoo.",
            )

    def begin(self, population: Population, space: Space, runner: Runner) -> Drawer:
        """Draw parents without repeats."""
        weights = population.aligned_weights(self.name)

        def draw(index: int, generator: torch.Generator) -> Draw:
            parents = torch.randperm(len(population), generator=generator)[: self.least].tolist()
            made = self.make(population, weights[parents], generator)
            return Draw(weights=made, parents=tuple(population.ids[i] for i in parents))

        return draw

    def make(self, population: Population, parents: Tensor, generator: torch.Generator) -> Tensor:
        """Make a network (P,) from its parents (n, P)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Noise(_OfWeights):
    """A training instance with noise on all weights.

    Attributes:
        scale: of the noise, in deviations of each layer's values.
    """

    name = "noise"
    scale: float = 0.1

    @property
    def least(self) -> int:
        """One instance."""
        return 1

    def make(self, population: Population, parents: Tensor, generator: torch.Generator) -> Tensor:
        """Add noise to the instance."""
        noise: Tensor = torch.randn(parents.shape[1], generator=generator)
        return parents[0] + self.scale * population.deviations * noise


@dataclass(frozen=True)
class Soup(_OfWeights):
    """The mean of several training instances, with hidden units aligned to the first.

    Attributes:
        parents: how many.
    """

    name = "soup"
    parents: int = 8

    @property
    def least(self) -> int:
        """The requested number."""
        return self.parents

    def check(self, population: Population, space: Space) -> None:
        """Refuse fewer than two parents, too."""
        if self.parents < 2:
            raise ConfigError(
                f"cannot average {self.parents} instances.", f"Give two or more: {setting('parents', 8)}."
            )
        super().check(population, space)

    def make(self, population: Population, parents: Tensor, generator: torch.Generator) -> Tensor:
        """Average the parents."""
        aligned = align_closely(population.architecture, parents[0], parents[1:], generator)
        return torch.cat([parents[:1], aligned]).mean(dim=0)


@dataclass(frozen=True)
class Mix(Soup):
    """The mean of two aligned training instances."""

    name = "mix"
    parents: int = 2


METHODS: Mapping[str, type[Method]] = {
    each.name: each for each in (Kde, JointKde, Neighbours, Gan, Flow, Starts, Noise, Mix, Soup)
}
"""Methods by the names that users can give; `OneSeedKde` is for experiments."""


def method_named(name: str, **settings: Any) -> Method:
    """Find a method by name.

    Args:
        settings: its own; those that are None are left as usual.
    Raises:
        ConfigError: no such method (the message has what is near), or a setting that is another method's.
    """
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(METHODS)}."
        raise ConfigError(f"unknown method {name!r}.", hint)
    given = {key: value for key, value in settings.items() if value is not None}
    # Both are dataclasses, which a protocol does not say.
    own = {field.name for field in fields(METHODS[name])}  # type: ignore[arg-type]
    for key in given:
        if key not in own:
            takers = [n for n, each in METHODS.items() if key in {f.name for f in fields(each)}]  # type: ignore[arg-type]
            raise ConfigError(
                f"the method {name} does not use {key}; methods that do: {', '.join(takers) or 'none'}.",
                f"Leave it out, or draw by another method: {setting('method', takers[0])}."
                if takers
                else "Leave it out.",
            )
    return METHODS[name](**given)


def settings_of(method: Method) -> dict[str, Any]:
    """A method's settings as JSON."""
    return asdict(method)  # type: ignore[call-overload]
