"""Compare latent space optimisation with plain alternatives, each tuned on validation (Table I)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from netspace_models.errors import RunFailed
from torch import Tensor

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.search.baselines import all_weights, curvature_subspace, random_subspace
from netspace_cli.core.search.image_objective import ImageObjective
from netspace_cli.core.search.lso import parametrisation_of
from netspace_cli.core.search.search import Parametrisation, SearchResult, search
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.training.first_model import curvature_inputs
from netspace_cli.core.zoos.zoo import Zoo

from .held_out import Scale, objective_for, settings_of
from .rates import best_rate
from .report import Column, Table
from .run_log import RunLog, run_log

# Where the choice of a rate begins.
FIRST_RATES = {"space": 0.01, "random subspace": 0.03, "curvature subspace": 0.03, "all weights": 0.001}


@dataclass(frozen=True)
class Tuned:
    """Result of the best of several rates by validation.

    Attributes:
        method: where the search could go.
        lr: the rate chosen; step: after how many steps its best was found.
        before, after: test accuracy (a fraction).
    """

    method: str
    lr: float
    step: int
    before: float
    after: float


@dataclass(frozen=True)
class Searches:
    """The searches of an experiment, saved when finished. Made by `kept_searches`.

    Attributes:
        log: of the finished ones.
        objective, scale: of all of them.
        what: the rest of what their outcome depends on, as JSON.
    """

    log: RunLog
    objective: ImageObjective
    scale: Scale
    what: Mapping[str, Any]

    def best(self, start: str, method: str, parametrisation: Parametrisation) -> Tuned:
        """Tune from the instance `start`; a search that was finished before is not repeated.

        Raises:
            RunFailed: no rate gives a finite loss.
        """
        key = {**self.what, "start": start, "method": method}
        done = self.log.find(key)
        if done is None:
            steps, images = self.scale.search_steps, self.scale.search_images
            found = tuned(method, parametrisation, self.objective, steps=steps, images=images)
            done = self.log.add({**key, **asdict(found)})
        return Tuned(**{field.name: done[field.name] for field in fields(Tuned)})


@contextmanager
def kept_searches(
    folder: Path,
    zoo: Zoo,
    space: Space,
    data: ImageData,
    runner: Runner,
    teacher: Network | None,
    scale: Scale,
) -> Iterator[Searches]:
    """Begin the searches of an experiment, or continue those in `folder`/searches.jsonl.

    Searches of other steps, images, refining or spaces stay there beside these; those of another zoo, teacher
    or other data are refused.

    Raises:
        ConfigError: the folder has searches of another zoo, teacher or other data, or is in use.
    """
    settings = settings_of("searches", zoo, data, runner, teacher)
    what = {"space": space.sha256, **{k: v for k, v in vars(scale).items() if k != "path_steps"}}
    with run_log(folder / "searches.jsonl", settings) as log:
        yield Searches(log, objective_for(space, data, runner, teacher, scale), scale, what)


def parametrisations(
    space: Space, network: Network, embedding: Tensor, objective: ImageObjective
) -> dict[str, Parametrisation]:
    """The variables to optimise, on the device of the work.

    The learnt space from an embedding (E,); two subspaces of as many dimensions around the network that it was encoded
    from, one random and one along directions of curvature; and all weights of that network.
    """
    size = space.model.embedding_size
    images, generator = curvature_inputs(objective.data, objective.runner)
    return {
        "space": parametrisation_of(space, embedding[None], network.architecture.name),
        "random subspace": random_subspace(network, size),
        "curvature subspace": curvature_subspace(network, size, images, generator),
        "all weights": all_weights(network),
    }


def tuned(
    method: str, parametrisation: Parametrisation, objective: ImageObjective, *, steps: int, images: int
) -> Tuned:
    """Search with several rates and keep the best by validation accuracy, then loss.

    Raises:
        RunFailed: no rate gives a finite loss.
    """
    tried: dict[float, SearchResult] = {}

    def validation(lr: float) -> tuple[float, float]:
        description = f"{method}, rate {lr:.2g}"
        try:
            found = search(parametrisation, objective, steps=steps, lr=lr, images=images, description=description)
        except RunFailed:
            return (-1.0, 0.0)
        tried[lr] = found
        return found.validation.accuracy, -found.validation.loss

    lr = best_rate(validation, FIRST_RATES[method])
    if lr not in tried:
        raise RunFailed(f"{method}: no rate gives a finite loss.", "Take fewer steps, or check the start.")
    found = tried[lr]
    return Tuned(method, lr, found.step, found.initial.accuracy, found.optimised.accuracy)


def optimising_table(tried: Mapping[str, Sequence[Tuned]]) -> Table:
    """One row per start and method; `tried` by the name of the start."""
    columns = (
        Column("start"),
        Column("method"),
        Column("rate", "number"),
        Column("best step", "count"),
        Column("before", "share"),
        Column("after", "share"),
        Column("gain", "share"),
    )
    rows = [
        (start, t.method, t.lr, t.step, t.before, t.after, t.after - t.before)
        for start, methods in tried.items()
        for t in methods
    ]
    return Table("optimising", "Optimised on the same images in as many steps, test accuracy", columns, tuple(rows))


def zoo_table(zoo: Zoo, arch: str) -> Table:
    """Accuracies of the zoo's own instances: the best training instance, and the strongest tenth of all."""
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
