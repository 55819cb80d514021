"""What a command works on: which space, which images, and inputs that are checkpoints or embeddings alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from netspace_models.architectures import Architecture, Signal
from netspace_models.errors import (
    CheckpointError,
    ConfigError,
    DataUnavailable,
    InputFileError,
    UnknownArchitecture,
    WrongSpace,
)
from torch import Tensor

from .checkpoint import read_safetensors
from .data import ImageData
from .datasets import data_available, load_data
from .embedding import Embeddings, Origin, check_space, is_embedding, load_embeddings
from .encode import default_refine_steps, encode
from .networks import Network, read_network
from .progress import Progress
from .runner import Runner
from .space import Space, built_in_spaces, load_space
from .zoo import Zoo


@dataclass(frozen=True)
class Input:
    """One input of a command, as an embedding and, where it was a checkpoint, as the network it was.

    Attributes:
        path: of the file.
        vector: (E,) on the processor.
        origin: of the embedding.
        network: None for an embedding file.
    """

    path: Path
    vector: Tensor
    origin: Origin
    network: Network | None = None


def data_for(space: Space, spec: str | None) -> ImageData | None:
    """The images to work with: those named, else the space's own if they are at hand, else None.

    Raises:
        DataUnavailable: images were named and are not at hand.
        ConfigError: the images named are not like the space's.
    """
    if spec is None:
        return _own_data(space)
    data = load_data(spec, size=space.signal.size)
    if data.signal != space.signal:
        raise ConfigError(
            f"space {space.name!r} is for {space.signal.describe()}; {spec} has {data.signal.describe()}.",
            "Give images like those the space was trained on.",
        )
    return data


def _own_data(space: Space) -> ImageData | None:
    """The images a space was trained on, where they are at hand.

    Files and folders are recorded by their names alone, so whatever lies there under that name is compared
    with the record: other images would score and refine without a word.
    """
    record = space.record["data"]
    name = str(record["name"])
    if not data_available(name):
        return None
    if not name.startswith(("npz:", "folder:")):
        return load_data(name, size=space.signal.size)
    try:
        data = load_data(name, size=space.signal.size)
    except (DataUnavailable, InputFileError):
        return None  # something else of the same name
    return data if data.record()["splits"] == record["splits"] else None


def data_hint(name: str) -> str:
    """How to name a recorded data set on the command line."""
    word = name.partition(":")[0]
    spec = "FILE.npz" if word == "npz" else f"{word}:DIR"
    return f"Name them with --data, e.g. --data {spec}."


def required_data(data: ImageData | None, space: Space) -> ImageData:
    """The images, where nothing can be done without them.

    Raises:
        DataUnavailable: they are not at hand.
    """
    if data is None:
        name = space.record["data"]["name"]
        raise DataUnavailable(
            f"the images of {name}, which space {space.name!r} was trained on, are not at hand.",
            data_hint(name),
        )
    return data


def space_for_zoo(source: str | Path | None, zoo: Zoo) -> Space:
    """The space named, or the built-in one that knows all of a zoo's architectures.

    Raises:
        WrongSpace: there is none.
    """
    if source is not None:
        return load_space(source)
    for name in built_in_spaces():
        space = load_space(name)
        if all(_has(space, a) for a in zoo.architectures()):
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
    spaces = [load_space(name) for name in built_in_spaces()]
    if not spaces:
        raise ConfigError("no space was named, and none is built in.", "Name one: --space PATH.")
    for space in spaces:
        if all(_belongs(p, space, arch, key) for p in paths):
            return space
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
        if architecture.name in wanted and not _has(space, architecture):
            raise _lacks(zoo.path, architecture, space)


def check_same_architecture(
    paths: Sequence[Path], space: Space, *, arch: str | None = None, key: str | None = None
) -> None:
    """Refuse to mix the weights of several architectures, before any work.

    Raises:
        ConfigError: names them.
    """
    names = list(dict.fromkeys(_architecture_of(p, space, arch, key) for p in paths))
    if len(names) > 1:
        raise ConfigError(
            f"weights of a {names[0]} and a {names[1]} cannot be interpolated.",
            "Leave out --weights: only the space has a path between two architectures.",
        )


def _architecture_of(path: Path, space: Space, arch: str | None, key: str | None) -> str:
    if is_embedding(path):
        return space.model.recognise(single(path, space).vectors)[0].name
    return read_networks([path], space, arch=arch, key=key)[0].architecture.name


def data_of_zoo(zoo: Zoo, spec: str | None) -> ImageData:
    """The images named, else those the zoo was trained on.

    Raises:
        DataUnavailable: none were named, and the zoo's own are not at hand.
    """
    name = str(zoo.data["name"])
    if spec is None and not data_available(name):
        raise DataUnavailable(
            f"the images of {name}, which the zoo {zoo.path} was trained on, are not at hand.", data_hint(name)
        )
    return load_data(spec or name, size=zoo.signal.size)


def _belongs(path: Path, space: Space, arch: str | None, key: str | None) -> bool:
    if is_embedding(path):
        return load_embeddings(path).space_sha256 == space.sha256
    network = read_given(path, candidates=space.architectures, arch=arch, key=key)
    return network.architecture in space.architectures


def _what(path: Path, spaces: Sequence[Space], arch: str | None, key: str | None) -> str:
    if is_embedding(path):
        embeddings = load_embeddings(path)
        return f"its embeddings: they belong to space {embeddings.space!r} ({embeddings.space_sha256[:12]})"
    architecture = read_given(
        path, candidates=[a for s in spaces for a in s.architectures], arch=arch, key=key
    ).architecture
    return f"its architecture, {architecture.name} for {architecture.signal.describe()}"


def read_networks(
    paths: Sequence[Path], space: Space, *, arch: str | None = None, key: str | None = None
) -> list[Network]:
    """Checkpoints of a space's architectures.

    Raises:
        WrongSpace: an architecture that the space does not have.
    """
    return [_read_for(path, space, arch, key) for path in paths]


def _read_for(path: Path, space: Space, arch: str | None, key: str | None) -> Network:
    failure: UnknownArchitecture | None = None
    found: Network | None = None
    try:
        found = read_given(path, candidates=space.architectures, arch=arch, key=key)
        if found.architecture in space.architectures:
            return found
    except UnknownArchitecture as unknown:
        failure = unknown
    try:
        # What it is for images of this space, whatever their size, says best why it does not belong.
        found = read_given(path, arch=arch, signal=space.signal, key=key)
    except UnknownArchitecture:
        if failure is not None:
            raise failure from None
    assert found is not None
    raise _lacks(path, found.architecture, space)


def _has(space: Space, architecture: Architecture) -> bool:
    """Whether a space knows an architecture; one from a factory is described anew each time it is named."""
    own = (architecture.name, architecture.signal, architecture.spec)
    return any((a.name, a.signal, a.spec) == own for a in space.architectures)


def _lacks(path: Path, architecture: Architecture, space: Space) -> WrongSpace:
    names = ", ".join(a.name for a in space.architectures)
    return WrongSpace(
        f"{path}: a {architecture.name} for {architecture.signal.describe()}; space {space.name!r} has {names} for "
        f"{space.signal.describe()}.",
        "Use a space that has it (--space), or train one with `netspace train`.",
    )


def read_given(
    path: Path,
    *,
    candidates: Sequence[Architecture] = (),
    arch: str | None = None,
    signal: Signal | None = None,
    key: str | None = None,
) -> Network:
    """`read_network`, for files people give: an embedding or a space in a checkpoint's place is called so.

    Raises:
        CheckpointError: the file is an embedding or a space; else as `read_network`.
    """
    try:
        return read_network(path, candidates=candidates, arch=arch, signal=signal, key=key)
    except UnknownArchitecture as failure:
        other = _other_kind(path)
        if other is None:
            raise
        raise CheckpointError(path, f"this is {other[0]}, not a checkpoint.", other[1]) from failure


def _other_kind(path: Path) -> tuple[str, str] | None:
    """What of netspace's own a file is instead of a checkpoint, and what can be done with it."""
    try:
        _, metadata = read_safetensors(path)
    except InputFileError:
        return None
    if "netspace.embedding" in metadata:
        return "an embedding file", "`netspace decode` makes a checkpoint of it."
    if "netspace.space" in metadata:
        return "a space", "Give a network's checkpoint here, and the space with --space."
    return None


def read_inputs(
    paths: Sequence[Path],
    space: Space,
    runner: Runner,
    *,
    data: ImageData | None,
    refine_steps: int | None = None,
    arch: str | None = None,
    key: str | None = None,
    progress: Progress | None = None,
) -> list[Input]:
    """Checkpoints, encoded and refined, and embedding files, as they are: one vector each.

    Args:
        refine_steps: for checkpoints; None for what the space records.
    Raises:
        InputFileError: an embedding file with more than one embedding.
        WrongSpace: an input of another space.
    """
    files = [p for p in paths if not is_embedding(p)]
    found: dict[Path, Input] = {}
    for path in paths:
        if is_embedding(path):
            embeddings = single(path, space)
            found[path] = Input(path, embeddings.vectors[0], embeddings.origins[0])
    if files:
        networks = read_networks(files, space, arch=arch, key=key)
        steps = default_refine_steps(space, data) if refine_steps is None else refine_steps
        encoded = encode(networks, space, runner, data=data, refine_steps=steps, progress=progress)
        for i, path in enumerate(files):
            found[path] = Input(path, encoded.vectors[i], encoded.origins[i], networks[i])
    return [found[p] for p in paths]


def single(path: Path, space: Space) -> Embeddings:
    """An embedding file of this space that holds one embedding.

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


def read_teacher(path: Path, signal: Signal, *, arch: str | None = None) -> Network:
    """A teacher: a network of any architecture for certain images and classes.

    Raises:
        UnknownArchitecture: it fits no architecture for such images and classes.
    """
    return read_given(path, arch=arch, signal=signal)
