"""Requests to train a zoo's instances further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.runtime.cluster import Cluster
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.sampling.together import check_ensemble, select_members
from netspace_cli.core.zoos.finetune import (
    FineTuning,
    Tuned,
    check_finetuning,
    finetune,
    settings_of,
    summarised,
    tuned_zoo,
)
from netspace_cli.core.zoos.zoo import Zoo, open_zoo

from .choose_data import recorded
from .workers import ZooSource, undivided_note, workers_for


@dataclass(frozen=True)
class FinetuneRequest:
    """A request to train instances further.

    Attributes:
        zoo: a zoo's folder.
        plan: how its instances are trained further.
        select: number of most accurate instances on validation images to take; None for all.
        scratch: train networks from scratch beside them.
        output: folder of the zoo that they become; None to keep no networks.
        data: a data set as in `load_data`; None for the zoo's own.
        workers: processes that the networks are divided among; cluster: where they run, None for this machine.
    """

    zoo: Path
    plan: FineTuning
    select: int | None = None
    scratch: bool = True
    output: Path | None = None
    data: str | None = None
    workers: int = 1
    cluster: Cluster | None = None

    def prepare(self, seed: int) -> FinetuneTask:
        """Open the zoo and refuse what cannot be done, before any work.

        Args:
            seed: the runner's, of which networks that are there already must be.
        Raises:
            ConfigError, DataUnavailable, InputFileError: say what and why.
        """
        self.plan.check()
        inputs = ZooSource(self.zoo, self.data).open()
        zoo, data = inputs.zoo, inputs.data
        check_finetuning(zoo, zoo.instances, data, self.plan)
        check_ensemble(zoo, data, self.select)
        there = 0 if self.output is None else tuned_zoo(self.output, self.plan, seed).check(zoo, data.record())
        return FinetuneTask(self, zoo, data, there)


@dataclass(frozen=True)
class FinetuneTask:
    """A fine-tuning task that is ready to run.

    Attributes:
        request: what was asked for.
        zoo, data: opened.
        there: how many of the zoo's instances the output has already.
    """

    request: FinetuneRequest
    zoo: Zoo
    data: LabelledData
    there: int = 0

    @property
    def count(self) -> int:
        """Number of instances."""
        return len(self.zoo.instances) if self.request.select is None else self.request.select

    def run(self, runner: Runner) -> list[Tuned]:
        """Choose instances and train them."""
        chosen, _ = select_members(self.zoo, runner.place(self.data), runner, self.request.select)
        asked = self.request
        settings: dict[str, Any] = {"scratch": asked.scratch, "output": asked.output}
        kept = "" if asked.output is None else "Finished networks are kept."
        beside = asked.output or asked.zoo
        with workers_for(ZooSource(asked.zoo, asked.data), runner, asked, self.parts, beside, kept=kept) as workers:
            return finetune(self.zoo, chosen, self.data, asked.plan, runner, workers=workers, **settings)

    @property
    def parts(self) -> int:
        """Number of networks to train, those from scratch among them."""
        return self.count * (1 + self.request.scratch)

    def undivided(self) -> str | None:
        """A note where workers make no difference, or None."""
        return undivided_note(self.request, self.parts, "There is one network.")

    def written(self) -> str | None:
        """What is in the output after the work, or None without one."""
        output = self.request.output
        return None if output is None else f"{output} has {len(open_zoo(output).instances)} networks."

    def document(self, found: Sequence[Tuned]) -> dict[str, Any]:
        """Every network and the means, for JSON."""
        key = self.data.io.problem.key
        networks = [{"id": n.id, "arch": n.arch, "start": n.start, key: n.accuracy} for n in found]
        summary = [{key if name == "accuracy" else name: v for name, v in row.items()} for row in summarised(found)]
        return {**self.record(), "networks": networks, "summary": summary}

    def record(self) -> dict[str, Any]:
        """What the result depends on."""
        asked = self.request
        return {
            "zoo": asked.zoo,
            "data": recorded(self.data),
            "select": asked.select,
            "scratch": asked.scratch,
            "output": asked.output,
            "settings": settings_of(asked.plan),
        }
