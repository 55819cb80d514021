"""The folder of a training run: its settings, its metrics, its last checkpoint."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from netspace_models.errors import CheckpointError, ConfigError

from .files import atomic_write


class RunFolder:
    """`settings.json`, `metrics.jsonl`, `checkpoint.pt` of one run.

    Args:
        path: of the folder; made when the run begins.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def metrics(self) -> Path:
        """One JSON object a step."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoint(self) -> Path:
        """The last whole state."""
        return self.path / "checkpoint.pt"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second run out of the folder.

        Raises:
            ConfigError: another run holds it.
        """
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
        """Start afresh.

        Raises:
            ConfigError: a run was begun here and `force` is not given.
        """
        if self.checkpoint.exists() and not force:
            raise ConfigError(
                f"{self.path} holds a run already.", "Go on with it (--resume), or begin again (--force)."
            )
        self.checkpoint.unlink(missing_ok=True)
        self.metrics.write_text("")
        text = json.dumps(settings, indent=1, sort_keys=True) + "\n"
        atomic_write(self.path / "settings.json", lambda p: p.write_text(text), force=True)

    def resume(self, settings: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
        """The state to go on from; metrics of steps after it are dropped, they will come again.

        Raises:
            ConfigError: no run to go on with, or one of other settings (the message names them).
            CheckpointError: the checkpoint cannot be read.
        """
        if not self.checkpoint.exists():
            raise ConfigError(f"{self.path} has no checkpoint to go on from.", "Leave out --resume to begin.")
        before = json.loads((self.path / "settings.json").read_text())
        changed = [k for k in settings if before.get(k) != json.loads(json.dumps(settings[k]))]
        if changed:
            raise ConfigError(
                f"the run in {self.path} was begun with another {', '.join(changed)}.",
                "Resume with the same settings, or begin again with --force.",
            )
        try:
            state: dict[str, Any] = torch.load(self.checkpoint, map_location=device, weights_only=True)
        except Exception as failure:
            raise CheckpointError(
                self.checkpoint, f"cannot be read ({failure}).", "Begin again with --force."
            ) from failure
        lines = self.metrics.read_text().splitlines(keepends=True)
        kept = "".join(lines[: state["step"]])
        atomic_write(self.metrics, lambda p: p.write_text(kept), force=True)
        return state

    def log(self, line: Mapping[str, Any]) -> None:
        """Add one line to the metrics."""
        with self.metrics.open("a") as f:
            f.write(json.dumps(line) + "\n")

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint, whole or not at all."""
        atomic_write(self.checkpoint, lambda p: torch.save(dict(state), p), force=True)
