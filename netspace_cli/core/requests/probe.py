"""Requests to predict properties of networks from embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netspace_cli.core.evaluation.probe import LEAST, Probe, probe, probed_architectures
from netspace_cli.core.evaluation.same_data import check_zoo_images
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo, open_zoo

from .choose_data import check_labelled
from .choose_space import choose_space_of_zoo


@dataclass(frozen=True)
class ProbeRequest:
    """A request to probe a zoo.

    Attributes:
        zoo: a zoo's folder.
        arch: of which architecture; None for each.
        space: a name or a path; None for the built-in one that fits.
    """

    zoo: Path
    arch: str | None = None
    space: str | None = None

    def prepare(self) -> ProbeTask:
        """Open the inputs and refuse what cannot be done, before any work.

        Raises:
            ConfigError, WrongSpace, InputFileError: say what and why.
        """
        zoo = open_zoo(self.zoo)
        check_labelled(zoo.kind, f"the zoo {zoo.path}")
        chosen = probed_architectures(zoo, self.arch)
        space = choose_space_of_zoo(self.space, zoo)
        check_zoo_images(zoo, space)
        for architecture in chosen:
            space.model.architecture(architecture.name)
        return ProbeTask(self, zoo, space)


@dataclass(frozen=True)
class ProbeTask:
    """A probing task that is ready to run.

    Attributes:
        request: what was asked for.
        zoo, space: opened.
    """

    request: ProbeRequest
    zoo: Zoo
    space: Space

    def counts(self) -> dict[str, dict[str, int]]:
        """Instances by architecture and split."""
        chosen = probed_architectures(self.zoo, self.request.arch)
        return {a.name: {s: len(self.zoo.select(split=s, arch=a.name)) for s in LEAST} for a in chosen}

    def run(self, runner: Runner) -> list[Probe]:
        """Fit all probes."""
        return probe(self.zoo, self.space, runner, arch=self.request.arch)

    def record(self) -> dict[str, Any]:
        """What the result depends on, for a JSON document."""
        return {"zoo": self.request.zoo, "space": self.space.name, "arch": self.request.arch}
