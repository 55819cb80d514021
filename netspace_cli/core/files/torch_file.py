"""Read files by `torch.save` without running any code from them.

`torch.load` is always told `weights_only=True`, and what it can be led to do with that is checked around it:
compressed records, storages larger than the file, nesting that exhausts the stack. Classes that often stand
beside weights and carry no weights (argparse.Namespace, NumPy scalars, paths) are replaced by a stand-in that
keeps nothing, so their own code does not run either.
"""

from __future__ import annotations

import io
import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from netspace_models.errors import CheckpointError

from .inputs import describe_head, hint_for, open_input
from .pickle_scan import BROKEN_PICKLE, globals_in
from .tensor_names import shown
from .zip_file import ArchiveError, is_encrypted, is_folder, read_directory, stored_place

_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = b"\x80"
_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_LEGACY_PICKLES = 5  # magic number, protocol, system, the object, the storages' keys
_SHOWN_GLOBALS = 12
_TORCH_GLOBAL = re.compile(
    r"torch\.(\w+Storage|\w*Tensor|Size|device|float\w*|u?int\w+|bool|_utils\._rebuild_\w+"
    r"|storage\.\w+|nn\.parameter\.Parameter|_tensor\._rebuild_from_type_v2)"
    r"|collections\.(OrderedDict|Counter)|_codecs\.encode"
)
_WEIGHTS_ALONE = (
    "Nothing in it was run. If you trust where it comes from, save its weights alone with the code that "
    "made it: torch.save(model.state_dict(), 'weights.pt')."
)
_AGAIN = "Copy or download the file again."

_INERT_NAMES = (
    "argparse.Namespace",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "torch.torch_version.TorchVersion",
)


class _Place(NamedTuple):
    """Where a record's bytes are in the file, and their checksum, 0 for none."""

    start: int
    end: int
    checksum: int


class StandIn:
    """Replaces objects in a checkpoint that are not tensors; keeps nothing of them."""

    origin = "object"

    def __init__(self, *arguments: object) -> None:
        """Accept and ignore the arguments that the pickle has for the real class."""

    def __setstate__(self, state: object) -> None:
        """Accept and ignore the state that the pickle has for the real object."""


_INERT: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (type("StandIn", (StandIn,), {"origin": name}), name) for name in _INERT_NAMES
]


def read_torch_file(path: Path) -> tuple[object, bytes]:
    """Read a file by `torch.save`, in the present zip format or the older one.

    Nothing in the file is executed, whatever it asks for. Takes about twice the file's size in memory.

    Returns:
        The object saved, tensors in main memory; and the file's bytes.
    Raises:
        CheckpointError: anything that is wrong with the file; a file that asks for code is refused with
            the list of what it asks for.
    """
    with open_input(path, error=CheckpointError) as file:
        head = file.read(1024)
        if not head.startswith((_ZIP_MAGIC, _LEGACY_MAGIC)):
            raise _not_by_torch(path, head, file)
        records = _checked_zip(path, file) if head.startswith(_ZIP_MAGIC) else {}
        file.seek(0)
        data = file.read()
    program, pickles = data, _LEGACY_PICKLES
    if records:
        program, pickles = _checked_records(path, data, records), 1
    asked_for = _scan(path, program, pickles, len(data))
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_INERT):
            warnings.simplefilter("ignore")  # about the pickle's protocol; what matters is raised
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True), data
    except Exception as failure:
        raise _load_error(path, data, asked_for, failure) from failure


def is_torch_head(head: bytes) -> bool:
    """Whether a file starts like a zip archive or a binary pickle."""
    return head.startswith((_ZIP_MAGIC, _PICKLE_MAGIC))


def looks_saved_by_torch(head: bytes) -> bool:
    """Whether a file's first kilobyte is that of a file by `torch.save`, in either format."""
    return head.startswith(_LEGACY_MAGIC) or (head.startswith(_ZIP_MAGIC) and b"/data.pkl" in head)


def _not_by_torch(path: Path, head: bytes, file: BinaryIO) -> CheckpointError:
    if head.startswith(_PICKLE_MAGIC):
        file.seek(0)
        content = file.read()
        try:
            # Not from the file itself, which makes room for as many bytes as it is asked for.
            asked_for = globals_in(io.BytesIO(content), len(content))
        except BROKEN_PICKLE:
            return CheckpointError(path, "a truncated, damaged or foreign pickle, not written by torch.save.", _AGAIN)
        return _refusal(path, _unknown(asked_for), "a plain pickle, not written by torch.save")
    known = describe_head(head) or "something else"
    return CheckpointError(path, f"this is {known}, not a file that torch.save wrote.", hint_for(known))


def _checked_zip(path: Path, file: BinaryIO) -> dict[str, _Place]:
    """Check a zip archive's directory before torch reads it; returns the places of its records, the pickle's first."""
    size = os.fstat(file.fileno()).st_size
    try:
        records = read_directory(file)
    except ArchiveError as fault:
        raise CheckpointError(path, f"truncated or damaged: {fault}.", _AGAIN) from fault
    names = [record.filename for record in records]
    foreign = _foreign_archive(names)
    if foreign:
        raise CheckpointError(path, f"this is {foreign}, not a checkpoint.", _WEIGHTS_ALONE)
    _check_records(path, records, size)
    pickles = [record for record in records if re.fullmatch(r"[^/]+/data\.pkl", record.filename)]
    if len(pickles) != 1:
        raise CheckpointError(
            path,
            f"this is a zip archive with {len(pickles)} data.pkl in it; torch.save writes one.",
            "If checkpoints are in it, unpack it first.",
        )
    try:
        places = {r.filename: _Place(*stored_place(file, r), r.CRC) for r in [*pickles, *records]}
    except ArchiveError as fault:
        raise CheckpointError(path, f"truncated or damaged: {fault}.", _AGAIN) from fault
    return places


def _check_records(path: Path, records: list[zipfile.ZipInfo], size: int) -> None:
    for record in records:
        if record.compress_type != zipfile.ZIP_STORED or is_encrypted(record):
            raise CheckpointError(
                path,
                f"its record {shown(record.filename)} is compressed or encrypted; torch.save does neither.",
                "It may be made to exhaust memory. Do not trust it.",
            )
        # torch leaves the memory of a tensor as it finds it if the tensor's record is marked as one of these.
        if is_folder(record) or (record.file_size and not record.compress_size):
            raise CheckpointError(path, f"damaged: its record {shown(record.filename)} is marked as empty.", _AGAIN)
    total = sum(record.file_size for record in records)
    if total > size:
        raise CheckpointError(
            path,
            f"its records claim {total:,} bytes, the file has {size:,}.",
            "It is damaged or made to do harm.",
        )


def _foreign_archive(names: list[str]) -> str | None:
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        return "a TorchScript program"
    if any(name.rsplit("/", 1)[-1] == "archive_format" for name in names):
        return "an exported program (.pt2)"
    if names and all(name.endswith(".npy") for name in names):
        return "a NumPy archive (.npz)"
    return None


def _checked_records(path: Path, data: bytes, places: Mapping[str, _Place]) -> bytes:
    """Compare the checksums of all records; returns the bytes of the first.

    torch.save can be told to leave checksums out, and writes 0 then.
    """
    view = memoryview(data)
    for name, place in places.items():
        found = zlib.crc32(view[place.start : place.end])
        if place.checksum not in (0, found):
            raise CheckpointError(
                path,
                f"damaged: the checksum of its record {shown(name)} is {found:08x}, not {place.checksum:08x}.",
                _AGAIN,
            )
    first = next(iter(places.values()))
    return data[first.start : first.end]


def _scan(path: Path, program: bytes, pickles: int, size: int) -> set[str]:
    """Names that the pickles at the start of `program` import; refuses what would crash the reader of `size` bytes."""
    stream = io.BytesIO(program)
    try:
        return {name for _ in range(pickles) for name in globals_in(stream, size)}
    except BROKEN_PICKLE as failure:
        raise CheckpointError(path, f"truncated or damaged pickle ({shown(str(failure))}).", _AGAIN) from failure


def _load_error(path: Path, data: bytes, asked_for: set[str], failure: Exception) -> CheckpointError:
    refused = _unknown(asked_for)
    # torch's own list is exact, but it knows only the zip format and not every pickle operation.
    with suppress(Exception), torch.serialization.safe_globals(_INERT):
        refused = set(torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data)))
    if refused:
        return _refusal(path, refused, "refused, because it is more than weights")
    first_line = (str(failure) or type(failure).__name__).splitlines()[0]
    return CheckpointError(path, f"truncated or damaged ({shown(first_line)}).", _AGAIN)


def _unknown(asked_for: set[str]) -> set[str]:
    return {name for name in asked_for if name not in _INERT_NAMES and not _TORCH_GLOBAL.fullmatch(name)}


def _refusal(path: Path, refused: set[str], what: str) -> CheckpointError:
    listed = [shown(name).strip("'\"") for name in sorted(refused)]
    more = f" and {len(listed) - _SHOWN_GLOBALS} more" if len(listed) > _SHOWN_GLOBALS else ""
    asks = f"; it asks for {', '.join(listed[:_SHOWN_GLOBALS])}{more}" if listed else ""
    return CheckpointError(path, f"{what}{asks}.", _WEIGHTS_ALONE)
