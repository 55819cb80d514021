"""Several architectures in one space (Fig. 5), also with some unseen in training (Fig. 5 right)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

from netspace_models.errors import ConfigError

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.path_step import Step
from netspace_cli.core.paths.path import interpolate
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.search.lso import parametrisation_of
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Instance, Zoo

from .fidelity import instance_table, measure, summary_table
from .figures import fidelity_and_path, gains
from .held_out import Scale, by_validation, encoded_input
from .optimising import Searches, Tuned, kept_searches, optimising_table
from .paths import path_table, runs
from .report import Column, Report, Table


def several(
    zoo: Zoo,
    folder: Path,
    space: Space,
    data: ImageData,
    runner: Runner,
    *,
    scale: Scale,
    teacher: Network | None = None,
) -> Report:
    """Measure fidelity by architecture, a path from the smallest to the largest, and optimisation in each.

    Path and searches begin at what the encoder gives, as published: that is what the space was trained to lead
    through the architectures. Those that the space has not seen (`space.unseen` of its recipe) are drawn on
    the path only, and set beside the zoo's own instances of them.

    Args:
        zoo: its test instances were not seen by the space.
        folder: where finished searches are kept (`kept_searches`).
        teacher: for optimising, the one that the space was trained with; None for the labels alone.
    Raises:
        ConfigError: a space of one architecture, or no test instance of the smallest or largest.
    """
    if len(space.architectures) < 2:
        raise ConfigError(f"space {space.name!r} has one architecture; this experiment is for several.", "See: single.")
    space, data = runner.place(space), runner.place(data)
    seen = zoo_of(zoo, [a.name for a in space.architectures if a.name not in space.recipe.space.unseen])
    measured = measure(seen, space, data, runner, refine_steps=scale.refine_steps)
    archs = [a.name for a in space.architectures]
    first, last = (middling(zoo, arch) for arch in (archs[0], archs[-1]))
    ends = [encoded_input(zoo, i, space, data, runner) for i in (first, last)]
    common: dict[str, Any] = {"steps": scale.path_steps, "data": data}
    path = interpolate(ends[0].embedding, ends[1].embedding, space, runner, ends=(archs[0], archs[-1]), **common)
    tables = [summary_table(measured), order_table(path), drawn_table(path, zoo, space)]
    figures = {"figure": lambda: fidelity_and_path(measured, path, {})}
    if scale.search_steps:
        with kept_searches(folder, zoo, space, data, runner, teacher, scale) as searches:
            tried = _optimised(seen, space, data, runner, searches)
        tables.append(optimising_table(tried))
        figures["optimising"] = lambda: gains(tried)
    tables += [instance_table(measured), path_table(path, {})]
    title = "Several architectures" + (", two of them unseen" if space.recipe.space.unseen else "")
    return Report(title, tuple(tables), figures, {"scale": vars(scale), "unseen": list(space.recipe.space.unseen)})


def zoo_of(zoo: Zoo, archs: Sequence[str]) -> Zoo:
    """A copy of the zoo with these architectures only."""
    return replace(zoo, instances=tuple(i for i in zoo.instances if i.arch in archs))


def middling(zoo: Zoo, arch: str) -> Instance:
    """The held-out (test) instance of median validation accuracy.

    Raises:
        ConfigError: the zoo has none.
    """
    rows = by_validation(zoo, arch, "test")
    if not rows:
        raise ConfigError(f"{zoo.path} has no test instance of {arch}.", "Train one: zoo train.")
    return rows[len(rows) // 2]


def order_table(path: Sequence[Step]) -> Table:
    """Architectures that a path passes, and their accuracies: one row each time the architecture changes."""
    rows = []
    for name, first, last in runs(path):
        found = [s.accuracy for s in path[first : last + 1] if s.accuracy is not None]
        rows.append((name, first, last, min(found, default=None), max(found, default=None)))
    columns = (
        Column("arch"),
        Column("first step", "count"),
        Column("last step", "count"),
        Column("lowest", "share"),
        Column("highest", "share"),
    )
    return Table("order", "Architectures along the path", columns, tuple(rows))


def drawn_table(path: Sequence[Step], zoo: Zoo, space: Space) -> Table:
    """Networks decoded at gamma = i / (A - 1), beside the zoo's own instances.

    Eq. 7 expects the architecture with ClassId i there.
    """
    rows = []
    names = [a.name for a in space.architectures]
    for i, name in enumerate(names):
        step = path[round(i / (len(names) - 1) * (len(path) - 1))]
        own = [x.accuracy["test"] for x in zoo.select(arch=name)]
        told = "unseen" if name in space.recipe.space.unseen else "seen"
        trained = mean(own) if own else None
        rows.append(
            (step.step, step.gamma, name, told, step.network.architecture.name, step.accuracy, trained, len(own))
        )
    columns = (
        Column("step", "count"),
        Column("gamma", "number"),
        Column("wanted"),
        Column("in training"),
        Column("drawn"),
        Column("accuracy", "share"),
        Column("trained instances, mean", "share"),
        Column("n", "count"),
    )
    return Table("drawn", "Drawn by interpolation, beside instances trained one by one", columns, tuple(rows))


def _optimised(
    zoo: Zoo,
    space: Space,
    data: ImageData,
    runner: Runner,
    searches: Searches,
) -> dict[str, list[Tuned]]:
    """Optimise from the median held-out instance of each architecture that the space was trained on."""
    found = {}
    for arch in (a.name for a in zoo.architectures()):
        instance = middling(zoo, arch)
        start = encoded_input(zoo, instance, space, data, runner).embedding
        found[arch] = [searches.best(instance.id, "space", parametrisation_of(space, runner.place(start)[None], arch))]
    return found
