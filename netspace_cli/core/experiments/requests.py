"""Requests for experiments on a zoo.

They are not in `core/requests/`, which experiments import.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.files.figures import check_figure
from netspace_cli.core.files.outputs import check_folder
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.recorded_accuracy import compare_recorded
from netspace_cli.core.requests.choose_data import choose_images, choose_images_of_zoo, recorded, require_data
from netspace_cli.core.requests.choose_space import choose_space_of_zoo
from netspace_cli.core.requests.inputs import NO_TEACHER, Teacher, read_wanted_teacher
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.recipe_reading import load_recipe
from netspace_cli.core.spaces.space import Space, load_space
from netspace_cli.core.zoos.zoo import Zoo, open_zoo

from .backbones import backbones
from .few_labels.experiment import few_labels
from .few_labels.runs import FewLabels
from .held_out import Scale, trained_space
from .merging.experiment import merging
from .merging.runs import Merging, pool_of
from .rate import SIZES, rate
from .report import Report, write_report
from .sampling.experiment import sampling
from .sampling.runs import Sampling


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


def opened(request: HeldOutRequest | BackbonesRequest | RateRequest | SamplingRequest) -> Opened:
    """Open the inputs of an experiment, after checking that its folder can take the results.

    Raises:
        ConfigError, DataUnavailable, InputFileError: say what and why.
    """
    zoo = opened_zoo(request.zoo, request.output)
    data = choose_images_of_zoo(zoo, request.data)
    return Opened(zoo, data, read_wanted_teacher(request.teacher, data))


def opened_zoo(zoo: Path, output: Path) -> Zoo:
    """Open a zoo, after checking that the folder can take the results."""
    check_folder(output)
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


@dataclass(frozen=True)
class FewLabelsRequest:
    """Request to adapt an instance to few labelled images.

    Attributes:
        zoo: a zoo's folder; output: the folder of the results.
        plan: how much work.
        space, data: a name or a path, and a data set as in `load_data`; None for those that fit.
        arch: of the instance; None for the zoo's smallest.
    """

    zoo: Path
    output: Path
    plan: FewLabels
    space: str | None = None
    data: str | None = None
    arch: str | None = None

    def prepare(self) -> FewLabelsTask:
        """Open the inputs and refuse what cannot be done, before any work.

        Raises:
            ConfigError, WrongSpace, DataUnavailable, InputFileError: say what and why.
        """
        zoo = opened_zoo(self.zoo, self.output)
        space = choose_space_of_zoo(self.space, zoo)
        return FewLabelsTask(self, zoo, space, require_data(choose_images(space, self.data), space))


@dataclass(frozen=True)
class FewLabelsTask:
    """An adaptation that is ready to run: the request and its opened inputs."""

    request: FewLabelsRequest
    zoo: Zoo
    space: Space
    data: ImageData

    def run(self, runner: Runner) -> Found:
        """Adapt the instance by each method."""
        asked = self.request
        report = few_labels(self.zoo, self.space, self.data, runner, asked.output, plan=asked.plan, arch=asked.arch)
        return Found(report, self.data, self.space)


@dataclass(frozen=True)
class SamplingRequest:
    """Request to compare samples of every method.

    Attributes:
        zoo: a zoo's folder; output: the folder of the results.
        recipes: files, by name; settings: of all of them, as in `load_recipe`.
        spaces: trained ones, names or paths, by name.
        plan: how much is drawn.
        data: a data set as in `load_data`; None for the zoo's own.
        teacher: of spaces of several architectures.
    """

    zoo: Path
    output: Path
    recipes: Mapping[str, Path] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    spaces: Mapping[str, str] = field(default_factory=dict)
    plan: Sampling = field(default_factory=Sampling)
    data: str | None = None
    teacher: Teacher = NO_TEACHER

    def prepare(self) -> SamplingTask:
        """Open the inputs and refuse what cannot be done, before any work.

        Raises:
            ConfigError, DataUnavailable, InputFileError: say what and why.
        """
        self.plan.check()
        twice = sorted({*self.recipes} & {*self.spaces})
        if twice:
            raise ConfigError(
                f"a recipe and a space are both called {twice[0]}.", f"Rename one of them: {setting('space')}."
            )
        inputs = opened(self)
        sources: dict[str, Recipe | Space] = {n: load_recipe(p, self.settings) for n, p in self.recipes.items()}
        return SamplingTask(self, inputs, sources | {name: load_space(space) for name, space in self.spaces.items()})


@dataclass(frozen=True)
class SamplingTask:
    """A comparison of samples that is ready to run: the request and its opened inputs."""

    request: SamplingRequest
    inputs: Opened
    sources: Mapping[str, Recipe | Space]

    def run(self, runner: Runner) -> Found:
        """Train the spaces, draw, and judge."""
        asked, inputs = self.request, self.inputs.compared(runner)
        how: dict[str, Any] = {"plan": asked.plan, "teacher": inputs.teacher}
        return Found(sampling(inputs.zoo, asked.output, self.sources, inputs.data, runner, **how), inputs.data)


@dataclass(frozen=True)
class MergingRequest:
    """Request to merge draws of a zoo's instances.

    Attributes:
        zoo: a zoo's folder; output: the folder of the results.
        plan: how much is merged.
        space: a name or a path, for ways through embeddings; None for none.
        data: a data set as in `load_data`; None for the zoo's own.
    """

    zoo: Path
    output: Path
    plan: Merging = field(default_factory=Merging)
    space: str | None = None
    data: str | None = None

    def prepare(self) -> MergingTask:
        """Open the inputs and refuse what cannot be done, before any work.

        Raises:
            ConfigError, DataUnavailable, InputFileError: say what and why.
        """
        self.plan.check()
        zoo = opened_zoo(self.zoo, self.output)
        pool_of(zoo, self.plan)
        space = None if self.space is None else load_space(self.space)
        return MergingTask(self, zoo, choose_images_of_zoo(zoo, self.data), space)


@dataclass(frozen=True)
class MergingTask:
    """Merges that can begin: the request and its opened inputs."""

    request: MergingRequest
    zoo: Zoo
    data: ImageData
    space: Space | None

    def run(self, runner: Runner) -> Found:
        """Merge every draw."""
        asked = self.request
        report = merging(self.zoo, asked.output, self.data, runner, plan=asked.plan, space=self.space)
        return Found(report, self.data, self.space)
