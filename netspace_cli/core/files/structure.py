"""JSON and TOML of files, with limits of size, depth and values.

All of netspace parses them here alone (`tests/test_layering.py`), so that nobody's file can exhaust a parser: neither
its stack, nor memory, nor the digits of a number.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from netspace_models.errors import InputFileError

from .inputs import open_input
from .tensor_names import shown

MOST_JSON_BYTES = 100_000_000  # the limit of a safetensors header, which holds the records of spaces
MOST_TOML_BYTES = 1_000_000
DEEPEST = 32
# Tables in tables by one dotted key take time that grows with the square of its parts.
_LONG_KEY = re.compile(rf"""(?:\.\s*(?:[\w-]+|"[^"\n]*"|'[^'\n]*')\s*){{{DEEPEST}}}""")
_LEAST_NUMBER, _END_OF_NUMBERS = -(2**63), 2**64


class StructureError(ValueError):
    """A fault in JSON or TOML, as half a sentence; the caller adds the file."""


def parse_json(text: str | bytes, *, finite: bool = True) -> Any:
    """Parse JSON of a file.

    Args:
        text: if bytes, in UTF-8.
        finite: refuse NaN and infinity.
    Raises:
        StructureError: not JSON, a key twice, deeper than 32 levels, larger than 100 MB, a number of more than 64 bits,
            or text that cannot be written in UTF-8.
    """
    if len(text) > MOST_JSON_BYTES:
        raise StructureError(f"{len(text):,} characters of JSON, the limit is {MOST_JSON_BYTES:,}")
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            parse_int=_integer,
            parse_float=_finite_number if finite else None,
            parse_constant=_not_finite if finite else None,
        )
    except StructureError:
        raise
    except RecursionError as failure:
        raise StructureError(f"not JSON: nested more than {DEEPEST} levels deep") from failure
    except ValueError as failure:  # numbers of more than 4,300 digits, too
        raise StructureError(f"not JSON: {failure}") from failure
    # Half a character needs an escape or a letter beyond ASCII; few brackets cannot lie deep.
    if not text.isascii() or "\\ud" in text or "\\uD" in text:
        _check(value, finite, 0)
    elif text.count("[") + text.count("{") > DEEPEST:
        _check_depth(value)
    return value


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML of a file or a setting.

    Raises:
        StructureError: not TOML, deeper than 32 levels, larger than 1 MB, or a number of more than 64 bits or that is
            not finite.
    """
    if len(text) > MOST_TOML_BYTES:
        raise StructureError(f"{len(text):,} characters of TOML, the limit is {MOST_TOML_BYTES:,}")
    if _LONG_KEY.search(text):
        raise StructureError(f"a key of more than {DEEPEST} parts")
    try:
        table = tomllib.loads(text)
    except RecursionError as failure:
        raise StructureError(f"nested more than {DEEPEST} levels deep") from failure
    except ValueError as failure:  # numbers of more than 4,300 digits, too
        raise StructureError(str(failure)) from failure
    _check(table, True, 0)
    return table


def plain_json(value: Any) -> Any:
    """A value as JSON would give it back: tuples as lists, keys as text."""
    return json.loads(json.dumps(value))


def read_text(
    path: Path, *, most: int = MOST_JSON_BYTES, hint: str = "", error: type[InputFileError] = InputFileError
) -> str:
    """Read a file of text in UTF-8.

    Args:
        most: bytes that it may have.
        hint: the next step, if it is not text.
    Raises:
        InputFileError: it cannot be read, is too large, or is not text.
    """
    with open_input(path, error=error) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise error(path, f"{size:,} bytes of text, the limit is {most:,}.", hint or "Check where it comes from.")
        content = file.read(most)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        reason = f"not text in UTF-8 ({failure.reason} at byte {failure.start:,})."
        raise error(path, reason, hint or "Check where it comes from.") from failure


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise StructureError(f"{shown(counts.most_common(1)[0][0])} appears twice")
    return found


def _not_finite(word: str) -> NoReturn:
    raise StructureError(f"{word} where a number belongs")


def _integer(digits: str) -> int:
    value = int(digits)
    if not _LEAST_NUMBER <= value < _END_OF_NUMBERS:
        raise _too_long(value)
    return value


def _finite_number(digits: str) -> float:
    value = float(digits)
    if not isfinite(value):
        raise StructureError(f"{value} where a number belongs")
    return value


def _too_long(value: int) -> StructureError:
    return StructureError(f"a number of {value.bit_length():,} bits, the limit is 64")


def _check_depth(value: object) -> None:
    """Refuse what is nested too deep: level by level, many times faster than value by value."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise StructureError(f"nested more than {DEEPEST} levels deep")


def _check(value: object, finite: bool, depth: int) -> None:
    """Refuse values that are JSON or TOML, but that nothing netspace writes has."""
    if isinstance(value, dict | list):
        if depth >= DEEPEST:
            raise StructureError(f"nested more than {DEEPEST} levels deep")
        for inner in _inside(value):
            _check(inner, finite, depth + 1)
    elif isinstance(value, str):
        if not value.isascii():
            _check_text(value)
    elif isinstance(value, float):
        if finite and not isfinite(value):
            raise StructureError(f"{value} where a number belongs")
    elif isinstance(value, int) and not _LEAST_NUMBER <= value < _END_OF_NUMBERS:
        raise _too_long(value)


def _inside(value: dict[str, Any] | list[Any]) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    else:
        yield from value


def _check_text(text: str) -> None:
    try:
        text.encode(errors="surrogateescape")  # names of files may hold bytes that are no text
    except UnicodeEncodeError as failure:
        raise StructureError(f"text with half a character at {failure.start:,}") from failure
