"""Regressors of tables: their data, comparison and evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from netspace_models.architectures import TableIO
from netspace_models.errors import ConfigError, DataUnavailable, InputFileError
from netspace_models.problems import REGRESSION
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.data import Data, LabelledData
from netspace_cli.core.data.datasets import data_available, load_data
from netspace_cli.core.data.records import check_unchanged
from netspace_cli.core.data.tables import Scale, TableData, table_or_none
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import labels_of, logits_of_each
from netspace_cli.core.runtime.runner import Runner

from .kind import Judged, count_seen
from .labelled import LabelledEvaluation, LabelledKind, data_hint, pearson, require_labelled

VALIDATION_ROWS = 4096


@dataclass(frozen=True)
class RegressorFidelity:
    """Comparison of a predicted instance with its target on a split.

    Attributes:
        target_r2, predicted_r2: R² of both on the targets of the data.
        agreement: R² of the predicted instance's outputs, with the target instance's outputs as targets.
        predicted_arch: the architecture that the embedding is classified as.
    """

    target_r2: float
    predicted_r2: float
    agreement: float
    predicted_arch: str


@dataclass(frozen=True)
class EvaluatedRegressor:
    """One instance of a zoo and its predicted instance, compared.

    Attributes:
        id, arch: of the instance; predicted_arch: what its embedding is classified as.
        target_r2, predicted_r2, agreement: as in `RegressorFidelity`.
        unrelated_agreement: mean agreement of the target with the other instances; None where there are no others.
        seen: whether the very file took part in the space's training; None where that is not recorded.
    """

    id: str
    arch: str
    predicted_arch: str
    target_r2: float
    predicted_r2: float
    agreement: float
    unrelated_agreement: float | None
    seen: bool | None = None


@dataclass(frozen=True)
class TableEvaluation(LabelledEvaluation):
    """Evaluation of all instances, with a summary."""

    score_label: ClassVar[str] = REGRESSION.score

    instances: tuple[EvaluatedRegressor, ...]

    def scores(self, arch: str) -> list[tuple[float, float]]:
        """R² of each target and its predicted instance."""
        return [(e.target_r2, e.predicted_r2) for e in self.instances if e.arch == arch]

    def summary(self, arch: str | None = None) -> dict[str, Any]:
        """Summary of one architecture or of all.

        Number, number seen, share of architectures recognised, mean R² of targets and predicted instances, Pearson
        correlation and mean absolute error between them, mean agreement, and that of unrelated instances.
        """
        rows = [e for e in self.instances if arch is None or e.arch == arch]
        target, predicted = (np.array([getattr(e, key) for e in rows]) for key in ("target_r2", "predicted_r2"))
        unrelated = [e.unrelated_agreement for e in rows if e.unrelated_agreement is not None]
        return {
            "n": len(rows),
            "seen": count_seen([e.seen for e in rows]),
            "arch_accuracy": float(np.mean([e.arch == e.predicted_arch for e in rows])),
            "target_r2": float(target.mean()),
            "predicted_r2": float(predicted.mean()),
            "pearson": pearson(target, predicted),
            "mae": float(np.abs(target - predicted).mean()),
            "agreement": float(np.mean([e.agreement for e in rows])),
            "unrelated_agreement": float(np.mean(unrelated)) if unrelated else None,
        }


@dataclass
class TableEvaluator:
    """Compare regressors on the rows of the test split.

    Attributes:
        data: on the runner's device.
        rows: of the instances judged so far.
    """

    data: LabelledData
    runner: Runner
    rows: list[EvaluatedRegressor] = field(default_factory=list)

    def outputs(self, networks: Sequence[Network]) -> Iterator[Tensor]:
        """(N, K) outputs of each, on the processor."""
        return logits_of_each(networks, self.data, "test", self.runner)

    def judge(self, instances: Sequence[Judged]) -> None:
        """Add the instances of one architecture, each with the others."""
        problem, labels = self.data.io.problem, labels_of(self.data, "test")
        for judged in instances:
            others = [problem.agreement(judged.target, o.target) for o in instances if o is not judged]
            self.rows.append(
                EvaluatedRegressor(
                    judged.id,
                    judged.arch,
                    judged.recognised,
                    problem.scored(judged.target, labels),
                    problem.scored(judged.predicted, labels),
                    problem.agreement(judged.target, judged.predicted),
                    float(np.mean(others)) if others else None,
                    judged.seen,
                )
            )

    def evaluation(self) -> TableEvaluation:
        """The evaluation of all added instances."""
        return TableEvaluation(tuple(self.rows))


@dataclass(frozen=True)
class TableKind(LabelledKind):
    """Regressors of tables."""

    io: TableIO
    name: str = "regressors"
    validation_inputs: int = VALIDATION_ROWS

    def data_of_space(self, record: Mapping[str, Any], spec: str | None, owner: str) -> TableData | None:
        """The named table, else the space's own if available, else None; standardised as the space's own."""
        if spec is None:
            return self._own_data(record)
        given = load_data(spec)
        found = table_or_none(given)
        if found is None or found.io != self.io:
            raise ConfigError(
                f"{owner} is for {self.io.describe_inputs()}; {spec} has {given.io.describe_inputs()}.",
                f"Give a table like the one that the space was trained on, or another space ({setting('space')}).",
            )
        return _scaled(found, record)

    def _own_data(self, record: Mapping[str, Any]) -> TableData | None:
        """The table that a space was trained on, if a file of its name here is the very same."""
        name = str(record["name"])
        if not data_available(name):
            return None
        try:
            found = table_or_none(load_data(name))
        except (DataUnavailable, InputFileError):
            return None  # something else of the same name
        if found is None or found.record()["splits"] != record["splits"]:
            return None
        return _scaled(found, record)

    def choose_data_of_zoo(self, record: Mapping[str, Any], spec: str | None, owner: str) -> LabelledData:
        """The named table, else the one that the zoo was trained on; standardised as that was."""
        name = str(record["name"])
        if spec is None and not data_available(name):
            raise DataUnavailable(f"the table {name}, which {owner} was trained on, is not available.", data_hint(name))
        given = load_data(spec or name)
        if spec is None:
            check_unchanged(given, record, owner)
        table = table_or_none(given)
        # What has other columns is refused by whoever uses it.
        return given if table is None or table.io != self.io else _scaled(table, record)

    def compare(
        self, target: Network, predicted: Network, data: Data, runner: Runner, *, split: str, recognised: str
    ) -> RegressorFidelity:
        """Compare R² and outputs on a split's rows."""
        table = require_labelled(data)
        one, other = logits_of_each([target, predicted], table, split, runner)
        problem, labels = self.io.problem, labels_of(table, split)
        return RegressorFidelity(
            problem.scored(one, labels), problem.scored(other, labels), problem.agreement(one, other), recognised
        )

    def evaluator(self, data: Data, runner: Runner, training: Iterable[Network]) -> TableEvaluator:
        """Compare on the test split; training instances are not used."""
        return TableEvaluator(require_labelled(data), runner)


def _scaled(data: TableData, record: Mapping[str, Any]) -> TableData:
    """The table standardised as a record says: networks know no other scale."""
    mean, std, target_mean, target_std = (
        tuple(float(v) for v in record[key]) for key in ("mean", "std", "target_mean", "target_std")
    )
    return replace(data, scale=Scale(mean, std, target_mean, target_std))
