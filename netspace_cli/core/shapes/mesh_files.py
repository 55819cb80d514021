"""Extract surfaces and write them as meshes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from netspace_models.errors import ConfigError, RunFailed

from netspace_cli.core.files.figures import FORMATS, check_figure
from netspace_cli.core.files.outputs import atomic_write

from .meshes import check_mesh_extra
from .solids import Solid

if TYPE_CHECKING:
    import trimesh


SURFACE_SUFFIXES = (".ply", ".obj", ".stl", ".off", ".glb")


def check_surface_output(output: Path, shapes: int) -> bool:
    """Refuse an output file that surfaces cannot be written to.

    Args:
        shapes: how many there are; a mesh file holds one.
    Returns:
        Whether it is a picture.
    Raises:
        ConfigError: another extension, or several shapes for one mesh.
    """
    if output.suffix in FORMATS:
        check_figure(output)
        return True
    if output.suffix not in SURFACE_SUFFIXES:
        raise ConfigError(
            f"{output}: a surface is written as {', '.join(SURFACE_SUFFIXES)}, a picture as {', '.join(FORMATS)}.",
            "Choose one of these extensions.",
        )
    if shapes > 1:
        raise ConfigError(
            f"{output}: a mesh file holds one shape; these are {shapes}.",
            "Give them one by one, or draw a .png of all.",
        )
    return False


def surface_of(solid: Solid, name: str) -> trimesh.Trimesh:
    """Extract the surface as triangles in the box's coordinates (marching cubes by scikit-image).

    Args:
        name: of the shape, for the message.
    Raises:
        ConfigError: the extra is not installed.
        RunFailed: the shape has no surface.
    """
    check_mesh_extra()
    import trimesh
    from skimage.measure import marching_cubes

    if solid.lack:
        raise RunFailed(f"{name}: {solid.lack}.", "Refined embeddings and longer fits are nearer to their shapes.")
    sides = len(solid.values)
    # A layer outside all around closes a solid that the box cuts.
    closed = np.pad(solid.values, 1, constant_values=float(2 / sides))
    vertices, faces, _, _ = marching_cubes(closed, 0.0)
    return trimesh.Trimesh(((vertices - 0.5) * (2 / sides) - 1).clip(-1, 1), faces)


def write_surface(path: Path, surface: trimesh.Trimesh, *, force: bool = False) -> None:
    """Write triangles in the format of the extension.

    Raises:
        OutputExists: the path is taken and `force` is not given.
    """
    kind = path.suffix.removeprefix(".")
    atomic_write(path, lambda p: surface.export(p, file_type=kind) and None, force=force)
