"""Choose a space: the named one, or the built-in one that has the inputs' architectures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError, UnknownArchitecture, WrongSpace
from netspace_models.wording import Call, setting

from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.networks.assumptions import provisionally
from netspace_cli.core.networks.factories import known_io
from netspace_cli.core.spaces.built_in import built_in_by_starts, built_in_spaces
from netspace_cli.core.spaces.embeddings import Embeddings, is_embedding, load_embeddings
from netspace_cli.core.spaces.space import Space, load_space
from netspace_cli.core.zoos.zoo import Zoo

from .inputs import has_architecture, is_one_of, read_networks, wrong_space_error
from .reader import CheckpointReader


def choose_space_of_zoo(source: str | Path | None, zoo: Zoo) -> Space:
    """The named space, or the built-in one that has all of a zoo's architectures.

    Raises:
        WrongSpace: no built-in space has them.
    """
    if source is not None:
        return load_space(source)
    for known in built_in_by_starts():
        if all(is_one_of(known.architectures, a) for a in zoo.architectures()):
            return load_space(known.name)
    names = ", ".join(f"{a.name} for {a.io.describe()}" for a in zoo.architectures())
    raise WrongSpace(f"{zoo.path}: no built-in space has all of {names}.", f"Name one with {setting('space')}.")


def choose_space(source: str | Path | None, paths: Sequence[Path], reader: CheckpointReader | None = None) -> Space:
    """The named space, or the built-in one that fits every input; only the chosen one is opened.

    Args:
        source: a built-in name or a path; None to choose.
        paths: checkpoints or embedding files; reader: of the checkpoints.
    Raises:
        WrongSpace: no built-in space knows an input, or none knows all; the message has what they are.
    """
    if source is not None:
        return load_space(source)
    if not built_in_spaces():
        named = setting("space", Call("load_space", "PATH"))
        raise ConfigError("no space was named, and none is built in.", f"Name one: {named}.")
    reader = reader or CheckpointReader()
    embedded = {p: load_embeddings(p) for p in paths if is_embedding(p)}
    with provisionally():
        if embedded:
            owner = load_space(_owner(embedded))
            _check_beside(next(iter(embedded)), [p for p in paths if p not in embedded], owner, reader)
            return owner
        return load_space(_space_of_checkpoints(paths, reader))


def choose_space_to_draw_from(source: str | Path | None) -> Space:
    """The named space, or the built-in one with the most starting points.

    Raises:
        ConfigError: none is named, and no built-in space has several starting points, or more than one has the most.
    """
    if source is not None:
        return load_space(source)
    several = [each for each in built_in_by_starts() if each.starts > 1]
    if not several:
        raise ConfigError("no space was named to draw from.", f"Name one: {setting('space', 'NAME')}.")
    most = [each.name for each in several if each.starts == several[-1].starts]
    if len(most) > 1:
        raise ConfigError(
            f"no space was named to draw from, and {len(most)} built-in spaces have {several[-1].starts} starting "
            f"points: {', '.join(most)}.",
            f"Name one: {setting('space', most[0])}.",
        )
    return load_space(most[0])


def check_zoo(zoo: Zoo, space: Space, split: str) -> None:
    """Refuse a zoo that cannot be compared in a space, before any work.

    Raises:
        ConfigError: no instances in the split.
        WrongSpace: architectures that the space lacks.
    """
    if not zoo.select(split=split):
        raise ConfigError(
            f"{zoo.path} has no {split} instances among its {len(zoo.instances)}.",
            f"Choose another split of the zoo with {setting('split', 'train')} or {setting('split', 'val')}.",
        )
    wanted = {i.arch for i in zoo.select(split=split)}
    for architecture in zoo.architectures():
        if architecture.name in wanted and not has_architecture(space, architecture):
            raise wrong_space_error(zoo.path, architecture, space)


def _owner(embedded: Mapping[Path, Embeddings]) -> str:
    """The built-in space that embeddings belong to; other inputs are checked against that space later."""
    (first, owned), *rest = embedded.items()
    for path, other in rest:
        if other.space_sha256 != owned.space_sha256:
            raise WrongSpace(
                f"{first} is an embedding of space {_tag(owned)}, {path} one of space {_tag(other)}; they "
                "cannot be used together.",
                f"Encode both networks in one space, if one has both: {Call('encode', space='NAME')}.",
            )
    built_in = built_in_spaces()
    for name, path in built_in.items():
        if sha256_of(path) == owned.space_sha256:
            return name
    raise WrongSpace(
        f"{first}: no built-in space ({', '.join(built_in)}) has its embeddings: they belong to space {_tag(owned)}.",
        f"Give the space it was made with: {setting('space', Call('load_space', 'PATH'))}.",
    )


def _check_beside(embedded: Path, others: Sequence[Path], owner: Space, reader: CheckpointReader) -> None:
    """Refuse checkpoints whose architectures are not in the space of an embedding given with them."""
    try:
        read_networks(others, owner, reader)
    except WrongSpace as lacking:
        raise WrongSpace(
            f"{lacking.message} {embedded} is an embedding of that space.",
            f"Encode both networks in one space, if one has both: {Call('encode', space='NAME')}.",
        ) from None


def _tag(embeddings: Embeddings) -> str:
    return f"{embeddings.space!r} ({embeddings.space_sha256[:12]})"


def _space_of_checkpoints(paths: Sequence[Path], reader: CheckpointReader) -> str:
    """The first built-in space with the architectures of all these checkpoints."""
    built_in = built_in_by_starts()
    for each in built_in:
        if all(_is_for(p, each.architectures, reader) for p in paths):
            return each.name
    known = {each.name: each.architectures for each in built_in}
    homes = {p: [n for n, candidates in known.items() if _is_for(p, candidates, reader)] for p in paths}
    homeless = next((p for p, found in homes.items() if not found), None)
    if homeless is None:
        whose = "; ".join(f"{p} belongs in {' or '.join(found)}" for p, found in homes.items())
        ios = {known[found[0]][0].io for found in homes.values()}
        raise WrongSpace(
            f"no built-in space has the architectures of all these networks: {whose}.",
            "Train one that has them with `netspace train`."
            if len(ios) == 1
            else f"Give networks of one space: these are for {' and '.join(s.describe() for s in ios)}.",
        )
    every = [a for candidates in known.values() for a in candidates]
    try:
        architecture = reader.network(homeless, candidates=every).architecture
    except UnknownArchitecture as unknown:
        named = setting("space", Call("load_space", "PATH"))
        raise UnknownArchitecture(unknown.message, f"{unknown.hint} Or name a space that has it: {named}.") from unknown
    raise WrongSpace(
        f"{homeless}: no built-in space ({', '.join(known)}) has its architecture, {architecture.name} for "
        f"{known_io(architecture)}.",
        f"Name a space that does with {setting('space')}, or train one with `netspace train`.",
    )


def _is_for(path: Path, candidates: Sequence[Architecture], reader: CheckpointReader) -> bool:
    try:
        return is_one_of(candidates, reader.network(path, candidates=candidates).architecture)
    except UnknownArchitecture:
        return False  # another space may know it; what is to be said of one that none knows is said with all of them
