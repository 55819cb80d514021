"""The errors that netspace raises. This is the lowest room, so that every other can raise them.

Each carries a `kind` (a word that scripts can match), the `exit_code` a command ends with, and a
`hint`: the next step for the person who reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .wording import setting

LONGEST_MESSAGE = 2000


class NetspaceError(Exception):
    """Base class of all errors that netspace raises on purpose.

    Args:
        message: names the culprit, with both numbers where two disagree.
        hint: the next step, as a sentence; may be empty.
    """

    kind = "failed"
    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        message = _plain(message)
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[Any, ...]:
        # Subclasses take other arguments than Exception remembers; errors cross from worker processes.
        return _restored, (type(self), self.args, self.__dict__)


def _plain(text: str) -> str:
    """Text without what steers a terminal, and cut if it is long: parts of it may come from a stranger's file."""
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}…"


def _restored(kind: type[NetspaceError], args: tuple[Any, ...], attributes: dict[str, Any]) -> NetspaceError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    return error


class RunFailed(NetspaceError):
    """The work failed (a loss that is not finite, too little memory)."""


class ProcessLost(RunFailed):
    """One of several processes that work together is gone, or does not answer."""

    kind = "process_lost"


class Interrupted(NetspaceError):
    """The user or the system asked to stop; finished work is saved.

    Attributes:
        reached: what was reached until then, for a JSON document.
    """

    kind = "interrupted"

    def __init__(self, message: str, hint: str = "", *, exit_code: int = 130) -> None:
        super().__init__(message, hint)
        self.exit_code = exit_code
        self.reached: Mapping[str, object] = {}


class ConfigError(NetspaceError):
    """Options, a recipe or a request that cannot be carried out."""

    kind = "usage"
    exit_code = 2


class OutputExists(ConfigError):
    """An output path exists and `force` was not given."""

    kind = "output_exists"

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} exists already.", f"Choose another path, or replace it with {setting('force', True)}."
        )
        self.path = path


class DataUnavailable(ConfigError):
    """A data set that is not available or does not fit its use."""

    kind = "data"


class InputFileError(NetspaceError):
    """An input file that is bad, unknown or unsafe.

    Args:
        path: the file.
        reason: what is wrong with it, without the path.
        hint: the next step.
    """

    kind = "input"
    exit_code = 3

    def __init__(self, path: Path | str, reason: str, hint: str = "") -> None:
        reason = " ".join(_plain(reason).split("\n"))
        super().__init__(f"{path}: {reason}", hint)
        self.path = Path(path)
        self.reason = reason


class CheckpointError(InputFileError):
    """A checkpoint that cannot be read."""

    kind = "checkpoint"


class UnknownArchitecture(NetspaceError):
    """A checkpoint or name that matches no known architecture."""

    kind = "architecture"
    exit_code = 3


class WrongSpace(NetspaceError):
    """An embedding that belongs to another space, or an architecture that a space does not have."""

    kind = "wrong_space"
    exit_code = 3


class NotFinite(NetspaceError):
    """NaN or infinity in numbers; the message names the tensors."""

    kind = "not_finite"
    exit_code = 3


class NamesDiffer(NetspaceError):
    """A state dict whose names or shapes differ from the architecture's.

    Args:
        owner: what was expected, e.g. "resnet8".
        missing, unexpected: parameter names.
        misshaped: one line per parameter, "name: (found), expected (shape)".
    """

    kind = "names_differ"
    exit_code = 3

    def __init__(self, owner: str, missing: Sequence[str], unexpected: Sequence[str], misshaped: Sequence[str]) -> None:
        lines = [f"the parameters do not fit {owner}."]
        for title, names in (("missing", missing), ("unexpected", unexpected), ("misshaped", misshaped)):
            if names:
                shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
                lines.append(f"{len(names)} {title}: {shown}.")
        super().__init__(" ".join(lines))
        self.missing, self.unexpected, self.misshaped = tuple(missing), tuple(unexpected), tuple(misshaped)


class DoesNotFit(NetspaceError):
    """A network with more parameters than its PRep grid holds."""

    kind = "does_not_fit"
    exit_code = 3
