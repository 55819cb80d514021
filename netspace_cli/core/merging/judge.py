"""How merged networks are judged: on validation images, which choose, and on test images, beside the ensemble."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

from netspace_models.training.losses import answer_matching, ensemble_outputs
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import labels_of, logits_of
from netspace_cli.core.runtime.runner import Runner

from .answers import FORGETFUL, Answers, on_split
from .panel import Panel

# Validation images by which it is chosen who goes on: a look costs little then.
LOOKED_AT = 2000


@dataclass(frozen=True)
class Scores:
    """How a network, or the ensemble, does.

    Attributes:
        validation, test: accuracies, as fractions, or R²; None without labels.
        agreement: share of test images to which it gives the ensemble's answer; of regressors R² of its outputs, with
            the ensemble's as targets.
        choice: what it is chosen by: accuracy on the validation images, without labels agreement with the ensemble.
    """

    validation: float | None
    test: float | None
    agreement: float
    choice: float


@dataclass(frozen=True)
class Judge:
    """Judges networks beside the ensemble that teaches.

    Attributes:
        data: on the runner's device.
        runner: where networks are run.
        validation, test: (N, K) the ensemble's logits on these splits, on the processor.
        labels: (N,) of the test images, on the processor; None where they are not known.
        members: of each member its accuracy on the test images; None without labels.
        teachers: the members that teach, the best first; weights: theirs, None for equal ones.
        pace: seconds that it takes to run a member on an image, about.
    """

    data: LabelledData
    runner: Runner
    validation: Tensor
    test: Tensor
    labels: Tensor | None
    members: tuple[float | None, ...]
    teachers: tuple[Network, ...]
    weights: tuple[float, ...] | None
    pace: float

    def loss(self, network: Network) -> float:
        """Loss on the first validation images, by labels or else by the ensemble. It tells apart what is right equally
        often."""
        said = self._logits(network, "val", LOOKED_AT)
        problem = self.data.io.problem
        if self.data.labelled:
            return problem.loss(said, labels_of(self.data, "val")[: len(said)]).item()
        return float(answer_matching(said, self.validation[: len(said)], problem, temperature=1.0))

    def answers_in_training(self, network: Network, most: int) -> Tensor:
        """(N, K) logits on the first training images."""
        return self._logits(network, "train", most)

    def choice(self, network: Network) -> float:
        """What it is chosen by: see `Scores`."""
        return self._choice(self._logits(network, "val"))

    def scores(self, network: Network) -> Scores:
        """On both splits."""
        return self.scores_of(self._logits(network, "val"), self._logits(network, "test"))

    def scores_of(self, validation: Tensor, test: Tensor) -> Scores:
        """Score logits (N, K) on both splits."""
        return Scores(
            self._on_validation(validation),
            None if self.labels is None else self.data.io.problem.scored(test, self.labels),
            self.data.io.problem.agreement(self.test, test),
            self._choice(validation),
        )

    def _choice(self, validation: Tensor) -> float:
        found = self._on_validation(validation)
        together = self.validation[: len(validation)]
        return self.data.io.problem.agreement(together, validation) if found is None else found

    def _on_validation(self, logits: Tensor) -> float | None:
        return self.data.io.problem.scored(logits, labels_of(self.data, "val")) if self.data.labelled else None

    def _logits(self, network: Network, split: str, most: int | None = None) -> Tensor:
        weights = self.runner.place(network.weights)
        return logits_of(network.architecture, weights, self.data, split, self.runner, most=most)


class Beside(NamedTuple):
    """How all members do together, and the best of them alone."""

    ensemble: Scores
    best: Scores


def judge_of(
    panel: Panel, data: LabelledData, runner: Runner, labels: Tensor | None, known: Answers = FORGETFUL
) -> tuple[Judge, Beside]:
    """The judge that a panel's teachers make, and what ways are shown beside.

    Args:
        data: on the runner's device.
        labels: (N,) of the test images, on the processor; None where they are not known.
        known: answers from merges before.
    """
    found: list[float | None] = []
    problem, first = data.io.problem, panel.ranking[0]
    few = panel.weights is not None or len(panel.teachers) < len(panel.members)
    # Answers that are used again; those of all are as many as on the validation images, which are kept.
    kept: dict[int, Tensor] = {}
    again = {first, *(panel.teachers if few else ())}

    def asked(place: int) -> Tensor:
        if place in kept:
            return kept[place]
        logits = on_split(panel.members[place], data, "test", runner, known)
        found.append(None if labels is None else problem.scored(logits, labels))
        if place in again:
            kept[place] = logits
        return logits

    places, begun = range(len(panel.members)), perf_counter()
    of_all = [ensemble_outputs(panel.answers, problem)]
    with runner.progress(f"asking members about test {data.io.one}s", len(places)) as tick:

        def each_asked() -> Iterator[Tensor]:
            for place in places:
                yield asked(place)
                tick()

        of_all.append(ensemble_outputs(each_asked(), problem))
    pace = (perf_counter() - begun) / len(places) / len(of_all[1])
    teach = of_all
    if few:
        chosen, weights = panel.teachers, panel.weights
        sources = (panel.answers[i] for i in chosen), (asked(i) for i in chosen)
        teach = [ensemble_outputs(each, problem, weights) for each in sources]
    teachers = tuple(panel.members[i] for i in panel.teachers)
    judge = Judge(data, runner, teach[0], teach[1], labels, tuple(found), teachers, panel.weights, pace)
    return judge, Beside(judge.scores_of(*of_all), judge.scores_of(panel.answers[first], kept[first]))
