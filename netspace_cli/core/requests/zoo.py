"""Requests to make zoos: train on images, fit to shapes, adopt checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.data.normalise import AS_IT_IS, Normalisation
from netspace_cli.core.data.source import DataSource
from netspace_cli.core.runtime.cluster import Cluster
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes.sources import ShapeSource, find_shapes
from netspace_cli.core.zoos.adopt import USUAL_PLAN, Adopted, IndexPlan, index_folder
from netspace_cli.core.zoos.fit import fit_jobs, fit_zoo, fits_so_far
from netspace_cli.core.zoos.fitting import FitJob, FitPlan
from netspace_cli.core.zoos.found import IndexInputs
from netspace_cli.core.zoos.plan import Job, ZooPlan, jobs_of
from netspace_cli.core.zoos.train import train_zoo, zoo_so_far
from netspace_cli.core.zoos.zoo import Zoo

from .workers import cluster_executor, workers_for


@dataclass(frozen=True)
class TrainZooRequest:
    """A request to train a zoo.

    Attributes:
        zoo: its folder; one that is there is added to.
        plan: what to train.
        data: the images, as in `load_data`.
        size: S in pixels that the images are brought to; None for their own.
        workers: processes, each with networks of its own.
        normalisation: of the images; as usual where it says nothing.
        cluster: where these processes run; None for this machine.
    """

    zoo: Path
    plan: ZooPlan
    data: str
    size: int | None = None
    workers: int = 1
    normalisation: Normalisation = AS_IT_IS
    cluster: Cluster | None = None

    @property
    def source(self) -> DataSource:
        """Where the images come from."""
        return DataSource(self.data, self.size, self.normalisation)

    def prepare(self, runner: Runner) -> TrainZooTask:
        """Open the inputs and refuse what cannot be done, before any work.

        Args:
            runner: its seed numbers the instances and draws their splits.
        Raises:
            ConfigError, DataUnavailable, UnknownArchitecture: say what and why.
        """
        self.plan.check()
        self.normalisation.check()
        data = self.source.open()
        done = zoo_so_far(self.zoo, data, self.plan.arch)
        left = (job.without(done) for job in jobs_of(self.plan, runner.seed))
        return TrainZooTask(self, data, [job for job in left if job])


@dataclass(frozen=True)
class TrainZooTask:
    """Training of a zoo that is ready to run.

    Attributes:
        request: what was asked for.
        data: opened.
        jobs: the instances that the zoo does not have yet.
    """

    request: TrainZooRequest
    data: LabelledData
    jobs: Sequence[Job]

    def run(self, runner: Runner) -> Zoo:
        """Train the instances that are missing."""
        asked = self.request
        with cluster_executor(asked, asked.zoo, runner) as executor:
            return train_zoo(
                asked.zoo, asked.plan, self.data, runner, workers=asked.workers, executor=executor, source=asked.source
            )


@dataclass(frozen=True)
class FitZooRequest:
    """A request to fit neural fields to shapes or pictures.

    Attributes:
        shapes: a file or a folder of them; repair, scale: as in `find_shapes`.
        zoo: its folder; one that is there is added to.
        plan: what to fit.
        workers, cluster: as in `TrainZooRequest`.
    """

    shapes: Path
    zoo: Path
    plan: FitPlan
    repair: bool = False
    scale: bool = True
    workers: int = 1
    cluster: Cluster | None = None

    def prepare(self, runner: Runner) -> FitZooTask:
        """Open the inputs and refuse what cannot be done, before any work.

        Args:
            runner: its seed chooses the shapes and draws their splits.
        Raises:
            ConfigError, InputFileError, UnknownArchitecture: say what and why.
        """
        sources = find_shapes(self.shapes, repair=self.repair, scale=self.scale)
        jobs = fit_jobs(sources, self.plan, runner.seed)
        return FitZooTask(self, sources, fits_so_far(self.zoo, sources, jobs, self.plan))


@dataclass(frozen=True)
class FitZooTask:
    """Fitting that is ready to run.

    Attributes:
        request: what was asked for.
        sources: all shapes.
        jobs: the instances that the zoo does not have yet.
    """

    request: FitZooRequest
    sources: Sequence[ShapeSource]
    jobs: Sequence[FitJob]

    def run(self, runner: Runner) -> Zoo:
        """Fit the networks that are missing."""
        asked = self.request
        with cluster_executor(asked, asked.zoo, runner) as executor:
            return fit_zoo(asked.zoo, self.sources, asked.plan, runner, workers=asked.workers, executor=executor)


@dataclass(frozen=True)
class IndexRequest:
    """A request to adopt a folder of checkpoints as a zoo.

    Attributes:
        folder: becomes the zoo.
        data: the images the networks were trained on, as in `load_data`.
        plan: what is adopted, and as what.
        force: index again from scratch.
        normalisation: of the images that the networks were trained on; as usual where it says nothing.
        workers: processes that the files are divided among; cluster: where they run, None for this machine.
    """

    folder: Path
    data: str
    plan: IndexPlan = USUAL_PLAN
    force: bool = False
    normalisation: Normalisation = AS_IT_IS
    workers: int = 1
    cluster: Cluster | None = None

    @property
    def source(self) -> IndexSource:
        """What worker processes open."""
        return IndexSource(self.folder, DataSource(self.data, normalisation=self.normalisation))

    def prepare(self) -> IndexTask:
        """Open the images.

        Raises:
            ConfigError, DataUnavailable, InputFileError: say what and why.
        """
        self.normalisation.check()
        return IndexTask(self, self.source.open().data)


@dataclass(frozen=True)
class IndexSource:
    """A folder of checkpoints and images, as worker processes open them."""

    folder: Path
    images: DataSource

    def open(self) -> IndexInputs:
        """Open the images.

        Raises:
            ConfigError, DataUnavailable, InputFileError: as `load_data`.
        """
        return IndexInputs(self.folder, self.images.open())


@dataclass(frozen=True)
class IndexTask:
    """An adoption that is ready to run: the request and the images."""

    request: IndexRequest
    data: LabelledData

    def plan(self, runner: Runner) -> Adopted:
        """The files that would be adopted; nothing is scored or written."""
        asked = self.request
        return index_folder(asked.folder, self.data, runner, asked.plan, force=asked.force, dry_run=True)

    def run(self, runner: Runner) -> Adopted:
        """Adopt the folder."""
        asked = self.request
        # How many files there are to read is not known yet; processes begin when there is something to do for them.
        with workers_for(asked.source, runner, asked, asked.workers, asked.folder) as workers:
            return index_folder(asked.folder, self.data, runner, asked.plan, force=asked.force, workers=workers)
