"""Occupancy grids in .binvox files, read by trimesh; the size that a header names is checked first."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from netspace_models.errors import InputFileError

from netspace_cli.core.files.inputs import open_input
from netspace_cli.core.files.tensor_names import brief

from .meshes import check_mesh_extra

BINVOX_SUFFIX = ".binvox"
MOST_VOXELS = 1024  # on a side
_HEADER = re.compile(rb"#binvox 1\s+(?:#[^\n]{0,200}\n\s*){0,9}dim (\d{1,9}) (\d{1,9}) (\d{1,9})\s")
_AGAIN = "Copy or convert the file again."


def read_binvox(source: Path) -> np.ndarray:
    """Read occupancy (R, R, R), along x, y and z.

    Raises:
        InputFileError: no such file, a grid of other sides than its header says, or a side of more than 1,024 voxels.
        ConfigError: trimesh is not installed.
    """
    check_mesh_extra()
    with open_input(source) as file:
        content = file.read()
    header = _HEADER.match(content)
    if header is None:
        raise InputFileError(source, "not a .binvox file: it does not begin with a version and `dim`.", _AGAIN)
    sides = tuple(int(side) for side in header.groups())
    if not 0 < max(sides) <= MOST_VOXELS:
        raise InputFileError(
            source, f"a grid of {sides} voxels; the limit is {MOST_VOXELS:,} on a side.", "Make a coarser one."
        )
    try:
        from trimesh.exchange.binvox import load_binvox

        with np.errstate(all="ignore"):  # of a scale that is not finite, which voxels do not need
            grid = np.asarray(load_binvox(io.BytesIO(content)).matrix)
    except Exception as failure:  # the reader raises what it likes
        raise InputFileError(source, f"its voxels cannot be read ({brief(failure)}).", _AGAIN) from failure
    if grid.shape != sides:
        raise InputFileError(source, f"{grid.shape} voxels, and its header says {sides}.", _AGAIN)
    return grid
