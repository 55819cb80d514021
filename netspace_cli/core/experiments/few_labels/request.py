"""Requests to adapt an instance to few labelled images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.experiments.requests import Found, opened_zoo
from netspace_cli.core.requests.choose_data import choose_images, require_data
from netspace_cli.core.requests.choose_space import choose_space_of_zoo
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo

from .experiment import few_labels
from .runs import FewLabels


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
