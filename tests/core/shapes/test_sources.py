"""What files and folders hold: kinds, names, packed bits and samples, and all that is refused."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from netspace_models.errors import ConfigError, InputFileError

from netspace_cli.core.shapes import grids, sources
from netspace_cli.core.shapes.sources import find_shapes
from tests.small_networks import seeded

OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n"


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def grid(voxels: int = 4, corner: int = 1) -> np.ndarray:
    found = np.zeros((voxels, voxels, voxels), dtype=bool)
    found[:corner, 1:3, 1:3] = True
    return found


def samples(count: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Points of the box with their distances to a ball of radius 0.5: those outside, those inside."""
    points = np.random.default_rng(0).uniform(-1, 1, (count, 3))
    rows = np.column_stack([points, np.linalg.norm(points, axis=1) - 0.5]).astype(np.float32)
    return rows[rows[:, 3] >= 0], rows[rows[:, 3] < 0]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer points and voxels than usual, in a tenth of the time."""
    for name, value in (("SAMPLES", 512), ("HELD_OUT", 32), ("FINEST", 20)):
        monkeypatch.setattr(grids, name, value)


def test_one_grid_is_called_like_its_file_and_several_by_number(tmp_path: Path, few: None) -> None:
    (one,) = find_shapes(saved(tmp_path / "chair.npz", occupancy=grid()))
    assert (one.name, one.kind, one.dimensions, one.values) == ("chair", "grid", 3, 1)
    many = find_shapes(saved(tmp_path / "chairs.npz", whatever=np.stack([grid(corner=1 + i % 3) for i in range(11)])))
    assert [s.name for s in many] == [f"chairs-{i:02d}" for i in range(11)]
    for i, source in enumerate(many[:3]):
        (alone,) = find_shapes(saved(tmp_path / "alone.npz", occupancy=grid(corner=1 + i)))
        shape, expected = source.read(seeded()), alone.read(seeded())
        assert torch.equal(shape.values, expected.values) and (shape.name, shape.source) == (source.name, source.path)


@pytest.mark.parametrize("voxels", [4, 5])
def test_packed_bits_are_the_grids_that_were_packed(tmp_path: Path, few: None, voxels: int) -> None:
    stack = np.stack([grid(voxels, corner) for corner in (1, 2, 3)])
    bits = np.packbits(stack.reshape(3, -1), axis=1)  # of 5 voxels seven bits are filled up
    packed = find_shapes(saved(tmp_path / "shapes.npz", voxels=bits, shape=np.array(stack.shape)))
    plain = find_shapes(saved(tmp_path / "plain.npz", occupancy=stack))
    assert [s.name for s in packed] == ["shapes-0", "shapes-1", "shapes-2"]
    for one, other in zip(packed, plain, strict=True):
        assert torch.equal(one.read(seeded()).values, other.read(seeded()).values)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ([3, 4, 4, 5], "3 rows of 8 bytes are not 3 times 80 packed bits, as `shape` says."),
        ([3, 4, 4, 3], "3 rows of 8 bytes are not 3 times 48 packed bits, as `shape` says."),
        ([2, 4, 4, 4], "3 rows of 8 bytes are not 2 times 64 packed bits, as `shape` says."),
        ([4, 4, 4], "`shape` [4, 4, 4] is not that of grids."),
        ([3, 4, 4, 0], "`shape` [3, 4, 4, 0] is not that of grids."),
        ([3, -4, -4, 4], "`shape` [3, -4, -4, 4] is not that of grids."),
        ([3.0, 4.0, 4.0, 4.0], "`shape` [3.0, 4.0, 4.0, 4.0] is not that of grids."),
        ([[3, 4, 4, 4]], "`shape` [[3, 4, 4, 4]] is not that of grids."),
        (["3", "4", "4", "4"], "`shape` ['3', '4', '4', '4'] is not that of grids."),
        (3, "`shape` 3 is not that of grids."),
        ([], "`shape` [] is not that of grids."),
        (
            [3, 2**31, 2**31, 2**31],
            f"3 rows of 8 bytes are not 3 times {2**93} packed bits, as `shape` says.",
        ),
    ],
)
def test_packed_bits_of_another_shape_are_refused(tmp_path: Path, shape: object, words: str) -> None:
    path = saved(tmp_path / "shapes.npz", voxels=np.zeros((3, 8), dtype=np.uint8), shape=np.array(shape))
    with pytest.raises(InputFileError) as refused:
        find_shapes(path)
    assert refused.value.message == f"{path}: {words}"
    rows_differ = words.startswith("3 rows")
    assert refused.value.hint == (
        "Pack each flattened grid with numpy.packbits." if rows_differ else "Give N, R, R, R."
    )


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, "arrays (none) are not shapes. Give one array of occupancy"),
        ({"a": np.zeros(3), "b": np.zeros(3)}, "arrays a, b are not shapes. Give one array of occupancy"),
        ({"pos": np.zeros((9, 4))}, "pos: float64 of shape (9, 4) is not an occupancy grid. Give (R, R, R)"),
        ({"a": np.zeros((2, 2))}, "a: float64 of shape (2, 2) is not an occupancy grid."),
        ({"a": np.zeros((1, 1, 2, 2, 2))}, "a: float64 of shape (1, 1, 2, 2, 2) is not an occupancy grid."),
        ({"a": np.zeros((2, 2, 2), dtype=complex)}, "a: complex128 of shape (2, 2, 2) is not an occupancy grid."),
        ({"a": np.full((2, 2, 2), "x")}, "a: <U1 of shape (2, 2, 2) is not an occupancy grid."),
        (
            {"a": np.array([None])},
            "this is not a readable .npz file ('a': pickled objects, which could be programs and are never read",
        ),
    ],
)
def test_arrays_that_are_no_shapes_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], words: str) -> None:
    path = saved(tmp_path / "odd.npz", **arrays)
    with pytest.raises(InputFileError) as refused:
        find_shapes(path)
    assert str(refused.value).startswith(f"{path}: {words}") and refused.value.hint


def of_bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def single(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, grid())


def cut(path: Path) -> None:
    saved(path, occupancy=grid())
    path.write_bytes(path.read_bytes()[:-30])


def spoilt(path: Path) -> None:
    saved(path, occupancy=grid())
    content = bytearray(path.read_bytes())
    content[-200] ^= 1  # of the grid itself, before the archive's list of files
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (of_bytes(b""), "it is not a zip archive"),
        (of_bytes(b"a letter"), "it is not a zip archive"),
        (single, "it holds a single array"),
        (cut, "no directory at the end of its"),
        (spoilt, "'occupancy': Bad CRC-32 for file 'occupancy.npy'"),
    ],
)
def test_files_that_are_no_npz_are_refused(tmp_path: Path, make: Callable[[Path], object], why: str) -> None:
    path = tmp_path / "it.npz"
    make(path)
    with pytest.raises(InputFileError) as refused:
        find_shapes(path)
    assert refused.value.message.startswith(f"{path}: this is not a readable .npz file ({why}")
    assert refused.value.hint == (
        "Give one array of occupancy, (R, R, R) or (N, R, R, R), or `pos` and `neg` of DeepSDF."
    )


def test_a_grid_that_is_no_shape_is_found_out_by_a_look(tmp_path: Path) -> None:
    good, empty = find_shapes(saved(tmp_path / "two.npz", occupancy=np.stack([grid(), np.zeros((4, 4, 4), bool)])))
    good.check()
    with pytest.raises(InputFileError, match="two-1: the grid is empty"):
        empty.check()


def test_samples_are_shared_out_and_keep_their_distances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pos, neg = samples()
    (source,) = find_shapes(saved(tmp_path / "ball.npz", pos=pos, neg=neg))
    assert (source.name, source.kind, source.dimensions, source.values) == ("ball", "samples", 3, 1)
    source.check()
    shape = source.read(seeded())
    assert (len(shape.points), len(shape.held_points)) == (1200, 300)
    read = torch.cat([torch.cat([shape.points, shape.values], 1), torch.cat([shape.held_points, shape.held_values], 1)])
    given = torch.from_numpy(np.concatenate([pos, neg]))
    assert sorted(map(tuple, read.tolist())) == sorted(map(tuple, given.tolist()))
    assert 0 < float((shape.held_values < 0).float().mean()) < 0.2, "of both, in the order drawn"
    assert torch.equal(shape.points, source.read(seeded()).points)
    assert not torch.equal(shape.points, source.read(seeded(1)).points)
    monkeypatch.setattr(sources, "SAMPLES", 100)
    monkeypatch.setattr(sources, "HELD_OUT", 50)
    fewer = source.read(seeded())
    assert (len(fewer.points), len(fewer.held_points)) == (100, 50)
    assert torch.equal(fewer.held_points, shape.held_points[:50])


def edited(rows: np.ndarray, place: int, value: float) -> np.ndarray:
    found = rows.copy()
    found[:2, place] = value
    return found


POS, NEG = samples()


@pytest.mark.parametrize(
    ("pos", "neg", "words"),
    [
        (edited(POS, 3, np.nan), NEG, "s: 2 of 1500 samples are NaN or infinite. Leave these samples out."),
        (POS, edited(NEG, 0, np.inf), "s: 2 of 1500 samples are NaN or infinite."),
        (edited(POS.astype(float), 3, 1e300), NEG, "s: 2 of 1500 samples are NaN or infinite."),
        (POS, edited(NEG.astype(float), 1, -1e300), "s: 2 of 1500 samples are NaN or infinite."),
        (POS, NEG[:0], "s: every sample is outside: there is no surface. Leave it out."),
        (NEG[:0], np.tile(NEG, (20, 1)), "s: every sample is inside: there is no surface."),
        (
            edited(POS, 1, -1.5),
            NEG,
            "s: 2 of 1500 points lie outside the box [-1, 1]; the farthest is 1.5 from its centre.",
        ),
        (
            POS,
            edited(NEG, 2, 0.99),
            "s: the box cuts its surface: 2 of the samples inside are within 0.02 of its sides.",
        ),
    ],
)
def test_samples_that_are_no_closed_surface_are_refused_by_a_look(
    tmp_path: Path, pos: np.ndarray, neg: np.ndarray, words: str
) -> None:
    path = saved(tmp_path / "s.npz", pos=pos, neg=neg)
    (source,) = find_shapes(path)
    for attempt in (source.check, lambda: source.read(seeded())):
        with pytest.raises(InputFileError) as refused:
            attempt()
        assert str(refused.value).startswith(f"{path}: {words}") and refused.value.hint


@pytest.mark.parametrize(
    ("pos", "neg", "words"),
    [
        (POS[:100], NEG[:50], "s: 150 samples are too few. Give 1000 or more."),
        (POS[:, :3], NEG, f"pos: float32 of shape ({len(POS)}, 3); (N, 4) floats are needed."),
        (NEG, POS, f"s: `pos` and `neg` are swapped: {len(NEG)} of {len(NEG)} distances in `pos` are below zero,"),
        (POS, NEG.astype(int), f"neg: int64 of shape ({len(NEG)}, 4); (N, 4) floats are needed."),
        (POS[None], NEG, f"pos: float32 of shape (1, {len(POS)}, 4); (N, 4) floats are needed."),
    ],
)
def test_samples_of_another_shape_swapped_or_too_few_are_refused(
    tmp_path: Path, pos: np.ndarray, neg: np.ndarray, words: str
) -> None:
    path = saved(tmp_path / "s.npz", pos=pos, neg=neg)
    with pytest.raises(InputFileError) as refused:
        find_shapes(path)
    assert str(refused.value).startswith(f"{path}: {words}") and refused.value.hint


def test_what_decides_how_a_source_is_read_is_told(tmp_path: Path) -> None:
    def hashed(path: Path) -> str:
        return sha256(path.read_bytes()).hexdigest()

    for path in (saved(tmp_path / "g.npz", a=np.stack([grid(), grid()])), saved(tmp_path / "s.npz", pos=POS, neg=NEG)):
        for source in find_shapes(path, repair=True, scale=False):
            assert source.about == {"sha256": hashed(path)}, "options of meshes have no part in others"
    mesh = tmp_path / "m.obj"
    mesh.write_text(OBJ)
    for options in ({}, {"repair": True}, {"scale": False}):
        (source,) = find_shapes(mesh, **options)
        assert source.about == {"sha256": hashed(mesh), "repair": False, "scale": True, **options}


def test_a_folder_is_read_with_the_folders_in_it_in_the_order_of_names(tmp_path: Path) -> None:
    folder = tmp_path / "all"
    (folder / "deep").mkdir(parents=True)
    saved(folder / "b.npz", occupancy=np.stack([grid(), grid()]))
    saved(folder / "deep" / "c.npz", pos=POS, neg=NEG)
    (folder / "A.OBJ").write_text(OBJ)
    (folder / "notes.txt").write_text("no shape")
    (folder / "folder.ply").mkdir()
    assert [(s.name, s.kind) for s in find_shapes(folder)] == [
        ("A", "mesh"),
        ("b-0", "grid"),
        ("b-1", "grid"),
        ("c", "samples"),
    ]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: None, "no such file or folder: {}. Give meshes, occupancy grids or samples."),
        (lambda p: p.mkdir(), "{} holds no shapes. Give files of .npz, .ply,"),
        (lambda p: p.write_text(""), "{}: .xyz is not a known kind of shape. Known: .npz, .ply,"),
    ],
)
def test_nothing_to_read_is_refused(tmp_path: Path, make: Callable[[Path], object], words: str) -> None:
    path = tmp_path / "it.xyz"
    make(path)
    with pytest.raises(ConfigError) as refused:
        find_shapes(path)
    assert str(refused.value).startswith(words.format(path)) and refused.value.hint


def test_a_folder_of_several_kinds_of_samples_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "a.obj").write_text(OBJ)
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(tmp_path / "b.png")
    with pytest.raises(ConfigError) as refused:
        find_shapes(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path} holds several kinds of fields: a.obj has 1 values at points of 3 coordinates, "
        "b.png 3 at points of 2. Give one kind."
    )


def test_two_shapes_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for path in (tmp_path / "chair.obj", tmp_path / "deep" / "chair.obj"):
        path.write_text(OBJ)
    with pytest.raises(ConfigError) as refused:
        find_shapes(tmp_path)
    assert str(refused.value) == (
        f"two shapes are called 'chair': {tmp_path / 'chair.obj'} and {tmp_path / 'deep' / 'chair.obj'}. "
        "Rename one of them."
    )
