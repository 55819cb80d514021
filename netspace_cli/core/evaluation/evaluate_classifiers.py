"""Target against predicted, instance by instance: what a space keeps of a zoo it has not seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from netspace_models.errors import ConfigError
from torch import Tensor

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.encoding.decode import decode_row, recognised_in
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import accuracy, agreement, labels_of, logits_of
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Instance, Zoo

from .same_data import check_zoo_images

# Two instances count as equally accurate within this many points.
EQUAL_WITHIN = 0.02


@dataclass(frozen=True)
class Evaluated:
    """One instance of a zoo beside what its embedding decodes to.

    Attributes:
        id, arch: of the instance; predicted_arch: what its embedding is recognised as. The predicted
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
class Evaluation:
    """All instances, and in short."""

    instances: tuple[Evaluated, ...]

    def summary(self, arch: str | None = None) -> dict[str, Any]:
        """Of one architecture or of all: number, number seen, share of architectures recognised, mean
        accuracies, Pearson correlation and mean absolute error between them, mean agreement.

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
            "seen": None if any(e.seen is None for e in rows) else sum(bool(e.seen) for e in rows),
            "arch_accuracy": float(np.mean([e.arch == e.predicted_arch for e in rows])),
            "target_accuracy": float(target.mean()),
            "predicted_accuracy": float(predicted.mean()),
            "pearson": _pearson(target, predicted),
            "mae": float(np.abs(target - predicted).mean()),
            "agreement": float(np.mean([e.agreement for e in rows])),
            "n_paired": len(pairs),
            "agreement_paired": paired,
            "unrelated_agreement": unrelated,
        }

    def architectures(self) -> list[str]:
        """Names in order of appearance."""
        return list(dict.fromkeys(e.arch for e in self.instances))


def read_targets(zoo: Zoo, split: str) -> Iterator[tuple[tuple[Instance, ...], list[Network]]]:
    """The instances of a split and their networks, an architecture at a time.

    Raises:
        ConfigError: the zoo has no instances of the split.
        InputFileError: a file is missing or is not the one the manifest describes.
    """
    if not zoo.select(split=split):
        raise ConfigError(f"{zoo.path} has no {split} instances.", "Choose another split, or train some.")
    for architecture in zoo.architectures():
        chosen = zoo.select(split=split, arch=architecture.name)
        if chosen:
            yield chosen, [zoo.network(i, architecture) for i in chosen]


def evaluate(
    zoo: Zoo,
    space: Space,
    data: ImageData,
    runner: Runner,
    *,
    split: str = "test",
    refine_steps: int = 0,
) -> Evaluation:
    """Encode every instance of a split, decode it, and score both on the images of the test split.

    Args:
        split: of the zoo's instances.
        refine_steps: see `encode`; 0 for what the encoder alone gives.
    Raises:
        ConfigError: the zoo has no instances of the split.
        WrongSpace: the zoo is of other images than the space, or has an architecture that the space lacks.
    """
    check_zoo_images(zoo, space)
    space, data = runner.place(space), runner.place(data)
    results: list[Evaluated] = []
    for chosen, networks in read_targets(zoo, split):
        vectors = encode(networks, space, runner, data=data, refine_steps=refine_steps).vectors
        results += _compare(chosen, networks, runner.place(vectors), space, data, runner)
    return Evaluation(tuple(results))


def _compare(
    instances: Sequence[Instance],
    networks: Sequence[Network],
    embeddings: Tensor,
    space: Space,
    data: ImageData,
    runner: Runner,
) -> list[Evaluated]:
    architecture, labels = networks[0].architecture, labels_of(data, "test")
    arch, seen = architecture.name, files_seen(space)
    with runner.progress(f"scoring {arch}", len(instances)) as tick:
        targets, rows = [], []
        for instance, network, embedding in zip(instances, networks, embeddings, strict=True):
            targets.append(logits_of(architecture, runner.place(network.vector), data, "test", runner))
            built = decode_row(embedding, space, arch=arch)
            predicted = logits_of(built.architecture, built.vector, data, "test", runner)
            rows.append((instance, recognised_in(embedding, space).name, predicted))
            tick(1)
    return [
        Evaluated(
            instance.id,
            arch,
            recognised,
            accuracy(target, labels),
            accuracy(predicted, labels),
            agreement(target, predicted),
            _unrelated(i, targets, labels),
            None if seen is None else instance.sha256 in seen,
        )
        for i, (target, (instance, recognised, predicted)) in enumerate(zip(targets, rows, strict=True))
    ]


def files_seen(space: Space) -> frozenset[str] | None:
    """SHA-256 of each file that a space was trained on; None of a space that does not record them."""
    sums = [row.get("sha256") for row in space.record["zoo"]]
    return frozenset(sums) if all(isinstance(s, str) and s for s in sums) else None


def _unrelated(row: int, targets: Sequence[Tensor], labels: Tensor) -> float | None:
    """Mean agreement with the other instances of the split that are as accurate."""
    own = accuracy(targets[row], labels)
    others = [
        agreement(targets[row], t)
        for i, t in enumerate(targets)
        if i != row and abs(accuracy(t, labels) - own) <= EQUAL_WITHIN
    ]
    return float(np.mean(others)) if others else None


def _pearson(a: np.ndarray, b: np.ndarray) -> float | None:
    if len(a) < 3 or min(a.std(), b.std()) < 1e-9:
        return None
    return float(np.corrcoef(a, b)[0, 1])
