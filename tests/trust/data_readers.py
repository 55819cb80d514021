"""Readers of images, tables, shapes and pictures, each with tiny valid files that it reads."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from netspace_cli.core.data.image_files import load_npz
from netspace_cli.core.data.tables import load_table
from netspace_cli.core.shapes.meshes import read_mesh
from netspace_cli.core.shapes.pictures import read_picture
from netspace_cli.core.shapes.scans import read_scan
from netspace_cli.core.shapes.sources import find_shapes

from .binary_mutations import Counted, Headed, Member, Npy, Zip, glb, npy, png
from .mutations import Blob, words
from .reader import Reader, digest

# NumPy's files


def _npy(array: np.ndarray) -> Npy:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return npy(buffer.getvalue())


def _npz(arrays: Mapping[str, np.ndarray], *, deflated: bool = False) -> Zip:
    return Zip(tuple(Member(f"{name}.npy", _npy(array)) for name, array in arrays.items()), deflated)


def _image_arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for part, count in (("train", 4), ("val", 2), ("test", 2)):
        arrays[f"{part}_images"] = random.integers(0, 255, (count, 4, 4), np.uint8)
        arrays[f"{part}_labels"] = np.arange(count)[:, None] % 2
    return arrays


def _table_arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for part, count in (("train", 5), ("val", 2), ("test", 2)):
        arrays[f"{part}_inputs"] = random.normal(size=(count, 2))
        arrays[f"{part}_targets"] = random.normal(size=count).astype(np.float32)
    return arrays


def _ball() -> np.ndarray:
    axis = np.linspace(-1, 1, 6)
    x, y, z = np.meshgrid(axis, axis, axis)
    return x**2 + y**2 + z**2 < 0.5


def _read_images(path: Path) -> str:
    splits = load_npz(path).splits
    return digest((n, t) for n, s in splits.items() for t in (s.images, s.labels))


def _read_table(path: Path) -> str:
    raw = load_table(path).raw
    return digest((n, t) for n, s in raw.items() for t in (s.inputs, s.labels))


def _check_shapes(path: Path) -> str:
    found = find_shapes(path)
    for source in found:
        source.check()
    return repr([(s.name, s.kind, s.dimensions, s.values) for s in found])


def _arrays() -> Iterable[Reader]:
    ball = _ball()
    rows = np.random.default_rng(0).uniform(-1, 1, (500, 4)).astype(np.float32)
    rows[:, 3] = np.linalg.norm(rows[:, :3], axis=1) - 0.5
    samples = {"pos": rows[rows[:, 3] > 0], "neg": rows[rows[:, 3] <= 0]}
    samples = {name: np.concatenate([own] * 20)[:600] for name, own in samples.items()}
    packed = {"voxels": np.packbits(ball.reshape(1, -1), axis=1), "shape": np.array([1, *ball.shape])}
    images = (_npz(_image_arrays()), _npz(_image_arrays(), deflated=True))
    yield Reader("images .npz", "a.npz", images, _read_images, weight=1, sealed="checksum")
    yield Reader("table .npz", "a.npz", (_npz(_table_arrays()),), _read_table, weight=1, sealed="checksum")
    shapes = (_npz({"voxels": ball}), _npz(packed), _npz(samples, deflated=True))
    yield Reader("shapes .npz", "a.npz", shapes, _check_shapes, weight=1, sealed="checksum")
    yield Reader("shapes .binvox", "a.binvox", (words(_binvox()),), _check_shapes, weight=0.5)


def _binvox() -> str:
    """A cube of 2 voxels in one of 4, in runs."""
    runs = [(0, 21), (1, 2), (0, 2), (1, 2), (0, 10), (1, 2), (0, 2), (1, 2), (0, 21)]
    header = "#binvox 1\ndim 4 4 4\ntranslate 0 0 0\nscale 1\ndata\n"
    return header + "".join(chr(value) + chr(count) for value, count in runs)


# Meshes and scans

_CORNERS = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
_FACES = ((0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3))


def _obj() -> str:
    return "".join("v {} {} {}\n".format(*c) for c in _CORNERS) + "".join(
        f"f {a + 1} {b + 1} {c + 1}\n" for a, b, c in _FACES
    )


def _off() -> str:
    lines = [f"OFF\n{len(_CORNERS)} {len(_FACES)} 0\n"]
    lines += ["{} {} {}\n".format(*c) for c in _CORNERS] + ["3 {} {} {}\n".format(*f) for f in _FACES]
    return "".join(lines)


def _ply_header(form: str, faces: bool = True, count: int = 4) -> str:
    elements = f"element vertex {count}\nproperty float x\nproperty float y\nproperty float z\n"
    if faces:
        elements += f"element face {len(_FACES)}\nproperty list uchar int vertex_indices\n"
    return f"ply\nformat {form} 1.0\n{elements}end_header\n"


def _ply_text() -> str:
    body = ["{} {} {}\n".format(*c) for c in _CORNERS] + ["3 {} {} {}\n".format(*f) for f in _FACES]
    return _ply_header("ascii") + "".join(body)


def _ply_bytes() -> Headed:
    faces = b"".join(b"\3" + np.array(f, "<i4").tobytes() for f in _FACES)
    return Headed(words(_ply_header("binary_little_endian")), np.array(_CORNERS, "<f4").tobytes() + faces)


def _stl_text() -> str:
    facets = [
        "facet normal 0 0 0\nouter loop\n" + "".join("vertex {} {} {}\n".format(*_CORNERS[k]) for k in f)
        for f in _FACES
    ]
    return "solid a\n" + "".join(f"{facet}endloop\nendfacet\n" for facet in facets) + "endsolid a\n"


def _stl_bytes() -> Counted:
    corners = np.array(_CORNERS, "<f4")
    facets = b"".join(bytes(12) + corners[list(f)].tobytes() + b"\0\0" for f in _FACES)
    whole = bytes(80) + len(_FACES).to_bytes(4, "little") + facets
    return Counted(whole, ((80, 4), (96, 4), (84, 8), (132, 2)))


def _glb_bytes() -> bytes:
    import trimesh

    found = trimesh.Trimesh(_CORNERS, _FACES).export(file_type="glb")
    assert isinstance(found, bytes)
    return found


def _read_mesh(path: Path) -> str:
    mesh = read_mesh(path, repair=False, scale=True)
    return f"{len(mesh.vertices)} {len(mesh.faces)}"


def _read_scan(path: Path) -> str:
    scan = read_scan(path)
    return digest({"": scan.points})


def _shapes() -> Iterable[Reader]:
    points = np.random.default_rng(0).uniform(-1, 1, (24, 3)).astype(np.float32)
    lines = "".join("{:.3f} {:.3f} {:.3f}\n".format(*p) for p in points)
    cloud = Headed(words(_ply_header("binary_little_endian", faces=False, count=len(points))), points.tobytes())
    meshes = {
        "obj": (words(_obj()),),
        "off": (words(_off()),),
        "ply": (words(_ply_text()), _ply_bytes()),
        "stl": (words(_stl_text()), _stl_bytes()),
        "glb": (glb(_glb_bytes()),),
    }
    for kind, templates in meshes.items():
        yield Reader(f"mesh .{kind}", f"a.{kind}", templates, _read_mesh, weight=0.25)
    yield Reader("scan .npy", "a.npy", (_npy(points),), _read_scan, weight=4, sealed="size")
    yield Reader("scan .xyz", "a.xyz", (words(lines),), _read_scan, weight=2)
    yield Reader("scan .ply", "a.ply", (cloud,), _read_scan, weight=0.25)


# Pictures


def _picture_bytes(mode: str, form: str) -> bytes:
    values = np.random.default_rng(0).integers(0, 255, (4, 4, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).convert(mode).save(buffer, form)
    return buffer.getvalue()


def _read_picture(path: Path) -> str:
    return digest({"": read_picture(path)})


def _read_data_picture(path: Path) -> str:
    from netspace_cli.core.data import image_files

    return digest({"": torch.from_numpy(image_files._read_picture(path, 4).copy())})


def _pictures() -> Iterable[Reader]:
    pngs = (png(_picture_bytes("RGB", "PNG")), png(_picture_bytes("L", "PNG")))
    jpegs = (Blob(_picture_bytes("RGB", "JPEG")),)
    more = (png(_picture_bytes("P", "PNG")), Blob(_picture_bytes("P", "GIF")), Blob(_picture_bytes("RGB", "BMP")))
    yield Reader("picture .png", "a.png", pngs, _read_picture, weight=1, sealed="checksum")
    yield Reader("picture .jpg", "a.jpg", jpegs, _read_picture, weight=0.5)
    yield Reader("data set's picture", "a.png", (*pngs, *jpegs, *more), _read_data_picture, weight=0.5)


def data_readers() -> Iterable[Reader]:
    """All of them."""
    return (*_arrays(), *_shapes(), *_pictures())
