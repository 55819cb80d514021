"""What a command works on: which space, which images, and inputs that are checkpoints or embeddings alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from netspace_models.architectures import Signal
from netspace_models.errors import ConfigError, DataUnavailable, InputFileError, WrongSpace
from torch import Tensor

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
    own = str(space.record["data"]["name"])
    if spec is None:
        if not data_available(own):
            return None
        spec = own
    data = load_data(spec, size=space.signal.size)
    if data.signal != space.signal:
        raise ConfigError(
            f"space {space.name!r} is for {space.signal.describe()}; {spec} has {data.signal.describe()}.",
            "Give images like those the space was trained on.",
        )
    return data


def required_data(data: ImageData | None, space: Space) -> ImageData:
    """The images, where nothing can be done without them.

    Raises:
        DataUnavailable: they are not at hand.
    """
    if data is None:
        name = space.record["data"]["name"]
        raise DataUnavailable(
            f"the images of {name}, which space {space.name!r} was trained on, are not at hand.",
            f"Name them with --data, e.g. --data {name.partition(':')[0]}:DIR.",
        )
    return data


def space_for_zoo(source: str | Path | None, zoo: Zoo) -> Space:
    """The space named, or the built-in one that knows all of a zoo's architectures.

    Raises:
        WrongSpace: there is none.
    """
    if source is not None:
        return load_space(source)
    wanted = set(zoo.architectures())
    for name in built_in_spaces():
        space = load_space(name)
        if wanted <= set(space.architectures):
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


def _belongs(path: Path, space: Space, arch: str | None, key: str | None) -> bool:
    if is_embedding(path):
        return load_embeddings(path).space_sha256 == space.sha256
    network = read_network(path, candidates=space.architectures, arch=arch, key=key)
    return network.architecture in space.architectures


def _what(path: Path, spaces: Sequence[Space], arch: str | None, key: str | None) -> str:
    if is_embedding(path):
        embeddings = load_embeddings(path)
        return f"its embeddings: they belong to space {embeddings.space!r} ({embeddings.space_sha256[:12]})"
    architecture = read_network(
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
    networks = []
    for path in paths:
        network = read_network(path, candidates=space.architectures, arch=arch, key=key)
        if network.architecture not in space.architectures:
            a = network.architecture
            names = ", ".join(x.name for x in space.architectures)
            raise WrongSpace(
                f"{path}: a {a.name} for {a.signal.describe()}; space {space.name!r} has {names} for "
                f"{space.signal.describe()}.",
                "Use a space that has it (--space), or train one with `netspace train`.",
            )
        networks.append(network)
    return networks


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
    if files:
        networks = read_networks(files, space, arch=arch, key=key)
        steps = default_refine_steps(space, data) if refine_steps is None else refine_steps
        encoded = encode(networks, space, runner, data=data, refine_steps=steps, progress=progress)
        for i, path in enumerate(files):
            found[path] = Input(path, encoded.vectors[i], encoded.origins[i], networks[i])
    for path in paths:
        if is_embedding(path):
            embeddings = single(path, space)
            found[path] = Input(path, embeddings.vectors[0], embeddings.origins[0])
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
            "Encode the network alone.",
        )
    return embeddings


def read_teacher(path: Path, signal: Signal, *, arch: str | None = None) -> Network:
    """A teacher: a network of any architecture for certain images and classes.

    Raises:
        UnknownArchitecture: it fits no architecture for such images and classes.
    """
    return read_network(path, arch=arch, signal=signal)
