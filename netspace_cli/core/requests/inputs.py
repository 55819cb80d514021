"""Inputs of commands: checkpoints, embedding files and teachers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from netspace_models.architectures import Architecture, NetworkIO
from netspace_models.errors import ConfigError, InputFileError, UnknownArchitecture, WrongSpace
from netspace_models.wording import Call, renamed, setting
from torch import Tensor

from netspace_cli.core.data.data import Data
from netspace_cli.core.encoding.encode import default_refine_steps, encode
from netspace_cli.core.networks.decide import deciding_by
from netspace_cli.core.networks.factories import known_io
from netspace_cli.core.networks.network import Network, check_teacher
from netspace_cli.core.networks.recorded_accuracy import compare_recorded
from netspace_cli.core.paths.walks import PathEnd
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.built_in import built_in_by_starts
from netspace_cli.core.spaces.embeddings import Embeddings, Origin, check_space, is_embedding, load_embeddings
from netspace_cli.core.spaces.space import Space

from .reader import CheckpointReader


@dataclass(frozen=True)
class Input:
    """One input as an embedding and, if it was a checkpoint, its network.

    Attributes:
        path: of the file.
        embedding: (E,) on the processor.
        origin: of the embedding.
        network: None for an embedding file.
    """

    path: Path
    embedding: Tensor
    origin: Origin
    network: Network | None = None

    @property
    def end(self) -> PathEnd:
        """The input as an end of a path."""
        return PathEnd(self.embedding, self.origin.arch, self.network)


@dataclass(frozen=True)
class Teacher:
    """A requested teacher.

    Attributes:
        path: its checkpoint; None for no teacher.
        arch: its architecture, None to recognise it; key: where its parameters are in a nested checkpoint.
        others: checkpoints that teach together with it; of several, those that are not of `arch` are recognised.
    """

    path: Path | None = None
    arch: str | None = None
    key: str | None = None
    others: tuple[Path, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """All checkpoints."""
        return () if self.path is None else (self.path, *self.others)


NO_TEACHER = Teacher()


def read_inputs(
    paths: Sequence[Path],
    space: Space,
    runner: Runner,
    *,
    data: Data | None,
    refine_steps: int | None = None,
    reader: CheckpointReader | None = None,
) -> list[Input]:
    """Read checkpoints, encoded and refined, and embedding files, unchanged: one embedding each.

    Args:
        refine_steps: for checkpoints; None for what the space records.
        reader: of the checkpoints.
    Raises:
        InputFileError: an embedding file with more than one embedding.
        WrongSpace: an input of another space.
    """
    files = [p for p in paths if not is_embedding(p)]
    found: dict[Path, Input] = {}
    for path in paths:
        if is_embedding(path):
            embeddings = load_one_embedding(path, space)
            found[path] = Input(path, embeddings.vectors[0], embeddings.origins[0])
    if files:
        networks = read_networks(files, space, reader, data)
        compare_recorded(networks, data, runner)
        steps = default_refine_steps(space, data) if refine_steps is None else refine_steps
        encoded = encode(networks, space, runner, data=data, refine_steps=steps)
        for i, path in enumerate(files):
            found[path] = Input(path, encoded.vectors[i], encoded.origins[i], networks[i])
    return [found[p] for p in paths]


def load_one_embedding(path: Path, space: Space) -> Embeddings:
    """Load an embedding file of this space that holds one embedding.

    Raises:
        InputFileError: it holds more; WrongSpace: it is of another space.
    """
    embeddings = load_embeddings(path)
    check_space(path, embeddings, space)
    if len(embeddings.vectors) != 1:
        raise InputFileError(
            path,
            f"it holds {len(embeddings.vectors)} embeddings, one is needed.",
            "Encode the network alone, to a file of its own.",
        )
    return embeddings


def read_teacher(path: Path, io: NetworkIO, *, arch: str | None = None, key: str | None = None) -> Network:
    """Read a teacher: a network of any architecture for certain images and classes.

    Raises:
        CheckpointError: no checkpoint, or several without `key`.
        ConfigError: it is for other images or classes; says both.
        UnknownArchitecture: it fits no architecture at all.
    """
    reader = CheckpointReader(arch, key)
    try:
        return reader.network(path, io=io)
    except UnknownArchitecture as unknown:
        try:
            other = reader.network(path)
        except UnknownArchitecture:
            raise unknown from None
        check_teacher(other, io)
        raise


def read_wanted_teacher(teacher: Teacher, data: Data) -> Network | None:
    """Read the one teacher of a request; None if it has none."""
    return next(iter(read_wanted_teachers(teacher, data)), None)


def read_wanted_teachers(teacher: Teacher, data: Data) -> tuple[Network, ...]:
    """Read all teachers of a request.

    Args:
        data: that they are for; they decide between architectures with the same parameters, where they are images.
    """
    with deciding_by(data), renamed(arch="teacher_arch", key="teacher_key"):
        if teacher.arch is None or len(teacher.paths) < 2:
            return tuple(read_teacher(path, data.io, arch=teacher.arch, key=teacher.key) for path in teacher.paths)
        found, misfits = list[Network](), list[UnknownArchitecture]()
        for path in teacher.paths:
            try:
                found.append(read_teacher(path, data.io, arch=teacher.arch, key=teacher.key))
            except UnknownArchitecture as misfit:
                misfits.append(misfit)
                found.append(read_teacher(path, data.io, key=teacher.key))
        if len(misfits) == len(found):
            raise misfits[0]
        return tuple(found)


def read_networks(
    paths: Sequence[Path], space: Space, reader: CheckpointReader | None = None, data: Data | None = None
) -> list[Network]:
    """Checkpoints of a space's architectures.

    Args:
        data: decide between architectures with the same parameters, if they are images like the space's.
    Raises:
        WrongSpace: an architecture that the space does not have.
    """
    reader = reader or CheckpointReader()
    with deciding_by(data):
        return [_read_for(path, space, reader) for path in paths]


def _read_for(path: Path, space: Space, reader: CheckpointReader) -> Network:
    failure: UnknownArchitecture | None = None
    found: Network | None = None
    try:
        found = reader.network(path, candidates=space.architectures)
        if has_architecture(space, found.architecture):
            return found
    except UnknownArchitecture as unknown:
        failure = unknown
    try:
        # What it is for images of this space, whatever their size, says best why it does not belong.
        found = reader.network(path, io=space.io)
    except UnknownArchitecture:
        if failure is not None:
            raise failure from None
    assert found is not None
    raise wrong_space_error(path, found.architecture, space)


def check_same_architecture(paths: Sequence[Path], space: Space, reader: CheckpointReader) -> None:
    """Refuse to mix the weights of several architectures, before any work.

    Raises:
        ConfigError: names them.
    """
    names = list(dict.fromkeys(_architecture_of(p, space, reader) for p in paths))
    if len(names) > 1:
        raise ConfigError(
            f"weights of a {names[0]} and a {names[1]} cannot be interpolated.",
            f"Leave out {Call('interpolate_weights')}: only the space has a path between two architectures.",
        )


def _architecture_of(path: Path, space: Space, reader: CheckpointReader) -> str:
    if is_embedding(path):
        return load_one_embedding(path, space).origins[0].arch
    return read_networks([path], space, reader)[0].architecture.name


def has_architecture(space: Space, architecture: Architecture) -> bool:
    """Whether a space has an architecture."""
    return is_one_of(space.architectures, architecture)


def is_one_of(architectures: Sequence[Architecture], architecture: Architecture) -> bool:
    """Whether an architecture is one of these, by its description: a factory is described again each time."""
    own = (architecture.name, architecture.io, architecture.spec)
    return any((a.name, a.io, a.spec) == own for a in architectures)


def wrong_space_error(path: Path, architecture: Architecture, space: Space) -> WrongSpace:
    """The error that a space lacks an architecture, with the built-in space that has it."""
    asked = (architecture.name, architecture.spec)
    homes = [
        each.name
        for each in built_in_by_starts()
        if each.name != space.name and asked in [(a.name, a.spec) for a in each.architectures]
    ]
    names = ", ".join(a.name for a in space.architectures)
    return WrongSpace(
        f"{path}: a {architecture.name} for {known_io(architecture)}; space {space.name!r} has {names} for "
        f"{space.io.describe()}.",
        f"The built-in space {homes[0]} has it: {setting('space', Call('load_space', homes[0]))}."
        if homes
        else f"Use a space that has it ({setting('space')}), or train one with `netspace train`.",
    )
