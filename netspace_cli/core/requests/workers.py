"""Worker processes of a request, and what they open: what was asked for, as the request itself opened it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from netspace_models.errors import InputFileError
from netspace_models.wording import setting

from netspace_cli.core.encoding.inputs import Inputs
from netspace_cli.core.networks.trust import trust, trusted
from netspace_cli.core.runtime.executors import LocalExecutor
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.workers import Source, Workers
from netspace_cli.core.spaces.space import Space, load_space
from netspace_cli.core.zoos.zoo import Zoo, open_zoo

from .choose_data import choose_data

Opened = TypeVar("Opened")

UNDIVIDED = "So few networks of one architecture are refined together."


@contextmanager
def workers_for(
    source: Source[Opened], runner: Runner, count: int, parts: int, *, kept: str = ""
) -> Iterator[Workers[Opened] | None]:
    """Worker processes inside the block; None where one process does all.

    Args:
        source: what each opens; runner, kept: as in `Workers`.
        count: how many were asked for.
        parts: into how many the work can be divided.
    """
    count = min(count, parts)
    if count <= 1:
        yield None
        return
    # What the user has named was named in this process.
    initial = partial(trust, trusted())
    with LocalExecutor(runner.devices(count), initial) as executor:
        yield Workers(source, runner, executor, kept=kept)


def undivided_note(count: int, parts: int, why: str) -> str | None:
    """A note that workers make no difference, or None.

    Args:
        count, parts: as in `workers_for`.
        why: what cannot be divided, as a sentence.
    """
    return f"{setting('workers', count)}: this process did all of it. {why}" if parts <= 1 < count else None


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
