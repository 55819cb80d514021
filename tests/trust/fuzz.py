"""Structure-aware fuzzing of every reader: `make fuzz SECONDS=60 SEED=0`.

A mutated file must be read, or be refused with its path and the next step; at once, and without much memory. What
else happens is a crash, and its file is kept.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from ctypes import c_longlong
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from .reader import Reader
from .readers import all_readers
from .trial import Bench, Fault, Tally, bounded_memory

BATCH = 400  # files of weight 1 between two looks at the clock
STALLED = 20.0  # seconds after which a process is given up
KEPT = 3  # files of each cause of a fault
RAM_DISK = Path("/dev/shm")


@dataclass(frozen=True)
class Row:
    """A line of the table: a reader, how many files it was given, and what became of them."""

    reader: str
    tally: Tally = field(default_factory=Tally)

    @property
    def crashed(self) -> int:
        """Files that were neither read nor refused properly."""
        return sum(self.tally.crashed.values())

    @property
    def wrong(self) -> int:
        """Files that were accepted although they contradict themselves."""
        return sum(self.tally.wrong.values())


class Batch(NamedTuple):
    """Files of one reader, by number."""

    reader: int
    first: int
    size: int


class Current(Protocol):
    """The number of the file that a process is at."""

    value: int


def fuzz(
    seed: int,
    *,
    files: int | None = None,
    seconds: float | None = None,
    processes: int = 1,
    only: str = "",
    found: Path | None = None,
    tick: Callable[[int], None] | None = None,
) -> list[Row]:
    """Give mutated files to every reader; the same seed and number give the same files.

    Args:
        seed: decides every mutation.
        files: how many in all; None for as many as `seconds` allow.
        processes: 0 for this one.
        only: a part of the names of the readers.
        found: a folder for files that crash a reader.
        tick: called with the number of files that were tried since the last call.
    """
    with tempfile.TemporaryDirectory(dir=RAM_DISK if RAM_DISK.is_dir() else None) as folder:
        made = Path(folder) / "made"
        made.mkdir()
        readers = [reader for reader in all_readers(made) if only in reader.name]
        rows = [Row(reader.name) for reader in readers]
        batches = _batches(readers, files, seconds)
        ends = _here(readers, seed, batches, Path(folder)) if not processes else None
        for batch, tally, faults in ends or _spread(readers, seed, batches, Path(folder), processes):
            rows[batch.reader].tally.add(tally)
            if found is not None:
                _keep(found, rows[batch.reader], seed, faults)
            if tick is not None:
                tick(tally.tried)
    return rows


def _batches(readers: Sequence[Reader], files: int | None, seconds: float | None) -> Iterator[Batch]:
    """Batches in turns, until there are enough or it is late."""
    end = time.monotonic() + (seconds if seconds is not None else float("inf"))
    whole = sum(reader.weight for reader in readers)
    wanted = [None if files is None else max(1, round(files * r.weight / whole)) for r in readers]
    for turn in count():
        some = False
        for number, reader in enumerate(readers):
            size = max(1, round(BATCH * reader.weight))
            first, most = turn * size, wanted[number]
            size = size if most is None else min(size, most - first)
            if size > 0 and time.monotonic() < end:
                some = True
                yield Batch(number, first, size)
        if not some:
            return


_Result = tuple[Batch, Tally, list[tuple[int, bytes, Fault]]]


def _seed_of(seed: int, reader: Reader, number: int) -> int:
    """The seed of one file, the same whichever other readers there are."""
    return seed << 64 | zlib.crc32(reader.name.encode()) << 32 | number


def _run(bench: Bench, batch: Batch, seed: int, current: Current | None = None) -> _Result:
    tally = Tally()
    faults: list[tuple[int, bytes, Fault]] = []
    for number in range(batch.first, batch.first + batch.size):
        if current is not None:
            current.value = number
        content, which, how = bench.mutated(_seed_of(seed, bench.reader, number))
        fault = bench.tried(content, which, how, tally)
        if fault is not None and len(faults) < KEPT * 10:
            faults.append((number, content, fault))
    return batch, tally, faults


def _here(readers: Sequence[Reader], seed: int, batches: Iterator[Batch], folder: Path) -> Iterator[_Result]:
    benches = {n: Bench(reader, folder / f"here-{n}") for n, reader in enumerate(readers)}
    with bounded_memory():
        for batch in batches:
            yield _run(benches[batch.reader], batch, seed)


def _serve(readers: Sequence[Reader], seed: int, folder: Path, pipe: Connection, current: Current) -> None:
    """Run batches in a process of its own until there are no more."""
    torch.set_num_threads(1)
    benches: dict[int, Bench] = {}
    with bounded_memory():
        while (batch := pipe.recv()) is not None:
            if batch.reader not in benches:
                benches[batch.reader] = Bench(readers[batch.reader], folder / str(batch.reader))
            pipe.send(_run(benches[batch.reader], batch, seed, current))


class _Worker:
    """A process that runs batches; if it dies or stalls, the file that it was at is known."""

    def __init__(self, readers: Sequence[Reader], seed: int, folder: Path) -> None:
        context = multiprocessing.get_context("fork")
        self.pipe, other = context.Pipe()
        self.current: Any = context.Value(c_longlong, -1, lock=False)
        self.batch: Batch | None = None
        self._at, self._since = -1, time.monotonic()
        arguments = (readers, seed, folder, other, self.current)
        self.process: BaseProcess = context.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        other.close()

    def give(self, batch: Batch | None) -> None:
        """Give it work; None to end."""
        self.batch, self._at, self._since = batch, -1, time.monotonic()
        self.pipe.send(batch)

    def stalled(self) -> bool:
        """Whether it has been at one file for too long."""
        if self.current.value != self._at:
            self._at, self._since = self.current.value, time.monotonic()
        return time.monotonic() - self._since > STALLED

    def buried(self) -> str:
        """End it; returns what was wrong."""
        stalled = self.process.is_alive() and self.stalled()
        self.process.kill()
        self.process.join()
        self.pipe.close()
        return "the process hung" if stalled else f"the process died ({self.process.exitcode})"


def _spread(
    readers: Sequence[Reader], seed: int, batches: Iterator[Batch], folder: Path, processes: int
) -> Iterator[_Result]:
    """Spread batches over processes; a batch goes on behind a file that ended one."""
    workers = [_Worker(readers, seed, folder / f"worker-{n}") for n in range(processes)]
    rest: list[Batch] = []

    def more() -> Batch | None:
        return rest.pop() if rest else next(batches, None)

    for worker in workers:
        worker.give(more())
    while busy := [worker for worker in workers if worker.batch is not None]:
        ready = wait([worker.pipe for worker in busy], timeout=1.0)
        for worker in busy:
            if worker.pipe not in ready:
                if not worker.stalled():
                    continue
            else:
                try:
                    yield worker.pipe.recv()
                    worker.give(more())
                    continue
                except EOFError:
                    pass
            number = workers.index(worker)
            yield _lost(readers, seed, folder, worker, rest)
            workers[number] = _Worker(readers, seed, folder / f"worker-{number}")
            workers[number].give(more())


def _lost(readers: Sequence[Reader], seed: int, folder: Path, worker: _Worker, rest: list[Batch]) -> _Result:
    """The file at which a process ended, as a crash; what its batch still had is put back."""
    batch, number, why = worker.batch, worker.current.value, worker.buried()
    assert batch is not None
    end = batch.first + batch.size
    done = Batch(batch.reader, number, 1)
    parts = [batch._replace(size=number - batch.first), Batch(batch.reader, number + 1, end - number - 1)]
    rest += [part for part in parts if part.size > 0]
    bench = Bench(readers[batch.reader], folder / "lost")
    content, _, _ = bench.mutated(_seed_of(seed, bench.reader, number))
    fault = Fault("crashed", why, why)
    tally = Tally(tried=1)
    tally.count(fault)
    return done, tally, [(number, content, fault)]


def _keep(found: Path, row: Row, seed: int, faults: Sequence[tuple[int, bytes, Fault]]) -> None:
    """Keep a few files of each fault, with the reason."""
    for number, content, fault in faults:
        name = "".join(c if c.isalnum() else "-" for c in f"{row.reader}--{fault.signature}")[:150]
        own = found / name
        if own.is_dir() and len(list(own.iterdir())) >= 2 * KEPT:
            continue
        own.mkdir(parents=True, exist_ok=True)
        (own / f"seed{seed}-{number}").write_bytes(content)
        (own / f"seed{seed}-{number}.why.txt").write_text(fault.why, errors="backslashreplace")


def table(rows: Sequence[Row]) -> str:
    """The table as text."""
    head = ["reader", "tried", "accepted", "refused", "crashed", "silently wrong"]
    counts: list[tuple[int, ...]] = [
        (r.tally.tried, r.tally.accepted, r.tally.refused, r.crashed, r.wrong) for r in rows
    ]
    names = [*(row.reader for row in rows), "all"]
    counts.append(tuple(map(sum, zip(*counts, strict=True))))
    cells = [head, *([name, *(f"{n:,}" for n in own)] for name, own in zip(names, counts, strict=True))]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))] for row in cells
    )
    return "\n".join("  ".join(line) for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from a command line; the exit status is 1 if anything crashed or was silently wrong."""
    parser = argparse.ArgumentParser(description=fuzz.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--files", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--found", type=Path, default=Path("build/fuzz"))
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if asked.seconds is None and asked.files is None:
        asked.seconds = 60.0
    start = time.monotonic()
    rows = fuzz(
        asked.seed,
        files=asked.files,
        seconds=asked.seconds,
        processes=asked.processes,
        only=asked.only,
        found=asked.found,
    )
    took = time.monotonic() - start
    tried = sum(row.tally.tried for row in rows)
    print(table(rows))
    print(f"seed {asked.seed}: {tried:,} files in {took:.0f} s, {tried / took:,.0f} a second")
    faults = [
        (n, f"{row.reader}: {why}")
        for row in rows
        for own in (row.tally.crashed, row.tally.wrong)
        for why, n in own.items()
    ]
    for number, why in sorted(faults, reverse=True):
        print(f"{number:8,}  {why}")
    if faults:
        print(f"Files are kept in {asked.found}.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
