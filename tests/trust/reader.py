"""What a reader of files is for the tests that change them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .mutations import Template


@dataclass(frozen=True)
class Reader:
    """A reader and files for it.

    Attributes:
        name: for the table.
        file: what is changed, as seen from the reader's folder.
        templates: valid files.
        read: gets the path of the file; returns what was read, in a form that tells differences.
        weight: its share of the files; slow readers get fewer.
        sealed: "checksum" where the file tells any change of its bytes, "size" where it tells that it was cut short.
        prepare: writes what lies beside the file.
        culprit: of the path from the folder to the file, the part that a refusal has to name.
    """

    name: str
    file: str
    templates: tuple[Template, ...]
    read: Callable[[Path], object]
    weight: float = 1.0
    sealed: str = ""
    prepare: Callable[[Path], None] | None = None
    culprit: str = ""


def digest(tensors: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]) -> str:
    """A digest of names, shapes and values."""
    found = hashlib.sha256()
    for name, tensor in tensors.items() if isinstance(tensors, Mapping) else tensors:
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
