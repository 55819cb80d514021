"""Independent tasks as jobs of a cluster: SLURM's, or to try it out this machine's, by submitit; or Ray's."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Self, TypeVar

from netspace_models.errors import ConfigError, RunFailed

from .elsewhere import Surroundings, work_in
from .executors import Lost
from .ray_executor import RayExecutor, check_ray

T = TypeVar("T")
R = TypeVar("R")

LOOK = 1.0  # seconds between two looks at the jobs
MINUTES = 240  # that a job may take; submitit's own limit is 5
AT_ONCE = 500  # jobs of an array; SLURM's usual limit is 1,000
SUBMITIT, RAY = ("slurm", "local"), "ray"
KINDS = (*SUBMITIT, RAY)


@dataclass(frozen=True)
class Cluster:
    """A cluster that jobs go to.

    Attributes:
        kind: "slurm"; "local" for processes of this machine, by submitit as well; or "ray".
        parameters: of the jobs. As submitit names them: timeout_min, gpus_per_node, slurm_partition ..., and folder
            for its own files. Of Ray, see `RayExecutor`.
    Raises:
        ConfigError: no such kind, or a parameter that Ray does not have; submitit checks its own later.
    """

    kind: str
    parameters: Mapping[str, int | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"unknown cluster {self.kind!r}.", f"Use one of {', '.join(KINDS)}.")
        if self.kind == RAY:
            check_ray(self.parameters)

    def executor(
        self, beside: Path, device: str, initial: Callable[[], None] | None = None
    ) -> ClusterExecutor | RayExecutor:
        """Make an executor, to be used as a context.

        Args:
            beside: a file or a folder that all machines find under this path; submitit's own files go to a new folder
                in `<its name>.jobs` beside it, or in the folder that the parameters name.
            device: that tasks are to use where they run; initial: called there before each task, picklable.
        Raises:
            ConfigError: as `ClusterExecutor` and `RayExecutor`.
        """
        if self.kind == RAY:
            return RayExecutor(device, self.parameters, initial)
        parameters = dict(self.parameters)
        path = Path(os.path.abspath(beside))
        folder = Path(str(parameters.pop("folder", path.with_name(f"{path.name}.jobs"))))
        return ClusterExecutor(self.kind, folder, device, parameters, initial)


class ClusterExecutor:
    """Jobs of a cluster, one for each task; may be used as a context.

    Args:
        kind: "slurm", or "local" for processes of this machine.
        folder: that all machines find under this path; submitit's own files go to a new one in it.
        device: that tasks are to use where they run.
        parameters: as in `Cluster`; without timeout_min, a job may take four hours.
        initial: called in each job before its task; picklable.
    Raises:
        ConfigError: submitit is not installed, there is no such cluster here, it refuses a parameter, or the folder
            cannot be made.
    """

    def __init__(
        self,
        kind: str,
        folder: Path,
        device: str,
        parameters: Mapping[str, Any],
        initial: Callable[[], None] | None = None,
    ) -> None:
        try:
            import submitit
        except ImportError as failure:
            raise ConfigError("work on a cluster needs submitit.", "pip install 'netspace[cluster]'.") from failure
        folder = _new_folder(folder)
        try:
            self._submitit = submitit.AutoExecutor(folder, cluster=kind)
            self._submitit.update_parameters(**{"timeout_min": MINUTES, **parameters})
        except (RuntimeError, NameError, TypeError, ValueError, AssertionError) as failure:
            folder.rmdir()
            text = " ".join(f"{name}={value}" for name, value in parameters.items())
            raise ConfigError(
                f"submitit cannot use {kind!r}{f' with {text}' if text else ''} ({failure}).",
                "Correct its settings, or use 'local'.",
            ) from failure
        utils = submitit.core.utils
        self._lost: type[Exception] = utils.UncompletedJobError
        self._failed: type[Exception] = utils.FailedJobError
        self._folder = folder
        self._device, self._initial = device, initial
        self.stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Do nothing: what is left is cancelled by `each` itself."""

    def stop(self) -> None:
        """Begin no more tasks: jobs that have not ended are cancelled, since the cluster has all of them already."""
        self.stopped = True

    def each(self, work: Callable[[T, str], R], tasks: Sequence[T]) -> Generator[tuple[int, R | Lost]]:
        """Places of tasks with their results: see `Executor`."""
        do = partial(work_in, Surroundings.here(self._initial), work)
        submitted = []
        for first in range(0, len(tasks), AT_ONCE):
            with self._submitit.batch():
                submitted += [self._submitit.submit(do, t, self._device) for t in tasks[first : first + AT_ONCE]]
        waiting = dict(enumerate(submitted))
        try:
            while waiting and not self.stopped:
                ended = [place for place, job in waiting.items() if job.done()]
                for place in ended:
                    yield place, self._outcome(waiting.pop(place))
                if not ended:
                    time.sleep(LOOK)
        finally:
            for job in waiting.values():
                job.cancel()

    def _outcome(self, job: Any) -> Any:
        try:
            return job.result()
        except self._failed as failure:
            raise RunFailed(
                f"job {job.job_id} failed: {_last_line_of_trace(str(failure))}",
                f"What it wrote is in {self._folder}; finished work is kept.",
            ) from failure
        except self._lost:
            return Lost(f"job {job.job_id}, {job.state}")


def _new_folder(folder: Path) -> Path:
    """Make a folder in another. What submitit reads are pickles: none may have been there before, nor come from
    anybody else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Path(mkdtemp(prefix="run-", dir=folder.resolve()))
    except OSError as failure:
        raise ConfigError(
            f"submitit cannot keep its files in {folder} ({failure.strerror}).",
            "Name a folder that all machines can write to, by folder=PATH among the cluster's settings.",
        ) from failure


def _last_line_of_trace(text: str) -> str:
    """The error itself, of submitit's message: a trace between dashed lines, and then where more is written."""
    lines = [line.strip() for line in text.splitlines()]
    dashed = [i for i, line in enumerate(lines) if line and not line.strip("-")]
    trace = lines[dashed[0] + 1 : dashed[1]] if len(dashed) > 1 else lines
    return next((line for line in reversed(trace) if line), "no details")
