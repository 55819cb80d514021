"""Adopt a folder of checkpoints that somebody else trained as a zoo."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from netspace_models.errors import ConfigError, NetspaceError

from .checkpoint import SAFETENSORS_SUFFIXES, TORCH_SUFFIXES
from .data import ImageData
from .files import sha256_of
from .networks import read_network
from .progress import Progress, Silent
from .runner import Runner
from .scoring import scores
from .zoo import SPLITS, Instance, Zoo, append_instance, create_zoo, open_zoo

EXTENSIONS = (*SAFETENSORS_SUFFIXES, *TORCH_SUFFIXES)


@dataclass(frozen=True)
class Adopted:
    """The outcome: the zoo, and the files left out with the reason."""

    zoo: Zoo
    refused: tuple[tuple[Path, str], ...]


def index_folder(
    folder: Path,
    data: ImageData,
    runner: Runner,
    *,
    shares: Sequence[int] = (16, 2, 8),
    arch: str | None = None,
    licence: str = "",
    progress: Progress | None = None,
) -> Adopted:
    """Recognise and score every checkpoint below a folder and write a manifest beside them.

    The files stay where and as they are. Files that cannot be read or that fit no architecture are left
    out and reported. Run again, it adds what is new.

    Args:
        folder: becomes the zoo.
        data: the images the networks were trained on.
        shares: proportions of the splits; which instance goes where is drawn from the runner's seed.
        arch: a name or a factory, where recognition is not wanted.
        licence: of the weights.
    Raises:
        ConfigError: no folder, no checkpoint fits, or the folder is a zoo of other data.
    """
    progress = progress or Silent()
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder.", "Name the folder that holds the checkpoints.")
    if len(shares) != len(SPLITS) or min(shares) < 0 or sum(shares) < 1:
        raise ConfigError(f"shares {tuple(shares)} make no splits.", "Give three numbers, e.g. 16/2/8.")
    begun = (folder / "zoo.json").exists()
    files = [p for p in sorted(folder.rglob("*")) if p.suffix in EXTENSIONS and p.is_file()]
    zoo = create_zoo(folder, data.record(), {"licence": licence})
    known = {i.file for i in zoo.instances}
    ids = {i.id for i in zoo.instances}
    new = [p for p in files if p.relative_to(folder).as_posix() not in known]
    splits = _splits(len(new), shares, runner.seed)
    placed, refused = runner.place(data), []
    progress.start("indexing", len(new))
    try:
        for path in new:
            try:
                instance = _adopt(path, folder, next(splits), placed, runner, arch, licence)
                if instance.id in ids:  # the same name with another extension
                    instance = replace(instance, id=instance.file)
                append_instance(folder, instance)
                ids.add(instance.id)
            except NetspaceError as failure:
                refused.append((path, failure.message))
            progress.advance(1)
    finally:
        progress.stop()
    indexed = open_zoo(folder)
    if not indexed.instances:
        if not begun:  # or the folder would count as a zoo of these images from now on
            (folder / "zoo.json").unlink()
            (folder / "instances.jsonl").unlink()
        raise ConfigError(
            f"{folder}: none of {len(files)} checkpoint files could be adopted.",
            refused[0][1] if refused else f"It holds no file ending in {', '.join(EXTENSIONS)}.",
        )
    return Adopted(indexed, tuple(refused))


def _adopt(
    path: Path, folder: Path, split: str, data: ImageData, runner: Runner, arch: str | None, licence: str
) -> Instance:
    network = read_network(path, arch=arch, signal=data.signal)
    vector = runner.place(network.vector)
    accuracy = {k: round(v, 6) for k, v in scores(network.architecture, vector, data, runner).items()}
    relative = path.relative_to(folder)
    return Instance(
        relative.with_suffix("").as_posix(),
        network.architecture.name,
        split,
        relative.as_posix(),
        sha256_of(path),
        accuracy=accuracy,
        licence=licence,
    )


def _splits(total: int, shares: Sequence[int], seed: int) -> Iterator[str]:
    """A split for each of `total` instances, in the proportions asked for, in random order."""
    whole = sum(shares)
    bounds = [round(total * sum(shares[: i + 1]) / whole) for i in range(len(shares))]
    names = [next(s for s, b in zip(SPLITS, bounds, strict=True) if i < b) for i in range(total)]
    random.Random(f"{seed}/index").shuffle(names)
    return iter(names)
