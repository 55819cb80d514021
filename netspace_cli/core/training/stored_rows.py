"""Weights of a zoo that is larger than memory: written to a file once, and read from it a step's rows at a time."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import Final

import torch
from netspace_models.errors import ConfigError, RunFailed
from torch import Tensor

# Share of the device's memory that weights of a zoo may take before they are read from a file.
SHARE: Final = 0.25
_LARGE_FOLDER: Final = Path("/var/tmp")  # on a disk, where /tmp may be memory


class StoredRows:
    """Rows of weights in temporary files, which are gone when the process ends, however it ends.

    Args:
        device: where rows are wanted.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._maps: list[mmap.mmap] = []

    def store(self, rows: Iterable[Tensor], count: int, size: int) -> Tensor:
        """Write rows (P,) one after the other.

        Returns:
            (N, P) as a map of the file: what is read of it takes memory until `release`.
        Raises:
            RunFailed: the disk has no room; ConfigError: as `scratch_folder`.
        """
        with TemporaryFile(dir=scratch_folder()) as file:
            try:
                for row in rows:
                    file.write(row.float().contiguous().numpy().data)
                file.flush()
            except OSError as failure:
                if failure.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise
                needed = count * size * 4
                raise RunFailed(
                    f"the zoo's weights take {needed / 2**30:.1f} GiB, more than memory has room for, and "
                    f"{scratch_folder()} has no room for them either.",
                    "Name a folder on a larger disk by the variable TMPDIR.",
                ) from failure
            # Private: nothing that is done to the tensor reaches the file.
            held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self._maps.append(held)
        return torch.frombuffer(held, dtype=torch.float32).reshape(count, size)

    def take(self, rows: Tensor) -> Tensor:
        """Move rows of a stored tensor to the device, in memory of their own."""
        taken = rows.to(self.device, copy=True)
        self.release()
        return taken

    def copied(self, part: Tensor, at_once: int) -> Tensor:
        """Copy columns of a stored tensor, a few rows at a time: around each value the system reads many others."""
        copy = torch.empty(part.shape)
        for block, rows in zip(copy.split(at_once), part.split(at_once), strict=True):
            block.copy_(rows)
            self.release()
        return copy

    def release(self) -> None:
        """Give back the memory of what was read; it is read again from the file when it is asked for."""
        for held in self._maps:
            held.madvise(mmap.MADV_DONTNEED)


def scratch_folder() -> Path:
    """Folder for large temporary files.

    Raises:
        ConfigError: TMPDIR names none that can be written to; other files then go elsewhere, perhaps to memory.
    """
    named = os.environ.get("TMPDIR")
    if named and not (os.path.isdir(named) and os.access(named, os.W_OK | os.X_OK)):
        raise ConfigError(
            "the zoo's weights take much of the memory, so that they go into a file, and nothing can be written into "
            f"{named}, which TMPDIR names.",
            "Name a folder on a large disk by it, or unset it.",
        )
    return _LARGE_FOLDER if not named and os.access(_LARGE_FOLDER, os.W_OK) else Path(gettempdir())
