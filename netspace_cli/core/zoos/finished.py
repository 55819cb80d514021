"""What came of a network, written beside a zoo's manifest as soon as it is finished: `runs/<name>.json`.

A manifest lists networks in the order of the work, so that one that is slow holds back those after it. What is here is
not done again after a kill.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from netspace_models.errors import InputFileError

from netspace_cli.core.files.outputs import atomic_write
from netspace_cli.core.files.structure import parse_json, read_text

from .zoo import Instance, as_table, file_in, file_state, instance_from


def write_finished(zoo: Path, name: str, told: dict[str, Any], instance: Instance | None = None) -> None:
    """Write what came of a network.

    Args:
        told: JSON values; instance: what it has become, whose checkpoint is there.
    """
    file = _file(zoo, name)
    if instance is not None:
        told = {**told, "instance": asdict(instance)}
    text = json.dumps(told, indent=1) + "\n"
    file.parent.mkdir(parents=True, exist_ok=True)  # ids of adopted zoos are paths
    atomic_write(file, lambda path: path.write_text(text), force=True)


def read_finished(zoo: Path, name: str) -> dict[str, Any] | None:
    """What came of a network; None where nothing is there.

    Raises:
        InputFileError: it cannot be read.
    """
    file = _file(zoo, name)
    if not file.is_file():
        return None
    try:
        return as_table(parse_json(read_text(file, hint="Remove it.")))
    except (TypeError, ValueError) as failure:
        raise unreadable(zoo, name, failure) from failure


def finished_instance(zoo: Path, name: str, told: dict[str, Any]) -> Instance:
    """The instance that a network has become.

    Raises:
        InputFileError: it is not told, or its checkpoint is missing or changed.
    """
    try:
        instance = instance_from(told["instance"])
    except (KeyError, TypeError, ValueError) as failure:
        raise unreadable(zoo, name, failure) from failure
    path = file_in(zoo, instance, _file(zoo, name))
    if file_state(path, instance.sha256) != "ok":
        raise InputFileError(
            path, "the network that was made is missing or changed.", "Choose another folder, or bring it back."
        )
    return instance


def unreadable(zoo: Path, name: str, failure: Exception) -> InputFileError:
    """An error for what was told in other words than these."""
    return InputFileError(_file(zoo, name), f"not what came of a network ({failure}).", "Remove it.")


def _file(zoo: Path, name: str) -> Path:
    return zoo / "runs" / f"{name}.json"
