"""Requests to train a space on a zoo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from netspace_cli.core.data.data import Data
from netspace_cli.core.files.outputs import check_no_input
from netspace_cli.core.kinds.labelled import is_labelled
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.recorded_accuracy import compare_recorded
from netspace_cli.core.runtime.runner import Runner, memory_of
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.recipe_reading import load_recipe
from netspace_cli.core.spaces.space import Space, load_space
from netspace_cli.core.training.extension import extended_recipe
from netspace_cli.core.training.loop import prepare, step_to_resume, train_prepared
from netspace_cli.core.training.memory import Footprint, footprint
from netspace_cli.core.training.run_folder import RunFolder, check_run
from netspace_cli.core.training.step import Task
from netspace_cli.core.zoos.zoo import Zoo, open_zoo

from .choose_data import choose_data_of_zoo
from .inputs import NO_TEACHER, Teacher, read_wanted_teachers


@dataclass(frozen=True)
class TrainRequest:
    """A request to train a space.

    Attributes:
        zoo: a zoo's folder; output: the space's file.
        recipe, settings: as in `load_recipe`.
        teacher: for several architectures; one, or what several say together.
        extend: a finished space, by name or path, that gets further starting points; None for a new space.
        data: a data set as in `load_data`; None for the zoo's own.
        resume, force: as in `train`.
    """

    zoo: Path
    output: Path
    recipe: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    teacher: Teacher = NO_TEACHER
    extend: str | None = None
    data: str | None = None
    resume: bool = False
    force: bool = False

    def prepare(self) -> TrainTask:
        """Open the inputs and refuse what cannot be done, before any work.

        Raises:
            ConfigError, OutputExists, DataUnavailable, InputFileError: say what and why.
        """
        recipe = load_recipe(self.recipe, self.settings).named(self.output)
        check_no_input([self.output], [*self.teacher.paths, self.recipe, self.extend, self.data])
        folder = check_run(self.output, resume=self.resume, force=self.force)
        zoo = open_zoo(self.zoo)
        extended = None if self.extend is None else load_space(self.extend)
        if extended is not None:
            recipe = extended_recipe(extended, recipe, zoo)
        data = choose_data_of_zoo(zoo, self.data)
        teachers = read_wanted_teachers(self.teacher, data)
        images = len(data.splits["train"]) if is_labelled(data) else 0
        needed = footprint(recipe, zoo, images)
        return TrainTask(self, recipe, zoo, data, teachers, needed, folder, extended)


@dataclass(frozen=True)
class TrainTask:
    """A training task that is ready to run.

    Attributes:
        request: what was asked for.
        recipe, zoo, data, teachers: read.
        footprint: its estimated memory; folder: of its run.
        extended: the space to extend, if one was named.
    """

    request: TrainRequest
    recipe: Recipe
    zoo: Zoo
    data: Data
    teachers: tuple[Network, ...]
    footprint: Footprint
    folder: RunFolder
    extended: Space | None = None

    def warning(self, runner: Runner) -> str | None:
        """A warning about the memory needed; None if there is enough."""
        return self.footprint.on(runner.device).warning(self.recipe, memory_of(runner.device))

    def plan(self, runner: Runner) -> Task:
        """Read and check everything, without training."""
        return prepare(self.zoo, self.recipe, self.data, runner, teacher=self.teachers, extend=self.extended)

    def resumes_at(self, task: Task) -> int | None:
        """The step that a run would be resumed from; None for a new one.

        Args:
            task: of `plan`.
        Raises:
            ConfigError, InputFileError: the run there cannot be resumed so.
        """
        return step_to_resume(task, self.zoo, self.folder) if self.request.resume else None

    def run(self, runner: Runner, *, on_stop: Callable[[], None] | None = None) -> Space:
        """Train and write the space."""
        asked = self.request
        compare_recorded(self.teachers, self.data, runner)
        return train_prepared(
            self.plan(runner), self.zoo, asked.output, resume=asked.resume, force=asked.force, on_stop=on_stop
        )
