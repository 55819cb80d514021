"""Latent space optimisation beside its plain alternatives, each tuned on validation (Table I)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from netspace_models.errors import RunFailed
from torch import Tensor

from netspace_cli.core.baselines import reach_of_directions, reach_of_subspace, reach_of_weights
from netspace_cli.core.lso import reach_of
from netspace_cli.core.networks import Network
from netspace_cli.core.progress import Progress
from netspace_cli.core.search import Found, Goal, Reach, search
from netspace_cli.core.space import Space
from netspace_cli.core.train import curvature_images
from netspace_cli.core.zoo import Zoo

from .rates import best_rate
from .report import Column, Table

# Where the choice of a rate begins.
FIRST_RATES = {"space": 0.01, "random subspace": 0.03, "curvature subspace": 0.03, "all weights": 0.001}


@dataclass(frozen=True)
class Tuned:
    """The best of several rates by validation.

    Attributes:
        method: where the search could go.
        lr: the rate chosen; found: what it found.
    """

    method: str
    lr: float
    found: Found


def reaches(space: Space, network: Network, embedding: Tensor, goal: Goal) -> dict[str, Reach]:
    """The learnt space from an embedding (E,); two subspaces of as many dimensions around the network it was
    made from, one random and one along its directions of curvature; and all weights of that network. All on
    the device of the work."""
    size = space.model.embedding_size
    images, generator = curvature_images(goal.data, goal.runner)
    return {
        "space": reach_of(space, embedding[None], network.architecture.name),
        "random subspace": reach_of_subspace(network, size),
        "curvature subspace": reach_of_directions(network, size, images, generator),
        "all weights": reach_of_weights(network),
    }


def tuned(method: str, reach: Reach, goal: Goal, *, steps: int, images: int, progress: Progress | None = None) -> Tuned:
    """Search with one rate after another and keep the best by validation accuracy, then loss.

    Raises:
        RunFailed: no rate gives a finite loss.
    """
    tried: dict[float, Found] = {}

    def validation(lr: float) -> tuple[float, float]:
        description = f"{method}, rate {lr:.2g}"
        try:
            found = search(reach, goal, steps=steps, lr=lr, images=images, progress=progress, description=description)
        except RunFailed:
            return (-1.0, 0.0)
        tried[lr] = found
        return found.validation.accuracy, -found.validation.loss

    lr = best_rate(validation, FIRST_RATES[method])
    if lr not in tried:
        raise RunFailed(f"{method}: no rate gives a finite loss.", "Take fewer steps, or check the start.")
    return Tuned(method, lr, tried[lr])


def optimising_table(tried: Mapping[str, Sequence[Tuned]]) -> Table:
    """A row for each start and method; `tried` by the name of the start."""
    columns = (
        Column("start"),
        Column("method"),
        Column("rate", "number"),
        Column("best step", "count"),
        Column("before", "share"),
        Column("after", "share"),
        Column("gain", "share"),
    )
    rows = []
    for start, methods in tried.items():
        for t in methods:
            before, after = t.found.initial.accuracy, t.found.optimized.accuracy
            rows.append((start, t.method, t.lr, t.found.step, before, after, after - before))
    return Table("optimising", "Optimised on the same images in as many steps, test accuracy", columns, tuple(rows))


def zoo_table(zoo: Zoo, arch: str) -> Table:
    """What the instances themselves reach: the best of the training ones, the strongest tenth of all."""
    trained = [i.accuracy["test"] for i in zoo.select(arch=arch, split="train")]
    every = sorted((i.accuracy["test"] for i in zoo.select(arch=arch)), reverse=True)
    tenth = every[: max(1, len(every) // 10)]
    rows = (
        ("best training instance", max(trained)),
        ("median of the strongest tenth", median(tenth)),
        ("strongest instance", every[0]),
        ("median instance", median(every)),
    )
    title = f"The zoo's own {len(every)} instances, test accuracy"
    return Table("zoo", title, (Column("instance"), Column("accuracy", "share")), rows)
