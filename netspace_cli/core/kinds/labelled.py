"""What kinds with labelled inputs have in common: classifiers of images and regressors of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError
from netspace_models.second_order.gauss_newton import Solver
from netspace_models.training.objectives import Batch
from netspace_models.wording import Call, setting
from torch import Tensor

from netspace_cli.core.data.data import Data, LabelledData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.path_figure import plot_path
from netspace_cli.core.networks.path_step import Step, score_steps
from netspace_cli.core.networks.scores import accuracies_on_test
from netspace_cli.core.runtime.results import Table, plain
from netspace_cli.core.runtime.runner import Runner

from .kind import FragmentRemover, PathStep, Sampler, Variation


class LabelledEvaluation(Table):
    """What evaluations of labelled networks have in common."""

    instances: tuple[Any, ...]

    def summary(self, arch: str | None = None) -> dict[str, Any]:
        """Summary of one architecture or of all."""
        raise NotImplementedError

    def architectures(self) -> list[str]:
        """Names in order of appearance."""
        return list(dict.fromkeys(e.arch for e in self.instances))

    def to_dict(self) -> dict[str, Any]:
        """As `documented`."""
        return dict(plain(self.documented()))

    def records(self) -> list[dict[str, Any]]:
        """The instances."""
        return [plain(instance) for instance in self.instances]

    def documented(self) -> dict[str, Any]:
        """Instances, the summary of all, and a summary per architecture."""
        by_arch = {arch: self.summary(arch) for arch in self.architectures()}
        return {"instances": self.instances, "summary": self.summary(), "by_arch": by_arch}


class LabelledKind:
    """Kinds whose inputs have labels and splits."""

    has_splits: bool = True
    has_surface: bool = False
    solvable: bool = False

    def check_architectures(self, names: Sequence[str], owner: str) -> None:
        """Accept several architectures: they can share a space, taught by one teacher."""

    def sampler(
        self, architecture: Architecture, weights: Tensor, data: Data, runner: Runner, *, near_surface_share: float
    ) -> Sampler:
        """Draw training inputs, augmented if they can be, the same for all networks."""
        return lambda count, generator: data.draw("train", count, generator)[0]

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
        """Leave instances and inputs unchanged."""

        def unvaried(
            architecture: Architecture, targets: Tensor, rows: Tensor, batch: Batch, generator: torch.Generator
        ) -> tuple[Tensor, Batch]:
            return targets, batch

        return unvaried

    def error_weights(self, wanted: Tensor) -> Tensor | None:
        """None: all errors weigh the same."""
        return None

    def fragment_remover(
        self, architecture: Architecture, weights: Tensor, solver: Solver, runner: Runner
    ) -> FragmentRemover:
        """Leave embeddings unchanged: such networks have no fragments."""
        return lambda embedding: embedding

    def accuracies(self, networks: Sequence[Network], data: Data | None, runner: Runner) -> list[float | None]:
        """Accuracy of each network on the test split; None without data."""
        if data is None:
            return [None] * len(networks)
        return [*accuracies_on_test(networks, require_labelled(data), runner)]

    def score(
        self, networks: Sequence[Network], data: Data | None, runner: Runner, *, split: str, description: str
    ) -> list[Step]:
        """Score accuracies and losses on a split, if data are available."""
        inputs = None if data is None else require_labelled(data)
        return score_steps(networks, inputs, runner, split, description)

    def look(self, path: Sequence[Step], runner: Runner, *, name: str, beside: Sequence[PathStep]) -> Sequence[Step]:
        """The steps, unchanged."""
        return path

    def check_drawing(self) -> None:
        """Check nothing: figures need no more here."""

    def draw(self, file: Path, main: str, seen: Mapping[str, Sequence[Any]], *, force: bool) -> None:
        """Draw scores along the path."""
        plot_path(file, seen[main], {name: path for name, path in seen.items() if name != main}, force=force)


def is_labelled(data: Data) -> TypeGuard[LabelledData]:
    """Whether data have labels and splits."""
    return data.io.labelled


def require_labelled(data: Data) -> LabelledData:
    """Return the data if they have labels and splits, else refuse them.

    Raises:
        ConfigError: points of a box.
    """
    if not is_labelled(data):
        raise ConfigError(f"{data.name} has no labels.", "This is for classifiers and regressors.")
    return data


def data_hint(name: str) -> str:
    """Hint on how to name a recorded data set."""
    word = name.partition(":")[0]
    spec = "FILE.npz" if word == "npz" else f"{word}:DIR"
    return f"Name them with {setting('data')}, e.g. {setting('data', Call('load_data', spec))}."


def pearson(a: np.ndarray, b: np.ndarray) -> float | None:
    """Correlation of two rows of numbers; None of fewer than three, or of equal ones."""
    if len(a) < 3 or min(a.std(), b.std()) < 1e-9:
        return None
    return float(np.corrcoef(a, b)[0, 1])
