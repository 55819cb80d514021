"""Requests to compare samples of every method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from netspace_cli.core.experiments.requests import Found, Opened, opened
from netspace_cli.core.requests.inputs import NO_TEACHER, Teacher
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.recipe_reading import load_recipe
from netspace_cli.core.spaces.space import Space, load_space

from .experiment import sampling
from .runs import Sampling


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
