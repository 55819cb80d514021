"""Scans: points of a surface or part of it, with optional normals."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from netspace_models.errors import InputFileError
from torch import Tensor

from netspace_cli.core.files.inputs import check_input
from netspace_cli.core.files.numpy_file import ArrayFileError, read_npy
from netspace_cli.core.files.structure import read_text
from netspace_cli.core.files.tensor_names import brief

from .mesh_reading import load_file
from .meshes import check_mesh_extra

SCAN_SUFFIXES = (".npy", ".xyz")
LEAST_POINTS = 20
MOST_TEXT_BYTES = 1 << 30
# How far the length of a normal may be from one: files have few digits.
LENGTH_SLACK = 0.05
NORMALS = ("nx", "ny", "nz")
POINTS = (
    "Give x, y, z of each point, with or without its normal: (N, 3) or (N, 6) numbers as .npy, 3 or 6 per line as "
    ".xyz, or a .ply without faces."
)


@dataclass(frozen=True)
class Scan:
    """A scanned surface.

    Attributes:
        points: (S, 3), in the box [-1, 1]³.
        normals: (S, 3) of length one, out of the shape; None where the file has none.
    """

    points: Tensor
    normals: Tensor | None = None

    def part(self, index: Tensor) -> Scan:
        """A part of the points (N,), with their normals."""
        return Scan(self.points[index], None if self.normals is None else self.normals[index])

    def to(self, device: torch.device) -> Scan:
        """The scan on a device."""
        return Scan(self.points.to(device), None if self.normals is None else self.normals.to(device))


def is_scan(path: Path) -> bool:
    """Whether a file holds only points of a surface, by its extension or because its mesh has no faces."""
    if path.suffix.lower() in SCAN_SUFFIXES:
        return True
    return path.suffix.lower() == ".ply" and _cloud(path) is not None


def read_scan(path: Path) -> Scan:
    """Read points of a surface, unscaled: part of a shape cannot be scaled to fit.

    Args:
        path: .npy of (S, 3) or, with normals, (S, 6); .xyz of as many numbers a line; or .ply without faces, whose
            normals are nx, ny, nz.
    Raises:
        InputFileError: no such points, NaN, too few, some outside the box, or normals that are not of length one.
    """
    rows = _rows(path)
    if rows.ndim != 2 or rows.shape[1] not in (3, 6) or rows.dtype.kind not in "fiu":
        raise InputFileError(
            path, f"{rows.dtype} of shape {rows.shape} are not points; (N, 3) or (N, 6) numbers are needed.", POINTS
        )
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused as such
        found = torch.from_numpy(rows.astype(np.float32))
    wrong = int((~torch.isfinite(found).all(dim=1)).sum())
    if wrong:
        raise InputFileError(path, f"{wrong} of {len(found)} points are NaN or infinite.", "Leave them out.")
    points = found[:, :3]
    if len(points) and float(points.abs().max()) > 1:
        raise InputFileError(
            path,
            f"its points reach {float(points.abs().max()):.3g} from the middle of the box, whose half side is 1.",
            "Bring the scan into the frame of the space's shapes.",
        )
    different = len(points.unique(dim=0))
    if different < LEAST_POINTS:
        which = f"{len(found)} points" + ("" if different == len(found) else f", {different} of them different,")
        raise InputFileError(path, f"{which} are too few.", f"Give {LEAST_POINTS} or more.")
    return Scan(points, _normals(path, found[:, 3:]) if rows.shape[1] == 6 else None)


def _normals(path: Path, found: Tensor) -> Tensor:
    lengths = found.norm(dim=1)
    wrong = int(((lengths - 1).abs() > LENGTH_SLACK).sum())
    if wrong:
        raise InputFileError(
            path,
            f"{wrong} of {len(found)} normals are not of length 1: they are from {float(lengths.min()):.3g} to "
            f"{float(lengths.max()):.3g} long.",
            "Bring them to length 1, or leave columns 4 to 6 out if they are something else.",
        )
    return found / lengths[:, None]


def _rows(path: Path) -> np.ndarray:
    check_input(path)
    try:
        if path.suffix.lower() == ".npy":
            return read_npy(path)
        if path.suffix.lower() == ".xyz":
            with warnings.catch_warnings(action="ignore"):  # of a file without numbers, which is refused below
                return np.loadtxt(read_text(path, most=MOST_TEXT_BYTES, hint=POINTS).splitlines(), np.float32, ndmin=2)
    except (ArrayFileError, ValueError, OverflowError) as failure:
        raise InputFileError(path, f"cannot be read as points ({brief(failure)}).", POINTS) from failure
    cloud = _cloud(path)
    if cloud is None:
        raise InputFileError(path, "a mesh, not points alone.", POINTS)
    return cloud


def _cloud(path: Path) -> np.ndarray | None:
    """Points of a .ply without faces, and normals if it has them; None if it has faces."""
    check_mesh_extra()
    import trimesh

    check_input(path)
    try:
        found = load_file(path)
        if not isinstance(found, trimesh.PointCloud):
            return None
        vertices = found.metadata.get("_ply_raw", {}).get("vertex", {})
        with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused as such
            if not set(NORMALS) <= set(vertices.get("properties", ())):
                return np.asarray(found.vertices, dtype=np.float32)
            normals = [np.asarray(vertices["data"][name]).reshape(-1, 1) for name in NORMALS]
            return np.concatenate([found.vertices, *normals], axis=1).astype(np.float32)
    except InputFileError:
        raise
    except Exception as failure:  # the reader raises what it likes
        raise InputFileError(path, f"cannot be read ({brief(failure)}).", POINTS) from failure
