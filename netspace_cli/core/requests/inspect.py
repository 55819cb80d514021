"""Inspect files: their type and content."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from netspace_models.architectures import Architecture, io_from
from netspace_models.errors import ConfigError, InputFileError, UnknownArchitecture
from netspace_models.wording import setting

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.data.datasets import has_labels, load_data, load_images
from netspace_cli.core.data.normalise import AS_IT_IS, Normalisation
from netspace_cli.core.files.checkpoint import Checkpoint, read_checkpoint
from netspace_cli.core.files.safetensors_file import TorchCheckpointFound, read_safetensors
from netspace_cli.core.files.state_dicts import OWN_METADATA
from netspace_cli.core.networks.assumptions import collecting
from netspace_cli.core.networks.decide import deciding_by
from netspace_cli.core.networks.factories import known_io
from netspace_cli.core.networks.recognise import recognise, settle, with_own_names
from netspace_cli.core.networks.recorded_accuracy import TEST_IMAGES, accuracy_remark
from netspace_cli.core.networks.scores import labels_of, logits_of
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.built_in import built_in_architectures, built_in_spaces, starts_in
from netspace_cli.core.spaces.embeddings import load_embeddings
from netspace_cli.core.spaces.space_record import read_record
from netspace_cli.core.zoos.zoo import SPLITS, open_zoo


def inspect(
    source: Path | str,
    *,
    arch: str | None = None,
    key: str | None = None,
    data: str | None = None,
    normalisation: Normalisation = AS_IT_IS,
) -> dict[str, Any]:
    """Describe a file or folder.

    Args:
        source: a path, or a built-in space's name where no file has it.
        arch, key: see `recognise` and `read_checkpoint`.
        data: as in `load_data`; images decide which of several architectures a checkpoint's is.
        normalisation: of the images that it was trained on.
    Returns:
        `kind` (checkpoint, embedding, space, zoo or data) and what applies: architecture, parameters, notes on
        how it was read, the space's record in short, the zoo's counts, the number of images or rows.
    Raises:
        ConfigError: nothing is there, and no built-in space has this name; or data beside another thing than a
            checkpoint.
        InputFileError: none of these, or damaged.
    """
    images = _images(data, normalisation)
    found = _described(_found(source), arch, key, images)
    if images is not None and found["kind"] != "checkpoint":
        raise ConfigError(
            f"{source}: images tell about checkpoints, and this is of the kind {found['kind']!r}.",
            f"Leave out {setting('data')}.",
        )
    return found


def _images(data: str | None, normalisation: Normalisation) -> LabelledData | None:
    if data is None and normalisation != AS_IT_IS:
        raise ConfigError(
            f"{setting('normalise')}, {setting('mean')} and {setting('std')} say how images are normalised, and no "
            "images are named.",
            f"Name some: {setting('data', 'FILE.npz')}.",
        )
    return None if data is None else normalisation.of(load_data(data))


def _described(path: Path, arch: str | None, key: str | None, images: LabelledData | None) -> dict[str, Any]:
    if path.is_dir():
        return _zoo(path)
    if path.suffix == ".npz":
        return _data(path)
    if path.suffix in (".emb", ".safetensors"):
        try:
            _, metadata = read_safetensors(path)
        except TorchCheckpointFound:
            return _checkpoint(path, arch, key, images)
        if "netspace.embedding" in metadata:
            return _embedding(path)
        if "netspace.space" in metadata:
            return {"kind": "space", "path": str(path), **_space(read_record(path, metadata))}
        if path.suffix == ".emb":
            load_embeddings(path)  # says what is wrong with it
    return _checkpoint(path, arch, key, images)


def _found(source: Path | str) -> Path:
    """The path, or the file of the built-in space with that name."""
    if os.path.lexists(source):
        return Path(source)
    built_in = built_in_spaces()
    if str(source) not in built_in:
        raise ConfigError(
            f"{source} does not exist, and no built-in space has this name.",
            f"Check the path. Built-in spaces: {', '.join(built_in) or 'none'}.",
        )
    return built_in[str(source)]


def describe_built_in() -> list[dict[str, Any]]:
    """Describe the built-in spaces in short."""
    found = []
    for name, path in built_in_spaces().items():
        _, metadata = read_safetensors(path)
        record = _space(read_record(path, metadata))
        found.append({**record, "name": name, "path": str(path), "bytes": path.stat().st_size})
    return found


def _checkpoint(path: Path, arch: str | None, key: str | None, data: LabelledData | None) -> dict[str, Any]:
    candidates = [a for a in built_in_architectures() if data is None or a.io == data.io]
    known: dict[str, Any] = {"arch": arch, "candidates": candidates, "io": None if data is None else data.io}
    checkpoint = with_own_names(read_checkpoint(path, key=key), **known)
    found: dict[str, Any] = {
        "kind": "checkpoint",
        "path": str(path),
        "format": checkpoint.format,
        "sha256": checkpoint.sha256,
        "tensors": len(checkpoint.state),
        "values": sum(t.numel() for t in checkpoint.state.values()),
        "not_finite": [n for n, t in checkpoint.state.items() if t.is_floating_point() and not torch.isfinite(t).all()],
        "notes": list(checkpoint.notes),
        **_own_record(checkpoint.metadata),
    }
    if checkpoint.accuracy is not None:
        found["recorded_accuracy"] = checkpoint.accuracy
    try:
        architecture = recognise(checkpoint, **known)
        with collecting(), deciding_by(data):  # the remark is among the notes
            architecture, remark = (architecture, "") if arch else settle(checkpoint, architecture, str(path))
    except UnknownArchitecture as failure:
        return found | {"arch": None, "reason": failure.message}
    remarks = [remark] if remark else []
    if data is not None and not found["not_finite"]:
        measured = _accuracy(architecture, checkpoint, data)
        found[data.io.problem.key] = measured
        remarks.append(accuracy_remark(path, checkpoint.accuracy, [measured], architecture.name))
    return found | {
        "notes": [*found["notes"], *(text for text in remarks if text)],
        "arch": architecture.name,
        "parameters": architecture.parameter_count,
        "form": architecture.form_of(checkpoint.state),
        "io": known_io(architecture),
    }


def _own_record(metadata: Mapping[str, str]) -> dict[str, Any]:
    """What netspace wrote beside a network: how it was made, and the digests of those that it was merged from."""
    own = {name.removeprefix(OWN_METADATA): text for name, text in metadata.items() if name.startswith(OWN_METADATA)}
    merged_from = own.pop("merged_from", "")
    found = {"recorded": own, "merged_from": merged_from.split(",") if merged_from else []}
    return {name: value for name, value in found.items() if value}


def _accuracy(architecture: Architecture, checkpoint: Checkpoint, data: LabelledData) -> float:
    """The network's accuracy (of regressors R²) on the first test images."""
    with Runner("cpu") as runner:
        weights = architecture.to_weights(checkpoint.state)
        logits = logits_of(architecture, weights, data, "test", runner, most=TEST_IMAGES)
    return data.io.problem.scored(logits, labels_of(data, "test")[: len(logits)])


def _embedding(path: Path) -> dict[str, Any]:
    embeddings = load_embeddings(path)
    return {
        "kind": "embedding",
        "path": str(path),
        "space": embeddings.space,
        "space_sha256": embeddings.space_sha256,
        "embedding_size": embeddings.vectors.shape[1],
        **_normalisation(embeddings.normalisation),
        "networks": [asdict(o) for o in embeddings.origins],
    }


def _normalisation(scale: tuple[tuple[float, ...], tuple[float, ...]] | None) -> dict[str, Any]:
    """Mean and deviation, where they are known, as text."""
    if scale is None:
        return {}
    return {name: ", ".join(f"{x:.4g}" for x in numbers) for name, numbers in zip(("mean", "std"), scale, strict=True)}


def _space(record: Mapping[str, Any]) -> dict[str, Any]:
    backbone, starts = record["recipe"]["backbone"], starts_in(record)
    return {
        "space": record["name"],
        "architectures": list(record["architectures"]),
        "io": io_from(record["io"]).describe(),
        "data": record["data"]["name"],
        "backbone": backbone["kind"],
        "embedding_size": backbone["embedding_size"],
        **({"starts": starts} if starts > 1 else {}),
        "refine_steps": record["recipe"]["refine"]["steps"],
        "instances": len(record["zoo"]),
        "netspace_version": record["netspace_version"],
    }


def _data(path: Path) -> dict[str, Any]:
    unlabelled = not has_labels(str(path))
    data = load_images(str(path), classes=1) if unlabelled else load_data(str(path))
    record = data.record()
    found = {
        "kind": "data",
        "path": str(path),
        "io": "images of " + "x".join(map(str, data.io.input_shape)) if unlabelled else data.io.describe(),
        "rows": {name: split["n"] for name, split in record["splits"].items()},
        "notes": record["notes"],
    }
    return found | ({"labels": False} if unlabelled else {})


def _zoo(path: Path) -> dict[str, Any]:
    if not (path / "zoo.json").is_file():
        raise InputFileError(path, "a folder, but not a zoo.", "`netspace zoo index` adopts a folder of checkpoints.")
    zoo = open_zoo(path)
    counts = {
        arch: "/".join(str(len(zoo.select(split=s, arch=arch))) for s in SPLITS)
        for arch in dict.fromkeys(i.arch for i in zoo.instances)
    }
    return {
        "kind": "zoo",
        "path": str(path),
        "data": zoo.data["name"],
        "io": zoo.io.describe(),
        "instances": len(zoo.instances),
        "train_val_test": counts,
    }
