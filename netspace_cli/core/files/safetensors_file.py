"""Read and write safetensors files.

The header is checked here, before any data is read: the library accepts duplicate keys, and says less.
The writer is our own because the library's leaves the order of the metadata to chance; the same tensors
and metadata must give the same bytes.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import safetensors.torch
import torch
from netspace_models.errors import CheckpointError, ConfigError
from torch import Tensor

from .inputs import describe_head, hint_for, open_input
from .outputs import atomic_write
from .structure import StructureError, parse_json
from .tensor_names import check_names, shown
from .torch_file import is_torch_head

HEADER_LIMIT_BYTES = 100_000_000  # the format's own limit
_LENGTH_BYTES = 8
_ALIGNMENT_BYTES = 8
_MOST_AXES = 64  # as torch has
_METADATA = "__metadata__"
_ENTRY_KEYS = {"dtype", "shape", "data_offsets"}

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "C64": torch.complex64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class TorchCheckpointFound(CheckpointError):
    """A checkpoint that torch.save wrote, where a safetensors file was expected."""


class _HeaderError(ValueError):
    """A fault in a header; the caller adds the path."""


class _Entry(NamedTuple):
    begin: int
    end: int
    name: str


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a whole safetensors file into memory after checking its header.

    The file is not mapped: truncating or replacing it afterwards harms nothing. Takes about twice the
    file's size in memory while it reads.

    Returns:
        Tensors by name, in the order of their data and with the stored dtypes; and the metadata.
    Raises:
        TorchCheckpointFound: a checkpoint of another kind; CheckpointError: anything that is wrong with the file.
    """
    data, metadata = read_checked_bytes(path)
    return parse_checked_bytes(path, data), metadata


def is_safetensors_head(head: bytes) -> bool:
    """Whether a file starts with a possible header length and the start of a header."""
    length = int.from_bytes(head[:_LENGTH_BYTES], "little")
    return 0 < length <= HEADER_LIMIT_BYTES and head[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{"


def read_checked_bytes(path: Path) -> tuple[bytes, dict[str, str]]:
    """Read a safetensors file's bytes and metadata after checking its header.

    Raises:
        CheckpointError: anything that is wrong with the header or the lengths.
    """
    with open_input(path, error=CheckpointError) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(1024)
        known = None if is_safetensors_head(head) else describe_head(head)
        if not is_safetensors_head(head) and is_torch_head(head):
            raise _torch_file(path, head)
        if known and (size == 0 or size > _LENGTH_BYTES):
            raise CheckpointError(path, f"this is {known}, not a safetensors file.", hint_for(known))
        file.seek(0)
        try:
            header = _read_header(file, size)
            metadata = _check_header(header, size)
        except _HeaderError as problem:
            raise CheckpointError(path, f"{problem}.", "Copy or download the file again.") from problem
        file.seek(0)
        data = file.read()
    if len(data) != size or not data.startswith(header, _LENGTH_BYTES):
        raise CheckpointError(path, "the file changed while it was being read.", "Wait until it is complete.")
    return data, metadata


def _torch_file(path: Path, head: bytes) -> CheckpointError:
    # The first record of torch.save's archives is the pickle, so its name stands at the front.
    if head.startswith(b"PK") and b"/data.pkl" not in head:
        return CheckpointError(path, "this is a zip archive, not a safetensors file.", hint_for("a zip archive"))
    return TorchCheckpointFound(
        path, "this is a checkpoint, not a safetensors file.", "`netspace encode` makes an embedding of it."
    )


def parse_checked_bytes(path: Path, data: bytes) -> dict[str, Tensor]:
    """Parse the tensors in bytes from `read_checked_bytes`, in the order of their data.

    Raises:
        CheckpointError: the safetensors library refuses the bytes all the same.
    """
    try:
        tensors = safetensors.torch.load(data)
    except Exception as failure:
        raise CheckpointError(
            path, f"damaged safetensors file ({shown(str(failure))}).", "Copy or download the file again."
        ) from failure
    # The library's own order is another one in every process.
    return {name: tensors[name] for name in _in_data_order(data)}


def _in_data_order(data: bytes) -> list[str]:
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    header = parse_json(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
    offsets = {name: entry["data_offsets"] for name, entry in header.items() if name != _METADATA}
    return sorted(offsets, key=lambda name: (offsets[name], name))


def write_safetensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], *, force: bool = False
) -> None:
    """Write tensors as a safetensors file atomically; the same content gives the same bytes.

    Args:
        path: where the file shall be.
        tensors: by name; any device and layout in memory, dense. Tied tensors are written once each.
        metadata: text by key, without times, so that files can be compared.
        force: whether an existing file may be replaced.
    Raises:
        OutputExists, ConfigError, RunFailed: as `files.atomic_write`.
        ConfigError: a dtype that the format lacks, a name that we would not read, a header too long.
        TypeError: metadata that is not text.
    """
    header, order = _build_header(path, tensors, metadata)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(len(header).to_bytes(_LENGTH_BYTES, "little"))
            file.write(header)
            for name in order:
                file.write(_raw_bytes(tensors[name]))

    atomic_write(path, write, force=force)


def _read_header(file: BinaryIO, size: int) -> bytes:
    start = file.read(_LENGTH_BYTES)
    if len(start) < _LENGTH_BYTES:
        raise _HeaderError(f"truncated: {size} bytes, too short for a safetensors file")
    length = int.from_bytes(start, "little")
    if length > HEADER_LIMIT_BYTES:
        raise _HeaderError(
            f"not a safetensors file: its header takes {length:,} bytes, the limit is {HEADER_LIMIT_BYTES:,}"
        )
    if length > size - _LENGTH_BYTES:
        raise _HeaderError(f"truncated: the header alone takes {length + _LENGTH_BYTES:,} bytes, the file has {size:,}")
    header = file.read(length)
    if len(header) < length:
        raise _HeaderError("truncated while it was being read")
    return header


def _check_header(header: bytes, size: int) -> dict[str, str]:
    """Check a header against the file's size in bytes; returns the metadata."""
    if not header.startswith(b"{"):
        raise _HeaderError("not a safetensors file: its header is not JSON")
    try:
        content = parse_json(header)
    except StructureError as fault:
        raise _HeaderError(f"damaged header: {fault}") from fault
    metadata = _check_metadata(content.pop(_METADATA, {}))
    try:
        check_names(content)
    except ValueError as problem:
        raise _HeaderError(str(problem)) from problem
    entries = [_check_entry(name, entry) for name, entry in content.items()]
    _check_places(entries, size - _LENGTH_BYTES - len(header))
    return metadata


def _check_metadata(metadata: object) -> dict[str, str]:
    if not isinstance(metadata, dict):
        raise _HeaderError(f"damaged: its metadata is a {type(metadata).__name__}, not text by key")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise _HeaderError(f"damaged: its metadata {shown(key)} is a {type(value).__name__}, not text")
    return metadata


def _check_entry(name: str, entry: object) -> _Entry:
    if not isinstance(entry, dict) or set(entry) != _ENTRY_KEYS:
        raise _HeaderError(f"damaged: the entry of {shown(name)} is not dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise _HeaderError(f"unknown dtype {shown(str(dtype))} of {shown(name)}; known: {', '.join(_DTYPES)}")
    if not _are_counts(shape):
        raise _HeaderError(f"damaged: the shape of {shown(name)} is not a list of sizes")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise _HeaderError(f"damaged: the offsets of {shown(name)} are not two numbers")
    if len(shape) > _MOST_AXES:
        raise _HeaderError(f"damaged: {shown(name)} has {len(shape):,} axes, the limit is {_MOST_AXES}")
    needed = math.prod(shape) * _DTYPES[dtype].itemsize
    begin, end = offsets
    if end - begin != needed:
        raise _HeaderError(
            f"damaged: {shown(name)} takes {_counted(needed)} bytes by its shape, {end - begin:,} by its offsets"
        )
    return _Entry(begin, end, name)


def _counted(number: int) -> str:
    return f"{number:,}" if number < 10**30 else "more than 10^30"


def _are_counts(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _check_places(entries: Iterable[_Entry], data_bytes: int) -> None:
    """Check that tensors do not overlap, leave no holes, and end with the data."""
    place = 0
    for entry in sorted(entries):
        if entry.begin != place:
            fault = "overlaps another tensor" if entry.begin < place else "leaves a hole before it"
            raise _HeaderError(f"damaged: {shown(entry.name)} {fault} (starts at byte {entry.begin:,}, not {place:,})")
        place = entry.end
    if place > data_bytes:
        raise _HeaderError(f"truncated: its tensors take {place:,} bytes, the file has {data_bytes:,} for them")
    if place < data_bytes:
        raise _HeaderError(f"damaged: {data_bytes - place:,} bytes follow its last tensor")


def _build_header(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> tuple[bytes, list[str]]:
    """Build the padded header, and names in the order of their data, widest dtype first."""
    try:
        check_names(tensors)
    except ValueError as problem:
        raise ConfigError(f"{path} cannot be written: {problem}.", "Rename the tensor.") from problem
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"metadata must be text by key; {key!r} has a {type(value).__name__}")
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.dtype not in _DTYPE_NAMES or tensor.is_meta:
            raise ConfigError(
                f"{path} cannot be written: the format cannot hold {name} ({tensor.dtype}, {tensor.layout}).",
                "Convert it to a dense tensor of float32.",
            )
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    content: dict[str, Any] = {_METADATA: dict(sorted(metadata.items()))} if metadata else {}
    place = 0
    for name in order:
        tensor = tensors[name]
        end = place + tensor.numel() * tensor.dtype.itemsize
        content[name] = {
            "dtype": _DTYPE_NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [place, end],
        }
        place = end
    header = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % _ALIGNMENT_BYTES)
    if len(header) > HEADER_LIMIT_BYTES:
        raise ConfigError(
            f"{path} cannot be written: its header would take {len(header):,} bytes,"
            f" the limit is {HEADER_LIMIT_BYTES:,}.",
            "Stack the tensors of many networks into one per name.",
        )
    return header, order


def _raw_bytes(tensor: Tensor) -> bytes:
    flat = tensor.detach().resolve_neg().resolve_conj().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()
