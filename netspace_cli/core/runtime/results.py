"""Results as plain data: for JSON, and as data frames."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from netspace_models.errors import ConfigError

if TYPE_CHECKING:
    from pandas import DataFrame


class Result:
    """A result that can be had as plain data: the base of data classes."""

    def to_dict(self) -> dict[str, Any]:
        """All attributes as JSON values; a network by its architecture, size and file, without its weights."""
        return {name: plain(value) for name, value in _attributes(self).items()}


class Table(Result):
    """A result that is a table."""

    def records(self) -> list[dict[str, Any]]:
        """Its rows as plain data."""
        raise NotImplementedError

    def to_frame(self) -> DataFrame:
        """Its rows as a data frame; a value within a value becomes a column such as `accuracy.test`.

        Raises:
            ConfigError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as failure:
            raise ConfigError("data frames need pandas, which is not installed.", "pip install pandas") from failure
        return pandas.json_normalize(self.records())


def plain(value: object) -> Any:
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
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "brief"):  # what is too large to be written whole
        return plain(value.brief())
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(each) for name, each in _attributes(value).items()}
    if hasattr(value, "tolist"):  # numpy's and torch's arrays and scalars, known without importing either
        return plain(value.tolist())
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON.")


def _attributes(value: Any) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in fields(value)}
