"""One mutated file, read: was it accepted, refused properly, or did something else happen?"""

from __future__ import annotations

import resource
import shutil
import signal
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from netspace_models.errors import NetspaceError

from .binary_mutations import Zip
from .mutations import blind
from .reader import Reader

SECONDS = 2.0
# Address space that reading a mutated file may take on top of what the process has.
MOST_BYTES = 3 << 29
BLIND, CUT, DAMAGED = 0.25, 0.05, 0.35
LONGEST_MESSAGE = 3000
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "Unable to allocate")


class TooSlow(BaseException):
    """Reading took longer than `SECONDS`. Not an `Exception`, so that no reader takes it for a fault of the file."""


@dataclass(frozen=True)
class Fault:
    """What should not have happened.

    Attributes:
        kind: "crashed" or "silently wrong".
        signature: the same for what has the same cause.
        why: in full.
    """

    kind: str
    signature: str
    why: str


@dataclass
class Tally:
    """How many files were tried, accepted and refused properly, and what else happened: counts by signature."""

    tried: int = 0
    accepted: int = 0
    refused: int = 0
    crashed: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, int] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Add the counts of another."""
        self.tried += other.tried
        self.accepted += other.accepted
        self.refused += other.refused
        for own, theirs in ((self.crashed, other.crashed), (self.wrong, other.wrong)):
            for signature, count in theirs.items():
                own[signature] = own.get(signature, 0) + count

    def count(self, fault: Fault) -> None:
        """Count a fault."""
        own = self.wrong if fault.kind == "silently wrong" else self.crashed
        own[fault.signature] = own.get(fault.signature, 0) + 1


class Bench:
    """A reader in a folder of its own, where files for it are changed and read.

    Args:
        folder: made anew, best on a RAM disk.
    """

    def __init__(self, reader: Reader, folder: Path) -> None:
        self.reader = reader
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if reader.prepare is not None:
            reader.prepare(folder)
        self.path = folder / reader.file
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.wholes = [template.whole for template in reader.templates]
        self.seen = []
        for whole in self.wholes:
            self.path.write_bytes(whole)
            self.seen.append(reader.read(self.path))

    def mutated(self, seed: int) -> tuple[bytes, int, str]:
        """A changed file, the number of the template it was, and how it was changed: "blind", "cut" or "made"."""
        rng = Random(seed)
        which = rng.randrange(len(self.wholes))
        whole, chance = self.wholes[which], rng.random()
        if chance < CUT:
            return whole[: rng.randrange(len(whole))], which, "cut"
        if chance < CUT + BLIND:
            return blind(rng, whole, self.wholes), which, "blind"
        template = self.reader.templates[which]
        if isinstance(template, Zip) and rng.random() < DAMAGED:
            return template.damage(rng), which, "blind"
        content = template.mutate(rng)
        if rng.random() < 0.1:
            content = blind(rng, content, self.wholes)
        return content, which, "made"

    def tried(self, content: bytes, which: int, how: str, tally: Tally) -> Fault | None:
        """Read a changed file, and count what happened."""
        self.path.write_bytes(content)
        tally.tried += 1
        fault = None
        with _warnings() as said:
            try:
                with _alarm():
                    found = self.reader.read(self.path)
            except NetspaceError as refusal:
                fault = self._checked(refusal)
                tally.refused += fault is None
            except (Exception, TooSlow) as failure:  # noqa: BLE001
                fault = Fault("crashed", _signature(failure), traceback.format_exc())
            else:
                fault = self._contradicted(content, which, how, found)
                tally.accepted += fault is None
        if fault is None and said:
            fault = Fault("crashed", f"warning: {said[0][:80]}", said[0])
        if fault is not None:
            tally.count(fault)
        return fault

    def _checked(self, refusal: NetspaceError) -> Fault | None:
        """A refusal that does not say what it has to, or that came too late; None for a proper one."""
        text, culprit = str(refusal), self.reader.culprit or self.path.name
        named = str(self.path.parent) if culprit == "." else culprit
        lacks = [
            what
            for what, missing in (
                ("the path", named not in text),
                ("a next step", not refusal.hint),
                ("an exit code of 2 or 3", refusal.exit_code not in (2, 3)),
                ("plain letters", not text.isprintable()),
                ("brevity", len(text) > LONGEST_MESSAGE),
            )
            if missing
        ]
        if lacks:
            return Fault("crashed", f"refused without {lacks[0]}: {_place(refusal)}", text + traceback.format_exc())
        cause: BaseException | None = refusal
        while cause is not None:
            if isinstance(cause, MemoryError) or any(each in str(cause) for each in _OUT_OF_MEMORY):
                return Fault("crashed", f"memory asked for: {_place(refusal)}", traceback.format_exc())
            cause = cause.__cause__ or cause.__context__
        return None

    def _contradicted(self, content: bytes, which: int, how: str, found: object) -> Fault | None:
        """Whether what was read differs although the file itself says that it is damaged."""
        told = {"checksum": ("blind", "cut"), "size": ("cut",)}.get(self.reader.sealed, ())
        if how not in told or content in self.wholes or found in self.seen:
            return None
        return Fault("silently wrong", f"{how} and accepted", f"read as {found!r}, not {self.seen[which]!r}")


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Refuse this process more address space than `MOST_BYTES` on top of what it has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(number: int, frame: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _warnings() -> Iterator[list[str]]:
    said: list[str] = []

    def note(message: Warning | str, *rest: Any, **more: Any) -> None:
        said.append(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        yield said


def _signature(failure: BaseException) -> str:
    return f"{type(failure).__name__}: {_place(failure)}"


def _place(failure: BaseException) -> str:
    """The innermost line of netspace, and the innermost line of all."""
    frames = traceback.extract_tb(failure.__traceback__)
    own = [f for f in frames if "/netspace_cli/" in f.filename or "/netspace_models/" in f.filename]
    named = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in (*own[-1:], frames[-1])]
    return " > ".join(dict.fromkeys(named))
