"""The folder of a training run: its settings, its metrics, its last checkpoint."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from netspace_models.errors import CheckpointError, ConfigError, InputFileError, OutputExists
from netspace_models.wording import setting

from netspace_cli.core.data.records import differences, translated_record
from netspace_cli.core.files.inputs import open_input
from netspace_cli.core.files.lines import append_line
from netspace_cli.core.files.outputs import atomic_write, check_output
from netspace_cli.core.files.structure import StructureError, parse_json, plain_json, read_text
from netspace_cli.core.files.torch_file import read_torch_file
from netspace_cli.core.files.torch_writing import save_by_torch
from netspace_cli.core.spaces.recipe_reading import completed_recipe

MADE_WITH = "made_with"  # of the settings: versions, device and threads


class RunFolder:
    """`settings.json`, `metrics.jsonl`, `checkpoint.pt` of one run.

    Args:
        path: of the folder; made when the run begins.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, output: Path) -> Self:
        """Folder of the run that trains a space, beside its file: `<its name>.run`.

        Raises:
            ConfigError: an output that is no .safetensors.
        """
        if output.suffix != ".safetensors":
            raise ConfigError(f"{output}: a space is written as .safetensors.", f"Name it {output.stem}.safetensors.")
        return cls(output.with_suffix(".run"))

    @property
    def metrics(self) -> Path:
        """Metrics file, one JSON object per step."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoint(self) -> Path:
        """The last complete state."""
        return self.path / "checkpoint.pt"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder against a second run.

        Raises:
            ConfigError: another run holds it, or it is not a folder.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.path} is not a folder; the run keeps its files there.", "Choose another output.")
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as failure:
                raise ConfigError(
                    f"{self.path} is in use by another run.", "Wait for it, or choose another output."
                ) from failure
            yield

    def begin(self, settings: Mapping[str, Any], *, force: bool) -> None:
        """Start a new run.

        Raises:
            ConfigError: a run was started here and `force` is not given.
        """
        if self.checkpoint.exists() and not force:
            raise ConfigError(
                f"{self.path} already holds a run.",
                f"Continue it ({setting('resume', True)}), or start again ({setting('force', True)}).",
            )
        self.checkpoint.unlink(missing_ok=True)
        self.metrics.write_text("")
        text = json.dumps(settings, indent=1, sort_keys=True) + "\n"
        atomic_write(self.path / "settings.json", lambda p: p.write_text(text), force=True)

    def resume(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The state to continue from, on the processor.

        Metrics of later steps are dropped, since those steps will be repeated.

        Raises:
            ConfigError, InputFileError: as `resumed_step`.
        """
        self._check_settings(settings)
        state, step = self._state()
        self._keep_metrics(step)
        return state

    def resumed_step(self, settings: Mapping[str, Any]) -> int:
        """The step that a run of these settings continues from; nothing is changed.

        Raises:
            ConfigError: no run to continue, or one of other settings (the message names them).
            InputFileError: the settings or the checkpoint cannot be read.
        """
        self._check_settings(settings)
        return self._state()[1]

    def _check_settings(self, settings: Mapping[str, Any]) -> None:
        if not self.checkpoint.exists():
            raise ConfigError(
                f"{self.path} has no checkpoint to continue from.", f"Leave out {setting('resume')} to start."
            )
        before, now = translated_record(self._settings()), plain_json(settings)
        # A run may have been begun when recipes had fewer keys, or other names for them.
        # MADE_WITH is recorded, not compared: a run may continue elsewhere, though not with the same bits.
        for each in (before, now):
            if isinstance(each.get("recipe"), dict):
                each["recipe"] = completed_recipe(each["recipe"])
            each.pop(MADE_WITH, None)
        changed = differences(before, now)
        if changed:
            raise ConfigError(
                f"the run in {self.path} was started with other settings: {'; '.join(changed)}.",
                "The learning rate falls over all train.steps, so a longer run is a different run: start it without "
                f"{setting('resume')} and with {setting('force', True)}, or with another output."
                if any(each.startswith("recipe.train.steps ") for each in changed)
                else "Resume with the same settings, or start again: "
                f"without {setting('resume')} and with {setting('force', True)}.",
            )

    def _keep_metrics(self, steps: int) -> None:
        kept = b"".join(self._metric_lines()[:steps])
        atomic_write(self.metrics, lambda p: p.write_bytes(kept), force=True)

    def _state(self) -> tuple[dict[str, Any], int]:
        """The last complete state, on the processor, and its step."""
        hint = self._again()
        try:
            state, _ = read_torch_file(self.checkpoint)
        except CheckpointError as failure:
            reason = f"cannot be read ({failure.reason.rstrip('.')})."
            raise CheckpointError(self.checkpoint, reason, hint) from failure
        step = state.get("step") if isinstance(state, dict) else None
        if not isinstance(state, dict) or type(step) is not int or step < 0:
            raise CheckpointError(self.checkpoint, "cannot be read (it holds no state of a run).", hint)
        return state, step

    @staticmethod
    def _again() -> str:
        return f"Start again with {setting('force', True)}."

    def _metric_lines(self) -> list[bytes]:
        if not self.metrics.exists():
            return []
        with open_input(self.metrics) as file:
            return file.read().splitlines(keepends=True)

    def _settings(self) -> dict[str, Any]:
        path, hint = self.path / "settings.json", self._again()
        try:
            settings = parse_json(read_text(path))
        except (InputFileError, StructureError) as fault:
            reason = fault.reason.rstrip(".") if isinstance(fault, InputFileError) else str(fault)
            raise InputFileError(path, f"cannot be read ({reason}).", hint) from fault
        if not isinstance(settings, dict):
            raise InputFileError(path, "cannot be read (it holds no settings of a run).", hint)
        return settings

    def how_to_continue(self) -> str:
        """Advice for a run that has been broken off."""
        if not self.checkpoint.exists():
            return "It had no checkpoint yet: the same command starts again."
        return f"The last checkpoint is {self.checkpoint}; the same command with {setting('resume', True)} continues."

    def progress(self) -> tuple[int, int]:
        """Steps done and total steps.

        Raises:
            InputFileError: the settings cannot be read.
        """
        done, path = len(self._metric_lines()), self.path / "settings.json"
        try:
            steps = self._settings()["recipe"]["train"]["steps"]
        except (KeyError, TypeError):
            steps = None
        if type(steps) is not int:
            raise InputFileError(path, "has no steps.", self._again())
        return done, steps

    def log(self, line: Mapping[str, Any]) -> None:
        """Add one line to the metrics."""
        append_line(self.metrics, json.dumps(line), sync=False)

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint atomically."""
        atomic_write(self.checkpoint, lambda p: save_by_torch(dict(state), p), force=True)


class WatchedFolder(RunFolder):
    """The folder of a run that another process writes: it can be resumed from, and nothing is written."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Do nothing: the process that writes holds the lock."""
        yield

    def begin(self, settings: Mapping[str, Any], *, force: bool) -> None:
        """Do nothing."""

    def log(self, line: Mapping[str, Any]) -> None:
        """Do nothing."""

    def save(self, state: Mapping[str, Any]) -> None:
        """Do nothing."""

    def _keep_metrics(self, steps: int) -> None:
        """Do nothing."""


def check_run(output: Path, *, resume: bool, force: bool) -> RunFolder:
    """Refuse an output or an earlier run that would be lost, before any work.

    Args:
        output: of the space.
        resume, force: as in `train`.
    Returns:
        The folder of the run.
    Raises:
        OutputExists: the output is there and `force` is not given; where it is a run's to resume, it says
            that nothing is left to do.
        ConfigError: another extension than .safetensors, a path that cannot be written, nothing to resume,
            or a run that would be lost.
    """
    try:
        check_output(output, force=force)
    except OutputExists as failure:
        if resume:
            failure.hint = _way_on(RunFolder.of(output)) or failure.hint
        raise
    folder = RunFolder.of(output)
    begun = folder.checkpoint.exists()
    if resume and not begun:
        raise ConfigError(
            f"{folder.path} has no checkpoint to continue from.", f"Leave out {setting('resume')} to start."
        )
    if begun and not resume and not force:
        raise ConfigError(
            f"{folder.path} already holds a run.",
            f"Continue it ({setting('resume', True)}), or start again ({setting('force', True)}).",
        )
    return folder


def _way_on(folder: RunFolder) -> str:
    """Advice for resuming a run whose output exists; "" if there is no such run."""
    if not folder.checkpoint.exists():
        return ""
    done, steps = folder.progress()
    if done < steps:
        return (
            f"The run in {folder.path} has done {done} of {steps} steps: "
            f"{setting('resume', True)} {setting('force', True)} continues it and replaces the output."
        )
    return (
        "Its run has ended, so nothing is left to resume. A longer run is a different run: start it without "
        f"{setting('resume')} and with {setting('force', True)}, or with another output."
    )
