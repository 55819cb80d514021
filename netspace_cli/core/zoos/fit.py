"""Fit networks to shapes and pictures, many at once, and write them as a zoo."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from netspace_models.architectures import Architecture, FieldIO
from netspace_models.errors import ConfigError
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.points import COLOURS, DISTANCES, FieldData
from netspace_cli.core.data.records import differences
from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.files.outputs import check_folder
from netspace_cli.core.networks.factories import resolve_architecture
from netspace_cli.core.networks.trust import trusting
from netspace_cli.core.runtime.executors import Executor, LocalExecutor, results_of
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes.samples import Shape
from netspace_cli.core.shapes.sources import ShapeSource
from netspace_cli.core.shapes.values import mean_error, values_of, within

from .additions import Additions, kept_files
from .fitting import FitJob, FitPlan, fit, starts
from .splits import draw_splits
from .zoo import SPLITS, Instance, Zoo, create_zoo, open_zoo, write_instance

# Splits where none are asked for, in proportion.
SHARES = (8, 1, 1)


def fit_jobs(sources: Sequence[ShapeSource], plan: FitPlan, seed: int) -> list[FitJob]:
    """Draw shapes or pictures to fit and their splits, from the seed.

    Raises:
        ConfigError: fewer sources than counts, or none.
    """
    counts = plan.counts
    total = len(sources) if counts is None else sum(counts)
    if total < 1 or total > len(sources):
        raise ConfigError(
            f"{total} instances were asked for and there are {len(sources)} shapes.",
            f"Give counts that fit: {setting('counts', ('TRAIN', 'VAL', 'TEST'))}.",
        )
    draw = random.Random(f"{seed}/shapes")
    chosen = sorted(draw.sample(range(len(sources)), total))
    if counts is None:
        splits = draw_splits(total, SHARES, {}, draw)
    else:
        splits = [s for s, n in zip(SPLITS, counts, strict=True) for _ in range(n)]
        draw.shuffle(splits)
    return [FitJob(sources[i].name, split, sources[i], seed + i) for i, split in zip(chosen, splits, strict=True)]


def fit_zoo(
    path: Path,
    sources: Sequence[ShapeSource],
    plan: FitPlan,
    runner: Runner,
    *,
    workers: int = 1,
    executor: Executor | None = None,
) -> Zoo:
    """Fit the plan's missing networks; the manifest grows by one group of networks at a time.

    Networks that are listed and whose files are gone are fitted again.

    Args:
        path: the zoo's folder; a zoo of the same kind of fields is added to.
        sources: of one kind.
        workers, executor: processes, as in `train_zoo`.
    Raises:
        ConfigError: the plan asks for more than there is, or the folder holds another zoo or other instances; a
            network that was fitted again is another one; fp16.
        InputFileError: a shape that cannot be fitted; none is started before all have been checked, as far as
            that is quick.
        RunFailed: a loss that is not finite, or a worker process was killed again and again; those finished are kept.
    """
    runner.check_gradients()
    jobs = fit_jobs(sources, plan, runner.seed)
    data = data_of(sources)
    todo = fits_so_far(path, sources, jobs, plan)
    additions = Additions(path, open_zoo(path) if (path / "zoo.json").is_file() else None, "fitted")
    size = min(plan.together, -(-len(todo) // max(1, workers)))
    groups = [todo[start : start + size] for start in range(0, len(todo), max(1, size))]
    begin = partial(create_zoo, path, data.record(), {"licence": plan.licence})
    if workers > 1 or executor is not None:
        begin()
        _fit_elsewhere(additions, groups, plan, data, runner, executor or LocalExecutor(runner.devices(workers)))
        return additions.end([job.id for job in jobs])
    architecture, done = resolve_architecture(plan.arch, data.io), 0
    for group in groups:
        name = f"fitting {done + 1}-{done + len(group)} of {len(todo)}"
        done += len(group)
        for instance in _fit_group(path, group, architecture, plan, runner, name, begin):
            additions.add(instance)
        runner.count(len(group), "instances")
    return additions.end([job.id for job in jobs])


def _fit_group(
    path: Path,
    group: Sequence[FitJob],
    architecture: Architecture,
    plan: FitPlan,
    runner: Runner,
    name: str,
    begin: Callable[[], object],
) -> Iterator[Instance]:
    """Fit networks at once, and write them; `begin` is called when their shapes could be read."""
    shapes = [job.source.read(runner.generator("shape", job.id)) for job in group]
    begin()
    weights = fit(starts(group, architecture, plan), shapes, architecture, plan, runner, name)
    for job, shape, own in zip(group, shapes, weights, strict=True):
        yield _write(path, job, shape, own, architecture, plan, runner)


def _fit_elsewhere(
    additions: Additions,
    groups: Sequence[Sequence[FitJob]],
    plan: FitPlan,
    data: FieldData,
    runner: Runner,
    executor: Executor,
) -> None:
    """Fit groups in other processes; the manifest grows as each is done."""
    work = partial(
        _in_process,
        plan=plan,
        io=data.io,
        precision=runner.precision_name,
        seed=runner.seed,
        path=additions.path,
    )
    with (
        runner.progress("fitting the zoo", sum(map(len, groups))) as tick,
        closing(results_of(executor, work, groups)) as finished,
    ):
        for instances in finished:
            for instance in instances:
                additions.add(instance)
            runner.count(len(instances), "instances")
            tick(len(instances))


def _in_process(
    group: Sequence[FitJob], device: str, *, plan: FitPlan, io: FieldIO, precision: str, seed: int, path: Path
) -> list[Instance]:
    # What the user has named was named in another process.
    with trusting(plan.arch), Runner(device, precision=precision, threads=1, seed=seed) as runner:
        architecture = resolve_architecture(plan.arch, io)
        return list(_fit_group(path, group, architecture, plan, runner, "fitting", lambda: None))


def fits_so_far(path: Path, sources: Sequence[ShapeSource], jobs: Sequence[FitJob], plan: FitPlan) -> list[FitJob]:
    """Networks that are left to fit, before anything is made; refuses shapes that cannot be fitted.

    Raises:
        ConfigError, InputFileError: as `fit_zoo`.
    """
    data = data_of(sources)
    resolve_architecture(plan.arch, data.io)
    todo = list(jobs)
    if (path / "zoo.json").is_file():
        zoo = create_zoo(path, data.record(), {})
        todo = left_to_fit(zoo, jobs, plan)
    else:
        check_folder(path)
    for job in todo:
        job.source.check()
    return todo


def data_of(sources: Sequence[ShapeSource]) -> FieldData:
    """The data of a zoo of these fields."""
    first = sources[0]
    what = COLOURS if first.kind == "picture" else DISTANCES
    return FieldData(FieldIO(first.dimensions, first.values), {"values": what})


def left_to_fit(zoo: Zoo, jobs: Sequence[FitJob], plan: FitPlan) -> list[FitJob]:
    """Jobs that a zoo does not have yet, or has lost the files of.

    Raises:
        ConfigError: it has one that was fitted otherwise, or for another split.
    """
    done: Mapping[str, Instance] = {i.id: i for i in zoo.instances}
    for job in jobs:
        there = done.get(job.id)
        if there is None:
            continue
        wanted = {"split": job.split, "arch": plan.arch, "seed": job.seed, **_settings(job, plan)}
        known = {**there.training, "split": there.split, "arch": there.arch, "seed": there.seed}
        differing = differences({k: v for k, v in known.items() if k in wanted}, wanted)
        if differing:
            raise ConfigError(
                f"{zoo.path} has {job.id} already, fitted otherwise: {'; '.join(differing)}.",
                "Use the settings that it was started with, or choose another folder.",
            )
    kept = kept_files(zoo)
    return [job for job in jobs if job.id not in kept]


def _settings(job: FitJob, plan: FitPlan) -> dict[str, Any]:
    """Everything that a network depends on beside its architecture and seed."""
    return {**plan.settings(), "source": job.source.path.name, **job.source.about}


@dataclass(frozen=True)
class FitErrors:
    """Mean absolute errors of a zoo's networks on held-out points.

    Attributes:
        n: of the networks.
        median, highest: of them.
        most: what 95 % of them do not exceed.
    """

    n: int
    median: float
    most: float
    highest: float


def fit_errors(zoo: Zoo) -> FitErrors:
    """Errors of a zoo made by `fit_zoo`, from its manifest."""
    errors = [i.training["error"] for i in zoo.instances]
    median, most, highest = np.quantile(errors, [0.5, 0.95, 1.0], method="inverted_cdf").tolist()
    return FitErrors(len(errors), median, most, highest)


def _write(
    path: Path, job: FitJob, shape: Shape, weights: Tensor, architecture: Architecture, plan: FitPlan, runner: Runner
) -> Instance:
    file = write_instance(path, job.id, architecture.name, architecture.to_state(weights), plan.licence)
    found = values_of(architecture, runner.place(weights), runner.place(shape.held_points), runner)
    return Instance(
        id=job.id,
        arch=architecture.name,
        split=job.split,
        file=file,
        sha256=sha256_of(path / file),
        seed=job.seed,
        accuracy={"test": round(within(shape.held_values, found), 6)},
        licence=plan.licence,
        training={
            **_settings(job, plan),
            "error": round(mean_error(shape.held_values, found), 6),
        },
    )
