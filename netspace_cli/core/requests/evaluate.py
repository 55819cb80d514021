"""Requests to compare target and predicted instances of a zoo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from netspace_cli.core.data.data import Data
from netspace_cli.core.evaluation.evaluate import count_parts, evaluate, read_targets
from netspace_cli.core.evaluation.evaluation_figure import plot_evaluation
from netspace_cli.core.evaluation.same_data import check_zoo_images
from netspace_cli.core.files.figures import check_figure
from netspace_cli.core.files.outputs import check_no_input, check_output
from netspace_cli.core.kinds.kind import Evaluation
from netspace_cli.core.runtime.cluster import Cluster
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo, open_zoo

from .choose_data import choose_data, recorded, require_data
from .choose_space import check_zoo, choose_space_of_zoo
from .workers import UNDIVIDED, source_of, undivided_note, workers_for


@dataclass(frozen=True)
class EvaluateRequest:
    """A request to evaluate a space on a zoo.

    Attributes:
        zoo: a zoo's folder; split: of its instances.
        refine_steps: of each embedding; None for both the encoder alone and what the space records.
        plot: a figure to draw; force: replace it.
        space, data: a name or a path, and a data set as in `load_data`; None for those that fit.
        workers: processes that the instances are divided among; cluster: where they run, None for this machine.
    """

    zoo: Path
    split: str = "test"
    refine_steps: int | None = None
    plot: Path | None = None
    space: str | None = None
    data: str | None = None
    force: bool = False
    workers: int = 1
    cluster: Cluster | None = None

    def prepare(self) -> EvaluateTask:
        """Open the inputs and refuse what cannot be done, before any work.

        Raises:
            ConfigError, OutputExists, WrongSpace, DataUnavailable, InputFileError: say what and why.
        """
        if self.plot is not None:
            check_no_input([self.plot], [self.space, self.data])
            check_output(self.plot, force=self.force)
            check_figure(self.plot)
        zoo = open_zoo(self.zoo)
        space = choose_space_of_zoo(self.space, zoo)
        check_zoo_images(zoo, space)
        check_zoo(zoo, space, self.split)
        data = require_data(choose_data(space, self.data), space)
        if self.plot is not None and not space.kind.has_splits:
            raise ConfigError(f"{setting('plot')} draws accuracies, which neural fields do not have.", "Leave it out.")
        return EvaluateTask(self, zoo, space, data)


@dataclass(frozen=True)
class EvaluateTask:
    """An evaluation that is ready to run.

    Attributes:
        request: what was asked for.
        zoo, space, data: opened.
    """

    request: EvaluateRequest
    zoo: Zoo
    space: Space
    data: Data

    @property
    def steps(self) -> dict[str, int]:
        """Ways to make embeddings, with the number of refining steps of each."""
        refine = self.request.refine_steps
        if refine is None:
            own = self.space.recipe.refine.steps
            return {"encoded": 0, **({"refined": own} if own else {})}
        return {"refined": refine} if refine else {"encoded": 0}

    def counts(self) -> dict[str, int]:
        """Instances by architecture; all files are read, to find bad ones."""
        return {chosen[0].arch: len(chosen) for chosen, _ in read_targets(self.zoo, self.request.split)}

    def run(self, runner: Runner) -> dict[str, Evaluation]:
        """Evaluate each way to make embeddings."""
        asked, source = self.request, source_of(self.space, self.request.data, self.zoo)
        with workers_for(source, runner, asked, self.parts(runner), asked.zoo) as workers:
            return {
                how: evaluate(
                    self.zoo, self.space, self.data, runner, split=asked.split, refine_steps=steps, workers=workers
                )
                for how, steps in self.steps.items()
            }

    def parts(self, runner: Runner) -> int:
        """Into how many parts the dearest of these ways is divided, at most."""
        asked, dearest = self.request, max(self.steps.values())
        alone = asked.workers == 1 and asked.cluster is None
        return 1 if alone else count_parts(self.zoo, self.space, asked.split, dearest, runner)

    def undivided(self, runner: Runner) -> str | None:
        """A note where workers make no difference, or None."""
        chosen = self.zoo.select(split=self.request.split)
        why = "There is one instance." if len(chosen) == 1 else UNDIVIDED
        return undivided_note(self.request, self.parts(runner), why)

    def write(self, found: Mapping[str, Any]) -> None:
        """Draw the requested figure."""
        if self.request.plot is not None:
            count = len(next(iter(found.values())).instances)
            title = f"{count} {self.request.split} instances of {self.request.zoo.name} in the space {self.space.name}"
            plot_evaluation(self.request.plot, found, title, force=self.request.force)

    def record(self) -> dict[str, Any]:
        """What the result depends on, for a JSON document."""
        return {
            "space": self.space.name,
            "data": recorded(self.data),
            "zoo": self.request.zoo,
            "split": self.request.split,
        }

    def document(self, found: Mapping[str, Evaluation]) -> dict[str, Any]:
        """{refine_steps, instances, summary, …} of the first way; a second way is under `refined`."""
        first, *others = [{"refine_steps": n, **found[how].documented()} for how, n in self.steps.items()]
        return {**first, **({"refined": others[0]} if others else {})}

    def remark(self, summary: Mapping[str, Any]) -> str | None:
        """A remark on instances that the space may have been trained on, or None."""
        name = self.space.name
        if summary["seen"] is None:
            return (
                f"Space {name} does not record the files it was trained on, so it is not known whether it has "
                "seen these instances."
            )
        if summary["seen"] and self.request.split == "test":
            return (
                f"Caution: {summary['seen']} of these {summary['n']} test instances were used to train space {name}, "
                "so they do not test it."
            )
        return None
