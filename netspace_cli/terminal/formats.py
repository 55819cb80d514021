"""Formats of values for people and for programs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ABSENT = "–"

# Control characters would let a file's name move the cursor or end a row; lone surrogates (names that
# are not UTF-8) cannot be written at all.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def one_line(text: str) -> str:
    """Escape every character of `text` that does not belong in a line of a terminal or table."""
    return _UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)


def text(value: object) -> str:
    """A value unchanged."""
    return one_line(str(value))


def in_words(setting: object) -> str:
    """A setting's value for people: yes and no, none where there is nothing, several with commas."""
    if setting is None or setting in ((), [], {}):
        return "none"
    if isinstance(setting, bool):
        return "yes" if setting else "no"
    if isinstance(setting, Mapping):
        return ", ".join(f"{key} {in_words(value)}" for key, value in setting.items())
    if isinstance(setting, list | tuple):
        return ", ".join(map(in_words, setting))
    return text(setting)


def percent(fraction: float) -> str:
    """A fraction for people: 0.9812 is "98.1 %"."""
    return f"{100 * fraction:.1f} %"


def integer(count: int) -> str:
    """A count for people: 62006 is "62,006"."""
    return f"{count:,d}"


def decimal(value: float) -> str:
    """A number to four digits, whole digits in full: 0.123456 is "0.1235", 123456.7 is "123457"."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        name: its heading, on a terminal and in the tab-separated header alike.
        show: how a terminal shows a value; tab-separated rows carry the value itself.
    """

    name: str
    show: Callable[[Any], str] = text

    def shown(self, value: object) -> str:
        """The cell for people; a dash without a value."""
        return ABSENT if value is None else self.show(value)

    def plain(self, value: object) -> str:
        """The cell for programs: numbers with four digits (--json has all), empty without a value."""
        if isinstance(value, float):
            return decimal(value)
        return "" if value is None else one_line(str(value))
