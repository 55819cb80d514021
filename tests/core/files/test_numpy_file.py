"""NumPy's files: read as NumPy reads them, and headers are not believed."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from netspace_models.errors import InputFileError

from netspace_cli.core.files.numpy_file import ArrayFileError, npz_names, read_npy, read_npz

ARRAYS: dict[str, np.ndarray] = {
    "bytes": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big": np.arange(4, dtype=">i4"),
    "half": np.array([[1.5]], np.float16),
    "truth": np.array([True, False]),
    "text": np.array(["a", "bc"]),
    "complex": np.ones(2, complex),
    "scalar": np.array(3),
    "none": np.zeros((0, 5), np.float32),
}


def headed(header: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header.encode("latin1") + data


def described(descr: str = "'<f4'", shape: str = "(2,)", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_are_read_as_numpy_reads_them(tmp_path: Path, save: Callable[..., None]) -> None:
    save(tmp_path / "a.npz", **ARRAYS)
    found = read_npz(tmp_path / "a.npz")
    assert list(found) == npz_names(tmp_path / "a.npz") == list(ARRAYS)
    for name, wanted in ARRAYS.items():
        assert found[name].dtype == wanted.dtype and np.array_equal(found[name], wanted), name
    assert list(read_npz(tmp_path / "a.npz", ["half", "absent"])) == ["half"]


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_single_arrays_are_read_as_numpy_reads_them(tmp_path: Path, name: str, version: tuple[int, int]) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, ARRAYS[name], version)
    assert np.array_equal(read_npy(tmp_path / "a.npy"), ARRAYS[name])


def test_headers_of_other_writers_are_read(tmp_path: Path) -> None:
    header = "{'shape':(2L,),'fortran_order':False,'descr':'|u1'}"
    assert read_npy(written(tmp_path / "a.npy", headed(header, b"\1\2"))).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it does not begin as an array of NumPy does"),
        (b"PK\x03\x04", "it does not begin as an array of NumPy does"),
        (headed(described(), bytes(8), b"\4\0"), "version 4.0 of NumPy's format; known: 1.0"),
        (headed(described())[:20], "a header of 58 bytes, the limit is 20"),
        (headed(" " * 20_000) + bytes(20_000), "a header of 20,000 bytes, the limit is 10,000"),
        (headed("(" * 300), "a header that NumPy does not write: '((((("),
        (headed("{'descr': '<f4', 'shape': (2,)}"), "a header that NumPy does not write"),
        (headed(described(order="0"), bytes(8)), "a header that NumPy does not write"),
        (headed(described(descr="[('a', '<f4')]"), bytes(8)), "values of the type \"[('a', '<f4')]\", which are not"),
        (headed(described(descr="'<M8[ns]'"), bytes(16)), "values of the type \"'<M8[ns]'\", which are not numbers"),
        (headed(described(descr="'|O'"), bytes(8)), "pickled objects, which could be programs and are never read"),
        (headed(described(descr="'<f3'"), bytes(6)), "values of the unknown type \"'<f3'\""),
        (headed(described(descr="'|S0'", shape="(1099511627776,)")), "which have no bytes"),
        (headed(described(shape="(-2,)"), bytes(8)), "a header that NumPy does not write"),
        (headed(described(shape=f"({'9' * 4000},)")), "a shape that no array has: '(999"),
        (headed(described(shape="(1099511627776, 1099511627776)")), "a shape that no array has"),
        (headed(described(shape=f"({'1, ' * 65})"), bytes(4)), "a shape that no array has"),
        (
            headed(described(shape="(25769803776,)"), bytes(8)),
            "would take 103,079,215,104 bytes, the file has 8 for it",
        ),
        (headed(described(), bytes(7)), "an array of float32 (2,) would take 8 bytes, the file has 7 for it"),
        (headed(described(), bytes(9)), "an array of float32 (2,) takes 8 bytes, the file has 9 for it"),
    ],
)
def test_hostile_arrays_are_refused_with_the_reason(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(ArrayFileError) as refused:
        read_npy(written(tmp_path / "a.npy", content))
    assert words in str(refused.value)


def archive(content: bytes, method: int = zipfile.ZIP_STORED, name: str = "a.npy") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as zipped:
        # A given time: the bytes that the cases below look for must not turn up in the clock's.
        record = zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0))
        zipped.writestr(record, content, compress_type=method)
    return buffer.getvalue()


def with_central(content: bytes, place: int, number: bytes) -> bytes:
    """An archive of one member whose directory has this at `place`."""
    start = content.index(b"PK\x01\x02") + place
    return content[:start] + number + content[start + len(number) :]


ONE = headed(described(), np.array([1, 2], np.float32).tobytes())
ARCHIVES = {
    "nothing": (b"", "it is not a zip archive, as a .npz file is"),
    "single": (ONE, "it holds a single array"),
    "cut": (archive(ONE)[:-30], "no directory at the end of its"),
    "bzip2": (archive(ONE, zipfile.ZIP_BZIP2), "'a.npy' has the compression 12; known: 0, 8"),
    "unknown": (with_central(archive(ONE), 10, b"\x63\0"), "'a.npy' has the compression 99; known: 0, 8"),
    "encrypted": (with_central(archive(ONE), 8, b"\1\0"), "'a.npy' is encrypted"),
    "sizes": (with_central(archive(ONE), 20, b"\0\0\0\x40" * 2), "'a.npy' lies outside the file"),
    "size": (with_central(archive(ONE), 24, b"\xff\xff\xff\x7f"), "claims 2,147,483,647 bytes, which its"),
    "place": (with_central(archive(ONE), 42, b"\0\0\0\x40"), "'a.npy' lies outside the file"),
    "checksum": (archive(ONE).replace(ONE, ONE[:-4] + bytes(4)), "'a': Bad CRC-32"),
    "text": (archive(b"nothing of NumPy's", name="a.txt"), "'a.txt': it does not begin as an array of NumPy does"),
    "header": (archive(headed(described(shape="(3,)"), bytes(8))), "'a': an array of float32 (3,) would take 12 bytes"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_hostile_archives_are_refused_with_the_reason(tmp_path: Path, case: str) -> None:
    content, words = ARCHIVES[case]
    with pytest.raises(ArrayFileError) as refused:
        read_npz(written(tmp_path / "a.npz", content))
    assert words in str(refused.value)


def test_an_array_twice_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("a.npy", ONE)
        zipped.writestr("a", ONE)
    with pytest.raises(ArrayFileError, match="an array appears in it twice"):
        read_npz(written(tmp_path / "a.npz", buffer.getvalue()))


def test_a_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    """2 GiB in 2 MB, as deflating makes of zeros."""
    whole, content = 2**31, bytes(2**31 // 1000)
    common = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0x21, 0, len(content), whole, 5, 0)
    local = b"PK\x03\x04" + common + b"a.npy" + content
    central = b"PK\x01\x02\x14\0" + common + struct.pack("<HHHII", 0, 0, 0, 0, 0) + b"a.npy"
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, len(central), len(local), 0)
    path = written(tmp_path / "a.npz", local + central + end)
    assert path.stat().st_size < whole / 200
    with pytest.raises(ArrayFileError, match=r"its records claim 2,147,483,648 bytes, the file has .* to fill memory"):
        read_npz(path)


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="this is a directory"):
        read_npy(tmp_path)
    with pytest.raises(InputFileError, match=r"b.npz: no such file"):
        read_npz(tmp_path / "b.npz")
