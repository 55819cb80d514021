"""Progress reporting for library code; knows nothing about terminals."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives reports of progress."""

    def start(self, description: str, total: int | None, done: int = 0) -> None:
        """Begin a piece of work of `total` units (None if unknown), of which `done` were done by an earlier run."""

    def advance(self, n: int = 1, **fields: object) -> None:
        """Report that `n` more units are done; `fields` are figures to show beside the bar."""

    def stop(self) -> None:
        """End the latest piece of work."""


class Tick(Protocol):
    """Reports that `n` more units of the latest piece of work are done; `fields` are figures to show."""

    def __call__(self, n: int = 1, **fields: object) -> None: ...


class Silent:
    """Progress that is not shown."""

    def start(self, description: str, total: int | None, done: int = 0) -> None:
        return None

    def advance(self, n: int = 1, **fields: object) -> None:
        return None

    def stop(self) -> None:
        return None
