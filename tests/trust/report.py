"""The table of `make trust`: what was done to netspace's files and processes, and what became of it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from . import fuzz, kills

HEAD = ("class of fault", "tried", "refused properly", "survived", "crashed", "lost", "silently wrong")


@dataclass(frozen=True)
class Line:
    """A line of the table; None where a column does not apply.

    Attributes:
        tried: files or runs; refused: files that were refused in words; survived: files that were read, or runs after
            which nothing was lost.
        crashed: ended otherwise than by words; lost: work or files; wrong: files that were read although they
            contradict themselves.
        faults: a sentence for each kind of what went wrong.
    """

    name: str
    tried: int
    refused: int | None
    survived: int
    crashed: int
    lost: int | None
    wrong: int | None
    faults: tuple[str, ...] = ()

    @property
    def cells(self) -> tuple[str, ...]:
        """Its columns as text."""
        counts = (self.tried, self.refused, self.survived, self.crashed, self.lost, self.wrong)
        return (self.name, *("" if count is None else f"{count:,}" for count in counts))


def lines_of_files(rows: Sequence[fuzz.Row]) -> Iterator[Line]:
    """Lines for mutated files."""
    for row in rows:
        tally = row.tally
        faults = tuple(f"{n:,} x {row.reader}: {why}" for own in (tally.crashed, tally.wrong) for why, n in own.items())
        yield Line(
            f"{row.reader}, mutated", tally.tried, tally.refused, tally.accepted, row.crashed, None, row.wrong, faults
        )


def lines_of_runs(rows: Sequence[kills.Row]) -> Iterator[Line]:
    """Lines for killed commands and full disks."""
    for row in rows:
        yield Line(row.fault, row.tried, None, row.survived, row.crashed, row.lost, None, row.faults)


def table(lines: Sequence[Line]) -> str:
    """The lines, their sum below them."""

    def total(name: str) -> int:
        return sum(getattr(line, name) or 0 for line in lines)

    tried, refused, survived = map(total, ("tried", "refused", "survived"))
    whole = Line("all", tried, refused, survived, total("crashed"), total("lost"), total("wrong"))
    cells = [HEAD, *(line.cells for line in lines), whole.cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    first = widths[0]
    return "\n".join(
        "  ".join([row[0].ljust(first), *(cell.rjust(n) for cell, n in zip(row[1:], widths[1:], strict=True))])
        for row in cells
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both harnesses and print the table; the exit status is 1 if anything crashed, was lost or silently wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000, help="mutated files, over all readers")
    parser.add_argument("--kills", type=int, default=500, help="commands that are killed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    began = time.monotonic()
    # First: no thread may have been started in the process that is copied.
    runs = kills.trials(asked.seed, asked.kills, asked.processes)
    found = Path("build") / "fuzz"
    files = fuzz.fuzz(asked.seed, files=asked.files, processes=asked.processes, found=found)
    lines = [*lines_of_files(files), *lines_of_runs(runs)]
    print(table(lines))
    print(f"seed {asked.seed}, {(time.monotonic() - began) / 60:.1f} minutes, {asked.processes} processes")
    faults = [fault for line in lines for fault in line.faults]
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
