"""The spaces that come with netspace: files, cards and architectures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from netspace_models.architectures import Architecture, io_from
from netspace_models.errors import ConfigError

from netspace_cli.core.files.safetensors_file import read_checked_bytes
from netspace_cli.core.networks.factories import recorded_architecture

from .space_record import read_record

BUILT_IN = Path(__file__).parents[2] / "spaces"


@dataclass(frozen=True)
class BuiltIn:
    """Parts of a built-in space's record.

    Attributes:
        name: as people call it.
        build: builds its architectures, which takes a tenth of a second.
        starts: starting points of each.
    """

    name: str
    build: Callable[[], tuple[Architecture, ...]]
    starts: int

    @cached_property
    def architectures(self) -> tuple[Architecture, ...]:
        """Its architectures in the order of their ClassIds, built when they are asked for."""
        return self.build()


def space_path(source: str | Path) -> Path:
    """Path of a space, from a name or a path.

    Raises:
        ConfigError: neither; the message lists the built-in names.
    """
    built_in = built_in_spaces()
    if str(source) in built_in:
        return built_in[str(source)]
    path = Path(source)
    if path.is_file():
        return path
    raise ConfigError(
        f"unknown space {str(source)!r}: no built-in space has this name, and there is no such file.",
        f"Built-in spaces: {', '.join(built_in) or 'none'}.",
    )


def built_in_spaces() -> dict[str, Path]:
    """The spaces that come with netspace: file by name, sorted by name."""
    return {p.stem: p for p in sorted(BUILT_IN.glob("*.safetensors"), key=lambda p: p.stem)}


def built_in_by_starts() -> list[BuiltIn]:
    """The built-in spaces in the order in which commands try them for a network.

    Those with one starting point come first: they are made to encode. One with several is made to draw from.
    """
    found = [_described(name, path) for name, path in built_in_spaces().items()]
    return sorted(found, key=lambda each: each.starts)


def starts_in(record: Mapping[str, Any]) -> int:
    """Number of starting points per architecture, from a space's record; older records do not have it."""
    return int(record["recipe"].get("space", {}).get("starts", 1))


def space_card(name: str) -> str:
    """The card of a built-in space in Markdown: how it was made, on what data, and how well it works.

    Raises:
        ConfigError: no built-in space has this name, or it came without a card.
    """
    built_in = built_in_spaces()
    if name not in built_in:
        raise ConfigError(f"unknown built-in space {name!r}.", f"Built-in spaces: {', '.join(built_in) or 'none'}.")
    card = built_in[name].with_suffix(".md")
    if not card.is_file():
        raise ConfigError(f"space {name!r} has no card.", f"netspace inspect {name} shows what its file holds.")
    return card.read_text(encoding="utf-8")


def built_in_architectures() -> tuple[Architecture, ...]:
    """All architectures of the built-in spaces, which are tried first for a checkpoint without a space."""
    return tuple(a for each in built_in_by_starts() for a in each.architectures)


def _described(name: str, path: Path) -> BuiltIn:
    _, metadata = read_checked_bytes(path)
    record = read_record(path, metadata)

    def build() -> tuple[Architecture, ...]:
        io = io_from(record["io"])
        return tuple(recorded_architecture(each, io, path) for each in record["architectures"])

    return BuiltIn(name, build, starts_in(record))
