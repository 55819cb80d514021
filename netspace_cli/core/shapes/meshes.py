"""Shapes from triangle meshes, with signed distances by trimesh (extra `mesh`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from netspace_models.errors import ConfigError, InputFileError
from netspace_models.wording import setting
from torch import Tensor

from .grids import shape_from_grid
from .samples import HELD_OUT, SAMPLES, Shape, check_distances

if TYPE_CHECKING:
    import trimesh

MESH_SUFFIXES = (".ply", ".obj", ".stl", ".off", ".glb")
# The longest side of a mesh that is brought into the box, whose sides are 2.
LONGEST = 1.8
# Voxels along each axis of the box when an open mesh is replaced by the voxels that it passes through.
RESOLUTION = 64
KINDS = f"Give a whole mesh of triangles: {', '.join(MESH_SUFFIXES)}."
# Deviation of the points near the surface, in two bands, in units of the box's half side.
NEAR = (0.05, 0.01)
# Distances to a mesh are slow to get: fewer of them than from a grid, by this factor.
FEWER = 2


def check_mesh_extra() -> None:
    """Refuse meshes if the extra is not installed.

    Raises:
        ConfigError: says what to install.
    """
    try:
        import rtree  # noqa: F401
        import skimage  # noqa: F401
        import trimesh  # noqa: F401
    except ImportError as failure:
        raise ConfigError(
            f"meshes need {failure.name}, which is not installed.", "pip install 'netspace[mesh]'"
        ) from failure


def shape_from_mesh(
    name: str, source: Path, generator: torch.Generator, *, repair: bool = False, scale: bool = True
) -> Shape:
    """Make a shape from a mesh file.

    Args:
        generator: draws the points.
        repair: close the holes of an open mesh; where that is not enough, take the voxels that its surface
            passes through or which it hides from all six sides.
        scale: bring it into the middle of the box, its longest side 1.8; without, it must lie inside as it is.
    Raises:
        ConfigError: the extra is not installed.
        InputFileError: no mesh, an open one without `repair`, or one that the box cuts.
    """
    mesh = read_mesh(source, repair=repair, scale=scale)
    if not mesh.is_watertight:
        return _told_by_voxels(name, source, mesh, generator)
    return _sampled(name, source, mesh, generator)


def read_mesh(source: Path, *, repair: bool, scale: bool) -> trimesh.Trimesh:
    """Read a mesh into the box; with `repair`, fill its holes as far as possible.

    Raises:
        ConfigError, InputFileError: as `shape_from_mesh`.
    """
    check_mesh_extra()
    mesh = _load(source)
    if scale:
        low, high = mesh.bounds
        mesh.apply_translation(-(low + high) / 2)
        mesh.apply_scale(LONGEST / float((high - low).max()))
    elif float(np.abs(mesh.bounds).max()) > 1:
        raise InputFileError(
            source,
            f"the box [-1, 1] cuts it: it reaches {float(np.abs(mesh.bounds).max()):.3g} from the centre.",
            f"Scale it to fit, or leave out {setting('scale', False)}.",
        )
    if mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0:
        return mesh
    if mesh.is_watertight and not repair:
        raise InputFileError(
            source,
            "its faces point inwards, or in different directions, so inside and outside cannot be told apart.",
            f"Turn them outwards, or let {setting('repair', True)} do it.",
        )
    if not repair:
        raise InputFileError(
            source,
            f"an open mesh ({_open_edges(mesh)} edges belong to one face only), so nothing is inside it.",
            f"Close it, or let {setting('repair', True)} fill its holes.",
        )
    mesh.fill_holes()
    mesh.fix_normals()
    return mesh


def _load(source: Path) -> trimesh.Trimesh:
    import trimesh

    try:
        # trimesh leaves out what is not finite where it cleans up, so it is looked for before that.
        raw: Any = trimesh.load_mesh(source, process=False)
        # As a mesh, not a scene: its parts are one shape.
        found: Any = trimesh.load_mesh(source)
    except Exception as failure:  # the readers of a dozen formats raise what they like
        raise InputFileError(source, f"cannot be read as a mesh ({failure}).", KINDS) from failure
    if not isinstance(raw, trimesh.Trimesh) or len(raw.faces) == 0:
        raise InputFileError(source, "not a mesh: it has no faces.", KINDS)
    wrong = int((~np.isfinite(raw.vertices)).any(axis=1).sum())
    if wrong:
        raise InputFileError(
            source, f"{wrong} of its {len(raw.vertices):,} vertices are NaN or infinite.", "Repair it or leave it out."
        )
    if float(np.ptp(found.vertices, axis=0).max()) == 0:
        raise InputFileError(source, "all its vertices are one point.", "Leave it out.")
    return found


def _open_edges(mesh: trimesh.Trimesh) -> int:
    _, counts = np.unique(mesh.edges_sorted, axis=0, return_counts=True)
    return int((counts == 1).sum())


def _told_by_voxels(name: str, source: Path, mesh: trimesh.Trimesh, generator: torch.Generator) -> Shape:
    """Voxels of a grid over the box that a surface passes through, or hides from all six sides."""
    pitch = 2 / RESOLUTION
    # trimesh's voxels have their centres on multiples of the pitch, those of the box halfway between.
    moved = mesh.copy().apply_translation([-pitch / 2] * 3)
    voxels = moved.voxelized(pitch).fill(method="orthographic")
    places = (np.rint(voxels.points / pitch).astype(int) + RESOLUTION // 2).clip(0, RESOLUTION - 1)
    grid = np.zeros((RESOLUTION, RESOLUTION, RESOLUTION), dtype=bool)
    grid[tuple(places.T)] = True
    return shape_from_grid(name, source, grid, generator, padding=0)


def _sampled(name: str, source: Path, mesh: trimesh.Trimesh, generator: torch.Generator) -> Shape:
    import trimesh

    def even(count: int) -> Tensor:
        return 2 * torch.rand(count, 3, generator=generator) - 1

    half = SAMPLES // FEWER // 2
    seed = int(torch.randint(2**31, (1,), generator=generator))
    surface, _ = trimesh.sample.sample_surface(mesh, half, seed=seed)
    noise = torch.randn(half, 3, generator=generator)
    noise[: half // 2] *= NEAR[0]
    noise[half // 2 :] *= NEAR[1]
    near = (torch.from_numpy(np.asarray(surface, dtype=np.float32)) + noise).clamp(-1, 1)
    points, held = torch.cat([even(half), near]), even(HELD_OUT // FEWER)
    shape = Shape(name, source, points, _distances(mesh, points), held, _distances(mesh, held))
    check_distances(name, source, points, shape.values)
    return shape


def _distances(mesh: trimesh.Trimesh, points: Tensor) -> Tensor:
    """(S, 3) points to (S, 1) distances, negative inside."""
    import trimesh

    found = trimesh.proximity.signed_distance(mesh, points.double().numpy())
    return torch.from_numpy(-found.astype(np.float32))[:, None]
