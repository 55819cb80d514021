"""Every reader of files, each with tiny valid files that it reads."""

from __future__ import annotations

from pathlib import Path

from .data_readers import data_readers
from .network_readers import network_readers
from .reader import Reader


def all_readers(folder: Path) -> tuple[Reader, ...]:
    """All readers.

    Args:
        folder: empty; files are made in it.
    """
    return (*network_readers(folder), *data_readers())
