"""Neural fields: shapes, pictures, and other values at the points of a box."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from netspace_models.architectures import Architecture, FieldIO
from netspace_models.errors import ConfigError
from netspace_models.parameters.rescale import check_rescaling, rescaled
from netspace_models.second_order.gauss_newton import Solver, weights_by_distance
from netspace_models.sending import sent
from netspace_models.training.objectives import Batch
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.data import Data
from netspace_cli.core.data.points import FieldData, field_data
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.path_step import Step, score_steps
from netspace_cli.core.runtime.results import Table, plain
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes.drawing import draw_picture_paths, draw_solid_paths
from netspace_cli.core.shapes.fragments import VoxelTargets, remove_only_fragments
from netspace_cli.core.shapes.meshes import check_mesh_extra
from netspace_cli.core.shapes.near_surface import drawn_stretch, near_surfaces, with_near
from netspace_cli.core.shapes.path_pictures import PictureStep, picture_steps
from netspace_cli.core.shapes.path_solids import SolidStep, solid_steps
from netspace_cli.core.shapes.values import iou, mean_error, scoring_points, values_of, within
from netspace_cli.core.shapes.voxels import Voxels, distances_at, refine_near_surface, scattered_points

from .kind import FragmentRemover, Judged, PathStep, Sampler, Variation, count_seen

VALIDATION_POINTS = 4096
STRETCHED_POINTS = 256


@dataclass(frozen=True)
class FieldFidelity:
    """Comparison of a predicted instance with its target, at the centres of a grid's voxels.

    Attributes:
        within: share of values that differ by less than 0.01.
        iou: intersection over union of the solids, where a signed distance is below zero; None where neither has
            an inside, and for fields that are not signed distances.
        error: mean absolute difference.
        predicted_arch: the architecture the embedding is classified as.
        inside: share of the box that is inside the target; None for fields that are not signed distances.
    """

    within: float
    iou: float | None
    error: float
    predicted_arch: str
    inside: float | None


@dataclass(frozen=True)
class EvaluatedField:
    """One instance of a zoo and its predicted instance, compared at the centres of a grid's voxels.

    Attributes:
        id, arch: of the instance.
        within: share of values that differ by less than 0.01.
        iou: intersection over union of the solids; None where neither has an inside.
        error: mean absolute difference.
        nearest_iou: the highest IoU of the target with a training instance: what a space must beat.
        seen: as in `Evaluated`.
    """

    id: str
    arch: str
    within: float
    iou: float | None
    error: float
    nearest_iou: float | None
    seen: bool | None = None


@dataclass(frozen=True)
class FieldEvaluation(Table):
    """Evaluation of all instances, with a summary."""

    instances: tuple[EvaluatedField, ...]

    def summary(self) -> dict[str, Any]:
        """Number, number seen (None if the space does not record it), and means; None without instances."""
        rows = self.instances
        return {
            "n": len(rows),
            "seen": count_seen([e.seen for e in rows]),
            **{name: _mean([getattr(e, name) for e in rows]) for name in ("within", "iou", "error", "nearest_iou")},
        }

    def to_dict(self) -> dict[str, Any]:
        """As `documented`."""
        return dict(plain(self.documented()))

    def records(self) -> list[dict[str, Any]]:
        """The instances."""
        return [plain(instance) for instance in self.instances]

    def documented(self) -> dict[str, Any]:
        """Instances and their summary."""
        return {"instances": self.instances, "summary": self.summary()}


@dataclass
class FieldEvaluator:
    """Compare fields on the voxels of a grid.

    Attributes:
        points: (N, D) the voxels' centres, on the runner's device.
        training: values of the zoo's training instances there, in half precision: there may be hundreds.
        has_surface: whether values are signed distances.
        rows: of the instances judged so far.
    """

    points: Tensor
    runner: Runner
    training: Sequence[Tensor]
    has_surface: bool
    rows: list[EvaluatedField] = field(default_factory=list)

    def outputs(self, networks: Sequence[Network]) -> Iterator[Tensor]:
        """(N, K) values of each, on the processor."""
        for network in networks:
            yield values_of(network.architecture, self.runner.place(network.weights), self.points, self.runner)

    def judge(self, instances: Sequence[Judged]) -> None:
        """Add the instances of one architecture, with the nearest training instance to each."""
        for judged in instances:
            scores = _scores(judged.target, judged.predicted, has_surface=self.has_surface)
            nearest = _nearest(judged.target, self.training) if self.has_surface else None
            self.rows.append(EvaluatedField(judged.id, judged.arch, *scores, nearest, judged.seen))

    def evaluation(self) -> FieldEvaluation:
        """The evaluation of all added instances."""
        return FieldEvaluation(tuple(self.rows))


@dataclass(frozen=True)
class FieldKind:
    """Fields that cannot be drawn: values at points of a box.

    Attributes:
        has_surface: whether values are signed distances, zero on a surface.
    """

    io: FieldIO
    has_surface: bool = False
    name: str = "fields"
    has_splits: bool = False
    solvable: bool = True
    validation_inputs: int = VALIDATION_POINTS

    def data_of_space(self, record: Mapping[str, Any], spec: str | None, owner: str) -> FieldData:
        """Points, which need no files."""
        return self.choose_data_of_zoo(record, spec, owner)

    def choose_data_of_zoo(self, record: Mapping[str, Any], spec: str | None, owner: str) -> FieldData:
        """Points, which need no files."""
        if spec is not None:
            raise ConfigError(
                f"{owner} is for neural fields, which are evaluated at points: they do not use {spec}.",
                f"Leave out {setting('data')}.",
            )
        return field_data(record)

    def check_architectures(self, names: Sequence[str], owner: str) -> None:
        """Refuse several architectures, since no teacher fits them all."""
        if len(names) > 1:
            raise ConfigError(
                f"{owner} has neural fields of several architectures ({', '.join(names)}); a space "
                "of neural fields has only one, since no teacher fits several.",
                "Train one space for each.",
            )

    def sampler(
        self, architecture: Architecture, weights: Tensor, data: Data, runner: Runner, *, near_surface_share: float
    ) -> Sampler:
        """Points of the box: the same for all networks, or separate ones, some near each surface."""
        close = self._near_surfaces(architecture, weights, data, runner, near_surface_share)

        def draw(count: int, generator: torch.Generator) -> Tensor:
            points, _ = data.draw("train", count, generator)
            return with_near(points, close, near_surface_share, generator)

        return draw

    def _near_surfaces(
        self, architecture: Architecture, weights: Tensor, data: Data, runner: Runner, share: float
    ) -> Tensor | None:
        if not (self.has_surface and share):
            return None
        return near_surfaces(architecture, weights, data, runner)

    def variation(
        self,
        weights: Mapping[str, Tensor],
        architectures: Sequence[Architecture],
        data: Data,
        runner: Runner,
        *,
        near_surface_share: float,
        stretch: float,
    ) -> Variation:
        """Rescale shapes, draw points near their surfaces, and train on paths between instances.

        Raises:
            ConfigError: an architecture that cannot be stretched.
        """
        (architecture,) = architectures
        stretching = stretch > 1 and self.has_surface
        own = weights[architecture.name]
        close = self._near_surfaces(architecture, own, data, runner, 1 if stretching else near_surface_share)
        if stretching:
            points, _ = data.draw("train", STRETCHED_POINTS, runner.generator("stretch"))
            check_rescaling(architecture, own[0], points)

        def varied(
            architecture: Architecture, targets: Tensor, rows: Tensor, batch: Batch, generator: torch.Generator
        ) -> tuple[Tensor, Batch]:
            surface = None if close is None else close[rows]
            if surface is not None and stretching:
                scale, shift = drawn_stretch(surface, stretch, generator)
                targets = rescaled(architecture, targets, scale, shift)
                surface = surface * scale[:, None] + shift[:, None]
            batch = replace(batch, inputs=with_near(batch.inputs, surface, near_surface_share, generator))
            if len(rows) > 1:
                gammas = sent(torch.rand(len(rows), generator=generator), rows.device)
                batch = replace(batch, gammas=gammas, distances=self.has_surface)
            return targets, batch

        return varied

    def error_weights(self, wanted: Tensor) -> Tensor | None:
        """Weights that are larger where a signed distance is near zero."""
        return weights_by_distance(wanted) if self.has_surface else None

    def fragment_remover(
        self, architecture: Architecture, weights: Tensor, solver: Solver, runner: Runner
    ) -> FragmentRemover:
        """Remove fragments after refining, and restore thin connections."""
        if not self.has_surface:
            return lambda embedding: embedding
        voxels = Voxels(runner.place(scattered_points(self.io.dimensions, runner.generator("cells"))))
        whole = VoxelTargets(voxels, distances_at(voxels.points, architecture, weights, runner))
        small = refine_near_surface(voxels, whole.values)
        fine = VoxelTargets(small, distances_at(small.points, architecture, weights, runner))
        return lambda embedding: remove_only_fragments(embedding, whole, [fine], solver, runner)

    def compare(
        self, target: Network, predicted: Network, data: Data, runner: Runner, *, split: str, recognised: str
    ) -> FieldFidelity:
        """Compare values on a grid; splits are not used."""
        points = runner.place(scoring_points(self.io.dimensions))
        one, other = (values_of(n.architecture, runner.place(n.weights), points, runner) for n in (target, predicted))
        inside = (one[:, 0] < 0).double().mean().item() if self.has_surface else None
        return FieldFidelity(*_scores(one, other, has_surface=self.has_surface), recognised, inside)

    def accuracies(self, networks: Sequence[Network], data: Data | None, runner: Runner) -> list[float | None]:
        """None, since fields have no labels."""
        return [None] * len(networks)

    def evaluator(self, data: Data, runner: Runner, training: Iterable[Network]) -> FieldEvaluator:
        """Compare on a grid; signed distances also with all training instances."""
        points = runner.place(scoring_points(self.io.dimensions))
        known = (
            [values_of(n.architecture, runner.place(n.weights), points, runner).to(torch.float16) for n in training]
            if self.has_surface
            else []
        )
        return FieldEvaluator(points, runner, known, self.has_surface)

    def score(
        self, networks: Sequence[Network], data: Data | None, runner: Runner, *, split: str, description: str
    ) -> list[Step]:
        """Steps without scores, since fields have no labels."""
        return score_steps(networks, None, runner, split, description)

    def look(
        self, path: Sequence[Step], runner: Runner, *, name: str, beside: Sequence[PathStep]
    ) -> Sequence[PathStep]:
        """The steps, unchanged."""
        return path

    def check_drawing(self) -> None:
        """Refuse, since these fields cannot be drawn."""
        raise ConfigError(
            f"networks for {self.io.describe()} cannot be drawn.", "Only classifiers, shapes and pictures can."
        )

    def draw(self, file: Path, main: str, seen: Mapping[str, Sequence[Any]], *, force: bool) -> None:
        """Refuse, since these fields cannot be drawn."""
        self.check_drawing()


@dataclass(frozen=True)
class ShapeKind(FieldKind):
    """Shapes: signed distances at points of three coordinates."""

    name: str = "shapes"

    def look(
        self, path: Sequence[Step], runner: Runner, *, name: str, beside: Sequence[PathStep]
    ) -> Sequence[SolidStep]:
        """Solids along a path."""
        return solid_steps(path, runner, name=name, beside=[s for s in beside if isinstance(s, SolidStep)])

    def check_drawing(self) -> None:
        """Refuse without the extra `mesh`."""
        check_mesh_extra()

    def draw(self, file: Path, main: str, seen: Mapping[str, Sequence[Any]], *, force: bool) -> None:
        """Draw the surfaces of each path, in a row."""
        draw_solid_paths(file, seen, force=force)


@dataclass(frozen=True)
class PictureKind(FieldKind):
    """Pictures: one or three values at points of two coordinates."""

    name: str = "pictures"

    def look(
        self, path: Sequence[Step], runner: Runner, *, name: str, beside: Sequence[PathStep]
    ) -> Sequence[PictureStep]:
        """Pictures along a path."""
        return picture_steps(path, runner, name=name, beside=[s for s in beside if isinstance(s, PictureStep)])

    def check_drawing(self) -> None:
        """Check nothing: figures need no more here."""

    def draw(self, file: Path, main: str, seen: Mapping[str, Sequence[Any]], *, force: bool) -> None:
        """Draw the pictures of each path, in a row."""
        draw_picture_paths(file, seen, force=force)


def _scores(target: Tensor, predicted: Tensor, *, has_surface: bool) -> tuple[float, float | None, float]:
    """Share of values (N, K) within 0.01, intersection over union, mean error."""
    overlap = iou(target, predicted) if has_surface else None
    return within(target, predicted), overlap, mean_error(target, predicted)


def _nearest(target: Tensor, known: Sequence[Tensor]) -> float | None:
    found = [score for score in (iou(target, values) for values in known) if score is not None]
    return max(found, default=None)


def _mean(values: Sequence[float | None]) -> float | None:
    present = [v for v in values if v is not None]
    return float(np.mean(present)) if present else None
