"""Classifiers of images: their data, comparison and evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from netspace_models.architectures import ImageIO
from netspace_models.errors import ConfigError, DataUnavailable, InputFileError
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.data import Data
from netspace_cli.core.data.datasets import data_available, load_images
from netspace_cli.core.data.images import ImageData, images_or_none
from netspace_cli.core.data.normalise import as_recorded
from netspace_cli.core.data.records import check_unchanged
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.score_label import ACCURACY, PERCENT
from netspace_cli.core.networks.scores import accuracy, agreement, labels_of, logits_of_each
from netspace_cli.core.runtime.runner import Runner

from .kind import Judged, count_seen
from .labelled import LabelledEvaluation, LabelledKind, data_hint, pearson

# Two instances count as equally accurate within this many points.
EQUAL_WITHIN = 0.02
VALIDATION_IMAGES = 512


@dataclass(frozen=True)
class Fidelity:
    """Comparison of a predicted instance with its target on a split.

    Attributes:
        target_accuracy, predicted_accuracy: fractions.
        agreement: share of images on which both predict the same class.
        predicted_arch: the architecture the embedding is classified as; the accuracy is that of the
            network's own architecture all the same, which is what decoding gives.
    """

    target_accuracy: float
    predicted_accuracy: float
    agreement: float
    predicted_arch: str


@dataclass(frozen=True)
class Evaluated:
    """One instance of a zoo and its predicted instance, compared.

    Attributes:
        id, arch: of the instance; predicted_arch: what its embedding is classified as. The predicted
            instance is of the instance's own architecture all the same, which is what decoding gives.
        target_accuracy, predicted_accuracy: fractions on the split's images.
        agreement: share of images on which both predict the same class.
        unrelated_agreement: the same between the target and other instances of equal accuracy, trained on
            their own; None where the zoo has none.
        seen: whether the very file took part in the space's training, to learn from or to choose the best
            step by; None where the space does not record it.
    """

    id: str
    arch: str
    predicted_arch: str
    target_accuracy: float
    predicted_accuracy: float
    agreement: float
    unrelated_agreement: float | None
    seen: bool | None = None


@dataclass(frozen=True)
class ImageEvaluation(LabelledEvaluation):
    """Evaluation of all instances, with a summary."""

    score_label: ClassVar[str] = ACCURACY

    instances: tuple[Evaluated, ...]

    def scores(self, arch: str) -> list[tuple[float, float]]:
        """Accuracies of each target and its predicted instance, in percent."""
        own = [e for e in self.instances if e.arch == arch]
        return [(PERCENT * e.target_accuracy, PERCENT * e.predicted_accuracy) for e in own]

    def summary(self, arch: str | None = None) -> dict[str, Any]:
        """Summary of one architecture or of all.

        Number, number seen, share of architectures recognised, mean accuracies, Pearson correlation and mean absolute
        error between them, mean agreement.

        `unrelated_agreement` is the mean over the n_paired instances that have others of equal accuracy;
        `agreement_paired` is the agreement over those alone, so that the two can be compared.

        None: Pearson where there is nothing to correlate (fewer than three, or all alike), the two means of
        no instance, and `seen` where the space does not record it.
        """
        rows = [e for e in self.instances if arch is None or e.arch == arch]
        target = np.array([e.target_accuracy for e in rows])
        predicted = np.array([e.predicted_accuracy for e in rows])
        pairs = [(e.agreement, e.unrelated_agreement) for e in rows if e.unrelated_agreement is not None]
        paired, unrelated = np.mean(pairs, axis=0).tolist() if pairs else (None, None)
        return {
            "n": len(rows),
            "seen": count_seen([e.seen for e in rows]),
            "arch_accuracy": float(np.mean([e.arch == e.predicted_arch for e in rows])),
            "target_accuracy": float(target.mean()),
            "predicted_accuracy": float(predicted.mean()),
            "pearson": pearson(target, predicted),
            "mae": float(np.abs(target - predicted).mean()),
            "agreement": float(np.mean([e.agreement for e in rows])),
            "n_paired": len(pairs),
            "agreement_paired": paired,
            "unrelated_agreement": unrelated,
        }


@dataclass
class ImageEvaluator:
    """Compare classifiers on the images of the test split.

    Attributes:
        data: on the runner's device.
        rows: of the instances judged so far.
    """

    data: ImageData
    runner: Runner
    rows: list[Evaluated] = field(default_factory=list)

    def outputs(self, networks: Sequence[Network]) -> Iterator[Tensor]:
        """(N,) classes that each network answers, on the processor."""
        for logits in logits_of_each(networks, self.data, "test", self.runner):
            yield logits.argmax(1).int()

    def judge(self, instances: Sequence[Judged]) -> None:
        """Add the instances of one architecture, each with the others of equal accuracy."""
        labels = labels_of(self.data, "test")
        accuracies = [_share(judged.target == labels) for judged in instances]
        unrelated = unrelated_agreements([judged.target for judged in instances], accuracies, self.data.io.classes)
        self.rows += [
            Evaluated(
                judged.id,
                judged.arch,
                judged.recognised,
                own,
                _share(judged.predicted == labels),
                _share(judged.target == judged.predicted),
                others,
                judged.seen,
            )
            for judged, own, others in zip(instances, accuracies, unrelated, strict=True)
        ]

    def evaluation(self) -> ImageEvaluation:
        """The evaluation of all added instances."""
        return ImageEvaluation(tuple(self.rows))


@dataclass(frozen=True)
class ImageKind(LabelledKind):
    """Classifiers of images."""

    io: ImageIO
    name: str = "classifiers"
    validation_inputs: int = VALIDATION_IMAGES

    def data_of_space(self, record: Mapping[str, Any], spec: str | None, owner: str) -> ImageData | None:
        """The named images, else the space's own if available, else None."""
        if spec is None:
            return self._own_data(record)
        data = load_images(spec, size=self.io.size)
        if data.io != self.io:
            raise ConfigError(
                f"{owner} is for {self.io.describe()}; {spec}, brought to that size, has {data.io.describe()}.",
                f"Give images like those the space was trained on, or another space ({setting('space')}).",
            )
        # Its networks know images in the space's own normalisation, whatever these images' mean is.
        return replace(data, mean=tuple(record["mean"]), std=tuple(record["std"]))

    def _own_data(self, record: Mapping[str, Any]) -> ImageData | None:
        """The images that a space was trained on, if available.

        Files and folders are recorded by name only, so the images found are compared with the record: otherwise other
        images would be used for scores and refining without notice.
        """
        name = str(record["name"])
        if not data_available(name):
            return None
        if not name.startswith(("npz:", "folder:")):
            return as_recorded(load_images(name, size=self.io.size), record)
        try:
            data = load_images(name, size=self.io.size)
        except (DataUnavailable, InputFileError):
            return None  # something else of the same name
        return as_recorded(data, record) if data.record()["splits"] == record["splits"] else None

    def choose_data_of_zoo(self, record: Mapping[str, Any], spec: str | None, owner: str) -> ImageData:
        """The named images, else those that the zoo was trained on."""
        name = str(record["name"])
        if spec is None and not data_available(name):
            raise DataUnavailable(
                f"the images of {name}, which {owner} was trained on, are not available.", data_hint(name)
            )
        images = as_recorded(load_images(spec or name, size=self.io.size), record)
        if spec is None:
            check_unchanged(images, record, owner)
        return images

    def compare(
        self, target: Network, predicted: Network, data: Data, runner: Runner, *, split: str, recognised: str
    ) -> Fidelity:
        """Compare accuracies and answers on a split's images."""
        images = require_images(data)
        one, other = logits_of_each([target, predicted], images, split, runner)
        labels = labels_of(images, split)
        return Fidelity(accuracy(one, labels), accuracy(other, labels), agreement(one, other), recognised)

    def evaluator(self, data: Data, runner: Runner, training: Iterable[Network]) -> ImageEvaluator:
        """Compare on the test split; training instances are not used."""
        return ImageEvaluator(require_images(data), runner)


def require_images(data: Data) -> ImageData:
    """Return the data if they are images with labels, else refuse them.

    Raises:
        ConfigError: data of another kind.
    """
    images = images_or_none(data)
    if images is None:
        raise ConfigError(f"{data.name} has no labelled images.", "This is for classifiers.")
    return images


def _share(flags: Tensor) -> float:
    return flags.double().mean().item()


def unrelated_agreements(
    answers: Sequence[Tensor], accuracies: Sequence[float], classes: int, *, within: float = EQUAL_WITHIN
) -> list[float | None]:
    """Mean agreement of each network with the others of equal accuracy; None without any.

    Networks are not compared in pairs: of all that are equally accurate, how many answer each class is counted for each
    image, and counts follow as accuracies rise.

    Args:
        answers: (N,) classes for each network; accuracies: of each.
        classes: K, of the images.
        within: difference of accuracies that counts as none.
    """
    found: list[float | None] = [None] * len(answers)
    order = sorted(range(len(answers)), key=lambda i: accuracies[i])
    said = [answers[i].numpy() for i in order]
    images = np.arange(len(said[0]) if said else 0)
    counts = np.zeros((len(images), classes), dtype=np.int32)
    low = high = 0
    for place, i in enumerate(order):
        while high < len(order) and accuracies[order[high]] - accuracies[i] <= within:
            counts[images, said[high]] += 1
            high += 1
        while accuracies[i] - accuracies[order[low]] > within:
            counts[images, said[low]] -= 1
            low += 1
        others = high - low - 1
        if others:
            alike = int(counts[images, said[place]].sum()) - len(images)
            found[i] = alike / (len(images) * others)
    return found
