"""From a zoo to merged draws of its instances: what each way keeps of the ensemble's gain."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.experiments.held_out import settings_of
from netspace_cli.core.experiments.report import Report
from netspace_cli.core.experiments.run_log import run_log
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo

from .merging_figure import gain_by_way, has_points
from .runs import LABELS, Bench, Merging, check_draws, pool_of
from .tables import merging_table, remarks_on


def merging(
    zoo: Zoo, folder: Path, data: ImageData, runner: Runner, *, plan: Merging, space: Space | None = None
) -> Report:
    """Merge several draws of a zoo's instances, with labels and without, and average what each way came to.

    Each merge leaves a line in runs.jsonl; what is there is not done again.

    Args:
        zoo: of classifiers, with accuracies on validation images.
        data: the zoo's images, with labels.
        space: one that has the architecture, for ways through embeddings.
    Raises:
        ConfigError: too few instances, members that cannot be merged so, or results of other settings in the folder.
        WrongSpace: the space lacks the architecture.
    """
    plan.check()
    pool = pool_of(zoo, plan)
    plan = replace(plan, into=None if plan.into == pool[0].arch else plan.into)
    check_draws(zoo, pool, data, space, plan)
    with run_log(folder / "runs.jsonl", settings_of("merging", zoo, data, runner, None) | plan.settings()) as log:
        bench = Bench(zoo, pool, runner.place(data), space, plan, runner, log)
        todo = [(draw, labels) for draw in range(plan.draws) for labels in LABELS[plan.labels]]
        with runner.progress("merging draws", len(todo)) as tick:
            runs = []
            for draw, labels in todo:
                runs.append(bench.run(draw, labels))
                tick(1)
    runs.sort(key=lambda run: not run["labels"])
    one = plan.into or "one"
    title = f"{plan.count} {pool[0].arch} to {one}: zoo {zoo.path.name}, images {data.record()['name']}"
    facts = {"plan": asdict(plan), "pool": [i.id for i in pool], "remarks": remarks_on(runs)}
    drawn = has_points(runs)
    figures = {"figure": lambda: gain_by_way(title, runs)} if drawn else {}
    return Report(title, (merging_table(runs),), figures, facts, undrawn=() if drawn else ("figure",))
