"""Read and check the JSON record in a space file's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netspace_models.errors import InputFileError

from netspace_cli.core.data.records import check_version, recorded_io, translated_record
from netspace_cli.core.files.structure import parse_json
from netspace_cli.core.files.tensor_names import brief, shown_value

FORMAT, VERSION = "netspace-space", 1


def read_record(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Read the JSON record in a space file's metadata.

    Raises:
        InputFileError: the file is not a space, or of a version this netspace does not read.
    """
    if "netspace.space" not in metadata:
        raise InputFileError(
            path,
            "a safetensors file, but not a space.",
            "`netspace inspect` says what it is; `netspace train` makes a space.",
        )
    try:
        record = translated_record(dict(parse_json(metadata["netspace.space"])))
        check_version(path, record, (FORMAT, VERSION), "Use the netspace that wrote it, or train the space again.")
    except (ValueError, KeyError, TypeError) as failure:
        raise InputFileError(
            path, f"its record cannot be read ({brief(failure)}).", "Train the space again."
        ) from failure
    try:
        _check_record(record)
    except (ValueError, KeyError, TypeError, AttributeError) as failure:
        raise InputFileError(
            path, f"its record is not complete ({type(failure).__name__}: {brief(failure)}).", "Train the space again."
        ) from failure
    return record


def _check_record(record: Mapping[str, Any]) -> None:
    """Check a record. Raises ValueError, KeyError, TypeError or AttributeError for missing or wrong values."""
    recorded_io(record["io"])
    texts = [record["name"], record["data"]["name"], record["netspace_version"], *record["architectures"]]
    numbers = [record["recipe"]["backbone"]["embedding_size"]]
    rows = [(row["id"], row["arch"], row["split"]) for row in record["zoo"]]
    if not record["architectures"] or not isinstance(record["architectures"], list):
        raise ValueError("no architectures")
    for text in (*texts, record["recipe"]["backbone"]["kind"], *(t for row in rows for t in row)):
        if not isinstance(text, str):
            raise TypeError(f"{shown_value(text)} is not text")
    if not isinstance(record["data"], dict):
        raise TypeError("its data are not a table")
    for number in (*numbers, record["recipe"]["refine"]["steps"] + 1):
        if type(number) is not int or number < 1:
            raise ValueError(f"{number!r} is not a number above zero")
