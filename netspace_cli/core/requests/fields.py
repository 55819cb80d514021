"""Read shapes and pictures from checkpoints and embedding files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from netspace_cli.core.encoding.decode import decode
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes.rendered_pictures import is_picture
from netspace_cli.core.shapes.solids import check_shape
from netspace_cli.core.spaces.embeddings import check_space, is_embedding, load_embeddings

from .choose_space import choose_space
from .reader import CheckpointReader


def read_fields(
    paths: Sequence[Path], space: str | None, runner: Runner, *, arch: str | None = None, key: str | None = None
) -> list[Network]:
    """Read networks that are shapes or pictures: checkpoints unchanged, embeddings decoded.

    Args:
        space: of the embeddings; None for the built-in one that they belong to.
    Returns:
        Each with its file as its source; of several embeddings in a file with their number.
    Raises:
        ConfigError: a network that is neither.
        WrongSpace: embeddings of another space.
    """
    found: list[Network] = []
    reader = CheckpointReader(arch, key)
    for path in paths:
        if not is_embedding(path):
            found.append(reader.network(path))
            continue
        embeddings, opened = load_embeddings(path), choose_space(space, [path])
        check_space(path, embeddings, opened)
        decoded = decode(embeddings, opened, runner)
        names = [str(path)] if len(decoded) == 1 else [f"{path}:{i}" for i in range(len(decoded))]
        found += [replace(network, source=name) for network, name in zip(decoded, names, strict=True)]
    for network in found:
        if not is_picture(network.architecture.io):
            check_shape(network)
    return found
