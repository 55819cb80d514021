"""The one JSON document of a command."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

SCHEMA = 1


def jsonable(value: object) -> Any:
    """Convert `value` to JSON values: NaN and infinities become null, paths text, arrays lists.

    Raises:
        TypeError: a kind of value that has no place in a document.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: jsonable(getattr(value, each.name)) for each in fields(value)}
    if hasattr(value, "tolist"):  # numpy's and torch's arrays and scalars, known without importing either
        return jsonable(value.tolist())
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON.")


def render_document(document: Mapping[str, object]) -> str:
    """Render a command's JSON document, schema first; plain ASCII, so that any stdout accepts it."""
    return json.dumps({"schema": SCHEMA, **jsonable(document)}, indent=2, allow_nan=False)
