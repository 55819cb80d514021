"""Decode embeddings to working networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from netspace_models.architectures import Architecture
from netspace_models.architectures.architecture import Form
from netspace_models.errors import ConfigError, NotFinite
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.files.checkpoint import check_checkpoint_suffix
from netspace_cli.core.files.outputs import check_output
from netspace_cli.core.networks.network import Network, write_network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.embeddings import Embeddings, Origin, check_space
from netspace_cli.core.spaces.space import Space


def decode(
    embeddings: Embeddings,
    space: Space,
    runner: Runner,
    *,
    arch: str | None = None,
    recognised: bool = False,
    form: Form | None = None,
    start: int = 0,
    members: int | None = None,
) -> list[Network]:
    """Build the predicted instance of each embedding, or several per embedding.

    Args:
        embeddings: of this space.
        arch: build this architecture; by default that of the network each embedding came from, so that its
            own module loads what it is decoded to.
        recognised: build the architecture that the space's classifier recognises, as published (section 6).
        form: layout of the checkpoints; by default that of the network each embedding came from.
        start: number of the space's starting point.
        members: how many networks of each embedding, one from each of the first starting points; None for one, from
            `start`. The networks of the first embedding come first.
    Raises:
        ConfigError: the space has fewer starting points.
        WrongSpace: embeddings of another space, or the space does not have `arch`.
        NotFinite: an embedding decodes to NaN or infinity.
    """
    check_space(embeddings.origins[0].source if embeddings.origins else "embeddings", embeddings, space)
    starts = starts_of(space, wanted_archs(embeddings, arch, recognised), start=start, members=members)
    space = runner.place(space)
    networks = []
    for embedding, origin, begin in _each(embeddings, starts):
        named = None if recognised else arch or origin.arch
        network = decode_row(runner.place(embedding), space, arch=named, start=begin)
        if not torch.isfinite(network.weights).all():
            raise NotFinite(
                f"the embedding of {origin.source or 'an unknown network'} decodes to values that are not finite.",
                "Check how it was made; an encoded network's embedding decodes to finite values.",
            )
        networks.append(
            Network(network.architecture, network.weights.cpu(), form or origin.form, origin.source, origin.sha256)
        )
    return networks


def _each(embeddings: Embeddings, starts: Sequence[int]) -> list[tuple[Tensor, Origin, int]]:
    """Every embedding with every starting point, embedding by embedding."""
    rows = zip(embeddings.vectors, embeddings.origins, strict=True)
    return [(embedding, origin, start) for embedding, origin in rows for start in starts]


def wanted_archs(embeddings: Embeddings, arch: str | None = None, recognised: bool = False) -> list[str]:
    """Architectures that embeddings will decode to, each once; empty if the classifier will say. Arguments as in
    `decode`.
    """
    return [] if recognised else [arch] if arch else list(dict.fromkeys(o.arch for o in embeddings.origins))


def starts_of(space: Space, archs: Sequence[str], *, start: int = 0, members: int | None = None) -> list[int]:
    """Starting points to decode an embedding from.

    Args:
        archs: architectures that must have them; empty if at least one of the space's must.
        start, members: as in `decode`.
    Raises:
        ConfigError: both are given, or an architecture has fewer starting points.
        WrongSpace: the space does not have an architecture.
    """
    known = [space.model.architecture(name).name for name in archs] or [a.name for a in space.architectures]
    counts = {name: space.starts_of(name) for name in known}
    least = (min if archs else max)(counts, key=lambda name: counts[name])
    if members is None:
        space.model.backbone.check_start(least, start)
        return [start]
    if start:
        raise ConfigError(
            f"{setting('members', members)} begins at start 0; it cannot be combined with {setting('start', start)}.",
            "Give only one of them.",
        )
    count = counts[least]
    own = setting("members", count) + (" or less" if count > 1 else "")
    if not 1 <= members <= count:
        raise ConfigError(
            f"an embedding of space {space.name!r} decodes to {count} {least} network{'s' if count > 1 else ''}, one "
            f"from each starting point; {members} were asked for.",
            f"Give {own}, or train a space with more: {setting('space.starts', max(10, members))}.",
        )
    return list(range(members))


def decode_row(embedding: Tensor, space: Space, *, arch: str | None = None, start: int = 0) -> Network:
    """Decode one embedding (E,) on its device; values are not checked to be finite.

    One at a time, so that the same embedding always gives the same bits.

    Args:
        arch: build this architecture; by default the one the space's classifier recognises.
        start: number of the space's starting point.
    """
    with torch.no_grad():
        architecture = space.model.architecture(arch) if arch else classified_as(embedding, space)
        return Network(architecture, space.model.decode(architecture.name, embedding[None], start)[0])


def classified_as(embedding: Tensor, space: Space) -> Architecture:
    """The architecture that the classifier recognises in one embedding (E,)."""
    with torch.no_grad():
        return space.model.recognise(embedding[None])[0]


def output_paths(output: Path, embeddings: Embeddings, *, force: bool, members: int | None = None) -> list[Path]:
    """Path for each predicted instance: the output itself for one, files of a directory for several.

    Args:
        members: as in `decode`; files are named by their starting points as well.
    Raises:
        OutputExists: a path is taken and `force` is not given.
        ConfigError: several networks for one file, or an extension that is not a checkpoint's.
    """
    if len(embeddings.origins) * (members or 1) == 1 and output.suffix:
        paths = [output]
    elif output.suffix:
        several = f"{len(embeddings.origins)} embeddings" if members is None else f"{members} networks of an embedding"
        raise ConfigError(
            f"{several} cannot go into one checkpoint, {output}.",
            "Name a directory: each network gets a file of its own.",
        )
    else:
        stems = [Path(o.source).stem or f"network-{i}" for i, o in enumerate(embeddings.origins)]
        names = [s if stems.count(s) == 1 else f"{s}-{i}" for i, s in enumerate(stems)]
        if len(set(names)) < len(names):  # a file of its own has the very name that a number made
            names = [f"{s}-{i}" for i, s in enumerate(names)]
        if members is not None:
            names = [f"{name}-start-{start}" for name in names for start in range(members)]
        paths = [output / f"{name}.pt" for name in names]
        if not output.is_dir():
            # It is made when the networks are written; until then, what counts is that it can be.
            check_output(output, force=False)
            return paths
    for path in paths:
        check_checkpoint_suffix(path)
        check_output(path, force=force)
    return paths


def write_decoded(
    networks: Sequence[Network], paths: Sequence[Path], space: Space, *, force: bool, starts: Sequence[int] = (0,)
) -> None:
    """Write predicted instances with the name of their space; makes their directory.

    Args:
        starts: that the networks of each embedding come from, as in `starts_of`; recorded where the space has several.
    """
    for i, (network, path) in enumerate(zip(networks, paths, strict=True)):
        metadata = {
            "format": "pt",
            "netspace.arch": network.architecture.name,
            "netspace.space_name": space.name,
            "netspace.space_sha256": space.sha256,
            "netspace.source_sha256": network.sha256,
        }
        if space.starts > 1:
            metadata["netspace.start"] = str(starts[i % len(starts)])
        path.parent.mkdir(exist_ok=True)
        write_network(path, network, metadata=metadata, force=force)
