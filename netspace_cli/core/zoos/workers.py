"""Train the instances of a zoo in this process, or in several worker processes."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from netspace_models.errors import RunFailed
from netspace_models.wording import setting

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.data.source import DataSource
from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.networks.factories import resolve_architecture
from netspace_cli.core.networks.scores import scores
from netspace_cli.core.networks.trust import trusting
from netspace_cli.core.runtime.executors import Executor, LocalExecutor, results_of
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.workers import opened

from .plan import Job, ZooPlan
from .train_many import ON_PROCESSOR, TOGETHER, together_of, train_many
from .train_one import Snapshot, train_one
from .zoo import Instance, write_instance

# What is finished of a group, and why the rest is not.
_Outcome = tuple[list[Instance], RunFailed | None]


def results(
    todo: Sequence[Job],
    plan: ZooPlan,
    data: LabelledData,
    runner: Runner,
    path: Path,
    workers: int,
    executor: Executor | None = None,
    source: DataSource | None = None,
) -> Generator[Instance, None, None]:
    """Instances of jobs, each as soon as its file is written.

    Args:
        path: of the zoo.
        workers: processes, each training one group at a time on one processor thread; 1 for this process alone.
        executor: of these processes; None for this machine's, and its devices.
        source: where they find the data; None to send them.
    Raises:
        RunFailed: a loss is not finite, or a worker process was killed again and again.
    """
    # On a cluster's machines there may be accelerators that this one does not have.
    most = ON_PROCESSOR if executor is None and runner.device.type == "cpu" else TOGETHER
    groups = groups_of(todo, plan, data, workers, most)
    if workers <= 1 and executor is None:
        data = runner.place(data)
        for group in groups:
            yield from train_group(group, plan, data, runner, path)
        return
    executor = executor or LocalExecutor(runner.devices(workers))
    work = partial(
        _in_process, plan=plan, data=source or data, precision=runner.precision_name, seed=runner.seed, path=path
    )
    failures: list[RunFailed] = []
    with closing(results_of(executor, work, groups)) as outcomes:
        for instances, failure in outcomes:
            # What is finished is kept, whatever became of the others.
            yield from instances
            if failure is not None:
                failures.append(failure)
                executor.stop()  # what is under way may still finish some
    if failures:
        raise failures[0]


def groups_of(
    todo: Sequence[Job], plan: ZooPlan, data: LabelledData, workers: int, most: int = TOGETHER
) -> list[list[Job]]:
    """Group jobs to train at once.

    Each group has one architecture, at most the plan's number or else `most`, and leaves every worker its share.
    """
    groups = []
    for arch in dict.fromkeys(job.arch for job in todo):
        own = [job for job in todo if job.arch == arch]
        together = together_of(resolve_architecture(arch, data.io), plan.together, most)
        size = min(together, -(-len(own) // max(1, workers)))
        groups += [own[first : first + size] for first in range(0, len(own), size)]
    return groups


def _in_process(
    group: list[Job],
    device: str,
    *,
    plan: ZooPlan,
    data: LabelledData | DataSource,
    precision: str,
    seed: int,
    path: Path,
) -> _Outcome:
    data = opened(data) if isinstance(data, DataSource) else data
    instances: list[Instance] = []
    # What the user has named was named in another process.
    with trusting(*plan.arch), Runner(device, precision=precision, threads=1, seed=seed) as runner:
        try:
            instances.extend(train_group(group, plan, runner.place(data), runner, path))
        except RunFailed as failure:
            return instances, failure
    return instances, None


def train_group(
    group: Sequence[Job], plan: ZooPlan, data: LabelledData, runner: Runner, zoo: Path
) -> Iterator[Instance]:
    """Train networks from their seeds; write and score each instance as it is done.

    Args:
        group: one job, or several of one architecture that are trained at once.
        data: on the runner's device.
    Raises:
        RunFailed: a loss is not finite.
    """
    # Not by the size of the group: one that is left of several has to become what it would among them.
    alone = together_of(resolve_architecture(group[0].arch, data.io), plan.together) == 1
    snapshots = train_one(group[0], plan, data, runner) if alone else train_many(group, plan, data, runner)
    doing, hint = f"training {group[0].id}", setting("batch")
    if len(group) > 1:
        doing, hint = f"{doing} and {len(group) - 1} more at once", f"{hint} or {setting('together')}"
    while True:
        with runner.guard(doing, f"Lower {hint}."):
            snapshot = next(snapshots, None)
        if snapshot is None:
            return
        yield _written(snapshot, plan, data, runner, zoo)


def _written(snapshot: Snapshot, plan: ZooPlan, data: LabelledData, runner: Runner, zoo: Path) -> Instance:
    """Write an instance as a checkpoint in the zoo, and return its line for the manifest."""
    job, epoch, state = snapshot.job, snapshot.epoch, snapshot.state
    architecture = resolve_architecture(job.arch, data.io)
    id = job.instances()[epoch]
    run = job.id if job.keep else None
    file = write_instance(zoo, id, architecture.name, state, plan.licence, run=run)
    weights = runner.place(architecture.to_weights(state))
    accuracy = {k: round(v, 6) for k, v in scores(architecture, weights, data, runner).items()}
    return Instance(
        id=id,
        arch=job.arch,
        split=job.split,
        file=file,
        sha256=sha256_of(zoo / file),
        seed=job.seed,
        epochs=epoch,
        accuracy=accuracy,
        licence=plan.licence,
        training=job.record(plan, runner.precision_name),
    )
