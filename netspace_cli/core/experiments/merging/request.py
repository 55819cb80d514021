"""Requests to merge draws of a zoo's instances."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.experiments.requests import Found, opened_zoo
from netspace_cli.core.requests.choose_data import choose_images_of_zoo
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space, load_space
from netspace_cli.core.zoos.zoo import Zoo

from .experiment import merging
from .runs import Merging, pool_of, result_of


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
        data = choose_images_of_zoo(zoo, self.data)
        result_of(self.plan, data.io)
        return MergingTask(self, zoo, data, space)


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
