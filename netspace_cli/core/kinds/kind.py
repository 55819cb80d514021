"""What every kind of network answers, so that nothing else need know which kind it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from netspace_models.architectures import Architecture, NetworkIO
from netspace_models.second_order.gauss_newton import Solver
from netspace_models.training.objectives import Batch
from torch import Tensor

from netspace_cli.core.data.data import Data
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.path_step import Step
from netspace_cli.core.runtime.runner import Runner

# Draws a step's inputs: from their number and a generator to (N, …) for all networks or (B, N, …), each its own.
Sampler = Callable[[int, torch.Generator], Tensor]
# From instances (B, P) with the rows they are in, and a step's batch, to what the step learns from.
Variation = Callable[[Architecture, Tensor, Tensor, Batch, torch.Generator], tuple[Tensor, Batch]]
# From an embedding (E,) to one whose network has no stray fragments.
FragmentRemover = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Judged:
    """One instance beside what its embedding decodes to.

    Attributes:
        id, arch: of the instance; recognised: the architecture its embedding is classified as.
        target, predicted: outputs of both, as of `Kind.outputs`.
        seen: whether the very file took part in the space's training; None where that is not recorded.
    """

    id: str
    arch: str
    recognised: str
    target: Tensor
    predicted: Tensor
    seen: bool | None


def count_seen(seen: Sequence[bool | None]) -> int | None:
    """How many instances took part in a space's training; None where that is not recorded of all."""
    return None if None in seen else seen.count(True)


class PathStep(Protocol):
    """What is seen at one step of a path.

    Attributes:
        scores: names of what a step may be scored by, as in `row`.
    """

    scores: ClassVar[tuple[str, ...]]

    @property
    def error(self) -> str:
        """Why there is nothing to see, "" if there is. Such a step keeps its place."""
        ...

    def row(self) -> dict[str, Any]:
        """As scripts read it."""
        ...


class Evaluation(Protocol):
    """All instances of a split beside what they decode to, and in short."""

    @property
    def instances(self) -> Sequence[Any]:
        """A row for each: {id, arch, seen, …}."""
        ...

    def summary(self) -> dict[str, Any]:
        """{n, seen, …}."""
        ...

    def documented(self) -> dict[str, Any]:
        """For a JSON document: {instances, summary, …}."""
        ...


class Evaluator(Protocol):
    """Compares the instances of a zoo with what they decode to; holds what all of them share."""

    def outputs(self, network: Network) -> Tensor:
        """What is compared of one network: on the runner's device it is run, the outputs come back."""
        ...

    def judge(self, instances: Sequence[Judged]) -> None:
        """Add the instances of one architecture."""
        ...

    def evaluation(self) -> Evaluation:
        """All that were added."""
        ...


class Kind(Protocol):
    """One kind of network.

    Attributes:
        name: "classifiers", "shapes", "pictures", "fields": views are found by it.
        io: what its networks take and give.
        has_splits: whether inputs are labelled and come in splits, and networks have accuracies.
        has_surface: whether outputs are signed distances, zero on a surface.
        solvable: whether Gauss-Newton steps are for such networks.
        validation_inputs: inputs that a validation looks at while a space is trained.
    """

    @property
    def name(self) -> str: ...
    @property
    def io(self) -> NetworkIO: ...
    @property
    def has_splits(self) -> bool: ...
    @property
    def has_surface(self) -> bool: ...
    @property
    def solvable(self) -> bool: ...
    @property
    def validation_inputs(self) -> int: ...

    def data_of_space(self, record: Mapping[str, Any], spec: str | None, owner: str) -> Data | None:
        """The data named, else those a space was trained on if they are at hand, else None.

        Args:
            record: of the space's data.
            spec: as of `load_data`; None for the space's own.
            owner: the space in words, for messages.
        Raises:
            DataUnavailable: data were named and are not at hand.
            ConfigError: the data named are not like the space's, or such networks need none.
        """
        ...

    def choose_data_of_zoo(self, record: Mapping[str, Any], spec: str | None, owner: str) -> Data:
        """The data named, else those a zoo was trained on.

        Raises:
            DataUnavailable: they are not at hand; ConfigError: such networks need none.
        """
        ...

    def check_architectures(self, names: Sequence[str], owner: str) -> None:
        """Refuse a space of several architectures where such networks have one each.

        Raises:
            ConfigError: says why.
        """
        ...

    def sampler(
        self, architecture: Architecture, weights: Tensor, data: Data, runner: Runner, *, near_surface_share: float
    ) -> Sampler:
        """Draws the unlabelled inputs on which networks are imitated.

        Args:
            weights: (B, P) the networks, on the runner's device.
            near_surface_share: share of the inputs that lie near each network's surface, if it has one.
        """
        ...

    def variation(
        self,
        weights: Mapping[str, Tensor],
        architectures: Sequence[Architecture],
        data: Data,
        runner: Runner,
        *,
        near_surface_share: float,
        stretch: float,
    ) -> Variation:
        """How a step of training varies its instances and their inputs.

        Args:
            weights: (N, P) the training instances by architecture.
            near_surface_share: as of `sampler`; stretch: the largest factor that shapes are stretched by, 1 for none.
        """
        ...

    def error_weights(self, wanted: Tensor) -> Tensor | None:
        """(R,) how much the error of each output wanted (R,) weighs; None for all alike."""
        ...

    def fragment_remover(
        self, architecture: Architecture, weights: Tensor, solver: Solver, runner: Runner
    ) -> FragmentRemover:
        """Removes the fragments that refining towards a network (P,) has left, and restores what it broke."""
        ...

    def compare(
        self, target: Network, predicted: Network, data: Data, runner: Runner, *, split: str, recognised: str
    ) -> Any:
        """A data class of how a predicted instance compares with its target, on the runner's device.

        Args:
            recognised: the architecture that the embedding is classified as.
        """
        ...

    def accuracies(self, networks: Sequence[Network], data: Data | None, runner: Runner) -> list[float | None]:
        """Of each network on the test split; None where there are no labels."""
        ...

    def evaluator(self, data: Data, runner: Runner, training: Iterable[Network]) -> Evaluator:
        """Compares instances of a zoo; `training` are the zoo's training instances, read only where they are needed."""
        ...

    def score(
        self, networks: Sequence[Network], data: Data | None, runner: Runner, *, split: str, description: str
    ) -> list[Step]:
        """Networks as the steps of a path, scored on a split where they have scores and there are data."""
        ...

    def look(
        self, path: Sequence[Step], runner: Runner, *, name: str, beside: Sequence[PathStep]
    ) -> Sequence[PathStep]:
        """What is seen along a path.

        Args:
            name: of the path, for the progress.
            beside: steps of other paths; a network that also stands there need not be looked at again.
        """
        ...

    def check_drawing(self) -> None:
        """Refuse to draw paths where something is missing.

        Raises:
            ConfigError: such networks cannot be drawn, or an extra is not installed.
        """
        ...

    def draw(self, file: Path, main: str, seen: Mapping[str, Sequence[PathStep]], *, force: bool) -> None:
        """Draw the path called `main`, and those beside it."""
        ...
