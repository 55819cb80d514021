"""Occupancy grids in .binvox files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from netspace_models.errors import InputFileError
from trimesh.voxel import VoxelGrid

from netspace_cli.core.shapes.binvox import read_binvox
from netspace_cli.core.shapes.sources import find_shapes


def written(path: Path, grid: np.ndarray) -> Path:
    path.write_bytes(VoxelGrid(grid).export(file_type="binvox"))
    return path


def box(side: int = 8) -> np.ndarray:
    """A box that differs along each axis."""
    grid = np.zeros((side,) * 3, bool)
    grid[1:3, 2:5, 3:7] = True
    return grid


def test_a_grid_comes_back_as_it_was(tmp_path: Path) -> None:
    path = written(tmp_path / "a.binvox", box())
    assert np.array_equal(read_binvox(path), box())
    (source,) = find_shapes(path)
    assert (source.name, source.kind) == ("a", "grid")
    source.check()


def test_a_scale_that_is_not_finite_does_not_matter(tmp_path: Path) -> None:
    path = written(tmp_path / "a.binvox", box())
    content = path.read_bytes()
    start = content.index(b"scale ")
    path.write_bytes(content[:start] + b"scale 0" + content[content.index(b"\n", start) :])
    with np.errstate(all="raise"):
        assert np.array_equal(read_binvox(path), box())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"#binvox 2 dim", "not a .binvox file: it does not begin with a version and `dim`"),
        (b"", "not a .binvox file"),
        (b"#binvox 1\ndim 99999 4 4\ntranslate 0 0 0\nscale 1\ndata\n\x00\x10", r"a grid of \(99999, 4, 4\) voxels"),
        (b"#binvox 1\ndim 0 0 0\ntranslate 0 0 0\nscale 1\ndata\n", r"a grid of \(0, 0, 0\) voxels"),
        (b"#binvox 1\ndim 4 4 4\ntranslate 0 0 0\nscale 1\ndata\n\x00\x10", "voxels"),
        (b"#binvox 1\ndim 4 4 4\n", "its voxels cannot be read"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.binvox").write_bytes(content)
    with pytest.raises(InputFileError, match=reason) as refused:
        read_binvox(tmp_path / "a.binvox")
    assert str(tmp_path / "a.binvox") in refused.value.message and refused.value.hint
