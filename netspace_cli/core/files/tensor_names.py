"""Names in files: which are refused, and how to show text from a file."""

from __future__ import annotations

import re
from collections.abc import Iterable

NAME_LIMIT = 512
_SHOWN_LIMIT, _BRIEF_LIMIT = 80, 300


def check_names(names: Iterable[object]) -> None:
    """Refuse names that no network has, and that would do harm as a path, table cell or key.

    Raises:
        ValueError: says which name and why.
    """
    for name in names:
        fault = _fault(name)
        if fault:
            raise ValueError(f"the tensor name {shown(str(name))} {fault}")


def shown(text: str) -> str:
    """Make text from a file safe for a message: one line, no control characters, limited length."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in text)
    return repr(clean if len(clean) <= _SHOWN_LIMIT else clean[: _SHOWN_LIMIT - 1] + "…")


def shown_value(value: object) -> str:
    """Make a value from a file safe for a message; text as `shown` does."""
    if isinstance(value, str):
        return shown(value)
    text = repr(value)
    return text if len(text) <= _SHOWN_LIMIT else f"{text[: _SHOWN_LIMIT - 1]}…"


def brief(failure: Exception | str) -> str:
    """What an exception or a text says, in one line of limited length without control characters."""
    text = " ".join(str(failure).split()) or type(failure).__name__
    clean = "".join(letter if letter.isprintable() else "?" for letter in text)
    return clean if len(clean) <= _BRIEF_LIMIT else f"{clean[:_BRIEF_LIMIT]}…"


def leads_elsewhere(name: str) -> bool:
    """Whether a name, used as a path, leads out of the folder that it is for."""
    return name[:1] in ("/", "\\") or ".." in re.split(r"[/\\]", name)


def _fault(name: object) -> str | None:
    if not isinstance(name, str):
        return f"is a {type(name).__name__}, not text"
    if not name or name == "__metadata__":
        return "is reserved" if name else "is empty"
    if len(name) > NAME_LIMIT:
        return f"has {len(name):,} characters, the limit is {NAME_LIMIT}"
    if not name.isprintable():
        return "has control characters"
    if leads_elsewhere(name):
        return "is a path that leads elsewhere"
    return None
