"""What latent space optimisation aims at where networks are shapes: a whole shape, or points of a surface alone."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import InputFileError
from netspace_models.gauss_newton import weights_by_distance
from netspace_models.losses import output_matching
from scipy.spatial import KDTree
from torch import Tensor
from torch.func import grad, vmap

from netspace_cli.core.runner import Runner

from .meshes import check_mesh_extra
from .scoring import WITHIN, values_of
from .shape import Shape

SCAN_SUFFIXES = (".npy", ".xyz")
LEAST_POINTS = 20
POINTS = "Give (N, 3) numbers as .npy, three numbers a line as .xyz, or a .ply without faces."
# How much a slope of one weighs against the surface lying at a scan's points (Gropp et al., 2020).
SLOPE_WEIGHT = 0.1
SLOPE_POINTS = 256


@dataclass(frozen=True)
class ShapeGoal:
    """A shape whose distances are known.

    Attributes:
        runner: its device is where the samples are.
        points, values: (S, D) and (S, K), what the network is brought to.
        held: (points, values) by split, "val" and "test": nothing is brought to them.
        distances: whether the values are signed distances.
    """

    runner: Runner
    points: Tensor
    values: Tensor
    held: Mapping[str, tuple[Tensor, Tensor]]
    distances: bool
    # The share within 0.01 is noise as long as a shape is far from its target.
    by_loss: bool = True

    def loss(self, architecture: Architecture, vector: Tensor, step: int, count: int) -> Tensor:
        """Mean squared error (eq. 2) at so many of the samples; the same step draws the same."""
        points, values = self._drawn(step, count)
        return output_matching(architecture.run(vector, points), values)

    def wanted(
        self, architecture: Architecture, vector: Tensor, step: int, count: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """So many of the samples; distances near the surface weigh more."""
        points, values = self._drawn(step, count)
        return points, values.flatten(), weights_by_distance(values.flatten()) if self.distances else None

    def on(self, architecture: Architecture, vector: Tensor, split: str) -> tuple[float, float]:
        """Share of a split's values that the network is within 0.01 of, and its mean squared error there."""
        points, values = self.held[split]
        off = values_of(architecture, vector, points, self.runner) - values.cpu()
        return (off.abs() < WITHIN).double().mean().item(), off.square().mean().item()

    def _drawn(self, step: int, count: int) -> tuple[Tensor, Tensor]:
        index = torch.randint(len(self.points), (count,), generator=self.runner.generator("lso", step))
        index = index.to(self.points.device)
        return self.points[index], self.values[index]


@dataclass(frozen=True)
class ScanGoal:
    """Points of a surface, perhaps of a part of it. The rest of the shape is asked for as little as can be.

    Attributes:
        runner: its device is where the points are.
        points: (S, 3), what the surface is brought to.
        held: (points,) by split, "val" and "test".
        nearest: the distance of any point to the nearest of `points` is quickly had from it.
    """

    runner: Runner
    points: Tensor
    held: Mapping[str, Tensor]
    nearest: KDTree
    by_loss: bool = True

    def loss(self, architecture: Architecture, vector: Tensor, step: int, count: int) -> Tensor:
        """Mean squared distance at so many of the points, and how far the slope is from one at others: distances
        grow by one each unit."""
        generator = self.runner.generator("lso", step)
        at_surface = architecture.run(vector, self._drawn(count, generator)).square().mean()
        anywhere = 2 * torch.rand(SLOPE_POINTS, 3, generator=generator) - 1
        slopes = vmap(grad(lambda x: architecture.run(vector, x[None])[0, 0]))(anywhere.to(self.points.device))
        return at_surface + SLOPE_WEIGHT * (slopes.norm(dim=1) - 1).square().mean()

    def wanted(
        self, architecture: Architecture, vector: Tensor, step: int, count: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Zero at the scan's points, and elsewhere what the network has there already, as far as that may be: no
        point is further from a surface than from the scan's nearest point. Half of the points are the scan's."""
        generator = self.runner.generator("lso", step)
        scanned = self._drawn(count // 2, generator)
        anywhere = (2 * torch.rand(count - len(scanned), 3, generator=generator) - 1).to(self.points.device)
        most = torch.from_numpy(self.nearest.query(anywhere.cpu().numpy())[0]).to(anywhere)
        values = architecture.run(vector, anywhere)[:, 0]
        values = torch.maximum(torch.minimum(values, most), -most)
        return torch.cat([scanned, anywhere]), torch.cat([torch.zeros_like(scanned[:, 0]), values]), None

    def on(self, architecture: Architecture, vector: Tensor, split: str) -> tuple[float, float]:
        """Share of a split's points that the surface is within 0.01 of, and the mean squared distance there."""
        off = values_of(architecture, vector, self.held[split], self.runner)
        return (off.abs() < WITHIN).double().mean().item(), off.square().mean().item()

    def _drawn(self, count: int, generator: torch.Generator) -> Tensor:
        index = torch.randint(len(self.points), (count,), generator=generator)
        return self.points[index.to(self.points.device)]


def shape_goal(shape: Shape, runner: Runner, *, distances: bool = True) -> ShapeGoal:
    """To become a shape; its held-out points are halved into what chooses and what is scored."""
    half = len(shape.held_points) // 2
    held = {
        "val": (shape.held_points[:half], shape.held_values[:half]),
        "test": (shape.held_points[half:], shape.held_values[half:]),
    }
    placed = {split: (runner.place(points), runner.place(values)) for split, (points, values) in held.items()}
    return ShapeGoal(runner, runner.place(shape.points), runner.place(shape.values), placed, distances)


def scan_goal(points: Tensor, runner: Runner) -> ScanGoal:
    """To have a surface at points (S, 3); a tenth of them chooses, a tenth is scored."""
    order = torch.randperm(len(points), generator=runner.generator("scan"))
    share = max(1, len(points) // 10)
    held = {"val": runner.place(points[order[:share]]), "test": runner.place(points[order[share : 2 * share]])}
    towards = points[order[2 * share :]]
    return ScanGoal(runner, runner.place(towards), held, KDTree(towards.numpy()))


def is_scan(path: Path) -> bool:
    """Whether a file holds points of a surface alone, by its extension, or because its mesh has no faces."""
    if path.suffix.lower() in SCAN_SUFFIXES:
        return True
    return path.suffix.lower() == ".ply" and _cloud(path) is not None


def read_scan(path: Path) -> Tensor:
    """(S, 3) points of a surface in the box [-1, 1]³, as they lie: a part of a shape cannot be scaled to fit.

    Args:
        path: .npy of (S, 3), .xyz of three numbers a line, or .ply without faces.
    Raises:
        InputFileError: no such points, NaN, too few, or some outside the box.
    """
    points = _points(path)
    if points.ndim != 2 or points.shape[1] < 3 or points.dtype.kind not in "fiu":
        raise InputFileError(
            path, f"{points.dtype} of shape {points.shape} are no points; (N, 3) numbers are needed.", POINTS
        )
    with np.errstate(over="ignore"):  # what becomes infinite is refused as such
        found = torch.from_numpy(points[:, :3].astype(np.float32))
    if not bool(torch.isfinite(found).all()):
        wrong = int((~torch.isfinite(found).all(dim=1)).sum())
        raise InputFileError(path, f"{wrong} of {len(found)} points are NaN or infinite.", "Leave them out.")
    if len(found) < LEAST_POINTS:
        raise InputFileError(path, f"{len(found)} points are too few.", f"Give {LEAST_POINTS} or more.")
    if float(found.abs().max()) > 1:
        raise InputFileError(
            path,
            f"its points reach {float(found.abs().max()):.3g} from the middle of the box, whose half side is 1.",
            "Bring the scan into the frame of the space's shapes.",
        )
    return found


def _points(path: Path) -> np.ndarray:
    try:
        if path.suffix.lower() == ".npy":
            return np.asarray(np.load(path, allow_pickle=False))
        if path.suffix.lower() == ".xyz":
            with warnings.catch_warnings(action="ignore"):  # of a file without numbers, which is refused below
                return np.loadtxt(path, dtype=np.float32, ndmin=2)
    except (OSError, ValueError, EOFError) as failure:
        raise InputFileError(path, f"cannot be read as points ({failure}).", POINTS) from failure
    cloud = _cloud(path)
    if cloud is None:
        raise InputFileError(path, "a mesh, not points alone.", POINTS)
    return cloud


def _cloud(path: Path) -> np.ndarray | None:
    """The points of a .ply without faces; None where it has some."""
    check_mesh_extra()
    import trimesh

    try:
        found = trimesh.load(path)
    except Exception as failure:  # the reader raises what it likes
        raise InputFileError(path, f"cannot be read ({failure}).", POINTS) from failure
    return np.asarray(found.vertices, dtype=np.float32) if isinstance(found, trimesh.PointCloud) else None
