"""Few labels without a teacher: a space, a random subspace, all weights, training from scratch.

The training instance with the best validation accuracy on the images as they are is adapted to k labelled
images a class, as they are or shifted. A method's rate is chosen on validation with the first seed and kept
for the others; after how many steps to stop, on validation too. The test split is scored once a run and
chooses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean, median, stdev

from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.evaluation.same_data import check_zoo_images
from netspace_cli.core.experiments.held_out import by_validation
from netspace_cli.core.experiments.report import Column, Report, Table
from netspace_cli.core.experiments.run_log import run_log
from netspace_cli.core.requests.inputs import has_architecture, wrong_space_error
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Instance, Zoo

from .few_labels_figure import accuracy_by_labels
from .methods import LADDER, METHODS, RATES
from .runs import STANDING, Bench, FewLabels, Run, all_runs

# The runs that are averaged, by shift, labelled images a class and method.
Used = Mapping[tuple[str, int, str], Sequence[Run]]


def few_labels(
    zoo: Zoo,
    space: Space,
    data: ImageData,
    runner: Runner,
    folder: Path,
    *,
    plan: FewLabels,
    arch: str | None = None,
) -> Report:
    """Adapt the best training instance to few labelled images, by each method and shift.

    Args:
        zoo: of the images the space was trained on.
        data: those images.
        folder: gets `runs.jsonl`, a line for each run as it is finished; those there are not done again.
        arch: which architecture of the zoo; by default the smallest.
    Raises:
        ConfigError: fewer images than asked for, no such architecture, or runs of other settings there.
        WrongSpace: the zoo is of other images than the space, or of an architecture that it lacks.
    """
    runner.check_gradients()
    plan.check(data)
    check_zoo_images(zoo, space)
    architecture = _architecture(zoo, arch)
    if not has_architecture(space, architecture):
        raise wrong_space_error(zoo.path, architecture, space)
    bench = Bench(zoo, best_instance(zoo, architecture.name), architecture, space, data, runner, plan)
    with run_log(folder / "runs.jsonl", bench.settings) as log:
        runs = all_runs(bench, log)
    return _report(bench, runs)


def best_instance(zoo: Zoo, arch: str) -> Instance:
    """The training instance of an architecture with the best validation accuracy in the manifest.

    Raises:
        ConfigError: the zoo has none, or one has no validation accuracy.
    """
    rows = zoo.select(split="train", arch=arch)
    if not rows:
        raise ConfigError(f"{zoo.path} has no training instance of {arch}.", "Train one: netspace zoo train.")
    unscored = next((i.id for i in rows if "val" not in i.accuracy), None)
    if unscored is not None:
        raise ConfigError(
            f"the manifest of {zoo.path} has no validation accuracy of {unscored}.", "Index it: netspace zoo index."
        )
    return by_validation(zoo, arch, "train")[-1]


def _architecture(zoo: Zoo, arch: str | None) -> Architecture:
    known = {a.name: a for a in zoo.architectures()}
    if not known or arch not in (None, *known):
        raise ConfigError(
            f"{zoo.path} has no instances" + (f" of {arch}." if arch else "."),
            f"It has {', '.join(known)}: name one with {setting('arch')}."
            if known
            else "Train some: netspace zoo train.",
        )
    return known[arch] if arch is not None else next(iter(known.values()))


def _report(bench: Bench, runs: Sequence[Run]) -> Report:
    plan, instance = bench.plan, bench.instance
    before = {r["shift"]: r["test_accuracy"] for r in runs if r["method"] == STANDING[0]}
    groups = [(shift, k, method) for shift in plan.shifts for k in plan.per_class for method in METHODS]
    used = {g: [r for r in runs if r.get("used") and (r["shift"], r["per_class"], r["method"]) == g] for g in groups}
    choosing = min(plan.val_images, len(bench.data.splits["val"]))
    tables = (_standing_table(runs), _accuracy_table(used, before, plan), _methods_table(used, choosing))
    points = sorted(plan.per_class)
    lines = {s: {m: [(k, *_mean_and_sd(used[s, k, m])) for k in points] for m in METHODS} for s in plan.shifts}
    return Report(
        f"Few labels: {instance.id}, on validation the best {instance.arch} of the zoo's training instances",
        (*tables, _runs_table(runs)),
        {"figure": lambda: accuracy_by_labels(lines, before)},
        {
            "scale": asdict(plan),
            "rates": RATES,
            "ladder": LADDER,
            "choosing_images": choosing,
            "instance": asdict(instance),
        },
    )


def _mean_and_sd(runs: Sequence[Run]) -> tuple[float, float | None]:
    """Mean and standard deviation of test accuracies; None as the deviation of a single one."""
    found = [r["test_accuracy"] for r in runs if r["test_accuracy"] is not None]
    return mean(found), stdev(found) if len(found) > 1 else None


def _standing_table(runs: Sequence[Run]) -> Table:
    columns = (Column("shift"), Column("network"), Column("validation", "share"), Column("accuracy", "share"))
    rows = [[r[name] for name in ("shift", "method", "val_accuracy", "test_accuracy")] for r in runs]
    title = "Before anything is adapted: the instance, and what its embedding decodes to"
    return Table("standing", title, columns, tuple(tuple(row) for row in rows if row[1] in STANDING))


def _accuracy_table(used: Used, before: Mapping[str, float], plan: FewLabels) -> Table:
    columns = [Column("shift"), Column("per class", "count"), Column(STANDING[0], "share")]
    columns += [Column(method, "share") for method in METHODS]
    rows = [
        (shift, k, before[shift], *(_mean_and_sd(used[shift, k, method])[0] for method in METHODS))
        for shift in plan.shifts
        for k in plan.per_class
    ]
    title = f"Test accuracy by number of labelled images per class, mean of {plan.seeds} seeds"
    return Table("accuracy", title, tuple(columns), tuple(rows))


def _methods_table(used: Used, choosing: int) -> Table:
    columns = (
        Column("shift"),
        Column("per class", "count"),
        Column("method"),
        Column("rate", "number"),
        Column("median step", "number"),
        Column("n", "count"),
        Column("accuracy", "share"),
        Column("sd", "share"),
    )
    rows = []
    for group, runs in used.items():
        steps = [r["step"] for r in runs if r["step"] is not None]
        rows.append((*group, runs[0]["rate"], median(steps), len(steps), *_mean_and_sd(runs)))
    title = f"Method by method; rate (with the first seed) and step chosen on {choosing:,} labelled validation images"
    return Table("few_labels", title, columns, tuple(rows))


def _runs_table(runs: Sequence[Run]) -> Table:
    columns = (
        Column("shift"),
        Column("per class", "count"),
        Column("method"),
        Column("seed"),
        Column("rate", "number"),
        Column("best step", "count"),
        Column("validation", "share"),
        Column("accuracy", "share"),
        Column("averaged"),
        Column("error"),
    )
    names = ("shift", "per_class", "method", "seed", "rate", "step", "val_accuracy", "test_accuracy")
    rows = [
        (*(r[name] for name in names), "yes" if r["used"] else "no", r.get("error"))
        for r in runs
        if r["method"] not in STANDING
    ]
    return Table(
        "runs", "Run by run; those with another rate than the one chosen are not averaged", columns, tuple(rows)
    )
