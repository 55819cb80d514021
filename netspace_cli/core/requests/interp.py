"""Requests to walk between two networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netspace_cli.core.data.data import Data
from netspace_cli.core.files.outputs import check_no_input
from netspace_cli.core.paths.path_files import check_path_outputs, steps_in, write_csv, write_steps
from netspace_cli.core.paths.walks import BENT, STRAIGHT, PathPlan, Walks, can_bend, is_bent, walks
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space

from .choose_data import choose_data, recorded, require_data
from .choose_space import choose_space
from .inputs import check_same_architecture, read_inputs
from .plan import planned_inputs
from .reader import CheckpointReader


@dataclass(frozen=True)
class InterpRequest:
    """A request to walk between two networks.

    Attributes:
        start, end: checkpoints or embedding files.
        steps: N; a path has N + 1 steps.
        weights, bend, split: as in `PathPlan`; bend None for what the space can do.
        space, data: a name or a path, and a data set as in `load_data`; None for those that fit.
        refine_steps, arch, key: how checkpoints are read and encoded.
        csv, plot, save_dir: files to write; force: replace those that exist.
    """

    start: Path
    end: Path
    steps: int = 20
    weights: bool = False
    bend: bool | None = None
    split: str = "test"
    space: str | None = None
    data: str | None = None
    refine_steps: int | None = None
    arch: str | None = None
    key: str | None = None
    csv: Path | None = None
    plot: Path | None = None
    save_dir: Path | None = None
    force: bool = False

    @property
    def outputs(self) -> list[Path]:
        """The requested files and folders."""
        return [output for output in (self.csv, self.plot, self.save_dir) if output is not None]

    def prepare(self) -> InterpTask:
        """Open the inputs and refuse what cannot be done, before any work.

        Raises:
            ConfigError, OutputExists, WrongSpace, DataUnavailable, InputFileError: say what and why.
        """
        steps = [] if self.save_dir is None else steps_in(self.save_dir)
        check_no_input([self.csv, self.plot, self.save_dir, *steps], [self.start, self.end, self.space, self.data])
        check_path_outputs(self.csv, self.plot, self.save_dir, force=self.force)
        reader = CheckpointReader(self.arch, self.key)
        space = choose_space(self.space, (self.start, self.end), reader)
        data = choose_data(space, self.data)
        if self.plot is not None:
            space.kind.check_drawing()
            require_data(data, space)
        bend = is_bent(space, self.bend, self.steps)
        if self.weights:
            check_same_architecture((self.start, self.end), space, reader)
        return InterpTask(self, space, data, bend, reader)


@dataclass(frozen=True)
class InterpTask:
    """A walk that is ready to run.

    Attributes:
        request: what was asked for.
        space, data: opened; data None where the space's own are not available.
        bend: whether the path is bent.
        reader: of the checkpoints.
    """

    request: InterpRequest
    space: Space
    data: Data | None
    bend: bool
    reader: CheckpointReader

    @property
    def reading(self) -> dict[str, Any]:
        """Settings to read and encode checkpoints."""
        return {"refine_steps": self.request.refine_steps, "reader": self.reader}

    @property
    def can_bend(self) -> bool:
        """Whether bending the path changes it."""
        return can_bend(self.space, self.request.steps)

    def record(self) -> dict[str, Any]:
        """What the result depends on, for a JSON document."""
        return {
            "space": self.space.name,
            "data": recorded(self.data),
            "split": self.request.split,
            "bent": self.bend,
        }

    def plan(self) -> list[dict[str, Any]]:
        """The inputs that would be read, as `planned_inputs` gives them; nothing is computed."""
        return planned_inputs((self.request.start, self.request.end), self.space, data=self.data, **self.reading)

    def run(self, runner: Runner) -> Walks:
        """Encode both ends and walk between them."""
        asked = self.request
        start, end = read_inputs((asked.start, asked.end), self.space, runner, data=self.data, **self.reading)
        plan = PathPlan(asked.steps, self.bend, asked.weights, asked.split)
        return walks(start.end, end.end, self.space, runner, plan, data=self.data)

    def write(self, found: Walks) -> None:
        """Write the requested files."""
        asked = self.request
        if asked.csv is not None:
            write_csv(asked.csv, found.seen, force=asked.force)
        if asked.plot is not None:
            self.space.kind.draw(asked.plot, found.main, found.seen, force=asked.force)
        if asked.save_dir is not None:
            write_steps(asked.save_dir, found.networks[found.main], force=asked.force)

    def document(self, found: Walks) -> dict[str, Any]:
        """Rows of every path, under the keys that scripts read."""
        keys = {"steps": found.main}
        keys |= {"straight_steps": STRAIGHT} if found.main == BENT else {}
        if self.request.weights:
            keys |= {"weight_steps": "weights", "aligned_weight_steps": "aligned weights"}
        return {key: [step.row() for step in found.seen.get(name, [])] for key, name in keys.items()}
