"""Records of data and of IO in files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite, prod
from pathlib import Path
from typing import Any

from netspace_models.errors import ConfigError, InputFileError
from netspace_models.network_io import NetworkIO, io_from
from netspace_models.wording import setting

from netspace_cli.core.files.tensor_names import shown_value

from .data import LabelledData

# What a file may say of the networks in it; sizes beyond would fill the memory with a single input or layer.
MOST_OF_ANYTHING, MOST_INPUT_VALUES = 1_000_000, 2**24
_SHORT = 80  # characters; longer values say nothing in a message


def translated_record(record: Any) -> Any:
    """Rename the key `signal` of an older record to its present name, `io`.

    Args:
        record: of data, of a space, or settings of a run; what they hold under `data` is translated too. Anything but
            a mapping is returned as it is.
    """
    if not isinstance(record, Mapping):
        return record
    translated = {"io" if key == "signal" and "io" not in record else key: value for key, value in record.items()}
    if "data" in translated:
        translated["data"] = translated_record(translated["data"])
    return translated


def check_version(file: Path, record: Mapping[str, Any], known: tuple[str, int], way_on: str) -> None:
    """Refuse a record of another format or version.

    Args:
        known: format and version that are read; way_on: the next step.
    Raises:
        InputFileError: says both; KeyError, TypeError: the record names neither.
    """
    found = (record["format"], record["version"])
    if found != known:
        stated = f"format {shown_value(found[0])} version {shown_value(found[1])}"
        raise InputFileError(file, f"{stated}; this netspace reads {known[0]!r} version {known[1]}.", way_on)


def recorded_io(record: object) -> NetworkIO:
    """Rebuild the IO in a file's record, if its sizes can be those of networks.

    Raises:
        TypeError, ValueError: no record of an IO, a size that is not a whole number from 1 to a million, or inputs of
            more than 2^24 values.
    """
    if not isinstance(record, Mapping):
        raise TypeError(f"an IO that is a {type(record).__name__}, not a table")
    io = io_from(record)
    for name, size in asdict(io).items():
        if type(size) is not int or not 1 <= size <= MOST_OF_ANYTHING:
            raise ValueError(f"{name} {size!r} is not a whole number from 1 to {MOST_OF_ANYTHING:,}")
    values = prod(io.input_shape)
    if values > MOST_INPUT_VALUES:
        raise ValueError(f"inputs of {values:,} values each, the limit is {MOST_INPUT_VALUES:,}")
    return io


def check_recorded_scale(record: Mapping[str, Any]) -> None:
    """Refuse means and deviations in a file's record that nothing could be standardised by; they may be absent.

    Raises:
        TypeError, ValueError: no list of finite numbers, or a deviation that is not above zero.
    """
    for name in ("mean", "std", "target_mean", "target_std"):
        numbers = record.get(name, [])
        if not isinstance(numbers, list) or not all(type(each) in (int, float) for each in numbers):
            raise TypeError(f"{name} {shown_value(numbers)} is not a list of numbers")
        wrong = [each for each in numbers if not isfinite(each) or ("std" in name and each <= 0)]
        if wrong:
            raise ValueError(f"{name} {wrong[0]:g} is not {'above zero' if isfinite(wrong[0]) else 'finite'}")


def check_unchanged(data: LabelledData, record: Mapping[str, Any], owner: str) -> None:
    """Refuse data that are not those of a record, split by split; records without digests tell nothing.

    Args:
        data: found by the name in the record.
        owner: of the record, in words.
    Raises:
        ConfigError: names the splits.
    """
    known, own = record.get("splits"), data.record()["splits"]
    if not isinstance(known, Mapping):
        return
    changed = [name for name in own if name in known and known[name] != own[name]]
    if changed:
        raise ConfigError(
            f"{data.name} has changed since {owner} was made with it: {', '.join(changed)}.",
            f"Bring back what it was, or name these data yourself: {setting('data', 'SPEC')}.",
        )


def differences(before: Mapping[str, Any], now: Mapping[str, Any], place: str = "") -> list[str]:
    """Names of differing settings, with both values if they are short."""
    found = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{place}{key}.")
        elif old != new:
            values = f" ({old!r}, now {new!r})" if max(len(repr(old)), len(repr(new))) <= _SHORT else ""
            found.append(f"{place}{key}{values}")
    return found
