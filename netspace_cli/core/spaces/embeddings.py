"""Embeddings on disk (`*.emb`): vectors and their origins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from netspace_models.architectures.architecture import Form
from netspace_models.errors import ConfigError, InputFileError, NotFinite, WrongSpace
from netspace_models.wording import Call, setting
from torch import Tensor

from netspace_cli.core.data.records import check_version
from netspace_cli.core.files.checkpoint import read_own
from netspace_cli.core.files.safetensors_file import write_safetensors
from netspace_cli.core.files.structure import parse_json
from netspace_cli.core.files.tensor_names import brief, shown, shown_value
from netspace_cli.core.runtime.results import Result

from .space import Space

FORMAT, VERSION = "netspace-embedding", 1


@dataclass(frozen=True)
class Origin:
    """The origin of one embedding.

    Attributes:
        arch: architecture of the network that was encoded, or that an optimisation aimed at.
        form: layout of its checkpoint, so that decoding can write the same.
        source: file it came from; sha256: of that file.
        how: "encoded", "refined" or "optimised"; steps: how many steps of the latter two.
    """

    arch: str
    form: Form = "full"
    source: str = ""
    sha256: str = ""
    how: str = "encoded"
    steps: int = 0


@dataclass(frozen=True)
class Embeddings(Result):
    """Vectors of one space, with their origins.

    Attributes:
        vectors: (N, E) float32, on the processor.
        origins: one for each row.
        space, space_sha256: name and SHA-256 of the space they belong to.
        normalisation: mean and deviation, for each channel, of the images that their networks take; None where these
            take no images, and in files of older versions.
    """

    vectors: Tensor
    origins: tuple[Origin, ...]
    space: str
    space_sha256: str
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None


def embeddings_of(space: Space, vectors: Tensor, origins: Sequence[Origin]) -> Embeddings:
    """Make embeddings from vectors (N, E), with their space's name and normalisation."""
    mean, std = (tuple(space.record["data"].get(name, ())) for name in ("mean", "std"))
    known = (mean, std) if mean and std else None
    return Embeddings(vectors.detach().cpu().float().contiguous(), tuple(origins), space.name, space.sha256, known)


def save_embeddings(path: Path | str, embeddings: Embeddings, *, force: bool = False) -> None:
    """Write an embedding file.

    Raises:
        OutputExists: the path is taken and `force` is not given.
    """
    path = Path(path)
    record = {
        "format": FORMAT,
        "version": VERSION,
        "space": embeddings.space,
        "space_sha256": embeddings.space_sha256,
        "networks": [asdict(o) for o in embeddings.origins],
    }
    if embeddings.normalisation is not None:
        record["mean"], record["std"] = map(list, embeddings.normalisation)
    metadata = {"netspace.embedding": json.dumps(record, sort_keys=True)}
    write_safetensors(path, {"embedding": embeddings.vectors}, metadata, force=force)


def load_embeddings(path: Path | str) -> Embeddings:
    """Read an embedding file.

    Raises:
        InputFileError: no embedding file, a damaged one, or a version this netspace does not read.
        NotFinite: NaN or infinity among the values.
    """
    path = Path(path)
    tensors, metadata = read_own(path, "embedding")
    record = _record(path, metadata)
    try:
        vectors = tensors["embedding"]
        origins = tuple(Origin(**o) for o in record["networks"])
        if vectors.dim() != 2 or len(vectors) != len(origins) or not vectors.is_floating_point():
            raise ValueError(f"{tuple(vectors.shape)} {vectors.dtype} values for {len(origins)} networks")
        _check_texts(record, origins)
        scale = _numbers(record, "mean"), _numbers(record, "std")
        known = scale if all(scale) else None
        embeddings = Embeddings(vectors.float(), origins, record["space"], record["space_sha256"], known)
    except (KeyError, TypeError, ValueError) as failure:
        raise InputFileError(
            path, f"not a complete embedding file ({brief(failure)}).", "Encode the network again."
        ) from failure
    if not torch.isfinite(vectors).all():
        raise NotFinite(f"{path}: the embedding holds NaN or infinity.", "Encode the network again.")
    return embeddings


def _check_texts(record: dict[str, Any], origins: Sequence[Origin]) -> None:
    """Check the names in a record. Raises TypeError or ValueError."""
    texts = [record["space"], record["space_sha256"]]
    texts += [text for o in origins for text in (o.arch, o.form, o.source, o.sha256, o.how)]
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{shown_value(text)} is not text")
    for origin in origins:
        if origin.form not in get_args(Form) or type(origin.steps) is not int:
            raise ValueError(f"form {shown(origin.form)}, steps {shown_value(origin.steps)}")


def _numbers(record: dict[str, Any], name: str) -> tuple[float, ...]:
    """Numbers of each channel in a record, () without any. Raises TypeError for anything else."""
    found = record.get(name, [])
    if not isinstance(found, list) or any(type(x) not in (float, int) for x in found):
        raise TypeError(f"{name} {shown_value(found)} is not a list of numbers")
    return tuple(map(float, found))


def is_embedding(path: Path) -> bool:
    """Whether a path is an embedding file, by its extension."""
    return path.suffix == ".emb"


def check_space(path: Path | str, embeddings: Embeddings, space: Space) -> None:
    """Refuse embeddings of another space; those of the space that it extends are its own, too.

    Raises:
        WrongSpace: names both spaces.
    """
    if embeddings.space_sha256 not in (space.sha256, space.record.get("extends", {}).get("sha256")):
        raise WrongSpace(
            f"{path}: an embedding of space {embeddings.space!r} ({embeddings.space_sha256[:12]}); "
            f"this is space {space.name!r} ({space.sha256[:12]}).",
            f"Give the space it was made with: {setting('space', Call('load_space', 'NAME'))} or PATH.",
        )
    size = space.model.embedding_size
    if embeddings.vectors.shape[1] != size:
        raise InputFileError(
            path,
            f"its embeddings have {embeddings.vectors.shape[1]} values, the space's have {size}.",
            "Encode again.",
        )


def _record(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    if "netspace.embedding" not in metadata:
        raise InputFileError(
            path,
            "a safetensors file, but not an embedding.",
            "`netspace inspect` says what it is; `netspace encode` makes embeddings.",
        )
    try:
        record = parse_json(metadata["netspace.embedding"])
        check_version(path, record, (FORMAT, VERSION), "Use the netspace that wrote it, or encode the network again.")
    except (ValueError, KeyError, TypeError) as failure:
        raise InputFileError(
            path, f"its record cannot be read ({brief(failure)}).", "Encode the network again."
        ) from failure
    return dict(record)


def check_embedding_output(output: Path) -> None:
    """Refuse an output path for embeddings that other commands would take for a checkpoint.

    Raises:
        ConfigError: another extension than .emb.
    """
    if not is_embedding(output):
        raise ConfigError(f"{output}: embeddings are written as .emb.", f"Name it {output.with_suffix('.emb').name}.")
