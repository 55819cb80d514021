"""Requests to score a zoo's instances as an ensemble."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.runtime.cluster import Cluster
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.sampling.together import Ensemble, check_ensemble, ensemble
from netspace_cli.core.zoos.zoo import Zoo

from .choose_data import recorded
from .workers import ZooSource, undivided_note, workers_for


@dataclass(frozen=True)
class EnsembleRequest:
    """A request to score an ensemble.

    Attributes:
        zoo: a zoo's folder.
        select: number of most accurate instances on validation images to take; None for all.
        data: a data set as in `load_data`; None for the zoo's own.
        workers: processes that the members are divided among; cluster: where they run, None for this machine.
    """

    zoo: Path
    select: int | None = None
    data: str | None = None
    workers: int = 1
    cluster: Cluster | None = None

    def prepare(self) -> EnsembleTask:
        """Open the zoo and refuse what cannot be done, before any work.

        Raises:
            ConfigError, DataUnavailable, InputFileError: say what and why.
        """
        inputs = ZooSource(self.zoo, self.data).open()
        check_ensemble(inputs.zoo, inputs.data, self.select)
        return EnsembleTask(self, inputs.zoo, inputs.data)


@dataclass(frozen=True)
class EnsembleTask:
    """An ensemble that is ready to be scored.

    Attributes:
        request: what was asked for.
        zoo, data: opened.
    """

    request: EnsembleRequest
    zoo: Zoo
    data: LabelledData

    @property
    def count(self) -> int:
        """Number of members."""
        return len(self.zoo.instances) if self.request.select is None else self.request.select

    def run(self, runner: Runner) -> Ensemble:
        """Run the members."""
        asked = self.request
        with workers_for(ZooSource(asked.zoo, asked.data), runner, asked, self.count, asked.zoo) as workers:
            return ensemble(self.zoo, self.data, runner, select=asked.select, workers=workers)

    def undivided(self) -> str | None:
        """A note where workers make no difference, or None."""
        return undivided_note(self.request, self.count, "There is one member.")

    def document(self, found: Ensemble) -> dict[str, Any]:
        """The members and their scores together, for JSON."""
        each, key = found.found, self.data.io.problem.key
        validation = found.validation or [None] * len(found.ids)
        members = [
            {"id": name, key: accuracy} | ({} if val is None else {"validation": val})
            for name, accuracy, val in zip(found.ids, each.accuracies, validation, strict=True)
        ]
        return {
            **self.record(),
            "members": members,
            f"mean_{key}": each.members,
            "deviation": each.deviation,
            f"ensemble_{key}": each.ensemble,
            "ensemble_loss": each.loss,
            "ensemble_calibration_error": each.calibration_error,
            "agreement": each.agreement,
        }

    def record(self) -> dict[str, Any]:
        """What the result depends on."""
        return {"zoo": self.request.zoo, "data": recorded(self.data), "select": self.request.select}
