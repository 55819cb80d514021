"""Read and write checkpoints of any origin. Knows nothing about architectures.

A checkpoint may be nested among other things, its names may carry the prefixes of wrappers, its numbers may
have other widths: all that is brought to one form, and what was done is noted. What is not clear is refused.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from netspace_models.errors import CheckpointError, ConfigError, NotFinite
from netspace_models.wording import setting
from torch import Tensor

from .inputs import describe_head, hint_for, open_input
from .outputs import atomic_write
from .safetensors_file import (
    TorchCheckpointFound,
    is_safetensors_head,
    parse_checked_bytes,
    read_checked_bytes,
    read_safetensors,
    write_safetensors,
)
from .state_dicts import (
    TRAINERS,
    WRAPPERS,
    check_not_quantised,
    checked_entries,
    find_state,
    own_metadata,
    recorded_accuracy,
    with_metadata,
    without_others,
    without_prefixes,
)
from .tensor_names import check_names, shown
from .torch_file import is_torch_head, read_torch_file
from .torch_writing import save_by_torch

__all__ = [
    "Checkpoint",
    "check_checkpoint_suffix",
    "check_finite",
    "read_checkpoint",
    "read_own",
    "read_safetensors",
    "write_checkpoint",
    "write_safetensors",
]

SAFETENSORS_SUFFIXES = (".safetensors",)
TORCH_SUFFIXES = (".pt", ".pth", ".th")

# netspace's own files: how people call them, the key of their metadata, and what to do with one that stands
# where the other is wanted.
_OWN = {
    "embedding": ("an embedding", "netspace.embedding", "`netspace decode` makes a checkpoint of it."),
    "space": ("a space", "netspace.space", "Give it with {space}."),
}
_OF_A_CHECKPOINT = {
    "embedding": "`netspace encode` makes an embedding of it.",
    "space": "`netspace encode` makes an embedding of it; `netspace spaces` lists the built-in spaces.",
}

_CONVERTED = (torch.float16, torch.bfloat16, torch.float64)
_KEPT = (torch.float32, torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_KEPT_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)
_CONVERT = "Save it as a dense float32 tensor."
_SHORTEST = 16  # bytes; neither format fits in fewer
_SHOWN_TENSORS = 5
_CUT = "The prefix {!r} was cut off every name."
_MOST_COPIES = 16  # of a file's bytes, as distinct views of the same storage


@dataclass(frozen=True)
class Checkpoint:
    """A network's parameters and buffers in one form.

    Args:
        path: the file it was read from.
        sha256: of the file's bytes, in hexadecimal.
        format: "pt" (written by torch.save) or "safetensors".
        state: tensors by name, in main memory, contiguous; floats as float32, integers as they were. Tied
            tensors share memory, others share none.
        metadata: text that netspace or the safetensors file has beside the tensors.
        notes: what was done to bring it to this form, a sentence each.
        prefix: what was cut off the front of every name, e.g. "module."; put it back for the layout
            of the file.
        accuracy: what a trainer saved as the network's accuracy, a fraction; None where it saved none.
    """

    path: Path
    sha256: str
    format: Literal["pt", "safetensors"]
    state: dict[str, Tensor]
    metadata: dict[str, str]
    notes: tuple[str, ...]
    prefix: str = ""
    accuracy: float | None = None

    def readings(self) -> Iterator[Checkpoint]:
        """Yield what the names may be: as read; with ever more of the prefix put back; with more of one cut off."""
        yield self
        further, shortest = without_prefixes(self.state, WRAPPERS + TRAINERS)
        parts = [f"{part}." for part in (self.prefix + further).split(".")[:-1]]
        cut = self.prefix.count(".")
        for count in [*range(cut - 1, -1, -1), *range(cut + 1, len(parts) + 1)]:
            prefix, own = "".join(parts[:count]), "".join(parts[count:])
            notes = [note for note in self.notes if note != _CUT.format(self.prefix)]
            notes += [_CUT.format(prefix)] if prefix else []
            state = {own + name: tensor for name, tensor in shortest.items()}
            yield replace(self, state=state, notes=tuple(notes), prefix=prefix)


def read_checkpoint(path: Path, *, key: str | None = None) -> Checkpoint:
    """Read a checkpoint: safetensors, or a file by `torch.save`; the content decides which, not the name.

    Nothing in the file is ever executed. Values that are not finite are read; see `check_finite`.

    Args:
        path: the file.
        key: where the state dict is in a nested checkpoint, with dots between levels, e.g.
            "model.state_dict"; None to look in the usual places.
    Raises:
        CheckpointError: anything that is wrong with the file, or more than one state dict in it.
        NotFinite: a float64 value too large for float32.
    """
    notes: list[str] = []
    metadata: dict[str, str] = {}
    place: tuple[str, ...] = ()
    accuracy: float | None = None
    format_ = _sniff_format(path)
    if format_ == "safetensors":
        if key is not None:
            raise CheckpointError(
                path, f"a safetensors file is flat, it has no key {key!r}.", f"Leave {setting('key')} out."
            )
        data, metadata = read_checked_bytes(path)
        found: Mapping[Any, object] = parse_checked_bytes(path, data)
    else:
        content, data = read_torch_file(path)
        accuracy = recorded_accuracy(content)
        place, found = find_state(path, content, key)
        metadata = own_metadata(found)
    if place:
        notes.append(f"The state dict was found under {'.'.join(place)!r}.")
    tensors = checked_entries(path, found, notes)
    check_not_quantised(path, tensors)
    if place:
        tensors = without_others(tensors, notes)
    prefix, tensors = without_prefixes(tensors, WRAPPERS + TRAINERS if place else WRAPPERS)
    if prefix:
        notes.append(_CUT.format(prefix))
    state = _normalised(path, tensors, len(data), notes)
    digest = hashlib.sha256(data).hexdigest()
    return Checkpoint(path, digest, format_, state, metadata, tuple(notes), prefix, accuracy)


def read_own(path: Path, kind: Literal["embedding", "space"]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read one of netspace's own safetensors files; the error for other files says what they are.

    Returns:
        As `read_safetensors`.
    Raises:
        CheckpointError: a checkpoint, netspace's other kind of file, or anything that is wrong with the file.
    """
    wanted, own_key, _ = _OWN[kind]
    try:
        tensors, metadata = read_safetensors(path)
    except TorchCheckpointFound as failure:
        raise CheckpointError(path, f"this is a checkpoint, not {wanted}.", _OF_A_CHECKPOINT[kind]) from failure
    if own_key in metadata:
        return tensors, metadata
    for other, key, hint in _OWN.values():
        if key in metadata:
            raise CheckpointError(path, f"this is {other}, not {wanted}.", hint.format(space=setting("space")))
    raise CheckpointError(path, f"this is a checkpoint, not {wanted}.", _OF_A_CHECKPOINT[kind])


def write_checkpoint(
    path: Path,
    state: Mapping[str, Tensor],
    *,
    metadata: Mapping[str, str] | None = None,
    versions: Mapping[str, int] | None = None,
    force: bool = False,
) -> None:
    """Write a state dict so that `load_state_dict` accepts it; the same content gives the same bytes.

    Args:
        path: ends with .safetensors, or with .pt, .pth or .th for `torch.save`'s format.
        state: tensors by name, on any device; written with the dtypes they have.
        metadata: text by key. In `torch.save`'s format it is kept where modules keep their versions, which
            `load_state_dict` reads and passes over.
        versions: of the network's modules, by name (`Architecture.versions`); safetensors files have no place for them.
        force: whether an existing file may be replaced.
    Raises:
        ConfigError: an extension that says nothing, a name or dtype that cannot be written.
        OutputExists, ConfigError, RunFailed: as `files.atomic_write`.
    """
    check_checkpoint_suffix(path)
    if path.suffix.lower() in SAFETENSORS_SUFFIXES:
        write_safetensors(path, state, {"format": "pt", **(metadata or {})}, force=force)
        return
    try:
        check_names(state)
    except ValueError as problem:
        raise ConfigError(f"{path} cannot be written: {problem}.", "Rename the tensor.") from problem
    compact = _Compactor()
    compacted = {name: compact(tensor.detach().cpu()) for name, tensor in state.items()}
    content = with_metadata(compacted, metadata or {}, versions)
    atomic_write(path, lambda temporary: save_by_torch(content, temporary), force=force)


def check_checkpoint_suffix(path: Path) -> None:
    """Refuse an output path without the extension of a checkpoint format.

    Raises:
        ConfigError: names the extensions there are.
    """
    known = SAFETENSORS_SUFFIXES + TORCH_SUFFIXES
    if path.suffix.lower() not in known:
        raise ConfigError(
            f"{path}: unknown checkpoint extension {path.suffix!r}.",
            f"Use one of {', '.join(known)}.",
        )


def check_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse NaN and infinity in a network's numbers, and variances below zero, which would make NaN of its weights.

    Raises:
        NotFinite: names the first five tensors concerned, with counts, and how many there are.
        CheckpointError: a variance below zero.
    """
    for name, tensor in state.items():
        below = int((tensor < 0).sum()) if name.rpartition(".")[2] == "running_var" else 0
        if below:
            reason = (
                f"{below:,} of {tensor.numel():,} variances in {name} are below zero, the lowest is {tensor.min():g}."
            )
            raise CheckpointError(path, reason, "The file is damaged or was edited; copy or train the network again.")
    found = []
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            nans, infinite = int(tensor.isnan().sum()), int(tensor.isinf().sum())
            found.append(f"{name} ({nans:,} NaN, {infinite:,} infinite of {tensor.numel():,})")
    if found:
        more = f" and {len(found) - _SHOWN_TENSORS:,} more" if len(found) > _SHOWN_TENSORS else ""
        raise NotFinite(
            f"{path}: {len(found):,} of {len(state):,} tensors have values that are not finite:"
            f" {', '.join(found[:_SHOWN_TENSORS])}{more}.",
            "The training probably diverged; use an earlier checkpoint.",
        )


def _sniff_format(path: Path) -> Literal["pt", "safetensors"]:
    with open_input(path, error=CheckpointError) as file:
        head = file.read(1024)
    if is_safetensors_head(head):
        return "safetensors"
    if 0 < len(head) < _SHORTEST:
        raise CheckpointError(path, f"truncated: only {len(head)} bytes.", "Copy or download the file again.")
    known = describe_head(head)
    if known:
        raise CheckpointError(path, f"this is {known}, not a checkpoint.", hint_for(known))
    if is_torch_head(head):
        return "pt"
    if path.suffix.lower() in SAFETENSORS_SUFFIXES:
        return "safetensors"
    raise CheckpointError(
        path, "not a checkpoint: neither torch.save nor safetensors wrote it.", "Check where it comes from."
    )


def _normalised(path: Path, tensors: Mapping[str, Tensor], file_bytes: int, notes: list[str]) -> dict[str, Tensor]:
    """Make all tensors dense, compact, and of a supported width."""
    for name, tensor in tensors.items():
        fault = _unreadable(tensor)
        if fault:
            raise CheckpointError(path, f"the tensor {shown(name)} is {fault}, which netspace does not read.", _CONVERT)
    _check_memory(path, tensors, file_bytes)
    converted = Counter(tensor.dtype for tensor in tensors.values() if tensor.dtype in _CONVERTED)
    for dtype, count in converted.items():
        notes.append(f"{count:,} tensors were converted from {_dtype_name(dtype)} to float32.")
    compact = _Compactor(_to_float32)
    try:
        return {name: compact(tensor) for name, tensor in tensors.items()}
    except OverflowError as problem:
        raise NotFinite(f"{path}: {problem}.", "Rescale the network, or use another checkpoint.") from problem


def _unreadable(tensor: Tensor) -> str | None:
    """Describe tensors without plain numbers; None for others."""
    if tensor.is_meta:
        return "a meta tensor (a shape without values)"
    if tensor.is_quantized:
        return f"quantised ({_dtype_name(tensor.dtype)})"
    if tensor.layout != torch.strided or tensor.is_nested:
        return f"sparse or nested ({str(tensor.layout).removeprefix('torch.')})"
    if type(tensor) not in (Tensor, torch.nn.Parameter):
        return f"a {type(tensor).__name__}"
    if tensor.dtype not in _KEPT + _KEPT_UNSIGNED + _CONVERTED:
        return _dtype_name(tensor.dtype)
    return None


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _check_memory(path: Path, tensors: Mapping[str, Tensor], file_bytes: int) -> None:
    """Refuse tensors that would take far more memory than the file has bytes, before reading them."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors.values()}
    views: dict[object, int] = {}
    for name, tensor in tensors.items():
        needed, stored = tensor.numel() * tensor.itemsize, tensor.untyped_storage().nbytes()
        if needed > stored:
            raise CheckpointError(
                path,
                f"the tensor {shown(name)} has {tensor.numel():,} elements in {stored:,} bytes.",
                "It was expanded before it was saved: save tensor.contiguous().",
            )
        views[_view_key(tensor)] = needed
    stored, needed = sum(storages.values()), sum(views.values())
    if stored > file_bytes or needed > _MOST_COPIES * file_bytes:
        raise CheckpointError(
            path,
            f"its tensors take {max(stored, needed):,} bytes of memory, the file has {file_bytes:,}.",
            "It is damaged or made to do harm.",
        )


def _view_key(tensor: Tensor) -> object:
    place = tensor.untyped_storage().data_ptr(), tensor.storage_offset()
    return *place, tensor.dtype, tensor.shape, tensor.stride()


class _Compactor:
    """Make tensors contiguous, each with storage of its own size; tied tensors stay tied.

    Args:
        convert: applied to each compact tensor.
    """

    def __init__(self, convert: Callable[[Tensor], Tensor] | None = None) -> None:
        self._convert = convert
        self._done: dict[object, tuple[Tensor, Tensor]] = {}

    def __call__(self, tensor: Tensor) -> Tensor:
        key = _view_key(tensor)
        if key not in self._done:
            dense = tensor.detach().resolve_neg()
            if not dense.is_contiguous() or dense.untyped_storage().nbytes() != dense.numel() * dense.itemsize:
                dense = dense.clone(memory_format=torch.contiguous_format)
            # The source is kept too, lest its address be given to another tensor.
            self._done[key] = tensor, self._convert(dense) if self._convert else dense
        return self._done[key][1]


def _to_float32(tensor: Tensor) -> Tensor:
    """Convert to float32. Raises OverflowError if a finite float64 is too large."""
    if tensor.dtype not in _CONVERTED:
        return tensor
    narrow = tensor.float()
    lost = int((tensor.isfinite() & ~narrow.isfinite()).sum())
    if lost:
        raise OverflowError(f"{lost:,} {_dtype_name(tensor.dtype)} values are too large for float32")
    return narrow
