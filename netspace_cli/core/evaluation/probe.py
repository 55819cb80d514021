"""Linear probes: predict accuracy, epochs and generalisation gap from embeddings.

As the hyper-representation papers do (Schürholt et al., 2021, section 4.1), with ridge regression; always beside weight
statistics s(W) and the raw weights, which are as good in most of their tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError
from netspace_models.parameters.statistics import weight_statistics
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.networks.scores import key_of
from netspace_cli.core.runtime.results import Result
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Instance, Zoo

from .regression import Regression, fit_ridge

LEAST = {"train": 5, "test": 3}
# What a property is predicted from.
KINDS: Mapping[str, tuple[str, ...]] = {
    "embeddings": ("embeddings",),
    "statistics": ("statistics",),
    "both": ("embeddings", "statistics"),
    "weights": ("weights",),
}
# Of an instance, None where the manifest does not say.
Property = Callable[[Instance], float | None]
PROPERTIES: Mapping[str, Property] = {
    "accuracy": lambda i: i.accuracy.get("test"),
    "epochs": lambda i: i.epochs,
    "generalisation gap": lambda i: (
        i.accuracy["train"] - i.accuracy["test"] if {"train", "test"} <= set(i.accuracy) else None
    ),
}


@dataclass(frozen=True)
class Probe(Result):
    """How well one property is predicted from one kind of features, on test instances.

    Attributes:
        arch: of the instances; property: what is predicted.
        features: what from: "embeddings", "statistics", "both" of these, or "weights".
        train, test: instances that the regression has seen, validation instances too; and that it is judged on.
        r2: share of the variance that is explained, below 0 where the mean would do better.
        tau: Kendall's rank correlation; None where all predictions are alike.
        penalty: of the ridge; share: of embeddings in "both", else None. Chosen on
            validation instances: embeddings of the training instances tell more than those of others, as the space has
            learnt from them. Without any, by cross-validation.
    """

    arch: str
    property: str
    features: str
    train: int
    test: int
    r2: float
    tau: float | None
    penalty: float
    share: float | None = None


def probe(zoo: Zoo, space: Space, runner: Runner, *, arch: str | None = None) -> list[Probe]:
    """Fit linear regressions on a zoo's training instances, and predict properties of its test instances.

    Args:
        zoo: with accuracies in its manifest; its images are not needed.
        space: that encodes the instances, on any device. Its own training saw the training instances at most.
        arch: of which architecture; None for each that the zoo has.
    Raises:
        ConfigError: too few instances, or none of the properties is known of them.
        WrongSpace: the space does not have an architecture.
    """
    space, found = runner.place(space), []
    called = {"accuracy": key_of(zoo.io)}
    for architecture in probed_architectures(zoo, arch):
        instances = {split: _instances(zoo, split, architecture.name) for split in LEAST}
        features = {split: _features(zoo, each, architecture, space, runner) for split, each in instances.items()}
        runs = [instance.run for instance in instances["train"]]
        held_out = [instance.split == "val" for instance in instances["train"]]
        for name, read in PROPERTIES.items():
            values = {split: [read(i) for i in each] for split, each in instances.items()}
            known = {split: [round(float(v), 6) for v in each if v is not None] for split, each in values.items()}
            # What is not known of some, or is the same of all, cannot be predicted.
            if any(len(known[s]) < len(values[s]) or len(set(known[s])) < 2 for s in LEAST):
                continue
            for kind, parts in KINDS.items():
                blocks = {split: [each[part] for part in parts] for split, each in features.items()}
                fitted = fit_ridge(blocks["train"], known["train"], runs, held_out)
                found.append(_judged(architecture.name, called.get(name, name), kind, fitted, blocks, known))
    if not found:
        raise ConfigError(
            f"{zoo.path} has nothing to predict: its manifest has no accuracies or epochs that differ.",
            "Give a zoo that has them.",
        )
    return found


def probed_architectures(zoo: Zoo, arch: str | None) -> list[Architecture]:
    """Architectures to probe; refuses those with too few instances.

    Raises:
        ConfigError: no such architecture, or too few instances of one.
    """
    known = {a.name: a for a in zoo.architectures()}
    if arch is not None and arch not in known:
        raise ConfigError(f"{zoo.path} has no instances of {arch}.", f"It has {', '.join(known)}.")
    chosen = [a for a in known.values() if arch in (None, a.name)]
    for architecture in chosen:
        for split, least in LEAST.items():
            count = len(zoo.select(split=split, arch=architecture.name))
            if count < least:
                raise ConfigError(
                    f"{zoo.path} has {count} {split} instances of {architecture.name}; a probe needs {least}.",
                    f"Train more of them, or name another architecture: {setting('arch')}.",
                )
    return chosen


def _features(
    zoo: Zoo, instances: Sequence[Instance], architecture: Architecture, space: Space, runner: Runner
) -> dict[str, np.ndarray]:
    """(N, features) for each kind of features."""
    weights = torch.stack(zoo.weights(instances, architecture))
    statistics = weight_statistics(architecture.spec, weights)
    embeddings = _embeddings(weights, architecture.name, space, runner).double()
    return {
        "embeddings": embeddings.numpy(),
        "statistics": statistics.numpy(),
        "weights": weights.double().numpy(),
    }


def _embeddings(weights: Tensor, arch: str, space: Space, runner: Runner) -> Tensor:
    with runner.progress(f"encoding {arch}", len(weights)) as tick, torch.no_grad():
        rows = []
        for each in weights:
            rows.append(space.model.encode(arch, runner.place(each)[None])[0].cpu())
            tick(1)
    runner.count(len(weights), "networks")
    return torch.stack(rows)


def _judged(
    arch: str,
    name: str,
    kind: str,
    fitted: Regression,
    blocks: Mapping[str, Sequence[np.ndarray]],
    known: Mapping[str, Sequence[float]],
) -> Probe:
    from scipy.stats import kendalltau
    from sklearn.metrics import r2_score

    predicted = fitted.predict(blocks["test"])
    tau = float(kendalltau(known["test"], predicted).statistic)
    return Probe(
        arch,
        name,
        kind,
        len(known["train"]),
        len(known["test"]),
        float(r2_score(known["test"], predicted)),
        None if np.isnan(tau) else tau,
        fitted.penalty,
        fitted.share if kind == "both" else None,
    )


def _instances(zoo: Zoo, split: str, arch: str) -> list[Instance]:
    """Return the test instances; or those to learn from, of which validation instances choose the settings."""
    splits = (split,) if split == "test" else (split, "val")
    return [instance for each in splits for instance in zoo.select(split=each, arch=arch)]
