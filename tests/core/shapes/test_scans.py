"""Scans: points and normals are read as they lie, and refused with what is wrong with them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from netspace_models.errors import InputFileError

from netspace_cli.core.shapes.scans import is_scan, read_scan


def saved(path: Path, points: np.ndarray) -> Path:
    """Points in the format of the extension."""
    if path.suffix.lower() == ".npy":
        np.save(path, points)
    elif path.suffix.lower() == ".ply":
        trimesh.PointCloud(points).export(path)
    else:
        path.write_text("".join(" ".join(f"{x:.9g}" for x in row) + "\n" for row in points))
    return path


POINTS = np.random.default_rng(0).uniform(-0.9, 0.9, (40, 3)).astype(np.float32)


@pytest.mark.parametrize("name", ["a.npy", "a.xyz", "a.ply"])
def test_scans_are_read_as_they_lie(tmp_path: Path, name: str) -> None:
    # Far from the middle and small: nothing is moved or scaled.
    points = 0.1 * POINTS + np.float32(0.7)
    path = saved(tmp_path / name, points)
    assert is_scan(path)
    found = read_scan(path)
    assert found.points.dtype == torch.float32
    assert found.normals is None and np.array_equal(found.points.numpy(), points)


UPWARDS = np.tile(np.array([0.6, 0, 0.8], np.float32), (40, 1))


def with_normals(path: Path, normals: np.ndarray, kind: str = "ascii") -> Path:
    """POINTS and these in the format of the extension."""
    rows = np.concatenate([POINTS, normals], axis=1).astype(np.float32)
    if path.suffix != ".ply":
        return saved(path, rows)
    names = ("x", "y", "z", "nx", "ny", "nz")
    head = ["ply", f"format {kind} 1.0", "element vertex 40", *(f"property float {n}" for n in names), "end_header", ""]
    lines = [" ".join(f"{x:.9g}" for x in row) + "\n" for row in rows]
    body = "".join(lines).encode() if kind == "ascii" else rows.astype("<f4").tobytes()
    path.write_bytes("\n".join(head).encode() + body)
    return path


@pytest.mark.parametrize(
    ("name", "kind"), [("a.npy", ""), ("a.xyz", ""), ("a.ply", "ascii"), ("a.ply", "binary_little_endian")]
)
def test_normals_are_read_and_brought_to_length_one(tmp_path: Path, name: str, kind: str) -> None:
    path = with_normals(tmp_path / name, 1.02 * UPWARDS, kind)
    assert is_scan(path)
    found = read_scan(path)
    assert found.normals is not None and found.normals.dtype == torch.float32
    np.testing.assert_allclose(found.points.numpy(), POINTS, rtol=1e-6)
    np.testing.assert_allclose(found.normals.numpy(), UPWARDS, rtol=1e-5)


@pytest.mark.parametrize("name", ["a.npy", "a.xyz", "a.ply"])
def test_columns_that_are_no_normals_are_refused_with_their_lengths(tmp_path: Path, name: str) -> None:
    colours = UPWARDS.copy()
    colours[:3] *= np.array([[0], [0.94], [100]], np.float32)
    path = with_normals(tmp_path / name, colours)
    with pytest.raises(InputFileError) as refused:
        read_scan(path)
    assert refused.value.message == f"{path}: 3 of 40 normals are not of length 1: they are from 0 to 100 long."
    assert refused.value.hint == "Bring them to length 1, or leave columns 4 to 6 out if they are something else."


def test_a_normal_that_is_nan_is_refused(tmp_path: Path) -> None:
    normals = UPWARDS.copy()
    normals[4, 2] = np.nan
    with pytest.raises(InputFileError, match="1 of 40 points are NaN or infinite"):
        read_scan(with_normals(tmp_path / "a.npy", normals))


def test_whole_numbers_and_other_floats_are_points(tmp_path: Path) -> None:
    corners = np.array([[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)])
    for kind in ("int64", "float16", "float64"):
        found = read_scan(saved(tmp_path / "a.npy", corners.astype(kind)))
        assert found.points.dtype == torch.float32 and np.array_equal(found.points.numpy(), corners)


def test_meshes_and_other_files_are_no_scans(tmp_path: Path) -> None:
    mesh = tmp_path / "box.ply"
    trimesh.creation.box((1, 1, 1)).export(mesh)
    assert not is_scan(mesh)
    assert not any(is_scan(tmp_path / name) for name in ("a.obj", "a.npz", "a.stl", "a.png"))
    assert is_scan(tmp_path / "A.XYZ") and is_scan(tmp_path / "A.NPY")
    with pytest.raises(InputFileError) as refused:
        read_scan(mesh)
    assert refused.value.message == f"{mesh}: a mesh, not points alone." and refused.value.hint


def edited(place: tuple[int, int], value: float, kind: str = "float32") -> np.ndarray:
    found = POINTS.astype(kind)
    found[place] = value
    return found


@pytest.mark.parametrize("suffix", [".npy", ".xyz", ".ply"])
@pytest.mark.parametrize(
    ("points", "words"),
    [
        (edited((3, 1), np.nan), "1 of 40 points are NaN or infinite. Leave them out."),
        (edited((7, 2), -np.inf), "1 of 40 points are NaN or infinite. Leave them out."),
        (POINTS[:19], "19 points are too few. Give 20 or more."),
        (
            np.repeat(POINTS[:19], 9, axis=0),
            "171 points, 19 of them different, are too few. Give 20 or more.",
        ),
        (
            edited((5, 0), -1.25),
            "its points reach 1.25 from the middle of the box, whose half side is 1. "
            "Bring the scan into the frame of the space's shapes.",
        ),
    ],
)
def test_scans_that_are_none_are_refused(tmp_path: Path, suffix: str, points: np.ndarray, words: str) -> None:
    path = saved(tmp_path / f"a{suffix}", points)
    with pytest.raises(InputFileError) as refused:
        read_scan(path)
    assert str(refused.value) == f"{path}: {words}"


@pytest.mark.parametrize(
    ("points", "shape"),
    [
        (POINTS[:, :2], "float32 of shape (40, 2)"),
        (np.ones((40, 4)), "float64 of shape (40, 4)"),
        (np.ones((40, 9)), "float64 of shape (40, 9)"),
        (POINTS[None], "float32 of shape (1, 40, 3)"),
        (POINTS[0], "float32 of shape (3,)"),
        (POINTS.astype(complex), "complex128 of shape (40, 3)"),
        (POINTS > 0, "bool of shape (40, 3)"),
    ],
)
def test_arrays_of_another_shape_or_kind_are_refused(tmp_path: Path, points: np.ndarray, shape: str) -> None:
    path = saved(tmp_path / "a.npy", points)
    with pytest.raises(InputFileError) as refused:
        read_scan(path)
    assert refused.value.message == f"{path}: {shape} are not points; (N, 3) or (N, 6) numbers are needed."
    assert refused.value.hint


def test_numbers_too_large_for_float32_are_refused_as_infinite(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", edited((3, 1), 1e300, "float64"))
    with pytest.raises(InputFileError, match="1 of 40 points are NaN or infinite"):
        read_scan(path)


def objects(path: Path) -> None:
    np.save(path, np.array([None] * 60), allow_pickle=True)


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps([0.0] * 60))


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("a.npy", objects, "cannot be read as points (pickled objects, which could be programs and are never read)."),
        ("a.npy", pickled, "cannot be read as points (it does not begin as an array of NumPy does)."),
        ("a.npy", text(""), "cannot be read as points (it does not begin as an array of NumPy does)."),
        ("a.xyz", text("a b c\n" * 30), "cannot be read as points (could not convert string 'a' to float32"),
        ("a.xyz", text("0 0 0\n" * 30 + "0 0\n"), "cannot be read as points (the number of columns changed"),
        ("a.xyz", text("0 0\n" * 30), "float32 of shape (30, 2) are not points; (N, 3) or (N, 6) numbers"),
        ("a.ply", text("to nobody\n"), "cannot be read (Not a ply file!)."),
    ],
)
def test_files_that_hold_no_points_are_refused(
    tmp_path: Path, name: str, make: Callable[[Path], object], words: str
) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(InputFileError) as refused:
        read_scan(path)
    assert refused.value.message.startswith(f"{path}: {words}") and refused.value.hint


def test_a_file_without_a_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    path.write_text("# nothing\n")
    with pytest.raises(InputFileError, match=r"a\.xyz: "):
        read_scan(path)


def test_a_scan_of_no_points_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "none.npy", np.zeros((0, 3)))
    with pytest.raises(InputFileError, match="0 points are too few. Give 20 or more"):
        read_scan(tmp_path / "none.npy")
