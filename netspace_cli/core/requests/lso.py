"""Requests for latent space optimisation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from netspace_cli.core.data.data import Data
from netspace_cli.core.encoding.decode import write_decoded
from netspace_cli.core.files.checkpoint import check_checkpoint_suffix
from netspace_cli.core.files.figures import check_figure
from netspace_cli.core.files.outputs import check_no_input, check_output
from netspace_cli.core.kinds.labelled import require_labelled
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.recorded_accuracy import compare_recorded
from netspace_cli.core.networks.scores import accuracies_on_test
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.search.lso import (
    Optimised,
    Optimiser,
    decoded_network,
    image_objective,
    optimise_towards,
    optimiser_for,
)
from netspace_cli.core.search.search import Objective
from netspace_cli.core.search.search_figure import plot_search
from netspace_cli.core.spaces.embeddings import Origin, check_embedding_output, embeddings_of, save_embeddings
from netspace_cli.core.spaces.space import Space

from .choose_data import choose_data, recorded, require_data
from .choose_space import choose_space
from .inputs import NO_TEACHER, Teacher, read_inputs, read_wanted_teachers
from .plan import planned_inputs
from .reader import CheckpointReader
from .shape_objective import read_shape_objective


@dataclass(frozen=True)
class LsoRequest:
    """A request to optimise an embedding.

    Attributes:
        init: a checkpoint or an embedding file.
        teacher: to imitate, one or what several say together; without, the labels alone.
        towards: a shape to become; repair: close it where it is an open mesh.
        arch: the architecture wanted; None for that of the start.
        method, steps, images, lr: as in `optimiser_for`.
        output, decoded: of the best embedding and of its network; plot: of the scores on the way; force: replace them.
        space, data: a name or a path, and a data set as in `load_data`; None for those that fit.
        refine_steps, key: how a checkpoint is read and encoded.
    """

    init: Path
    teacher: Teacher = NO_TEACHER
    towards: Path | None = None
    repair: bool = False
    arch: str | None = None
    method: str | None = None
    steps: int | None = None
    images: int | None = None
    lr: float | None = None
    output: Path | None = None
    decoded: Path | None = None
    plot: Path | None = None
    space: str | None = None
    data: str | None = None
    refine_steps: int | None = None
    key: str | None = None
    force: bool = False

    def prepare(self, runner: Runner) -> LsoTask:
        """Open the inputs and refuse what cannot be done, before any work.

        Args:
            runner: its seed draws the samples of the shape.
        Raises:
            ConfigError, OutputExists, WrongSpace, DataUnavailable, InputFileError: say what and why.
        """
        self._check_outputs()
        reader = CheckpointReader(key=self.key)
        space = choose_space(self.space, [self.init], reader)
        if self.arch is not None:
            space.model.architecture(self.arch)
        data = require_data(choose_data(space, self.data), space)
        self._check_objective(space)
        optimiser = optimiser_for(space, method=self.method, steps=self.steps, images=self.images, lr=self.lr)
        guides = read_wanted_teachers(self.teacher, data)
        shape = None if self.towards is None else read_shape_objective(self.towards, space, runner, repair=self.repair)
        return LsoTask(self, space, data, optimiser, guides, shape, reader)

    def _check_outputs(self) -> None:
        inputs = [self.init, *self.teacher.paths, self.towards, self.space, self.data]
        check_no_input([self.output, self.decoded, self.plot], inputs)
        if self.output is not None:
            check_embedding_output(self.output)
            check_output(self.output, force=self.force)
        if self.decoded is not None:
            check_checkpoint_suffix(self.decoded)
            check_output(self.decoded, force=self.force)
        if self.plot is not None:
            check_figure(self.plot)
            check_output(self.plot, force=self.force)

    def _check_objective(self, space: Space) -> None:
        if self.towards is None and not space.kind.has_splits:
            raise ConfigError(f"{setting('towards')} is missing: neural fields have no labels.", "Name a shape.")
        if self.teacher.path is not None and self.towards is not None:
            raise ConfigError(
                f"{setting('teacher')} and {setting('towards')} cannot be combined.", "Give only one of them."
            )
        if self.repair and self.towards is None:
            raise ConfigError(f"{setting('repair')} closes a mesh, but {setting('towards')} is missing.", "Give both.")


@dataclass(frozen=True)
class LsoTask:
    """An optimisation that is ready to run.

    Attributes:
        request: what was asked for.
        space, data: opened.
        optimiser: what moves the embedding.
        teachers: to imitate; shape: to become, None for none.
        reader: of a checkpoint to start from.
    """

    request: LsoRequest
    space: Space
    data: Data
    optimiser: Optimiser
    teachers: tuple[Network, ...]
    shape: Objective | None
    reader: CheckpointReader

    @property
    def objective_name(self) -> str | Path:
        """The file or networks to optimise towards, or "the labels"."""
        return self.request.towards or ", ".join(t.architecture.name for t in self.teachers) or "the labels"

    def plan(self) -> dict[str, Any]:
        """The start, as `planned_inputs` gives it, with the architecture `aim` and `lr`; nothing is computed."""
        asked = self.request
        (row,) = planned_inputs(
            (asked.init,), self.space, data=self.data, refine_steps=asked.refine_steps, reader=self.reader
        )
        arch = asked.arch or row["arch"]
        return {"input": row, "arch": arch, "lr": self.optimiser.rate(self.space, arch)}

    def run(self, runner: Runner) -> tuple[Optimised, Network]:
        """Optimise, and write the requested files; returns the result and its network."""
        asked = self.request
        compare_recorded(self.teachers, self.data, runner)
        objective = self.shape or image_objective(self.space, require_labelled(self.data), runner, self.teachers)
        (start,) = read_inputs(
            (asked.init,), self.space, runner, data=self.data, refine_steps=asked.refine_steps, reader=self.reader
        )
        arch = asked.arch or start.origin.arch
        found = optimise_towards(objective, start.embedding, self.space, self.optimiser, arch=arch)
        network = decoded_network(found, self.space, runner, form=start.origin.form)
        if asked.output is not None:
            origin = Origin(
                found.arch, start.origin.form, str(asked.init), start.origin.sha256, "optimised", found.step
            )
            embeddings = embeddings_of(self.space, found.embedding[None], [origin])
            save_embeddings(asked.output, embeddings, force=asked.force)
        if asked.decoded is not None:
            write_decoded([network], [asked.decoded], self.space, force=asked.force)
        if asked.plot is not None:
            title = f"{asked.init.name} as a {found.arch}, optimised towards {self.objective_name}"
            plot_search(asked.plot, found, title, self.space.io, teacher=self._teachers_best(runner), force=asked.force)
        return found, network

    def _teachers_best(self, runner: Runner) -> float | None:
        """The best teacher's score on test; None without teachers."""
        if not self.teachers:
            return None
        return max(accuracies_on_test(self.teachers, require_labelled(self.data), runner))

    def record(self) -> dict[str, Any]:
        """What the result depends on, for a JSON document."""
        asked = self.request
        return {
            "space": self.space.name,
            "data": recorded(self.data),
            "teacher": asked.teacher.paths if asked.teacher.others else asked.teacher.path,
            "method": self.optimiser.method,
            "steps": self.optimiser.steps,
            "images": self.optimiser.images,
            "towards": asked.towards,
            "output": asked.output,
            "decoded": asked.decoded,
            "plot": asked.plot,
        }
