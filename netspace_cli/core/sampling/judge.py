"""Compare groups of networks with training instances: one row of the table per group.

Copies are found by two measures of Zeng et al. (2506.07998): shared mistakes, and the distance of weights; hidden units
are aligned first, since reordered copies are copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import torch
from netspace_models.errors import ConfigError
from netspace_models.parameters.alignment import align_weights
from netspace_models.parameters.incoming import align_closely
from netspace_models.sampling import apartness, spread_of
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.encoding.decode import decode_row
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import labels_of
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space

from .population import Population
from .sample import stacked_weights
from .together import test_logits, together

TRAINING = "training instances"
LEARNT_FROM = "all learnt from"
PREDICTED = "predicted instances"
# Number of nearest training instances in a common order that are aligned to each network separately.
CANDIDATES = 3


@dataclass(frozen=True)
class AuditRow:
    """A group of networks, judged on the test images.

    Attributes:
        name: what they are; networks: how many.
        members, deviation: mean and deviation of their accuracies.
        ensemble: accuracy of the mean of all their probabilities.
        agreement: share of images with the same answer, mean over pairs.
        overlap: intersection over union of the images answered wrongly with the training instance that shares most,
            mean over networks. Of training instances, with the other that shares most. Of regressors, the cosine
            between errors takes its place, R² that of accuracy, and the mean of outputs that of probabilities.
        distance: to the nearest training instance (of training instances, the nearest other) with hidden units aligned:
            root mean square of the difference of weights, each in deviations of its layer's values; mean over networks.
        spread, variance: of their embeddings, as in `Spread`; the encoder's where they were not drawn in the space.
        apart: distance of their embeddings to the nearest training embedding, as in `apartness`; 0 of stored ones.
        images: training images that each network has been shown to become what it is, None where nobody knows.
    """

    name: str
    networks: int
    members: float
    deviation: float | None
    ensemble: float
    agreement: float | None
    overlap: float
    distance: float
    spread: float | None
    variance: float | None
    apart: float | None
    images: int | None = None


@dataclass(frozen=True)
class Judged:
    """A row, and the values that it is the mean of.

    Attributes:
        row: of all networks together.
        accuracies, overlaps: of each network, as in the row.
    """

    row: AuditRow
    accuracies: tuple[float, ...]
    overlaps: tuple[float, ...]


class Judge:
    """Answers and weights of training instances, with which all rows are compared; computed once.

    Args:
        population: with weights, of two instances or more; data: on the runner's device.
        space: that the population's embeddings are of, on the runner's device; None to leave the spread out.
    Raises:
        ConfigError: fewer than two training instances, or none with weights.
    """

    def __init__(self, population: Population, space: Space | None, data: LabelledData, runner: Runner) -> None:
        if len(population) < 2:
            raise ConfigError(
                f"samples learnt from {len(population)} training instance cannot be judged: novelty needs at least 2.",
                "Draw from two or more.",
            )
        self.population, self.space, self.data, self.runner = population, space, data, runner
        self.labels, self.problem = labels_of(data, "test"), data.io.problem
        self.weights = population.aligned_weights("audit")
        # A unit of distance: one deviation of its layer for each weight.
        self.unit = population.deviations * population.architecture.parameter_count**0.5
        networks = [Network(population.architecture, each) for each in self.weights]
        self.logits = test_logits(networks, data, runner)
        self.mistakes = self._mistakes(self.logits)

    def in_space(self, population: Population, space: Space) -> Judge:
        """The same instances in another space; only the embeddings differ.

        Args:
            population: the same instances in the same order; weights are not needed.
        Raises:
            ConfigError: other instances.
        """
        if population.ids != self.population.ids:
            raise ConfigError(
                f"space {space.name!r} was trained on other instances ({len(population)}) than those that samples are "
                f"compared with ({len(self.population)}).",
                f"Give spaces of one zoo: {setting('space')}.",
            )
        other = copy(self)
        other.population, other.space = population, space
        return other

    def row(
        self, name: str, networks: Sequence[Network], embeddings: Tensor | None = None, *, images: int | None = None
    ) -> Judged:
        """Row of networks that are not training instances."""
        logits = test_logits(networks, self.data, self.runner)
        weights = stacked_weights(networks)
        found = self._encoded(weights) if embeddings is None else embeddings
        overlaps = self.problem.overlaps(self._mistakes(logits), self.mistakes)
        ordered = align_weights(
            self.population.architecture, self.weights[0], weights, self.runner.generator("audit", name)
        )
        return self._finished(name, logits, overlaps, self._nearest(ordered, {}), found, images)

    def training_row(self, count: int, name: str | None = None) -> Judged:
        """Row of the most accurate training instances, each compared with all others.

        Predicted instances are used without a zoo.
        """
        name = name or (PREDICTED if self.population.predicted else TRAINING)
        count = min(count, len(self.population))
        own = torch.arange(count)
        overlaps = self.problem.overlaps(self.mistakes[:count], self.mistakes)
        overlaps[own, own] = 0.0
        distances = self._nearest(self.weights[:count], {i: i for i in range(count)})
        embeddings = None if self.space is None else self.population.embeddings[:count]
        return self._finished(name, self.logits[:count], overlaps, distances, embeddings, None, own=True)

    def training_rows(self, count: int) -> tuple[Judged, Judged]:
        """Rows of the `count` most accurate training instances and of all.

        Ensembles are compared with the former, members with the latter.
        """
        return self.training_row(count), self.training_row(len(self.population), LEARNT_FROM)

    def predicted_row(self, count: int) -> Judged:
        """Row of decoded embeddings of the most accurate training instances: what a sampler that copies would draw."""
        assert self.space is not None
        name, embeddings = self.population.architecture.name, self.population.embeddings[:count]
        networks = [decode_row(self.runner.place(each), self.space, arch=name) for each in embeddings]
        found = [Network(each.architecture, each.weights.cpu()) for each in networks]
        return self.row(PREDICTED, found, embeddings, images=0)

    def _finished(
        self,
        name: str,
        logits: Sequence[Tensor],
        overlaps: Tensor,
        distances: Tensor,
        embeddings: Tensor | None,
        images: int | None,
        *,
        own: bool = False,
    ) -> Judged:
        found = together(logits, self.labels, self.problem)
        spread = None if embeddings is None else spread_of(embeddings, self.population.embeddings)
        nearest = overlaps.amax(1)
        row = AuditRow(
            name,
            len(logits),
            found.members,
            found.deviation,
            found.ensemble,
            found.agreement,
            float(nearest.mean()),
            float(distances.mean()),
            None if spread is None else spread.deviation,
            None if spread is None else spread.variance,
            None if embeddings is None else apartness(embeddings, self.population.embeddings, own=own),
            images,
        )
        return Judged(row, found.accuracies, tuple(nearest.tolist()))

    def _nearest(self, ordered: Tensor, own: dict[int, int]) -> Tensor:
        """(n,) aligned distances of networks, in the population's order, to the nearest training instance.

        Aligning all pairs would take n N assignments; the few that are nearest in the common order are enough. The
        nearest of all may be another one that the common order hides, so a distance can be a little too large.

        Args:
            own: which training instance a network is itself, by row.
        """
        apart = torch.cdist(ordered / self.unit, self.weights / self.unit, compute_mode="donot_use_mm_for_euclid_dist")
        for row, instance in own.items():
            apart[row, instance] = torch.inf
        few = apart.topk(min(CANDIDATES, len(self.weights) - bool(own)), largest=False)
        found = []
        for row, near in enumerate(few.indices):
            generator = self.runner.generator("audit", row)
            architecture, others = self.population.architecture, self.weights[near]
            aligned = align_closely(architecture, ordered[row], others, generator)
            again = ((aligned - ordered[row]) / self.unit).norm(dim=1)
            found.append(torch.minimum(again, few.values[row]).min())
        return torch.stack(found)

    def _encoded(self, weights: Tensor) -> Tensor | None:
        if self.space is None:
            return None
        name = self.population.architecture.name
        with torch.no_grad():
            rows = [self.space.model.encode(name, self.runner.place(each)[None])[0].cpu() for each in weights]
        return torch.stack(rows)

    def _mistakes(self, outputs: Sequence[Tensor]) -> Tensor:
        return torch.stack([self.problem.mistakes(each, self.labels) for each in outputs])
