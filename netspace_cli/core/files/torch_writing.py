"""Write by `torch.save`, with the error of the system where the disk is full."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import torch


def save_by_torch(content: Any, path: Path) -> None:
    """Write as `torch.save` does; the same content gives the same bytes, whatever the file's name.

    Raises:
        OSError: the system refused the bytes. `torch.save` itself words that as a fault of its archive.
    """
    with path.open("wb") as file:
        watched = _Watched(file)
        try:
            torch.save(content, watched)  # type: ignore[arg-type]
        except Exception as failure:
            if watched.refused is not None:
                raise watched.refused from failure
            raise


class _Watched:
    """A file for `torch.save` that remembers why the system refused to write."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.refused: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return self._file.write(content)
        except OSError as failure:
            self.refused = failure
            raise

    def flush(self) -> None:
        self._file.flush()
