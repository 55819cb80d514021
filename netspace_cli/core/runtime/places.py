"""Which of several processes this one is, from the environment that its launcher has set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from netspace_models.errors import ConfigError
from netspace_models.wording import setting

# Set by torchrun and by our own launcher alike.
NUMBER, COUNT, LOCAL_NUMBER, LOCAL_COUNT = "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"
# Set by torchrun: where processes meet.
ADDRESS, PORT = "MASTER_ADDR", "MASTER_PORT"
# Set by our own launcher: the file that processes meet at, and a pipe that closes when the launcher ends.
MEETING_FILE, LAUNCHER_PIPE = "NETSPACE_MEETING_FILE", "NETSPACE_LAUNCHER_PIPE"


@dataclass(frozen=True)
class Place:
    """One of several processes that train together.

    Attributes:
        number: counted from 0; process 0 writes files and talks to the user. count: of all processes.
        local_number, local_count: the same, of those on this machine.
        meeting: where they meet, as a URL of torch.distributed; "" for one of a number that is only planned for.
        launcher_pipe: file descriptor that reads to its end when our own launcher is gone; None under another one.
    """

    number: int = 0
    count: int = 1
    local_number: int = 0
    local_count: int = 1
    meeting: str = ""
    launcher_pipe: int | None = None


ALONE = Place()


def place_in(environment: Mapping[str, str]) -> Place | None:
    """Place of this process among others; None if no launcher has started it.

    Raises:
        ConfigError: variables of a launcher without a number, or that contradict each other.
    """
    file = environment.get(MEETING_FILE)
    meeting = [NUMBER, COUNT, LOCAL_NUMBER, *([] if file else [ADDRESS, PORT])]
    if any(name not in environment for name in meeting):
        return None
    number, count, local = (_number(environment, name) for name in (NUMBER, COUNT, LOCAL_NUMBER))
    here = _number(environment, LOCAL_COUNT) if LOCAL_COUNT in environment else count
    if not (0 <= number < count and 0 <= local < here <= count):
        raise ConfigError(
            f"the environment makes this process {number} of {count}, and {local} of {here} on this machine "
            f"({NUMBER}, {COUNT}, {LOCAL_NUMBER}, {LOCAL_COUNT}).",
            f"Unset these variables, or start by torchrun or {setting('devices')}.",
        )
    pipe = _number(environment, LAUNCHER_PIPE) if LAUNCHER_PIPE in environment else None
    return Place(number, count, local, here, f"file://{file}" if file else "env://", pipe)


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment[name]
    if not text.isdecimal():
        raise ConfigError(
            f"the environment variable {name} is {text!r}, not a number.",
            f"Unset it, or start by torchrun or {setting('devices')}.",
        )
    return int(text)
