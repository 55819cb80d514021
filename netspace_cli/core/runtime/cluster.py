"""Independent tasks as jobs of a cluster, by submitit: SLURM's, or for trying out this machine's."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

from netspace_models.errors import ConfigError, RunFailed

from .executors import Lost

T = TypeVar("T")
R = TypeVar("R")

LOOK = 1.0  # seconds between two looks at the jobs
MINUTES = 240  # that a job may take; submitit's own limit is 5
AT_ONCE = 500  # jobs of an array; SLURM's usual limit is 1,000
KINDS = ("slurm", "local")


@dataclass(frozen=True)
class Cluster:
    """A cluster that jobs go to.

    Attributes:
        kind: "slurm", or "local" for processes of this machine.
        parameters: of the jobs, as submitit names them: timeout_min, gpus_per_node, slurm_partition ...
    """

    kind: str
    parameters: Mapping[str, int | str] = field(default_factory=dict)

    def executor(self, output: Path, device: str) -> ClusterExecutor:
        """Make an executor whose own files lie beside an output, in a new folder in `<its name>.jobs`.

        Raises:
            ConfigError: as `ClusterExecutor`.
        """
        return ClusterExecutor(self.kind, output.with_name(f"{output.name}.jobs"), device, self.parameters)


class ClusterExecutor:
    """Jobs of a cluster, one for each task.

    Args:
        kind: "slurm", or "local" for processes of this machine.
        folder: that all machines find under this path; submitit's own files go to a new one in it.
        device: that tasks are to use where they run.
        parameters: as in `Cluster`; without timeout_min, a job may take four hours.
    Raises:
        ConfigError: submitit is not installed, there is no such cluster here, or it refuses a parameter.
    """

    def __init__(self, kind: str, folder: Path, device: str, parameters: Mapping[str, Any]) -> None:
        if kind not in KINDS:
            raise ConfigError(f"unknown cluster {kind!r}.", f"Use one of {', '.join(KINDS)}.")
        try:
            import submitit
        except ImportError as failure:
            raise ConfigError("work on a cluster needs submitit.", "pip install 'netspace[cluster]'.") from failure
        try:
            # What submitit reads are pickles: none may have been there before, nor come from anybody else.
            folder.mkdir(parents=True, exist_ok=True)
            folder = Path(mkdtemp(prefix="run-", dir=folder.resolve()))
            self._submitit = submitit.AutoExecutor(folder, cluster=kind)
            self._submitit.update_parameters(**{"timeout_min": MINUTES, **parameters})
        except (RuntimeError, NameError, TypeError, ValueError, AssertionError) as failure:
            text = " ".join(f"{name}={value}" for name, value in parameters.items())
            raise ConfigError(
                f"submitit cannot use {kind!r}{f' with {text}' if text else ''} ({failure}).",
                "Correct its settings, or use 'local'.",
            ) from failure
        utils = submitit.core.utils
        self._lost: type[Exception] = utils.UncompletedJobError
        self._failed: type[Exception] = utils.FailedJobError
        self._folder = folder
        self._device = device
        self.stopped = False

    def stop(self) -> None:
        """Begin no more tasks: jobs that have not ended are cancelled, since the cluster has all of them already."""
        self.stopped = True

    def each(self, work: Callable[[T, str], R], tasks: Sequence[T]) -> Generator[tuple[int, R | Lost]]:
        """Places of tasks with their results: see `Executor`."""
        submitted = []
        for first in range(0, len(tasks), AT_ONCE):
            with self._submitit.batch():
                submitted += [self._submitit.submit(work, t, self._device) for t in tasks[first : first + AT_ONCE]]
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


def _last_line_of_trace(text: str) -> str:
    """The error itself, of submitit's message: a trace between dashed lines, and then where more is written."""
    lines = [line.strip() for line in text.splitlines()]
    dashed = [i for i, line in enumerate(lines) if line and not line.strip("-")]
    trace = lines[dashed[0] + 1 : dashed[1]] if len(dashed) > 1 else lines
    return next((line for line in reversed(trace) if line), "no details")
