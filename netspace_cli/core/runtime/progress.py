"""Progress reporting for library code; knows nothing about terminals."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Something that can be told how far a piece of work has come."""

    def start(self, description: str, total: int | None) -> None:
        """Begin a piece of work of `total` units (None where it is not known)."""

    def advance(self, n: int = 1, **fields: object) -> None:
        """Say that `n` more units are done; `fields` are figures worth showing beside the bar."""

    def stop(self) -> None:
        """End the piece of work begun last."""


class Tick(Protocol):
    """Says that `n` more units of the piece of work begun last are done; `fields` are figures to show beside it."""

    def __call__(self, n: int = 1, **fields: object) -> None: ...


class Silent:
    """Progress that nobody watches."""

    def start(self, description: str, total: int | None) -> None:
        return None

    def advance(self, n: int = 1, **fields: object) -> None:
        return None

    def stop(self) -> None:
        return None
