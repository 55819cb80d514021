"""What is assumed of networks whose files do not tell their architecture, and who hears of it.

Several architectures may have the same names and shapes. Where neither the file, nor its values, nor images tell which
it is, one is assumed: whoever runs the command hears of it, or has it refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from netspace_models.errors import UnknownArchitecture
from netspace_models.wording import setting


@dataclass
class Remarks:
    """Remarks on architectures: the files of each, and whether it was assumed without evidence.

    Attributes:
        assumed: files by remark, for what was assumed; decided: for what images decided.
        compared: sentences on accuracies that files record and images do not show.
    """

    assumed: dict[str, list[str]] = field(default_factory=dict)
    decided: dict[str, list[str]] = field(default_factory=dict)
    compared: list[str] = field(default_factory=list)

    def lines(self, *, assumed: bool) -> list[str]:
        """One line for each remark, with the first of its files and how many there are."""
        found = self.assumed if assumed else self.decided
        return [f"{_files(files)}: {remark}" for remark, files in found.items()]


_REMARKS: ContextVar[Remarks | None] = ContextVar("remarks on architectures", default=None)
_STRICT: ContextVar[bool] = ContextVar("no architecture is assumed", default=False)


@contextmanager
def collecting() -> Iterator[Remarks]:
    """Collect what is assumed or decided inside the block."""
    remarks = Remarks()
    token = _REMARKS.set(remarks)
    try:
        yield remarks
    finally:
        _REMARKS.reset(token)


@contextmanager
def strictly() -> Iterator[None]:
    """Refuse inside the block what would be assumed."""
    token = _STRICT.set(True)
    try:
        yield
    finally:
        _STRICT.reset(token)


def is_strict() -> bool:
    """Whether what would be assumed is refused."""
    return _STRICT.get()


@contextmanager
def provisionally() -> Iterator[None]:
    """Assume in silence inside the block, where networks are only looked at and will be read again."""
    tokens = _REMARKS.set(None), _STRICT.set(False)
    try:
        yield
    finally:
        _REMARKS.reset(tokens[0])
        _STRICT.reset(tokens[1])


def assume(source: str, remark: str) -> str:
    """Record an assumption; returns the remark.

    Raises:
        UnknownArchitecture: inside `strictly`.
    """
    if _STRICT.get():
        raise UnknownArchitecture(
            f"{source}: its architecture is not certain, and none is to be assumed: {remark}",
            f"Name it: {setting('arch', 'NAME')}.",
        )
    remarks = _REMARKS.get()
    if remarks is not None:
        _add(remarks.assumed, source, remark)
    return remark


def decided(source: str, remark: str, *, surprising: bool) -> str:
    """Record what images decided; surprising where it is another architecture than would be assumed without them."""
    remarks = _REMARKS.get()
    if remarks is not None:
        _add(remarks.assumed if surprising else remarks.decided, source, remark)
    return remark


def add_remarks(more: Remarks) -> None:
    """Record what was collected elsewhere, as in a worker process."""
    remarks = _REMARKS.get()
    if remarks is None:
        return
    for own, others in ((remarks.assumed, more.assumed), (remarks.decided, more.decided)):
        for remark, files in others.items():
            for source in files:
                _add(own, source, remark)
    for sentence in more.compared:
        compared(sentence)


def compared(sentence: str) -> None:
    """Record that images do not show the accuracy that a file records."""
    remarks = _REMARKS.get()
    if remarks is not None and sentence not in remarks.compared:
        remarks.compared.append(sentence)


def _add(found: dict[str, list[str]], source: str, remark: str) -> None:
    files = found.setdefault(remark, [])
    if source not in files:
        files.append(source)


def _files(files: list[str]) -> str:
    others = len(files) - 1
    return files[0] + (f" and {others:,} other{'s' if others > 1 else ''}" if others else "")
