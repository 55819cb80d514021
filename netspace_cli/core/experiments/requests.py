"""Requests for experiments on a zoo, and what all of them share.

They are not in `core/requests/`, which experiments import. Those of few labels, merging and sampling lie beside their
experiments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from netspace_models.errors import ConfigError

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.files.figures import check_figure
from netspace_cli.core.files.outputs import check_folder, check_no_input
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.recorded_accuracy import compare_recorded
from netspace_cli.core.requests.choose_data import choose_images_of_zoo, recorded
from netspace_cli.core.requests.inputs import NO_TEACHER, Teacher, read_wanted_teacher
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.recipe_reading import load_recipe
from netspace_cli.core.spaces.space import Space, load_space
from netspace_cli.core.zoos.zoo import Zoo, open_zoo

from .backbones import backbones
from .held_out import Scale, trained_space
from .rate import SIZES, rate
from .report import Report, write_report


@dataclass(frozen=True)
class Found:
    """The result of an experiment.

    Attributes:
        report: tables and figures.
        data: the images.
        space: the one measured; None of an experiment that has spaces of its own.
    """

    report: Report
    data: ImageData
    space: Space | None = None

    def facts(self, cost: Mapping[str, Any]) -> dict[str, Any]:
        """What the numbers depend on, and their cost: a runner's report."""
        facts = {**self.report.facts, "data": recorded(self.data), "cost": dict(cost)}
        return facts if self.space is None else {**facts, "space": self.space.name, "space_sha256": self.space.sha256}

    def write(self, folder: Path, cost: Mapping[str, Any]) -> list[Path]:
        """Write tables, figures and facts, and return their paths."""
        return write_report(folder, replace(self.report, facts=self.facts(cost)))


class HeldOutMeasure(Protocol):
    """Type of `single` and `several`."""

    def __call__(
        self,
        zoo: Zoo,
        folder: Path,
        space: Space,
        data: ImageData,
        runner: Runner,
        *,
        scale: Scale,
        teacher: Network | None = None,
    ) -> Report:
        """Measure a space."""
        ...


class ExperimentTask(Protocol):
    """An experiment that is ready to run."""

    def run(self, runner: Runner) -> Found:
        """Measure."""
        ...


class ExperimentRequest(Protocol):
    """A request for an experiment."""

    @property
    def output(self) -> Path:
        """Folder for spaces, tables and figures."""
        ...

    def prepare(self) -> ExperimentTask:
        """Open the inputs and refuse what cannot be done, before any work."""
        ...


@dataclass(frozen=True)
class WantedRecipe:
    """A recipe to use; path and settings are as in `load_recipe`."""

    path: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Opened:
    """Opened inputs of an experiment.

    Attributes:
        zoo, data: opened, of classifiers.
        teacher: None for none.
    """

    zoo: Zoo
    data: ImageData
    teacher: Network | None

    def compared(self, runner: Runner) -> Opened:
        """The same, after comparing what the teacher's file records with what its network answers."""
        compare_recorded([] if self.teacher is None else [self.teacher], self.data, runner)
        return self


class _WithTeacher(Protocol):
    """A request on a zoo, with data and a teacher."""

    @property
    def zoo(self) -> Path: ...

    @property
    def output(self) -> Path: ...

    @property
    def data(self) -> str | None: ...

    @property
    def teacher(self) -> Teacher: ...


def opened(request: _WithTeacher) -> Opened:
    """Open the inputs of an experiment, after checking that its folder can take the results.

    Raises:
        ConfigError, DataUnavailable, InputFileError: say what and why.
    """
    zoo = opened_zoo(request.zoo, request.output)
    data = choose_images_of_zoo(zoo, request.data)
    return Opened(zoo, data, read_wanted_teacher(request.teacher, data))


def opened_zoo(zoo: Path, output: Path) -> Zoo:
    """Open a zoo, after checking that the folder can take the results.

    Raises:
        ConfigError: it cannot be written to, is the zoo's own, or has a README.md of something else.
    """
    check_folder(output)
    check_no_input([output], [zoo])
    own = ("report.json", "runs.jsonl")
    if (output / "README.md").exists() and not any((output / name).exists() for name in own):
        raise ConfigError(
            f"{output} has a README.md and no results of an experiment, whose tables are a README.md.",
            "Choose a new folder.",
        )
    check_figure(output / "figure.png")
    return open_zoo(zoo)


@dataclass(frozen=True)
class HeldOutRequest:
    """Request to measure a space on the held-out instances of a zoo.

    Attributes:
        measure: `single` or `several`.
        zoo: a zoo's folder; output: the folder of the results, and of a space that is trained first.
        space: a trained one, by name or path; or the recipe of one that is trained first.
        data: a data set as in `load_data`; None for the zoo's own.
        teacher: guides training and search.
        refine: steps of held-out instances; None for what the space records.
        path_steps, search_steps, search_images, teacher_images: as in `Scale`.
    """

    measure: HeldOutMeasure
    zoo: Path
    output: Path
    space: str | WantedRecipe
    data: str | None = None
    teacher: Teacher = NO_TEACHER
    refine: int | None = None
    path_steps: int = Scale.path_steps
    search_steps: int = Scale.search_steps
    search_images: int = Scale.search_images
    teacher_images: int = Scale.teacher_images

    def prepare(self) -> HeldOutTask:
        """Open the inputs and refuse what cannot be done, before any work.

        Raises:
            ConfigError, DataUnavailable, InputFileError: say what and why.
        """
        inputs = opened(self)
        if isinstance(self.space, WantedRecipe):
            return HeldOutTask(self, inputs, load_recipe(self.space.path, self.space.settings))
        return HeldOutTask(self, inputs, load_space(self.space))

    def scale(self, space: Space) -> Scale:
        """Amount of work in a space."""
        refine_steps = space.recipe.refine.steps if self.refine is None else self.refine
        return Scale(refine_steps, self.path_steps, self.search_steps, self.search_images, self.teacher_images)


@dataclass(frozen=True)
class HeldOutTask:
    """A measurement that is ready to run.

    Attributes:
        request: what was asked for.
        inputs: opened.
        space: opened, or the recipe of one that is trained first.
    """

    request: HeldOutRequest
    inputs: Opened
    space: Space | Recipe

    def run(self, runner: Runner) -> Found:
        """Train the space if needed, and measure it."""
        asked, inputs = self.request, self.inputs.compared(runner)
        space = self._space(runner)
        report = asked.measure(
            inputs.zoo, asked.output, space, inputs.data, runner, scale=asked.scale(space), teacher=inputs.teacher
        )
        return Found(report, inputs.data, space)

    def _space(self, runner: Runner) -> Space:
        if isinstance(self.space, Space):
            return self.space
        inputs = self.inputs
        several = len({instance.arch for instance in inputs.zoo.instances}) > 1
        guide = inputs.teacher if several else None  # one architecture learns from its own instances
        return trained_space(inputs.zoo, self.request.output, self.space, inputs.data, runner, teacher=guide)


@dataclass(frozen=True)
class BackbonesRequest:
    """Request to compare recipes.

    Attributes:
        zoo: a zoo's folder; output: the folder of the results.
        recipes: files, by name.
        seconds, marks: as in `backbones`.
        data: a data set as in `load_data`; None for the zoo's own.
        teacher: of spaces of several architectures.
    """

    zoo: Path
    output: Path
    recipes: Mapping[str, Path]
    seconds: float
    marks: int = 8
    data: str | None = None
    teacher: Teacher = NO_TEACHER

    def prepare(self) -> BackbonesTask:
        """Open the inputs and refuse what cannot be done, before any work.

        Raises:
            ConfigError, DataUnavailable, InputFileError: say what and why.
        """
        inputs = opened(self)
        return BackbonesTask(self, inputs, {name: load_recipe(path) for name, path in self.recipes.items()})


@dataclass(frozen=True)
class BackbonesTask:
    """A comparison of recipes that is ready to run: the request and its opened inputs."""

    request: BackbonesRequest
    inputs: Opened
    recipes: Mapping[str, Recipe]

    def run(self, runner: Runner) -> Found:
        """Train a space with each recipe and measure it along the way."""
        asked, inputs = self.request, self.inputs.compared(runner)
        time: dict[str, Any] = {"seconds": asked.seconds, "marks": asked.marks}
        report = backbones(inputs.zoo, asked.output, self.recipes, inputs.data, runner, teacher=inputs.teacher, **time)
        return Found(report, inputs.data)


@dataclass(frozen=True)
class RateRequest:
    """Request to compare spaces of several sizes.

    Attributes:
        zoo: a zoo's folder; output: the folder of the results.
        recipe, settings: as in `load_recipe`.
        sizes: of embeddings.
        data: a data set as in `load_data`; None for the zoo's own.
        teacher: of the searches.
        search_steps, search_images, teacher_images: as in `Scale`.
    """

    zoo: Path
    output: Path
    recipe: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    sizes: Sequence[int] = SIZES
    data: str | None = None
    teacher: Teacher = NO_TEACHER
    search_steps: int = Scale.search_steps
    search_images: int = Scale.search_images
    teacher_images: int = Scale.teacher_images

    def prepare(self) -> RateTask:
        """Open the inputs and refuse what cannot be done, before any work.

        Raises:
            ConfigError, DataUnavailable, InputFileError: say what and why.
        """
        inputs = opened(self)
        return RateTask(self, inputs, load_recipe(self.recipe, self.settings))


@dataclass(frozen=True)
class RateTask:
    """A comparison of sizes that is ready to run: the request and its opened inputs."""

    request: RateRequest
    inputs: Opened
    recipe: Recipe

    def run(self, runner: Runner) -> Found:
        """Train a space of each size and measure it."""
        asked, inputs = self.request, self.inputs.compared(runner)
        scale = Scale(
            search_steps=asked.search_steps, search_images=asked.search_images, teacher_images=asked.teacher_images
        )
        how: dict[str, Any] = {"sizes": asked.sizes, "scale": scale, "teacher": inputs.teacher}
        return Found(rate(inputs.zoo, asked.output, self.recipe, inputs.data, runner, **how), inputs.data)
