"""Shapes from triangle meshes, with signed distances by trimesh (extra `mesh`)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from netspace_models.errors import ConfigError, InputFileError
from netspace_models.wording import setting
from torch import Tensor

from .grids import shape_from_grid
from .mesh_bodies import bodies_of, inside_out, turn, winding_numbers
from .mesh_reading import load_mesh
from .samples import HELD_OUT, SAMPLES, Shape, check_distances

if TYPE_CHECKING:
    import trimesh

# The longest side of a mesh that is brought into the box, whose sides are 2.
LONGEST = 1.8
# Voxels along each axis of the box when an open mesh is replaced by the voxels that it passes through.
RESOLUTION = 64
# Deviation of the points near the surface, in two bands, in units of the box's half side.
NEAR = (0.05, 0.01)
# Distances to a mesh are slow to get: fewer of them than from a grid, by this factor.
FEWER = 2
# Points, of the box and near the surface each, at which signs are compared with the winding number, this far from the
# surface at least; and the share of them that may differ, since a ray that meets an edge miscounts.
COMPARED, LEAST_DISTANCE, MOST_WRONG = 128, 1e-3, 0.01


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
    # What trimesh logs, such as a texture that is not there, is for programs that ask for it: without a handler Python
    # would print it.
    log = logging.getLogger("trimesh")
    if not log.handlers:
        log.addHandler(logging.NullHandler())


def shape_from_mesh(
    name: str, source: Path, generator: torch.Generator, *, repair: bool = False, scale: bool = True
) -> Shape:
    """Make a shape from a mesh file.

    Args:
        generator: draws the points.
        repair: close the holes of an open mesh and turn faces outwards; where that is not enough, take the voxels that
            its surface passes through or which it hides from all six sides.
        scale: bring it into the middle of the box, its longest side 1.8; without, it must lie inside as it is.
    Raises:
        ConfigError: the extra is not installed.
        InputFileError: no mesh, one that the box cuts, or without `repair` an open one, one with faces that look
            inwards, or one whose bodies overlap.
    """
    mesh = read_mesh(source, repair=repair, scale=scale)
    if not mesh.is_watertight:
        return _told_by_voxels(name, source, mesh, generator)
    shape = _sampled(name, source, mesh, generator)
    wrong, compared = _of_two_minds(shape, mesh)
    if wrong <= MOST_WRONG * compared:
        return shape
    if repair:
        return _told_by_voxels(name, source, mesh, generator)
    raise InputFileError(
        source,
        f"{wrong} of {compared} points are inside by the nearest face and outside by all faces, or the reverse: its "
        "bodies overlap, or its surface crosses itself.",
        f"Join its bodies to one surface, or let {setting('repair', True)} take the voxels that they hide.",
    )


def read_mesh(source: Path, *, repair: bool, scale: bool) -> trimesh.Trimesh:
    """Read a mesh into the box; with `repair`, fill its holes as far as possible, and turn its faces outwards.

    Raises:
        ConfigError, InputFileError: as `shape_from_mesh`.
    """
    check_mesh_extra()
    mesh = load_mesh(source)
    places = mesh.vertices.copy()
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
    wrong = inside_out(mesh) if mesh.is_watertight and mesh.is_winding_consistent else []
    if mesh.is_watertight and mesh.is_winding_consistent and not wrong:
        return mesh
    if not repair:
        raise _turned(source, mesh, wrong, places) if mesh.is_watertight else _not_closed(source, mesh, places)
    _repair(mesh)
    return mesh


def _repair(mesh: trimesh.Trimesh) -> None:
    import trimesh

    mesh.fill_holes()
    trimesh.repair.fix_winding(mesh)
    if mesh.is_watertight:
        turn(mesh, inside_out(mesh))


def _turned(source: Path, mesh: trimesh.Trimesh, wrong: Sequence[np.ndarray], places: np.ndarray) -> InputFileError:
    """The refusal of a closed mesh with faces that look inwards.

    Args:
        wrong: the bodies that do, where the faces of each body go together.
        places: the corners as they are in the file.
    """
    hint = f"Turn them outwards, or let {setting('repair', True)} do it."
    bodies = bodies_of(mesh)
    if not wrong or len(wrong) == len(bodies):
        reason = "its faces point inwards, or in different directions, so inside and outside cannot be told apart."
        return InputFileError(source, reason, hint)
    corners = places[mesh.faces[wrong[0]]].reshape(-1, 3)
    centre = _shown((corners.min(axis=0) + corners.max(axis=0)) / 2)
    more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return InputFileError(
        source,
        f"of its {len(bodies)} bodies, that of {len(wrong[0])} faces around {centre}{more} is inside out.",
        hint,
    )


def _not_closed(source: Path, mesh: trimesh.Trimesh, places: np.ndarray) -> InputFileError:
    edges, counts = np.unique(mesh.edges_sorted, axis=0, return_counts=True)
    once, often = int((counts == 1).sum()), edges[counts > 2]
    if once or not len(often):
        return InputFileError(
            source,
            f"an open mesh ({once} edges belong to one face only), so nothing is inside it.",
            f"Close it, or let {setting('repair', True)} fill its holes.",
        )
    start, end = (_shown(places[corner]) for corner in often[0])
    more = f", and {len(often) - 1} more such edges" if len(often) > 1 else ""
    return InputFileError(
        source,
        f"the edge from {start} to {end} belongs to {int(counts[counts > 2][0])} faces{more}: which of them bound "
        "the inside is not clear.",
        f"Separate or join the bodies there, or let {setting('repair', True)} take the voxels that they hide.",
    )


def _shown(place: np.ndarray) -> str:
    return f"({', '.join(f'{float(x):.3g}' for x in place)})"


def _of_two_minds(shape: Shape, mesh: trimesh.Trimesh) -> tuple[int, int]:
    """Among some points off the surface, how many are inside by their distance and not by the winding number, or the
    reverse; and of how many."""
    points = torch.cat([shape.held_points[:COMPARED], shape.points[-COMPARED:]]).double().numpy()
    values = torch.cat([shape.held_values[:COMPARED], shape.values[-COMPARED:]])[:, 0].numpy()
    off = np.abs(values) > LEAST_DISTANCE
    around = winding_numbers(np.asarray(mesh.triangles), points[off])
    return int(((around > 0.5) != (values[off] < 0)).sum()), int(off.sum())


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
