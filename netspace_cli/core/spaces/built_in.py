"""The spaces that come with netspace: files, cards and architectures."""

from __future__ import annotations

from pathlib import Path

from netspace_models.architectures import Architecture, io_from
from netspace_models.errors import ConfigError

from netspace_cli.core.files.safetensors_file import read_safetensors
from netspace_cli.core.networks.factories import recorded_architecture

from .space_record import read_record

BUILT_IN = Path(__file__).parents[2] / "spaces"


def space_path(source: str | Path) -> Path:
    """The file behind a name or a path.

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
        f"no space is called {str(source)!r}, and no such file exists.",
        f"Built-in spaces: {', '.join(built_in) or 'none'}.",
    )


def built_in_spaces() -> dict[str, Path]:
    """The spaces that come with netspace: file by name."""
    return {p.stem: p for p in sorted(BUILT_IN.glob("*.safetensors"))}


def space_card(name: str) -> str:
    """The card of a built-in space, in Markdown: how it was made, on what, and what it keeps, in numbers.

    Raises:
        ConfigError: no built-in space is called so, or it came without a card.
    """
    built_in = built_in_spaces()
    if name not in built_in:
        raise ConfigError(
            f"no built-in space is called {name!r}.", f"Built-in spaces: {', '.join(built_in) or 'none'}."
        )
    card = built_in[name].with_suffix(".md")
    if not card.is_file():
        raise ConfigError(f"space {name!r} has no card.", f"netspace inspect {name} says what its file holds.")
    return card.read_text(encoding="utf-8")


def architectures_of(path: Path) -> tuple[Architecture, ...]:
    """The architectures of a space file, in the order of their ClassIds, from its record alone.

    Raises:
        InputFileError: no space, or an architecture whose factory is not trusted or cannot be imported here.
    """
    _, metadata = read_safetensors(path)
    record = read_record(path, metadata)
    io = io_from(record["io"])
    return tuple(recorded_architecture(name, io, path) for name in record["architectures"])


def built_in_architectures() -> tuple[Architecture, ...]:
    """All architectures of the built-in spaces: the first to try where a checkpoint comes without a space."""
    return tuple(a for path in built_in_spaces().values() for a in architectures_of(path))
