"""Requests to draw new networks."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netspace_models.wording import setting

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.encoding.inputs import Inputs
from netspace_cli.core.evaluation.same_data import check_zoo_images
from netspace_cli.core.files.outputs import check_no_input
from netspace_cli.core.runtime.cluster import Cluster
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.workers import Workers
from netspace_cli.core.sampling.audit import Audit, audit
from netspace_cli.core.sampling.methods import Method, method_named
from netspace_cli.core.sampling.norms import check_norms, refresh_norms
from netspace_cli.core.sampling.polish import check_polishing, polish
from netspace_cli.core.sampling.population import TOP, Population, drawn_arch, population_of, with_predicted
from netspace_cli.core.sampling.rivals import Rivals, check_rivals
from netspace_cli.core.sampling.sample import Samples, check_drawing, sample_from
from netspace_cli.core.sampling.write import check_new_folder, write_samples
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo, open_zoo

from .choose_data import check_labelled, choose_labelled, recorded, require_data
from .choose_space import choose_space_of_zoo, choose_space_to_draw_from
from .workers import source_of, undivided_note, workers_for


@dataclass(frozen=True)
class SampleRequest:
    """A request to draw networks.

    Attributes:
        output: a folder for the zoo of samples.
        count: how many networks.
        method: by name; None for starts where the architecture has several starting points, else kde.
        bandwidth, accuracy, scale, parents: settings of the method; None as usual.
        top: share of the training instances to learn from, the best by validation.
        arch: of which architecture; None where the space has one alone.
        polish: label steps on each embedding; polish_lr: their learning rate, as in `polish`.
        refresh_norms: of each network's batch norms.
        rivals: as in `audit`.
        space: a name or a path; None for the built-in one that knows the zoo, without a zoo for the one that has the
            most starting points.
        data: a data set as in `load_data`; None for the space's own.
        zoo: that the space was trained on; None where no weights are needed.
        workers: processes that polishing, scoring and training fresh networks are divided among; cluster: where they
            run, None for this machine.
    """

    output: Path
    count: int = 10
    method: str | None = None
    bandwidth: float | str | None = None
    accuracy: float | None = None
    scale: float | None = None
    parents: int | None = None
    top: float = TOP
    arch: str | None = None
    polish: int = 0
    polish_lr: float | None = None
    refresh_norms: bool = False
    rivals: Rivals = "quick"
    space: str | None = None
    data: str | None = None
    zoo: Path | None = None
    workers: int = 1
    cluster: Cluster | None = None

    def chosen(self, name: str) -> Method:
        """The method with the requested settings.

        Raises:
            ConfigError: no such method, a setting that it does not have, or polishing what has no embedding.
        """
        own = {"bandwidth": self.bandwidth, "accuracy": self.accuracy, "scale": self.scale, "parents": self.parents}
        method = method_named(name, **own)
        check_polishing(name, self.polish, self.polish_lr)
        return method

    def prepare(self) -> SampleTask:
        """Open the inputs and refuse what cannot be done, before any work.

        Raises:
            ConfigError, WrongSpace, DataUnavailable, InputFileError: say what and why.
        """
        if self.method is not None:
            self.chosen(self.method)
        check_rivals(self.rivals)
        check_no_input([self.output], [self.zoo, self.space, self.data])
        check_new_folder(self.output)
        zoo = None if self.zoo is None else open_zoo(self.zoo)
        space = self._space(zoo)
        check_labelled(space.kind, f"space {space.name!r}")
        starts = space.starts_of(drawn_arch(space, self.arch))
        method = self.chosen(self.method or ("kde" if starts == 1 else "starts"))
        if zoo is not None:
            check_zoo_images(zoo, space)
        data = choose_labelled(space, self.data)
        if self.polish or self.refresh_norms:
            data = require_data(data, space)
        population = population_of(space, arch=self.arch, zoo=zoo, top=self.top)
        check_drawing(population, space, self.count, method)
        if self.refresh_norms:
            check_norms(population.architecture)
            population.aligned_weights("refresh_norms")
        return SampleTask(self, method, space, data, population)

    def _space(self, zoo: Zoo | None) -> Space:
        return choose_space_to_draw_from(self.space) if zoo is None else choose_space_of_zoo(self.space, zoo)


@dataclass(frozen=True)
class SampleTask:
    """A sampling task that is ready to run.

    Attributes:
        request: what was asked for.
        method: with its settings.
        space, data: opened; data None where the space's own are not available.
        population: what is learnt from.
    """

    request: SampleRequest
    method: Method
    space: Space
    data: LabelledData | None
    population: Population

    @property
    def parts(self) -> int:
        """Into how many parts the work after drawing can be divided."""
        return 0 if self.data is None else self.request.count

    def workers(self, runner: Runner) -> AbstractContextManager[Workers[Inputs] | None]:
        """Worker processes, for the steps below; None where one process does all."""
        asked, source = self.request, source_of(self.space, self.request.data)
        return workers_for(source, runner, asked, self.parts, asked.output, kept="Written samples are kept.")

    def undivided(self) -> str | None:
        """A note where workers make no difference, or None."""
        why = "Nothing is polished or scored without images." if self.data is None else "There is one sample."
        return undivided_note(self.request, self.parts, why)

    def run(self, runner: Runner, workers: Workers[Inputs] | None = None) -> Samples:
        """Draw networks, refresh their norms and polish them."""
        asked = self.request
        found = sample_from(self.population, self.space, asked.count, self.method, runner, top=asked.top)
        if self.data is None:
            return found
        if asked.polish:
            found = polish(
                found, self.space, self.data, runner, steps=asked.polish, lr=asked.polish_lr, workers=workers
            )
        return refresh_norms(found, self.data, runner) if asked.refresh_norms else found

    def audit(self, samples: Samples, runner: Runner, workers: Workers[Inputs] | None = None) -> Audit | None:
        """The audit table; None if something is missing for it, as `missing` says."""
        if self.data is None or len(self.population) < 2:
            return None
        if samples.population.weights is None:
            known = with_predicted(samples.population, self.space, runner)
            samples = Samples(samples.method, samples.settings, samples.seed, samples.top, known, samples.samples)
        return audit(samples, self.space, self.data, runner, rivals=self.request.rivals, workers=workers)

    def write(self, samples: Samples, runner: Runner, workers: Workers[Inputs] | None = None) -> Zoo:
        """Write the zoo of samples."""
        return write_samples(self.request.output, samples, self.space, runner, data=self.data, workers=workers)

    def missing(self) -> str | None:
        """What is missing for the table, and how to get it; None if nothing is."""
        if self.data is None:
            name = self.space.record["data"]["name"]
            missing = f"the images of {name} are not available. Name them with {setting('data')}."
            return f"The samples were not judged: {missing}"
        if len(self.population) < 2:
            return "The samples were not judged: there is only one training instance to compare them with."
        if self.population.weights is None:
            return (
                "Predicted instances are what the training instances' embeddings decode to, which are more alike than "
                f"the instances. Give the space's own zoo to compare with the instances: {setting('zoo', 'PATH')}."
            )
        return None

    def record(self) -> dict[str, Any]:
        """What the result depends on, for a JSON document."""
        asked = self.request
        return {
            "space": self.space.name,
            "zoo": asked.zoo,
            "data": recorded(self.data),
            "arch": self.population.architecture.name,
            "method": self.method.name,
            "settings": self.method,
            "top": asked.top,
            "instances": len(self.population),
            "count": asked.count,
            "polish": asked.polish,
            **({} if asked.polish_lr is None else {"polish_lr": asked.polish_lr}),
            "refresh_norms": asked.refresh_norms,
            "output": asked.output,
        }
