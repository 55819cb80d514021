"""Train the instances of a zoo in this process, or in several beside it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Generator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from netspace_models.wording import setting, speak, spoken

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.networks.factories import resolve_architecture
from netspace_cli.core.networks.scores import scores
from netspace_cli.core.networks.trust import trusting
from netspace_cli.core.runtime.runner import Runner

from .plan import Job, ZooPlan
from .train_one import fit_module, fresh
from .zoo import Instance, write_instance


def results(
    todo: list[Job], plan: ZooPlan, data: ImageData, runner: Runner, path: Path, workers: int
) -> Generator[Instance, None, None]:
    """The instances of jobs, each as soon as its file is written.

    Args:
        path: of the zoo.
        workers: processes, each training one instance at a time on one processor thread; 1 for this process alone.
    Raises:
        RunFailed: a loss is not finite.
    """
    if workers <= 1:
        data = runner.place(data)
        for job in todo:
            yield train_instance(job, plan, data, runner, path)
        return
    arguments = (plan, data, str(runner.device), runner.precision_name, runner.seed, path)
    # Spawned, not forked: torch's thread pools do not survive a fork.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=speak, initargs=(spoken(),))
    try:
        waiting: set[Future[Instance]] = {pool.submit(_in_process, job, *arguments) for job in todo}
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            # What is finished is kept, whatever became of the others.
            done = [f.result() for f in finished if f.exception() is None]
            yield from sorted(done, key=lambda instance: instance.id)
            for future in finished:
                future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_process(
    job: Job, plan: ZooPlan, data: ImageData, device: str, precision: str, seed: int, path: Path
) -> Instance:
    # What the user has named was named in another process.
    with trusting(*plan.arch), Runner(device, precision=precision, threads=1, seed=seed) as runner:
        return train_instance(job, plan, runner.place(data), runner, path)


def train_instance(job: Job, plan: ZooPlan, data: ImageData, runner: Runner, zoo: Path) -> Instance:
    """Train one instance from its seed, write its checkpoint, score it on all splits.

    Raises:
        RunFailed: the loss is not finite.
    """
    architecture = resolve_architecture(job.arch, data.signal)
    module = runner.place(fresh(job, plan, data))
    with runner.guard(f"training {job.id}", f"Lower {setting('batch')}."):
        fit_module(module, job, plan, data, runner)
    state = {n: t.detach().cpu() for n, t in module.state_dict().items()}
    file = write_instance(zoo, job.id, architecture.name, state, plan.licence)
    weights = runner.place(architecture.to_weights(state))
    accuracy = {k: round(v, 6) for k, v in scores(architecture, weights, data, runner).items()}
    return Instance(
        id=job.id,
        arch=job.arch,
        split=job.split,
        file=file,
        sha256=sha256_of(zoo / file),
        seed=job.seed,
        epochs=job.epochs,
        accuracy=accuracy,
        licence=plan.licence,
        training=plan.settings(runner.precision_name),
    )
