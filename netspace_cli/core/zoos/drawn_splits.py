"""The splits that indexing has drawn, kept until all instances are listed.

Splits are drawn for all files together. If indexing is killed between two files, drawing again for the rest would give
other splits than a command that was not killed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from netspace_models.errors import InputFileError

from netspace_cli.core.files.outputs import atomic_write
from netspace_cli.core.files.structure import parse_json, read_text

from .zoo import SPLITS, Instance

_NAME = ".netspace-splits.json"


@dataclass(frozen=True)
class DrawnSplits:
    """Splits by file of a zoo that is being indexed.

    Attributes:
        folder: the zoo's.
        shares, seed: that the splits were drawn with.
        by_file: paths are relative to the folder.
        anew: whether all instances are listed at once, so that nothing has to be kept.
    """

    folder: Path
    shares: tuple[int, ...]
    seed: int
    by_file: dict[str, str] = field(default_factory=dict)
    anew: bool = False

    @classmethod
    def of(cls, folder: Path, shares: Sequence[int], seed: int, *, anew: bool = False) -> Self:
        """What a killed command has drawn with the same shares and seed; nothing if there is no such file."""
        empty = cls(folder, tuple(shares), seed, anew=anew)
        try:
            kept = parse_json(read_text(folder / _NAME))
            splits = {str(name): str(split) for name, split in kept["splits"].items()}
        except (InputFileError, ValueError, KeyError, TypeError, AttributeError):
            return empty
        if (kept.get("shares"), kept.get("seed")) != (list(shares), seed) or not set(splits.values()) <= set(SPLITS):
            return empty
        return empty if anew else replace(empty, by_file=splits)

    @contextmanager
    def kept(self, instances: Sequence[Instance]) -> Iterator[None]:
        """Keep the splits of instances in a file while they are listed inside the block."""
        if instances and not self.anew:
            splits = {instance.file: instance.split for instance in instances}
            text = json.dumps({"shares": self.shares, "seed": self.seed, "splits": splits})
            atomic_write(self.folder / _NAME, lambda p: p.write_text(text), force=True)
        yield
        with suppress(OSError):
            (self.folder / _NAME).unlink()
