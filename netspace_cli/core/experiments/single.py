"""One architecture, with instances of varied accuracy (Fig. 3, and Table I for one architecture)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from netspace_models.errors import ConfigError

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.networks.network import Network
from netspace_cli.core.paths.path import interpolate, weight_paths
from netspace_cli.core.paths.walks import network_at
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo

from .fidelity import instance_table, measure, summary_table
from .figures import fidelity_and_path, gains
from .held_out import Scale, placed, refined_input, weakest_and_strongest
from .optimising import kept_searches, optimising_table, parametrisations, zoo_table
from .paths import order_table, path_table
from .report import Report


def single(
    zoo: Zoo,
    folder: Path,
    space: Space,
    data: ImageData,
    runner: Runner,
    *,
    scale: Scale,
    teacher: Network | None = None,
) -> Report:
    """Measure fidelity, a path from the weakest to the strongest held-out instance, and optimisation from both.

    Args:
        zoo: of one architecture; its test instances were not seen by the space.
        folder: where finished searches are kept (`kept_searches`).
        teacher: for optimising; None for the labels alone.
    Raises:
        ConfigError: a zoo of several architectures, or fewer than two test instances.
    """
    names = [a.name for a in zoo.architectures()]
    if len(names) != 1:
        raise ConfigError(f"{zoo.path} has {', '.join(names)}; this experiment is for one.", "See: several.")
    space, data = runner.place(space), runner.place(data)
    measured = measure(zoo, space, data, runner, refine_steps=scale.refine_steps)
    held_out = weakest_and_strongest(zoo, names[0])
    ends = [refined_input(zoo, i, space, data, runner, scale) for i in held_out]
    common: dict[str, Any] = {"steps": scale.path_steps, "data": data}
    path = interpolate(ends[0].embedding, ends[1].embedding, space, runner, **common)
    one, other = (network_at(end.end, space, runner) for end in ends)
    baselines = weight_paths(one, other, runner, **common)
    tables = [summary_table(measured), order_table(path, baselines)]
    figures = {"figure": lambda: fidelity_and_path(measured, path, baselines)}
    if scale.search_steps:
        with kept_searches(folder, zoo, space, data, runner, teacher, scale) as searches:
            starts = zip(("weakest", "strongest"), held_out, ends, strict=True)
            tried = {
                f"{title} held-out instance": [
                    searches.best(instance.id, method, parametrisation)
                    for method, parametrisation in parametrisations(
                        space, placed(end, runner), runner.place(end.embedding), searches.objective
                    ).items()
                ]
                for title, instance, end in starts
            }
        tables.append(optimising_table(tried))
        figures["optimising"] = lambda: gains(tried)
    tables += [zoo_table(zoo, names[0]), instance_table(measured), path_table(path, baselines)]
    return Report(f"One architecture: {names[0]}", tuple(tables), figures, {"scale": vars(scale)})
