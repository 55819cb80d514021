"""Train a zoo: many instances from different seeds, for a number of epochs or a range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.data.records import differences
from netspace_cli.core.data.source import DataSource
from netspace_cli.core.networks.factories import resolve_architecture
from netspace_cli.core.networks.trainable import check_images_a_step, check_trains
from netspace_cli.core.runtime.executors import Executor
from netspace_cli.core.runtime.runner import Runner

from .additions import Additions, kept_files
from .plan import Job, ZooPlan, jobs_of
from .workers import results
from .zoo import Instance, Zoo, create_zoo, open_zoo


def train_zoo(
    path: Path | str,
    plan: ZooPlan,
    data: LabelledData,
    runner: Runner,
    *,
    workers: int = 1,
    executor: Executor | None = None,
    source: DataSource | None = None,
) -> Zoo:
    """Train the plan's missing instances; the manifest grows as instances are finished, and in the end has their order.

    Instances that are listed and whose files are gone are trained again.

    Args:
        path: the zoo's folder; a zoo of the same data is added to.
        plan: checked before anything is written.
        data: the images, on any device.
        runner: device and root seed.
        workers: processes, each training one group of instances at a time on one processor thread; they take the
            machine's devices by turns. What one of them was training when it was killed is trained again.
        executor: runs them elsewhere, e.g. a `ClusterExecutor`; None for this machine.
        source: where processes find the data; None to send them to each.
    Raises:
        ConfigError: the plan makes no zoo, the folder holds another, or instances that another plan made; fp16.
        RunFailed: an instance's loss is not finite; those finished are kept.
    """
    path = Path(path)
    plan.check()
    runner.check_gradients()
    for name in plan.arch:
        images = min(plan.batch, len(data.splits["train"].labels))
        architecture = resolve_architecture(name, data.io)
        check_trains(architecture)
        check_images_a_step(architecture, images, setting("batch", plan.batch), setting("batch", 2))
    zoo = create_zoo(path, data.record(), {"licence": plan.licence})
    jobs = jobs_of(plan, runner.seed)
    _check_done(path, jobs, {i.id: i for i in zoo.instances}, plan, runner.precision_name)
    additions, kept = Additions(path, zoo, "trained"), kept_files(zoo)
    todo = [left for job in jobs if (left := job.without(kept))]
    # Closed, so that workers end when the work is broken off here, and not some time later.
    with (
        runner.progress("training the zoo", sum(len(job.instances()) for job in todo)) as tick,
        closing(results(todo, plan, data, runner, path, workers, executor, source)) as finished,
    ):
        for instance in finished:
            additions.add(instance)
            runner.count(1, "instances")
            tick(1, id=instance.id, test=instance.accuracy["test"])
    return additions.end([id for job in jobs for id in job.instances().values()])


def _check_done(path: Path, jobs: Sequence[Job], done: Mapping[str, Instance], plan: ZooPlan, precision: str) -> None:
    """Refuse existing instances from another plan, since their splits and epochs would differ from this one."""
    splits = {instance.run: (instance.id, instance.split) for instance in done.values()}
    for job in jobs:
        settings = job.record(plan, precision)
        for epoch, id in job.instances().items():
            there = done.get(id)
            if there is not None and (there.split, there.epochs) != (job.split, epoch):
                raise ConfigError(
                    f"{path} has {id} already, as {there.split} instance of {there.epochs} epochs; "
                    f"this plan makes it a {job.split} instance of {epoch} epochs.",
                    "Use the counts and epochs that it was started with, or add instances of another "
                    f"{setting('seed')}.",
                )
            if there is not None and there.training not in ({}, settings):
                raise ConfigError(
                    f"{path} has {id} already, trained with other settings: "
                    f"{'; '.join(differences(there.training, settings))}.",
                    "Use the settings that it was started with, or add instances of seeds that it does not have: "
                    f"{setting('seed', 1 + max(each.seed or 0 for each in done.values()))}.",
                )
        other, split = splits.get(job.id, ("", job.split))
        if split != job.split:
            raise ConfigError(
                f"{path} has {other} of the run {job.id} as a {split} instance; this plan makes the run a {job.split} "
                "one, and the instances of a run share a split.",
                f"Use the counts that it was started with, or add instances of another {setting('seed')}.",
            )


def zoo_so_far(path: Path, data: LabelledData, archs: Sequence[str]) -> frozenset[str]:
    """Ids of the instances that a zoo already has, with their files; nothing is made.

    Args:
        path: of the zoo; it need not be there.
        data, archs: of the instances to be trained.
    Raises:
        ConfigError: the folder holds a zoo of other data, or is not a folder.
        UnknownArchitecture: no such architecture for these images.
    """
    for name in archs:
        resolve_architecture(name, data.io)
    if not (path / "zoo.json").is_file():
        if path.exists() and not path.is_dir():
            raise ConfigError(f"{path} already exists and is not a zoo.", "Choose another folder.")
        return frozenset()
    zoo = open_zoo(path)
    if zoo.data != data.record():
        raise ConfigError(
            f"{path} is a zoo of {zoo.data['name']} ({zoo.io.describe()}); this is {data.name} ({data.io.describe()}).",
            "Choose another folder: a zoo has one data set.",
        )
    return kept_files(zoo)
