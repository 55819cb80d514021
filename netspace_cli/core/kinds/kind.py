"""The interface of all kinds of network, so that callers need not know which kind they have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from netspace_models.architectures import Architecture, NetworkIO
from netspace_models.second_order.gauss_newton import Solver
from netspace_models.training.objectives import Batch
from torch import Tensor

from netspace_cli.core.data.data import Data
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.path_step import Step
from netspace_cli.core.runtime.runner import Runner

if TYPE_CHECKING:
    from pandas import DataFrame

# Draws a step's inputs: from their number and a generator to (N, …) for all networks or (B, N, …), each its own.
Sampler = Callable[[int, torch.Generator], Tensor]
# From instances (B, P) with the rows they are in, and a step's batch, to what the step learns from.
Variation = Callable[[Architecture, Tensor, Tensor, Batch, torch.Generator], tuple[Tensor, Batch]]
# From an embedding (E,) to one whose network has no stray fragments.
FragmentRemover = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Judged:
    """One instance compared with its predicted instance.

    Attributes:
        id, arch: of the instance; recognised: the architecture its embedding is classified as.
        target, predicted: outputs of both, as in `Kind.outputs`.
        seen: whether the very file took part in the space's training; None where that is not recorded.
    """

    id: str
    arch: str
    recognised: str
    target: Tensor
    predicted: Tensor
    seen: bool | None


def count_seen(seen: Sequence[bool | None]) -> int | None:
    """Number of instances that a space was trained on; None if that is not recorded for all."""
    return None if None in seen else seen.count(True)


class PathStep(Protocol):
    """One step of a path, as its kind shows it."""

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of what a step may be scored by, as in `row`."""
        ...

    @property
    def error(self) -> str:
        """The reason why there is nothing to show, or "". Such a step keeps its place."""
        ...

    def row(self) -> dict[str, Any]:
        """As a row for scripts."""
        ...


class Evaluation(Protocol):
    """Evaluation of all instances of a split, with a summary."""

    @property
    def instances(self) -> Sequence[Any]:
        """One row per instance: {id, arch, seen, …}."""
        ...

    def summary(self) -> dict[str, Any]:
        """Summary: {n, seen, …}."""
        ...

    def documented(self) -> dict[str, Any]:
        """For a JSON document: {instances, summary, …}."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        ...

    def to_frame(self) -> DataFrame:
        """The instances as a data frame."""
        ...


class Evaluator(Protocol):
    """Compare instances of a zoo with their predicted instances; holds what all comparisons share."""

    def outputs(self, networks: Sequence[Network]) -> Iterator[Tensor]:
        """Run networks on the runner's device, and give the outputs of each to compare."""
        ...

    def judge(self, instances: Sequence[Judged]) -> None:
        """Add the instances of one architecture."""
        ...

    def evaluation(self) -> Evaluation:
        """The evaluation of all added instances."""
        ...


class Kind(Protocol):
    """One kind of network.

    Attributes:
        name: "classifiers", "regressors", "shapes", "pictures", "fields": views are found by it.
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
        """The named data, else those that a space was trained on if available, else None.

        Args:
            record: of the space's data.
            spec: as in `load_data`; None for the space's own.
            owner: the space in words, for messages.
        Raises:
            DataUnavailable: data were named and are not available.
            ConfigError: the data named are not like the space's, or such networks need none.
        """
        ...

    def choose_data_of_zoo(self, record: Mapping[str, Any], spec: str | None, owner: str) -> Data:
        """The named data, else those that a zoo was trained on.

        Raises:
            DataUnavailable: they are not available; ConfigError: such networks need none.
        """
        ...

    def check_architectures(self, names: Sequence[str], owner: str) -> None:
        """Refuse a space of several architectures if this kind does not allow them.

        Raises:
            ConfigError: says why.
        """
        ...

    def sampler(
        self, architecture: Architecture, weights: Tensor, data: Data, runner: Runner, *, near_surface_share: float
    ) -> Sampler:
        """Draw the unlabelled inputs on which networks are imitated.

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
        """Changes to instances and inputs in a training step.

        Args:
            weights: (N, P) the training instances by architecture.
            near_surface_share: as in `sampler`; stretch: the largest factor that shapes are stretched by, 1 for none.
        """
        ...

    def error_weights(self, wanted: Tensor) -> Tensor | None:
        """(R,) weights of the errors of outputs (R,), from their targets; None for equal weights."""
        ...

    def fragment_remover(
        self, architecture: Architecture, weights: Tensor, solver: Solver, runner: Runner
    ) -> FragmentRemover:
        """Remove fragments after refining towards a network (P,), and restore what refining broke."""
        ...

    def compare(
        self, target: Network, predicted: Network, data: Data, runner: Runner, *, split: str, recognised: str
    ) -> Any:
        """Compare a predicted instance with its target on the runner's device; returns a data class.

        Args:
            recognised: the architecture that the embedding is classified as.
        """
        ...

    def accuracies(self, networks: Sequence[Network], data: Data | None, runner: Runner) -> list[float | None]:
        """Accuracy of each network on the test split; None if there are no labels."""
        ...

    def evaluator(self, data: Data, runner: Runner, training: Iterable[Network]) -> Evaluator:
        """Compare instances of a zoo. `training` are the zoo's training instances, read only if needed."""
        ...

    def score(
        self, networks: Sequence[Network], data: Data | None, runner: Runner, *, split: str, description: str
    ) -> list[Step]:
        """Turn networks into steps of a path, with scores on a split if the kind has scores and data are available."""
        ...

    def look(
        self, path: Sequence[Step], runner: Runner, *, name: str, beside: Sequence[PathStep]
    ) -> Sequence[PathStep]:
        """What to show along a path.

        Args:
            name: of the path, for the progress.
            beside: steps of other paths; a network that is also in one of them need not be evaluated again.
        """
        ...

    def check_drawing(self) -> None:
        """Refuse to draw paths if something is missing.

        Raises:
            ConfigError: such networks cannot be drawn, or an extra is not installed.
        """
        ...

    def draw(self, file: Path, main: str, seen: Mapping[str, Sequence[PathStep]], *, force: bool) -> None:
        """Draw the path called `main`, and the others beside it."""
        ...
