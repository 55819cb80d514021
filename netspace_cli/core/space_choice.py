"""Which space to work in: the one named, or the built-in one that knows the inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netspace_models.errors import ConfigError, WrongSpace

from .embedding import is_embedding, load_embeddings
from .factories import known_signal
from .inputs import has_architecture, lacks, read_given
from .space import Space, built_in_spaces, load_space
from .zoo import Zoo


def space_for_zoo(source: str | Path | None, zoo: Zoo) -> Space:
    """The space named, or the built-in one that knows all of a zoo's architectures.

    Raises:
        WrongSpace: there is none.
    """
    if source is not None:
        return load_space(source)
    for name in built_in_spaces():
        space = load_space(name)
        if all(has_architecture(space, a) for a in zoo.architectures()):
            return space
    names = ", ".join(f"{a.name} for {a.signal.describe()}" for a in zoo.architectures())
    raise WrongSpace(f"{zoo.path}: no built-in space has all of {names}.", "Name one with --space.")


def space_for(
    source: str | Path | None, paths: Sequence[Path], *, arch: str | None = None, key: str | None = None
) -> Space:
    """The space named, or the built-in one that knows every input.

    Args:
        source: a built-in name or a path; None to choose.
        paths: checkpoints or embedding files.
    Raises:
        WrongSpace: no built-in space knows an input; the message has what it is.
    """
    if source is not None:
        return load_space(source)
    spaces: list[Space] = []
    for name in built_in_spaces():
        spaces.append(load_space(name))
        if all(_belongs(p, spaces[-1], arch, key) for p in paths):
            return spaces[-1]
    if not spaces:
        raise ConfigError("no space was named, and none is built in.", "Name one: --space PATH.")
    names = ", ".join(s.name for s in spaces)
    culprit = next((p for p in paths if not any(_belongs(p, s, arch, key) for s in spaces)), paths[0])
    raise WrongSpace(
        f"{culprit}: no built-in space ({names}) has {_what(culprit, spaces, arch, key)}.",
        "Name a space that does with --space, or train one with `netspace train`.",
    )


def check_zoo(zoo: Zoo, space: Space, split: str) -> None:
    """Refuse a zoo that cannot be compared in a space, before any work.

    Raises:
        ConfigError: no instances in the split.
        WrongSpace: architectures that the space lacks.
    """
    if not zoo.select(split=split):
        raise ConfigError(
            f"{zoo.path} has no {split} instances among its {len(zoo.instances)}.",
            "Choose another split of the zoo with --split train or --split val.",
        )
    wanted = {i.arch for i in zoo.select(split=split)}
    for architecture in zoo.architectures():
        if architecture.name in wanted and not has_architecture(space, architecture):
            raise lacks(zoo.path, architecture, space)


def _belongs(path: Path, space: Space, arch: str | None, key: str | None) -> bool:
    if is_embedding(path):
        return load_embeddings(path).space_sha256 == space.sha256
    network = read_given(path, candidates=space.architectures, arch=arch, key=key)
    return has_architecture(space, network.architecture)


def _what(path: Path, spaces: Sequence[Space], arch: str | None, key: str | None) -> str:
    if is_embedding(path):
        embeddings = load_embeddings(path)
        return f"its embeddings: they belong to space {embeddings.space!r} ({embeddings.space_sha256[:12]})"
    architecture = read_given(
        path, candidates=[a for s in spaces for a in s.architectures], arch=arch, key=key
    ).architecture
    return f"its architecture, {architecture.name} for {known_signal(architecture)}"
