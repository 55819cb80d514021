"""Log of an experiment's finished runs, so that the same command can continue after a stop."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from netspace_models.errors import ConfigError, InputFileError
from netspace_models.wording import setting

from netspace_cli.core.data.records import differences, translated_record
from netspace_cli.core.files.lines import append_to
from netspace_cli.core.files.structure import parse_json, plain_json
from netspace_cli.core.spaces.recipe_reading import completed_recipe


class RunLog:
    """A line of settings, then one line per finished run: its values and its result.

    Made by `run_log`.

    Args:
        path: of the file.
        file: opened for reading and adding, without a buffer.
        runs: what is in it already, in order.
    """

    def __init__(self, path: Path, file: FileIO, runs: list[dict[str, Any]]) -> None:
        self._path, self._file = path, file
        self.runs = runs

    def find(self, what: Mapping[str, Any]) -> dict[str, Any] | None:
        """Find the finished run with all of these values."""
        return next((run for run in self.runs if all(run.get(k) == v for k, v in what.items())), None)

    def add(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """Add a finished run; its whole line is on disk when this returns.

        Raises:
            RunFailed: the system refused the bytes; the log is as it was.
        """
        append_to(self._path, self._file, json.dumps(run))
        self.runs.append(dict(run))
        return self.runs[-1]


@contextmanager
def run_log(path: Path, settings: Mapping[str, Any]) -> Iterator[RunLog]:
    """Begin or continue a log; it is locked against other processes meanwhile.

    Args:
        path: of the file; its folder is made.
        settings: plain JSON values; runs of other settings are not to be mixed with these.
    Raises:
        ConfigError: the log there is of other settings (the message names them), or another process has it.
        InputFileError: a line that is not a run.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as failure:
            raise ConfigError(
                f"{path} is in use by another run.", "Wait for it, or choose another folder."
            ) from failure
        lines = _whole_lines(path, file)
        if not lines:
            append_to(path, file, json.dumps({"settings": settings}))
        else:
            _check_settings(path, translated_record(lines[0].get("settings")), plain_json(settings))
        yield RunLog(path, file, [_translated(line) for line in lines[1:]])


def _translated(run: dict[str, Any]) -> dict[str, Any]:
    """Translate a run whose recipe may have older names of keys."""
    recipe = run.get("recipe")
    return {**run, "recipe": completed_recipe(recipe)} if isinstance(recipe, dict) else run


def _whole_lines(path: Path, file: FileIO) -> list[dict[str, Any]]:
    """Read the lines. A last line without an end was cut off by a crash, so its run is done again."""
    file.seek(0)
    content = file.readall()
    whole = content[: content.rfind(b"\n") + 1]
    found = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            found.append(dict(parse_json(line, finite=False)))  # a loss may be NaN
        except (ValueError, TypeError) as failure:
            raise InputFileError(path, f"line {number} is not a run ({failure}).", "Remove that line.") from failure
    file.truncate(len(whole))
    return found


def _check_settings(path: Path, before: Any, now: Mapping[str, Any]) -> None:
    if not isinstance(before, dict):
        raise InputFileError(
            path, "its first line has no settings.", f"Choose another folder with {setting('folder')}."
        )
    changed = differences(before, now)
    if changed:
        raise ConfigError(
            f"{path} has runs with other settings: {'; '.join(changed)}.",
            f"Use the settings that it was started with, or choose another folder with {setting('folder')}.",
        )
