"""Find the checkpoints in a folder, by their content where their names do not tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from netspace_models.errors import InputFileError

from .checkpoint import SAFETENSORS_SUFFIXES, TORCH_SUFFIXES
from .inputs import describe_head, open_input
from .safetensors_file import is_safetensors_head
from .torch_file import is_torch_head, looks_saved_by_torch

EXTENSIONS = (*SAFETENSORS_SUFFIXES, *TORCH_SUFFIXES)
# Other endings that checkpoints have; a name without them may be one too.
MORE_EXTENSIONS = (".pth.tar", ".pt.tar", ".tar", ".ckpt", ".bin", ".model", ".pkl")
# Of a zoo, beside its networks.
_OWN_FILES = ("zoo.json", "instances.jsonl")
_OWN_KINDS = {".emb": "an embedding"}
_SNIFFED_BYTES = 1024
_SHOWN = 3


@dataclass(frozen=True)
class PassedOver:
    """A file that is not a checkpoint: its path and what it is."""

    path: Path
    what: str


def find_checkpoints(folder: Path) -> tuple[list[Path], list[PassedOver]]:
    """Find the checkpoints in a folder and its subfolders.

    A file that ends in one of `EXTENSIONS` is one by its name, whatever is in it; any other one by its content.
    Files whose names begin with a dot, and a zoo's own, are not looked at.

    Returns:
        The checkpoints, and all other files, each in the order of their paths.
    """
    found, others = [], []
    for path in sorted(folder.rglob("*")):
        if path.name.startswith(".") or path.name in _OWN_FILES or not path.is_file():
            continue
        other = "" if path.suffix.lower() in EXTENSIONS else _other_kind(path)
        if other:
            others.append(PassedOver(path, other))
        else:
            found.append(path)
    return found, others


def without_extension(name: str) -> str:
    """A checkpoint's name without its extension, of which ".pth.tar" is one; other dots stay."""
    low = name.lower()
    endings = [e for e in (*MORE_EXTENSIONS, *EXTENSIONS) if low.endswith(e) and len(name) > len(e)]
    return name[: len(name) - max(map(len, endings), default=0)]


def describe_passed_over(others: Sequence[PassedOver]) -> str:
    """A sentence on files that are not checkpoints: how many of each type, with a few names; "" for none."""
    if not others:
        return ""
    kinds: dict[str, list[str]] = {}
    for each in others:
        kinds.setdefault(each.what, []).append(each.path.name)
    listed = [f"{what}: {_few(names)}" for what, names in kinds.items()]
    files = "1 file was" if len(others) == 1 else f"{len(others):,} files were"
    return f"{files} passed over, not checkpoints by their content ({'; '.join(listed)})."


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _other_kind(path: Path) -> str:
    """What a file without a checkpoint's extension is, if not a checkpoint; "" for one."""
    if path.suffix.lower() in _OWN_KINDS:
        return _OWN_KINDS[path.suffix.lower()]
    try:
        with open_input(path) as file:
            head = file.read(_SNIFFED_BYTES)
    except InputFileError as failure:
        return failure.reason.rstrip(".")
    # What is called a checkpoint and begins as one is read, so that its reader says what is wrong with it.
    called = path.name.lower().endswith(MORE_EXTENSIONS)
    if is_safetensors_head(head) or looks_saved_by_torch(head) or (called and is_torch_head(head)):
        return ""
    if is_torch_head(head):
        return "an archive or a pickle of something else"
    return describe_head(head) or "of an unknown type"
