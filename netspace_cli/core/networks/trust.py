"""Factories that files may name.

A space or a zoo with an architecture of somebody's own records its factory as "package.module:function".
Opening the file imports and calls it, so a file must not choose it alone: the user has to have named the
same factory, on the command line or with `trusting`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from netspace_models.errors import InputFileError
from netspace_models.wording import Call

_TRUSTED: ContextVar[frozenset[str]] = ContextVar("trusted factories", default=frozenset())


@contextmanager
def trusting(*factories: str) -> Iterator[None]:
    """Let files name these factories inside the block."""
    token = _TRUSTED.set(_TRUSTED.get() | set(factories))
    try:
        yield
    finally:
        _TRUSTED.reset(token)


def trusted() -> frozenset[str]:
    """The factories that the user has named."""
    return _TRUSTED.get()


def trust(factories: frozenset[str]) -> None:
    """Let files name these factories from now on, in a worker process of a user who has named them."""
    _TRUSTED.set(_TRUSTED.get() | factories)


def is_trusted(factory: str) -> bool:
    """Whether the user has named this factory."""
    return factory in _TRUSTED.get()


def check_trusted(name: str, file: Path | str) -> None:
    """Refuse a factory that only a file names, not the user.

    Args:
        name: of an architecture, as the file records it.
        file: the file.
    Raises:
        InputFileError: it is a factory that the user has not named.
    """
    if ":" in name and not is_trusted(name):
        raise InputFileError(
            file,
            f"it names the factory {name}, which would be imported and called.",
            f"If you trust that function, say so: {Call('trusting', name)}.",
        )
