"""What a process on another machine takes over from the one that the user has started."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from netspace_models.errors import ConfigError
from netspace_models.wording import Wording, speak, spoken

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Surroundings:
    """The state of a process that its work depends on.

    Attributes:
        folder: the current one, which relative paths begin at.
        wording: of messages.
        initial: called before each task; picklable, and the same however often it is called.
    """

    folder: Path
    wording: Wording
    initial: Callable[[], None] | None

    @classmethod
    def here(cls, initial: Callable[[], None] | None = None) -> Self:
        """The state of this process."""
        return cls(Path.cwd(), spoken(), initial)

    def enter(self) -> None:
        """Take them over, in another process.

        Raises:
            ConfigError: the folder is not on this machine.
        """
        try:
            os.chdir(self.folder)
        except OSError as failure:
            raise ConfigError(
                f"{self.folder} cannot be entered on {os.uname().nodename}, where a part of the work was to run "
                f"({failure.strerror}).",
                "Start the command in a folder that all machines find under this path.",
            ) from failure
        speak(self.wording)
        if self.initial is not None:
            self.initial()


def work_in(surroundings: Surroundings, work: Callable[[T, str], R], task: T, device: str) -> R:
    """Do a task in a process that the user has not started."""
    surroundings.enter()
    return work(task, device)
