"""Read files by `torch.save` without running any code from them.

`torch.load` is always told `weights_only=True`, and what it can be led to do with that is checked around it:
compressed records, storages larger than the file, nesting that exhausts the stack. Classes that often stand
beside weights and carry no weights (argparse.Namespace, NumPy scalars, paths) are replaced by a stand-in that
keeps nothing, so their own code does not run either.
"""

from __future__ import annotations

import io
import os
import pickletools
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

import torch
from netspace_models.errors import CheckpointError

from .inputs import describe_head, hint_for, open_input
from .tensor_names import shown

_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = b"\x80"
_LOCAL_HEADER_BYTES = 30
_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_LEGACY_PICKLES = 5  # magic number, protocol, system, the object, the storages' keys
_DEEPEST_TUPLE = 100
_ENCRYPTED = 0x1
_SHOWN_GLOBALS = 12
_TORCH_GLOBAL = re.compile(
    r"torch\.(\w+Storage|\w*Tensor|Size|device|float\w*|u?int\w+|bool|_utils\._rebuild_\w+"
    r"|storage\.\w+|nn\.parameter\.Parameter|_tensor\._rebuild_from_type_v2)"
    r"|collections\.(OrderedDict|Counter)|_codecs\.encode"
)
_BROKEN_PICKLE = (ValueError, IndexError, KeyError, TypeError, OverflowError)
_MARK = -1
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
        program = _checked_zip(path, file) if head.startswith(_ZIP_MAGIC) else None
        file.seek(0)
        data = file.read()
    asked_for = _scan(path, data if program is None else program, _LEGACY_PICKLES if program is None else 1)
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
        try:
            asked_for = _globals_in(file)
        except _BROKEN_PICKLE:
            return CheckpointError(path, "a truncated, damaged or foreign pickle, not written by torch.save.", _AGAIN)
        return _refusal(path, _unknown(asked_for), "a plain pickle, not written by torch.save")
    known = describe_head(head) or "something else"
    return CheckpointError(path, f"this is {known}, not a file that torch.save wrote.", hint_for(known))


def _checked_zip(path: Path, file: BinaryIO) -> bytes:
    """Check a zip archive's directory before torch reads it; returns the pickle in it."""
    size = os.fstat(file.fileno()).st_size
    try:
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
    except Exception as failure:  # zipfile raises half a dozen kinds on damaged directories
        raise CheckpointError(
            path, f"truncated or damaged: no directory at the end of its {size:,} bytes.", _AGAIN
        ) from failure
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
    return _stored_bytes(path, file, pickles[0])


def _check_records(path: Path, records: list[zipfile.ZipInfo], size: int) -> None:
    for record in records:
        if record.compress_type != zipfile.ZIP_STORED or record.flag_bits & _ENCRYPTED:
            raise CheckpointError(
                path,
                f"its record {shown(record.filename)} is compressed or encrypted; torch.save does neither.",
                "It may be made to exhaust memory. Do not trust it.",
            )
    total = sum(record.file_size for record in records)
    if total > size:
        raise CheckpointError(
            path,
            f"its records claim {total:,} bytes, the file has {size:,}.",
            "It is damaged or made to do harm.",
        )
    if len({record.filename for record in records}) < len(records):
        raise CheckpointError(path, "damaged: a record appears in it twice.", _AGAIN)


def _foreign_archive(names: list[str]) -> str | None:
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        return "a TorchScript program"
    if any(name.rsplit("/", 1)[-1] == "archive_format" for name in names):
        return "an exported program (.pt2)"
    if names and all(name.endswith(".npy") for name in names):
        return "a NumPy archive (.npz)"
    return None


def _stored_bytes(path: Path, file: BinaryIO, record: zipfile.ZipInfo) -> bytes:
    # Not through zipfile: it insists on checksums, which torch.save can be told to leave out.
    file.seek(record.header_offset)
    local = file.read(_LOCAL_HEADER_BYTES)
    if len(local) < _LOCAL_HEADER_BYTES:
        raise CheckpointError(path, "truncated or damaged: a record lies outside the file.", _AGAIN)
    name_bytes, extra_bytes = struct.unpack("<HH", local[-4:])
    file.seek(name_bytes + extra_bytes, os.SEEK_CUR)
    return file.read(record.file_size)


def _scan(path: Path, program: bytes, pickles: int) -> set[str]:
    """Names that the pickles at the start of `program` import; refuses what would crash the reader."""
    stream = io.BytesIO(program)
    try:
        return {name for _ in range(pickles) for name in _globals_in(stream)}
    except _BROKEN_PICKLE as failure:
        raise CheckpointError(path, f"truncated or damaged pickle ({shown(str(failure))}).", _AGAIN) from failure


def _globals_in(stream: IO[bytes]) -> set[str]:
    """Read one pickle without executing it, to find the globals in it.

    Raises:
        ValueError: damaged, or tuples so deeply nested that taking their hash would overflow the C stack.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd escapes in a damaged file's texts
        return _traced(stream)


def _traced(stream: IO[bytes]) -> set[str]:
    found: set[str] = set()
    words: list[str] = []
    depths: list[int] = []  # of tuples; 0 for everything else, _MARK for a mark
    memo: dict[object, int] = {}
    for operation, argument, _ in pickletools.genops(stream):
        name = operation.name
        if name == "GLOBAL":
            found.add(str(argument).replace(" ", ".").replace("__builtin__.", "builtins."))
        elif name == "STACK_GLOBAL":
            found.add(".".join(words[-2:]))
        elif isinstance(argument, str):
            words = [*words[-1:], argument]
        if name == "MEMOIZE" or name.endswith("PUT"):
            memo[len(memo) if argument is None else argument] = depths[-1]
        elif name.endswith("GET"):
            depths.append(memo[argument])
        else:
            _follow(operation, depths)
    return found


def _follow(operation: pickletools.OpcodeInfo, depths: list[int]) -> None:
    """Apply an operation to the depths of tuples as it applies to the stack."""
    taken: list[int] = []
    if pickletools.markobject in operation.stack_before:
        while (top := depths.pop()) != _MARK:
            taken.append(top)
    for before in operation.stack_before:
        if before not in (pickletools.markobject, pickletools.stackslice):
            taken.append(depths.pop())
    if operation.name.startswith("TUPLE"):
        depths.append(1 + max(taken, default=0))
        if depths[-1] > _DEEPEST_TUPLE:
            raise ValueError(f"tuples nested more than {_DEEPEST_TUPLE} deep")
    else:
        depths.extend(_MARK if after is pickletools.markobject else 0 for after in operation.stack_after)


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
