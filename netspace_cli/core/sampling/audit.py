"""The table that says what samples are worth: how accurate, how good together, how new, how widely spread.

Every row has the same columns, so that samples stand beside training instances and beside the plain ways to further
networks. Copies are found by two measures of Zeng et al. (2506.07998): shared mistakes, and the distance of weights;
hidden units are aligned first, since reordered copies are copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from netspace_models.errors import ConfigError
from netspace_models.parameters.alignment import align_weights
from netspace_models.parameters.incoming import align_closely
from netspace_models.sampling import spread_of
from torch import Tensor

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import labels_of
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space

from .polish import polish_schedule
from .population import Population
from .rivals import Rivals, check_rivals, train_fresh, weight_rivals
from .sample import Samples, sample_from, stacked_weights
from .together import error_overlaps, test_logits, together

# Of each network, the nearest so many training instances in a common order are aligned to it by themselves.
CANDIDATES = 3


@dataclass(frozen=True)
class AuditRow:
    """Some networks, judged on the test images.

    Attributes:
        name: what they are; networks: how many.
        members, deviation: mean and deviation of their accuracies.
        ensemble: accuracy of the mean of all their probabilities.
        agreement: share of images with the same answer, mean over pairs.
        overlap: intersection over union of the images answered wrongly with the training instance that shares most,
            mean over networks. Of training instances, with the other that shares most.
        distance: to the nearest training instance (of training instances, the nearest other) with hidden units aligned:
            root mean square of the difference of weights, each in deviations of its layer's values; mean over networks.
        spread, variance: of their embeddings, as of `Spread`; the encoder's where they were not drawn in the space.
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
    images: int | None = None


@dataclass(frozen=True)
class Audit:
    """The table.

    Attributes:
        rows: the samples first, then training instances, then rivals.
        predicted: whether training instances are what stored embeddings decode to, since no zoo was given: their row
            is "predicted instances" then.
        notes: what is missing from the table, and why.
    """

    rows: tuple[AuditRow, ...]
    predicted: bool
    notes: tuple[str, ...] = ()


def audit(samples: Samples, space: Space, data: ImageData, runner: Runner, *, rivals: Rivals = "quick") -> Audit:
    """Judge samples beside the training instances that they were learnt from, and beside rivals.

    Args:
        samples: their population has weights (`population_of` with a zoo, or `with_predicted`).
        space: that they were drawn from; data: on any device.
        rivals: "quick" for noise copies, aligned mixes and aligned soups; "all" for fresh networks as well, trained on
            as many images as the samples were polished on; "none" for none.
    Raises:
        ConfigError: no such rivals, or a population without weights.
    """
    check_rivals(rivals)
    population = samples.population
    if len(population) < 2:
        raise ConfigError(
            f"samples of {len(population)} training instance cannot be judged: what is new beside it is not known.",
            "Draw from two or more.",
        )
    space, data = runner.place(space), runner.place(data)
    judge = _Judge(population, space, data, runner)
    steps = max(each.polished for each in samples.samples)
    images = polish_schedule(space, population.architecture.name, steps).images
    rows = [judge.row(samples.method, samples.networks, samples.embeddings, images=steps * images)]
    rows.append(judge.training_row(len(samples)))
    for name, method in ({} if rivals == "none" else weight_rivals(population)).items():
        drawn = sample_from(population, space, len(samples), method, runner)
        rows.append(judge.row(name, drawn.networks, images=0))
    if rivals != "all":
        return Audit(tuple(rows), population.predicted)
    if not steps:
        note = "Fresh networks get as many images as polishing took, which was none: they are left out."
        return Audit(tuple(rows), population.predicted, (note,))
    with runner.progress("training fresh networks", len(samples)) as tick:
        fresh = []
        for each in samples.samples:
            weights = train_fresh(population.architecture, data, runner, each.index, steps=steps, images=images)
            fresh.append(Network(population.architecture, weights))
            tick(1)
    return Audit((*rows, judge.row("fresh networks", fresh, images=steps * images)), population.predicted)


class _Judge:
    """What all rows share: the training instances' answers and weights.

    Args:
        population: with weights; space, data: on the runner's device.
    """

    def __init__(self, population: Population, space: Space, data: ImageData, runner: Runner) -> None:
        self.population, self.space, self.data, self.runner = population, space, data, runner
        self.labels = labels_of(data, "test")
        self.weights = population.aligned_weights("audit")
        # A unit of distance: one deviation of its layer for each weight.
        self.unit = population.deviations * population.architecture.parameter_count**0.5
        networks = [Network(population.architecture, each) for each in self.weights]
        self.logits = test_logits(networks, data, runner)
        self.wrong = self._wrong(self.logits)

    def row(
        self, name: str, networks: Sequence[Network], embeddings: Tensor | None = None, *, images: int | None = None
    ) -> AuditRow:
        """Of networks that are no training instances."""
        logits = test_logits(networks, self.data, self.runner)
        weights = stacked_weights(networks)
        found = self._encoded(weights) if embeddings is None else embeddings
        overlaps = error_overlaps(self._wrong(logits), self.wrong)
        ordered = align_weights(
            self.population.architecture, self.weights[0], weights, self.runner.generator("audit", name)
        )
        return self._finished(name, logits, overlaps, self._nearest(ordered, {}), found, images)

    def training_row(self, count: int) -> AuditRow:
        """Of the most accurate training instances, each beside all others."""
        count = min(count, len(self.population))
        own = torch.arange(count)
        overlaps = error_overlaps(self.wrong[:count], self.wrong)
        overlaps[own, own] = 0.0
        distances = self._nearest(self.weights[:count], {i: i for i in range(count)})
        embeddings = self.population.embeddings[:count]
        name = "predicted instances" if self.population.predicted else "training instances"
        return self._finished(name, self.logits[:count], overlaps, distances, embeddings, None)

    def _finished(
        self,
        name: str,
        logits: Sequence[Tensor],
        overlaps: Tensor,
        distances: Tensor,
        embeddings: Tensor,
        images: int | None,
    ) -> AuditRow:
        found = together(logits, self.labels)
        spread = spread_of(embeddings, self.population.embeddings)
        return AuditRow(
            name,
            len(logits),
            found.members,
            found.deviation,
            found.ensemble,
            found.agreement,
            float(overlaps.amax(1).mean()),
            float(distances.mean()),
            None if spread is None else spread.deviation,
            None if spread is None else spread.variance,
            images,
        )

    def _nearest(self, ordered: Tensor, own: dict[int, int]) -> Tensor:
        """Aligned distances (n,) of networks in the population's order to the nearest training instance.

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

    def _encoded(self, weights: Tensor) -> Tensor:
        name = self.population.architecture.name
        with torch.no_grad():
            rows = [self.space.model.encode(name, self.runner.place(each)[None])[0].cpu() for each in weights]
        return torch.stack(rows)

    def _wrong(self, logits: Sequence[Tensor]) -> Tensor:
        return torch.stack([each.argmax(1) != self.labels for each in logits])
