"""Worker processes of a request, and what they open: what was asked for, as the request itself opened it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from netspace_models.errors import InputFileError
from netspace_models.wording import setting

from netspace_cli.core.encoding.inputs import Inputs
from netspace_cli.core.networks.trust import trust, trusted
from netspace_cli.core.runtime.cluster import Cluster
from netspace_cli.core.runtime.executors import Executor, LocalExecutor
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.workers import Source, Workers
from netspace_cli.core.spaces.space import Space, load_space
from netspace_cli.core.zoos.inputs import ZooInputs
from netspace_cli.core.zoos.zoo import Zoo, open_zoo

from .choose_data import choose_data, choose_labelled_of_zoo

Opened = TypeVar("Opened")

UNDIVIDED = "So few networks of one architecture are refined together."


class Divided(Protocol):
    """A request whose work may be divided among processes."""

    @property
    def workers(self) -> int:
        """Number of processes; on a cluster, of jobs at most."""
        ...

    @property
    def cluster(self) -> Cluster | None:
        """Where they run; None for this machine."""
        ...


@contextmanager
def workers_for(
    source: Source[Opened], runner: Runner, asked: Divided, parts: int, beside: Path, *, kept: str = ""
) -> Iterator[Workers[Opened] | None]:
    """Worker processes inside the block; None where this process does all.

    Args:
        source: what each opens; runner, kept: as in `Workers`.
        asked: how many, and where.
        parts: into how many the work can be divided.
        beside: the output, or an input where there is no output, as in `Cluster.executor`.
    Raises:
        ConfigError: there is no such cluster.
    """
    # What the user has named was named in this process.
    initial, count = partial(trust, trusted()), min(asked.workers, parts)
    if asked.cluster is not None and parts:
        with asked.cluster.executor(beside, runner.requested, initial) as jobs:
            yield Workers(source, runner, jobs, kept=kept, jobs=asked.workers)
    elif asked.cluster is None and count > 1:
        with LocalExecutor(runner.devices(count), initial) as processes:
            yield Workers(source, runner, processes, kept=kept)
    else:
        yield None


@contextmanager
def cluster_executor(asked: Divided, beside: Path, runner: Runner) -> Iterator[Executor | None]:
    """Executor of the cluster that was asked for inside the block, for work that divides itself; None without one.

    Args:
        beside: as in `workers_for`.
    Raises:
        ConfigError: there is no such cluster.
    """
    if asked.cluster is None:
        yield None
        return
    with asked.cluster.executor(beside, runner.requested) as executor:
        yield executor


def undivided_note(asked: Divided, parts: int, why: str) -> str | None:
    """A note that workers make no difference, or None.

    Args:
        asked, parts: as in `workers_for`.
        why: what cannot be divided, as a sentence.
    """
    if asked.cluster is not None or not parts <= 1 < asked.workers:
        return None
    return f"{setting('workers', asked.workers)}: this process did all of it. {why}"


@dataclass(frozen=True)
class SpaceSource:
    """A space, data and a zoo, as worker processes open them.

    Attributes:
        space: its file; sha256: of that, as it was opened first.
        data: as the user has named them; None for the space's own.
        zoo: its folder, or None.
    """

    space: Path
    sha256: str
    data: str | None
    zoo: Path | None = None

    def open(self) -> Inputs:
        """Open all.

        Raises:
            InputFileError: the space is another by now; all others as when they were opened first.
        """
        space = load_space(self.space)
        if space.sha256 != self.sha256:
            raise InputFileError(self.space, "it was replaced while it was in use.", "Run the command again.")
        return Inputs(space, choose_data(space, self.data), None if self.zoo is None else open_zoo(self.zoo))


def source_of(space: Space, data: str | None, zoo: Zoo | None = None) -> SpaceSource:
    """The source of a space that was opened from its file."""
    assert space.path is not None  # spaces that are named lie in files
    return SpaceSource(space.path, space.sha256, data, None if zoo is None else zoo.path)


@dataclass(frozen=True)
class ZooSource:
    """A zoo and images, as worker processes open them.

    Attributes:
        zoo: its folder.
        data: as the user has named them; None for the zoo's own.
    """

    zoo: Path
    data: str | None

    def open(self) -> ZooInputs:
        """Open both.

        Raises:
            ConfigError, DataUnavailable, InputFileError: say what and why.
        """
        zoo = open_zoo(self.zoo)
        return ZooInputs(zoo, choose_labelled_of_zoo(zoo, self.data))
