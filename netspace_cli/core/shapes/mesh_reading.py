"""Meshes and clouds of points in files, read by trimesh: finite, complete and without other files, or refused."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from netspace_models.errors import InputFileError

from netspace_cli.core.files.inputs import open_input
from netspace_cli.core.files.tensor_names import brief

if TYPE_CHECKING:
    import trimesh

MESH_SUFFIXES = (".ply", ".obj", ".stl", ".off", ".glb")
KINDS = f"Give a whole mesh of triangles: {', '.join(MESH_SUFFIXES)}."
# Beyond, squares of coordinates are not finite in single precision.
FARTHEST = 1e18


def load_file(source: Path, **options: Any) -> Any:
    """Read a file of any kind that trimesh knows, by its extension; other files that it names are not opened.

    Raises:
        InputFileError: it cannot be opened; else what trimesh raises, which is anything.
    """
    import trimesh

    with open_input(source) as file:
        content = file.read()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of numbers that are refused afterwards
        return trimesh.load(io.BytesIO(content), file_type=source.suffix[1:].lower(), **options)


def load_mesh(source: Path) -> trimesh.Trimesh:
    """Read a mesh and clean it up: corners at one place are one, faces without an area are gone.

    Raises:
        InputFileError: no mesh, or one with corners that are not there, not finite, or all at one place.
    """
    try:
        # trimesh leaves out what is not finite where it cleans up, so it is looked for before that.
        raw = load_file(source, process=False, force="mesh")
    except InputFileError:
        raise
    except Exception as failure:  # the readers of a dozen formats raise what they like
        raise InputFileError(source, f"cannot be read as a mesh ({brief(failure)}).", KINDS) from failure
    _check(source, raw)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return _cleaned(load_file(source, force="mesh"))
    except Exception as failure:
        raise InputFileError(source, f"cannot be read as a mesh ({brief(failure)}).", KINDS) from failure


def _check(source: Path, raw: Any) -> None:
    import trimesh

    if not isinstance(raw, trimesh.Trimesh) or len(raw.faces) == 0:
        raise InputFileError(source, "not a mesh: it has no faces.", KINDS)
    corners = np.asarray(raw.vertices)
    if corners.ndim != 2 or corners.shape[1] != 3:
        raise InputFileError(source, f"corners of the shape {corners.shape}, not of three coordinates each.", KINDS)
    if not 0 <= int(raw.faces.min()) <= int(raw.faces.max()) < len(corners):
        reason = f"its faces name corners from {raw.faces.min()} to {raw.faces.max()}, and it has {len(corners):,}."
        raise InputFileError(source, reason, KINDS)
    wrong = int((~np.isfinite(corners)).any(axis=1).sum())
    if wrong:
        raise InputFileError(
            source, f"{wrong} of its {len(corners):,} vertices are NaN or infinite.", "Repair it or leave it out."
        )
    farthest = float(np.abs(corners).max())
    if farthest > FARTHEST:
        raise InputFileError(source, f"its vertices reach {farthest:.3g}, the limit is {FARTHEST:g}.", "Scale it down.")
    if float(np.ptp(corners, axis=0).max()) == 0:
        raise InputFileError(source, "all its vertices are one point.", "Leave it out.")


def _cleaned(found: Any) -> trimesh.Trimesh:
    if not found.is_watertight:
        # Corners at one place with several texture coordinates or normals are one corner of the solid.
        found.merge_vertices(merge_tex=True, merge_norm=True)
        faces = found.faces
        found.update_faces((faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0]))
    if len(found.faces) == 0:
        raise ValueError("all its faces are lines or points")
    mesh: trimesh.Trimesh = found
    return mesh
