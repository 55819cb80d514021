"""Find shapes and pictures in files and folders without reading them completely."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from netspace_models.errors import ConfigError, InputFileError
from torch import Tensor

from netspace_cli.core.files.inputs import check_input, sha256_of
from netspace_cli.core.files.numpy_file import ArrayFileError, read_npz

from .binvox import BINVOX_SUFFIX, read_binvox
from .grids import check_grid, shape_from_grid
from .mesh_reading import MESH_SUFFIXES
from .meshes import check_mesh_extra, read_mesh, shape_from_mesh
from .pictures import PICTURE_SUFFIXES, channels_of, read_picture, shape_from_picture
from .samples import HELD_OUT, SAMPLES, Shape, check_distances

SUFFIXES = (".npz", *MESH_SUFFIXES, BINVOX_SUFFIX, *PICTURE_SUFFIXES)
# Of DeepSDF's sample files: points and distances outside and inside, (N, 4) each.
WANTED = "Give one array of occupancy, (R, R, R) or (N, R, R, R), or `pos` and `neg` of DeepSDF."
SAMPLE_ARRAYS, LEAST_SAMPLES = {"pos", "neg"}, 1000


@dataclass(frozen=True)
class ShapeSource:
    """A shape or a picture that can be read.

    Attributes:
        name: unique among the sources of one call.
        path: of its file.
        kind: "grid", "mesh", "samples" or "picture".
        dimensions, values: D coordinates of a point, K values there.
        about: what else decides how it is read, for the manifest: the file's SHA-256 and the options.
        check: refuses at once what `read` would refuse, as far as that is quick.
        read: from a generator, which draws the points, to the shape. Both are picklable, for worker processes.
    """

    name: str
    path: Path
    kind: str
    dimensions: int
    values: int
    about: Mapping[str, Any]
    check: Callable[[], object]
    read: Callable[[torch.Generator], Shape]


def find_shapes(path: Path, *, repair: bool = False, scale: bool = True) -> list[ShapeSource]:
    """Find all shapes and pictures in a file or a folder and its subfolders, in the order of their names.

    Args:
        path: a mesh, a picture, a .binvox file, an .npz of occupancy grids (one array (R, R, R) or (N, R, R, R), or
            `voxels` of packed bits with their `shape`), an .npz of DeepSDF samples (`pos` and `neg`), or a folder of
            these.
        repair, scale: of meshes, see `shape_from_mesh`.
    Raises:
        ConfigError: nothing there, several kinds of fields, or an extra that is not installed.
        InputFileError: an .npz that holds no shapes.
    """
    files = _files(path)
    found = [source for file in files for source in _sources(file, repair, scale)]
    if not found:
        raise ConfigError(f"{path} holds no shapes.", f"Give files of {', '.join(SUFFIXES)}.")
    kinds = {(s.dimensions, s.values): s for s in found}
    if len(kinds) > 1:
        one, other = list(kinds.values())[:2]
        raise ConfigError(
            f"{path} holds several kinds of fields: {one.path.name} has {one.values} values at points of "
            f"{one.dimensions} coordinates, {other.path.name} {other.values} at points of {other.dimensions}.",
            "Give one kind.",
        )
    if any(s.kind == "mesh" for s in found):
        check_mesh_extra()
    return _named_apart(found)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not path.exists():
        raise ConfigError(f"no such file or folder: {path}.", "Give meshes, occupancy grids or samples.")
    check_input(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"{path}: {path.suffix or 'no suffix'} is not a known kind of shape.", f"Known: {', '.join(SUFFIXES)}."
        )
    return [path]


def _sources(file: Path, repair: bool, scale: bool) -> Iterator[ShapeSource]:
    suffix, name = file.suffix.lower(), file.stem
    about: dict[str, Any] = {"sha256": sha256_of(file)}
    if suffix in MESH_SUFFIXES:
        meshed: dict[str, Any] = {"repair": repair, "scale": scale}
        yield ShapeSource(
            *(name, file, "mesh", 3, 1),
            about={**about, **meshed},
            check=partial(read_mesh, file, **meshed),
            read=partial(shape_from_mesh, name, file, **meshed),
        )
    elif suffix in PICTURE_SUFFIXES:
        yield ShapeSource(
            *(name, file, "picture", 2, channels_of(file)),
            about=about,
            check=partial(read_picture, file),
            read=partial(shape_from_picture, name, file),
        )
    elif suffix == BINVOX_SUFFIX:
        yield _grid_source(name, file, read_binvox(file), about)
    else:
        arrays = _arrays(file)
        if set(arrays) >= SAMPLE_ARRAYS:
            rows = _rows(name, file, arrays)
            yield ShapeSource(
                *(name, file, "samples", 3, 1),
                about=about,
                check=partial(check_distances, name, file, rows[:, :3], rows[:, 3:]),
                read=partial(_shape_from_samples, name, file, rows),
            )
            return
        grids = _grids(file, arrays)
        digits = len(str(len(grids) - 1))
        for i, grid in enumerate(grids):
            own = f"{name}-{i:0{digits}d}" if len(grids) > 1 else name
            yield _grid_source(own, file, grid, about)


def _grid_source(name: str, file: Path, grid: np.ndarray, about: Mapping[str, Any]) -> ShapeSource:
    return ShapeSource(
        *(name, file, "grid", 3, 1),
        about=about,
        check=partial(check_grid, name, file, grid),
        read=partial(shape_from_grid, name, file, grid),
    )


def _arrays(file: Path) -> dict[str, np.ndarray]:
    try:
        return read_npz(file)
    except ArrayFileError as failure:
        raise InputFileError(file, f"this is not a readable .npz file ({failure}).", WANTED) from failure


def _grids(file: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Read occupancy (N, R, R, R)."""
    if set(arrays) == {"voxels", "shape"} and arrays["voxels"].dtype == np.uint8 and arrays["voxels"].ndim == 2:
        return _unpacked(file, arrays["voxels"], arrays["shape"])
    if len(arrays) != 1:
        raise InputFileError(file, f"arrays {', '.join(sorted(arrays)) or '(none)'} are not shapes.", WANTED)
    ((name, grids),) = arrays.items()
    if grids.dtype.kind not in "biuf" or grids.ndim not in (3, 4) or 0 in grids.shape:
        raise InputFileError(
            file,
            f"{name}: {grids.dtype} of shape {grids.shape} is not an occupancy grid.",
            "Give (R, R, R) or (N, R, R, R).",
        )
    return grids[None] if grids.ndim == 3 else grids


def _unpacked(file: Path, bits: np.ndarray, stated: np.ndarray) -> np.ndarray:
    """Unpack (N, R, R, R) from rows of packed bits and their recorded shape.

    Raises:
        InputFileError: the two do not go together.
    """
    if stated.ndim != 1 or stated.dtype.kind not in "iu" or len(stated) != 4 or int(stated.min()) < 1:
        raise InputFileError(file, f"`shape` {stated.tolist()} is not that of grids.", "Give N, R, R, R.")
    count, *sides = (int(n) for n in stated)
    size = prod(sides)
    if bits.shape != (count, (size + 7) // 8):
        raise InputFileError(
            file,
            f"{bits.shape[0]} rows of {bits.shape[1]} bytes are not {count} times {size} packed bits, as `shape` says.",
            "Pack each flattened grid with numpy.packbits.",
        )
    return np.unpackbits(bits, axis=1)[:, :size].reshape(count, *sides)


def _rows(name: str, file: Path, arrays: dict[str, np.ndarray]) -> Tensor:
    """Read DeepSDF samples, outside and inside: (S, 4) points and distances.

    Raises:
        InputFileError: arrays of other shapes, `pos` and `neg` swapped, or too few samples.
    """
    for which in sorted(SAMPLE_ARRAYS):
        if arrays[which].ndim != 2 or arrays[which].shape[1] != 4 or arrays[which].dtype.kind != "f":
            raise InputFileError(
                file,
                f"{which}: {arrays[which].dtype} of shape {arrays[which].shape}; (N, 4) floats are needed.",
                "Give x, y, z and the distance in each row.",
            )
    below, above = int((arrays["pos"][:, 3] < 0).sum()), int((arrays["neg"][:, 3] > 0).sum())
    if below > len(arrays["pos"]) / 2 and above > len(arrays["neg"]) / 2:
        raise InputFileError(
            file,
            f"{name}: `pos` and `neg` are swapped: {below} of {len(arrays['pos'])} distances in `pos` are below zero, "
            f"{above} of {len(arrays['neg'])} in `neg` above.",
            "`pos` must be outside: swap the names, or the signs.",
        )
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused as such
        rows = torch.from_numpy(np.concatenate([arrays["pos"], arrays["neg"]]).astype(np.float32))
    if len(rows) < LEAST_SAMPLES:
        raise InputFileError(file, f"{name}: {len(rows)} samples are too few.", f"Give {LEAST_SAMPLES} or more.")
    return rows


def _shape_from_samples(name: str, file: Path, rows: Tensor, generator: torch.Generator) -> Shape:
    """Make a shape from samples (S, 4); a fifth of them are held out."""
    check_distances(name, file, rows[:, :3], rows[:, 3:])
    rows = rows[torch.randperm(len(rows), generator=generator)]
    held, kept = rows[: min(HELD_OUT, len(rows) // 5)], rows[len(rows) // 5 :][:SAMPLES]
    return Shape(name, file, kept[:, :3], kept[:, 3:], held[:, :3], held[:, 3:])


def _named_apart(sources: list[ShapeSource]) -> list[ShapeSource]:
    """Refuse two sources with one name, since instances are named after them.

    Raises:
        ConfigError: names the files.
    """
    seen: dict[str, ShapeSource] = {}
    for source in sources:
        other = seen.setdefault(source.name, source)
        if other is not source:
            raise ConfigError(
                f"two shapes are called {source.name!r}: {other.path} and {source.path}.", "Rename one of them."
            )
    return sources
