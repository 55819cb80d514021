"""Populations that samplers learn from: a space's training instances of one architecture.

With weights if a zoo is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, isnan, nan
from typing import Any

import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError, WrongSpace
from netspace_models.parameters.alignment import align_weights
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Instance, Zoo

TOP = 0.3


@dataclass(frozen=True, eq=False)
class Population:
    """Training instances of one architecture, sorted by accuracy on validation images.

    Attributes:
        architecture: of all.
        ids: in the zoo that the space was trained on.
        embeddings: (N, E) in the space, on the processor.
        accuracies: (N,) on validation images; NaN where it is not recorded.
        weights: (N, P) with hidden units aligned to the first instance's; None where no zoo was given.
        predicted: whether the weights are what the embeddings decode to, and not the instances' own.
    """

    architecture: Architecture
    ids: tuple[str, ...]
    embeddings: Tensor
    accuracies: Tensor
    weights: Tensor | None = None
    predicted: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    def brief(self) -> dict[str, Any]:
        """Which instances they are."""
        return {"arch": self.architecture.name, "ids": self.ids}

    @cached_property
    def deviations(self) -> Tensor:
        """(P,) standard deviation of each weight's layer over the instances; 1 where they are equal."""
        weights = self.aligned_weights("noise")
        deviations = torch.ones(weights.shape[1])
        for layer in self.architecture.spec.layers:
            found = float(weights[:, layer.start : layer.stop].double().std())
            if found > 0:
                deviations[layer.start : layer.stop] = found
        return deviations

    @property
    def rated(self) -> bool:
        """Whether all accuracies are known."""
        return not bool(self.accuracies.isnan().any())

    def first(self, count: int) -> Population:
        """The `count` most accurate instances."""
        weights = None if self.weights is None else self.weights[:count]
        ids, embeddings, accuracies = self.ids[:count], self.embeddings[:count], self.accuracies[:count]
        return replace(self, ids=ids, embeddings=embeddings, accuracies=accuracies, weights=weights)

    def top(self, share: float) -> Population:
        """A share of the instances, the most accurate on validation images, rounded up; 1 for all.

        Raises:
            ConfigError: no share, or accuracies that are not recorded.
        """
        if not 0 < share <= 1:
            raise ConfigError(f"invalid share {share:g}.", f"Give one above 0, up to 1: {setting('top', TOP)}.")
        if share == 1:
            return self
        if not self.rated:
            unknown = int(self.accuracies.isnan().sum())
            raise ConfigError(
                f"the best {share:.0%} cannot be chosen: the space does not record the validation accuracy of "
                f"{unknown} of {len(self)} training instances.",
                f"Draw from all of them: {setting('top', 1.0)}.",
            )
        return self.first(ceil(share * len(self) - 1e-9))

    def aligned_weights(self, method: str) -> Tensor:
        """The weights, for methods that need them.

        Raises:
            ConfigError: no zoo was given.
        """
        if self.weights is None:
            raise ConfigError(
                f"the method {method} works on the weights of training instances, but no zoo was given.",
                f"Name the zoo that the space was trained on: {setting('zoo', 'PATH')}.",
            )
        return self.weights


def population_of(space: Space, *, arch: str | None = None, zoo: Zoo | None = None, top: float = 1.0) -> Population:
    """Find the training instances of a space.

    Args:
        arch: of which architecture; None where the space has one alone.
        zoo: that the space was trained on, for the instances' weights.
        top: as in `Population.top`.
    Raises:
        ConfigError: networks that are not classifiers, several architectures and none named, no training instances, or
            instances that the zoo does not have.
        WrongSpace: the space does not have `arch`.
        InputFileError: an instance's file is missing or changed.
    """
    _check_kind(space)
    architecture = space.model.architecture(drawn_arch(space, arch))
    known = space.record["zoo"]
    rows = [i for i, r in enumerate(known) if r["arch"] == architecture.name and r["split"] == "train"]
    if not rows:
        raise ConfigError(
            f"space {space.name!r} has no training instances of {architecture.name}: it was trained without any.",
            f"Draw another architecture: {setting('arch')}.",
        )
    accuracies = {i: float(known[i].get("accuracy", {}).get("val", nan)) for i in rows}
    # A stable order: of equals, the first in the record; what is not known comes last.
    rows.sort(key=lambda i: 1.0 if isnan(accuracies[i]) else -accuracies[i])
    found = Population(
        architecture,
        tuple(str(known[i]["id"]) for i in rows),
        space.embeddings[rows].detach().cpu().float(),
        torch.tensor([accuracies[i] for i in rows], dtype=torch.float64),
    ).top(top)
    if zoo is None:
        return found
    return with_weights(found, _weights_of(zoo, [known[i] for i in rows[: len(found)]], architecture))


def with_weights(population: Population, weights: Sequence[Tensor]) -> Population:
    """Add the weights of a population's instances, aligned to the first one's."""
    stacked = torch.stack([each.detach().cpu().float() for each in weights])
    # No seed of a run: how instances are aligned is theirs alone.
    aligned = align_weights(population.architecture, stacked[0], stacked, torch.Generator().manual_seed(0))
    return replace(population, weights=aligned)


def with_predicted(population: Population, space: Space, runner: Runner) -> Population:
    """Use what a population's embeddings decode to in place of the instances' own weights."""
    space, name = runner.place(space), population.architecture.name
    with torch.no_grad():
        decoded = [space.model.decode(name, runner.place(z)[None])[0] for z in population.embeddings]
    return replace(with_weights(population, decoded), predicted=True)


def _check_kind(space: Space) -> None:
    if not space.kind.has_splits:
        raise ConfigError(
            f"space {space.name!r} is for neural fields ({space.kind.io.describe()}): their samples have no "
            "accuracies to choose or judge them by.",
            "Draw from a space of classifiers.",
        )


def drawn_arch(space: Space, arch: str | None = None) -> str:
    """Name of the architecture to draw: `arch`, or the only one of the space.

    Raises:
        ConfigError: the space has several, and none is named.
        WrongSpace: it does not have this one.
    """
    names = [a.name for a in space.architectures]
    if arch is None and len(names) > 1:
        raise ConfigError(
            f"space {space.name!r} has {len(names)} architectures: {', '.join(names)}.",
            f"Name the one to draw: {setting('arch', names[0])}.",
        )
    if arch is not None and arch not in names:
        raise WrongSpace(
            f"space {space.name!r} has no {arch}; it has {', '.join(names)}.",
            f"Name another space ({setting('space')}), or draw {names[0]}.",
        )
    return arch or names[0]


def _weights_of(zoo: Zoo, records: Sequence[Mapping[str, Any]], architecture: Architecture) -> list[Tensor]:
    known = {i.id: i for i in zoo.instances}
    lacking = [r for r in records if not _is(known.get(str(r["id"])), r)]
    if lacking:
        raise ConfigError(
            f"{zoo.path} lacks {len(lacking)} of {len(records)} training instances of the space, or has others under "
            f"their names: {', '.join(str(r['id']) for r in lacking[:3])}.",
            f"Name the zoo that the space was trained on: {setting('zoo', 'PATH')}.",
        )
    return zoo.weights([known[str(r["id"])] for r in records], architecture)


def _is(instance: Instance | None, record: Mapping[str, Any]) -> bool:
    """Whether an instance is the one in a space's record; older spaces record no digest."""
    return instance is not None and record.get("sha256", instance.sha256) == instance.sha256
