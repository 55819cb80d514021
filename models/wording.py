"""How messages name settings and calls: in Python's words, unless a program sets its own.

A message says `setting("device", "cpu")` and `Call("load_space", "NAME")`, by the library's own names. Who called from
Python reads `device="cpu"`; a command line that called inside `worded(...)` reads `--device cpu` in the same place.
Words are chosen when the text is made: make it in a function, not while a module is imported.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

Value: TypeAlias = "bool | int | float | str | tuple[int | str, ...] | Call | None"

# What stands for a value that only the reader knows.
PLACEHOLDERS = frozenset({"FILE", "NAME", "PATH", "TRAIN", "VAL", "TEST"})


class Call:
    """A call of the library, as a message names it; its text is in the reader's words.

    Args:
        function: a name that the library exports.
        arguments: values given by place.
        settings: values given by name; None where the name alone matters.
    """

    def __init__(self, function: str, *arguments: Value, **settings: Value) -> None:
        self.function, self.arguments, self.settings = function, arguments, settings

    def __str__(self) -> str:
        return _spoken.call(self)


class Wording(Protocol):
    """Words for settings and calls. Must be picklable, since worker processes need it."""

    def setting(self, name: str, value: Value) -> str:
        """Name a setting, with its value if given. A name with a dot is a recipe's key."""

    def call(self, call: Call) -> str:
        """Name a call."""


class PythonWording:
    """`device="cpu"`, `force=True`, `train.images = 64` in the recipe, `load_space("digits")`."""

    def setting(self, name: str, value: Value) -> str:
        """Write as an argument, or as a key of the recipe."""
        if value is None:
            return f"`{name}`"
        return f"`{name} = {_python(value)}` in the recipe" if "." in name else f"`{name}={_python(value)}`"

    def call(self, call: Call) -> str:
        """Write as an expression."""
        return f"`{_python(call)}`"


def _python(value: Value) -> str:
    if isinstance(value, Call):
        return _python_call(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(_python, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, str):
        return value if value in PLACEHOLDERS else json.dumps(value, ensure_ascii=False)
    return "..." if value is None else repr(value)


def _python_call(call: Call) -> str:
    if not call.arguments and not call.settings:
        return call.function
    # A setting alone is not all that the function wants.
    places = [_python(each) for each in call.arguments] or ["..."]
    names = [f"{name}={_python(value)}" for name, value in call.settings.items()]
    return f"{call.function}({', '.join(places + names)})"


_spoken: Wording = PythonWording()


def setting(name: str, value: Value = None) -> str:
    """Name a setting, and a value for it, in the reader's words.

    Args:
        name: the library's own name for it, or a recipe's key with its section ("train.images").
        value: what it is or should be; None to name the setting alone.
    """
    return _spoken.setting(name, value)


def spoken() -> Wording:
    """The words in use, to hand on to worker processes."""
    return _spoken


def speak(wording: Wording) -> None:
    """Use these words from now on, in the whole process: all threads of a process have the same reader."""
    global _spoken
    _spoken = wording


@contextmanager
def worded(wording: Wording) -> Iterator[None]:
    """Use these words inside the block."""
    before = spoken()
    speak(wording)
    try:
        yield
    finally:
        speak(before)


@dataclass(frozen=True)
class _Renamed:
    """The words of another wording, with other names for some settings."""

    inner: Wording
    names: Mapping[str, str]

    def setting(self, name: str, value: Value) -> str:
        """Write under the other name."""
        return self.inner.setting(self.names.get(name, name), value)

    def call(self, call: Call) -> str:
        """Write unchanged."""
        return self.inner.call(call)


@contextmanager
def renamed(**names: str) -> Iterator[None]:
    """Call settings otherwise inside the block: the architecture of a teacher is `teacher_arch`, not `arch`.

    Args:
        names: other names by the library's own.
    """
    with worded(_Renamed(spoken(), names)):
        yield
