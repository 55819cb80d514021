"""Readers of networks, spaces, zoos, recipes and runs, each with tiny valid files that it reads."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from netspace_models.architectures import FieldIO, ImageIO, build
from torch import Tensor

from netspace_cli.core.experiments.run_log import run_log
from netspace_cli.core.files.checkpoint import read_checkpoint
from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.spaces.embeddings import Embeddings, Origin, load_embeddings, save_embeddings
from netspace_cli.core.spaces.model import build_model
from netspace_cli.core.spaces.recipe_reading import load_recipe, recipe_from
from netspace_cli.core.spaces.space import Space, load_space, save_space
from netspace_cli.core.training.run_folder import RunFolder
from netspace_cli.core.zoos.lists import read_lists
from netspace_cli.core.zoos.zoo import Instance, open_zoo

from .binary_mutations import Member, Pickle, Safetensors, Zip
from .mutations import TOML_VALUES, Blob, Span, Text, json_of, json_text, toml_text, words
from .reader import Reader, digest

PIXELS = ImageIO(1, 4, 2)
PLANE = FieldIO(2, 1)
SMALL = "siren-2x1"
BACKBONES: dict[str, dict[str, Any]] = {
    "tokens": {
        "kind": "tokens",
        "embedding_size": 4,
        "latents": 2,
        "chunk": 8,
        "width": 4,
        "heads": 1,
        "depth": 1,
        "reader": {"kind": "answers", "probes": 2},
        "direct": {"kind": "curvature"},
    },
    "neurons": {"kind": "neurons", "embedding_size": 4, "width": 4, "depth": 1, "heads": 1, "expansion": 1},
    "conv": {"kind": "conv", "embedding_size": 32, "height": 4, "width": 8, "side": 4},
}
RECIPE = """[space]
name = "small"
starts = 2
[backbone]
kind = "tokens"
embedding_size = 64
latents = 4
[backbone.reader]
probes = 8
[train]
steps = 10
images = 8
lr = 0.01
objective = "both"
[train.contrast]
gamma = 0.1
[refine]
steps = 3
[lso]
rates = {lenetlike = 0.1}
"""
LIST = "lenetlike;networks/a.pt\nresnet_fusedbn;d2;d8;networks/b.pt\n\n  resnet8 ; networks/c.pt\n"


# Checkpoints


def _state() -> dict[str, Tensor]:
    return {"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2), "n": torch.tensor(3)}


def _saved(content: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def _torch_zip(content: object) -> Zip:
    with zipfile.ZipFile(io.BytesIO(_saved(content))) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    return Zip(tuple(Member(n, Pickle(data) if n.endswith(".pkl") else Blob(data)) for n, data in members))


def _safetensors(state: Mapping[str, Tensor], metadata: Mapping[str, Text | str]) -> Safetensors:
    names = {torch.float32: "F32", torch.int64: "I64"}
    entries: dict[str, object] = {}
    data = b""
    for name, tensor in sorted(state.items(), key=lambda item: -item[1].itemsize):
        own = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        place = [len(data), len(data) + len(own)]
        entries[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": place}
        data += own
    return Safetensors(entries, data, metadata)


def _read_checkpoint(path: Path) -> str:
    return digest(read_checkpoint(path).state)


def _read_network(path: Path) -> str:
    network = read_network(path)
    return network.architecture.name + digest({"": network.weights})


def _checkpoints() -> Iterable[Reader]:
    state = _state()
    nested = {"epoch": 3, "model": {"state_dict": {f"module.{k}": v for k, v in state.items()}}, "acc": 0.5}
    legacy = _saved(state, _use_new_zipfile_serialization=False)
    archs = [build("relu-field-2x1", PLANE), build("cnn-small", ImageIO(1, 28, 2)), build("resnet8", PIXELS)]
    networks = [_safetensors(_float_state(a.module.state_dict()), {"netspace.arch": a.name}) for a in archs]
    yield Reader(
        *("checkpoint .pt", "a.pt", (_torch_zip(state), _torch_zip(nested)), _read_checkpoint),
        weight=3,
        sealed="checksum",
    )
    yield Reader("checkpoint .pt (older)", "a.pt", (Pickle(legacy, count=5),), _read_checkpoint, sealed="size")
    plain = _safetensors(state, {"format": "pt"})
    yield Reader("checkpoint .safetensors", "a.safetensors", (plain,), _read_checkpoint, weight=16, sealed="size")
    yield Reader("network", "a.safetensors", tuple(networks), _read_network, weight=0.5, sealed="size")


def _float_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if tensor.dtype in (torch.float32, torch.int64)}


# netspace's own files


def _space(kind: str, folder: Path) -> Safetensors:
    recipe = recipe_from({"space": {"name": "small"}, "backbone": BACKBONES[kind]})
    architecture = build(SMALL, PLANE)
    model = build_model(recipe, [architecture]).eval()
    record = {
        "name": "small",
        "architectures": [SMALL],
        "io": asdict(PLANE),
        "data": {"name": "plane", "io": asdict(PLANE)},
        "recipe": recipe.model_dump(mode="json"),
        "zoo": [{"id": "a", "arch": SMALL, "split": "train"}, {"id": "b", "arch": SMALL, "split": "val"}],
        "netspace_version": "0.1.0",
    }
    path = folder / f"{kind}.safetensors"
    save_space(path, Space(model, record, torch.zeros(2, model.embedding_size)))
    return _own(path, "netspace.space")


def _own(path: Path, key: str) -> Safetensors:
    """One of netspace's own safetensors files as a template."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    metadata = {k: json_text(v) if k == key else v for k, v in header.pop("__metadata__").items()}
    return Safetensors(header, content[8 + length :], metadata)


def _read_space(path: Path) -> str:
    space = load_space(path)
    assert space.recipe is not None and space.kind is not None
    return digest(space.model.state_dict()) + json.dumps(space.record, sort_keys=True)


def _read_embeddings(path: Path) -> str:
    found = load_embeddings(path)
    return digest({"": found.vectors}) + repr(found.origins)


def _own_files(folder: Path) -> Iterable[Reader]:
    origins = (Origin(SMALL, source="a.pt", sha256="00"), Origin(SMALL, "fused", how="refined", steps=3))
    save_embeddings(folder / "a.emb", Embeddings(torch.ones(2, 4), origins, "small", "00"))
    embedding = _own(folder / "a.emb", "netspace.embedding")
    spaces = tuple(_space(kind, folder) for kind in BACKBONES)
    yield Reader("embedding", "a.emb", (embedding,), _read_embeddings, weight=10, sealed="size")
    yield Reader("space", "a.safetensors", spaces, _read_space, weight=0.7, sealed="size")


# Zoos


def _zoos(folder: Path) -> Iterable[Reader]:
    architecture = build(SMALL, PLANE)
    network = _safetensors(architecture.to_state(torch.linspace(-1, 1, architecture.parameter_count)), {})
    (folder / "n.safetensors").write_bytes(network.whole)
    sha256 = sha256_of(folder / "n.safetensors")
    instances = [
        Instance(
            *(f"i{k}", SMALL, split, "instances/n.safetensors", sha256),
            accuracy={"test": 0.5},
            training={"lr": 0.1, "run": "r"},
        )
        for k, split in enumerate(("train", "val"))
    ]
    manifest = "".join(json.dumps(asdict(i)) + "\n" for i in instances)
    about = {"format": "netspace-zoo", "version": 1, "data": {"name": "plane", "io": asdict(PLANE)}, "licence": "MIT"}

    def beside(zoo: Path) -> None:
        (zoo / "instances").mkdir(parents=True, exist_ok=True)
        (zoo / "zoo.json").write_text(json.dumps(about))
        (zoo / "instances.jsonl").write_text(manifest)
        (zoo / "instances" / "n.safetensors").write_bytes(network.whole)

    def read(path: Path) -> str:
        zoo = open_zoo(path.parent)
        known = {a.name: a for a in zoo.architectures()}
        assert zoo.kind is not None
        networks = [zoo.network(i, known[i.arch]) for i in zoo.instances]
        return digest((n.architecture.name, n.weights) for n in networks) + repr(zoo)

    def read_instance(path: Path) -> str:
        zoo = open_zoo(path.parent.parent)
        return digest({"": zoo.network(zoo.instances[0], architecture).weights})

    yield Reader("zoo.json", "zoo.json", (json_of(about),), read, weight=2, prepare=beside, culprit=".")
    yield Reader("instances.jsonl", "instances.jsonl", (_lines(manifest),), read, weight=2, prepare=beside, culprit=".")
    yield Reader(
        *("zoo's instance", "instances/n.safetensors", (network,), read_instance),
        weight=2,
        sealed="checksum",
        prepare=beside,
    )


def _lines(text: str) -> Text:
    """JSON on several lines."""
    spans, place = [], 0
    for line in text.splitlines(keepends=True):
        spans += [span._replace(start=span.start + place, end=span.end + place) for span in json_text(line).spans]
        place += len(line)
    return Text(text, tuple(spans))


# Recipes and lists


def _texts() -> Iterable[Reader]:
    def beside(folder: Path) -> None:
        (folder / "networks").mkdir()
        for name in "abc":
            (folder / "networks" / f"{name}.pt").touch()

    def settings(path: Path) -> object:
        text = path.read_bytes().decode("utf-8", "replace")
        return load_recipe(None, {"train.lr": text})

    yield Reader("recipe", "a.toml", (toml_text(RECIPE),), load_recipe, weight=3)
    yield Reader(
        "recipe's setting", "a.txt", (Text("0.5", (Span(0, 3),), TOML_VALUES),), settings, weight=1, culprit="train.lr"
    )
    yield Reader("list", "a.txt", (words(LIST),), lambda p: read_lists([p], p.parent), weight=3, prepare=beside)


# Runs


def _runs() -> Iterable[Reader]:
    settings = {
        "recipe": recipe_from({}).model_dump(mode="json"),
        "zoo": [["a", "00"]],
        "data": {"name": "x"},
        "seed": 0,
    }
    metrics = "".join(json.dumps({"step": k, "loss": 0.5}) + "\n" for k in range(3))
    state = {"step": 2, "model": _state(), "best": {}, "best_loss": 0.5, "best_step": 1}
    logged = [{"settings": settings}, {"method": "a", "draw": 0, "accuracy": 0.5, "recipe": settings["recipe"]}]
    log = "".join(json.dumps(line) + "\n" for line in logged)
    checkpoint = _torch_zip(state)

    def beside(folder: Path) -> None:
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "metrics.jsonl").write_text(metrics)
        (folder / "checkpoint.pt").write_bytes(checkpoint.whole)

    def resume(path: Path) -> str:
        folder = RunFolder(path.parent)
        try:
            assert folder.progress()
            found = folder.resume(settings)
            model = found.get("model", {})
            return digest(model) if isinstance(model, dict) else ""
        finally:
            (path.parent / "metrics.jsonl").write_text(metrics)

    def read_log(path: Path) -> object:
        with run_log(path, settings) as found:
            return found.runs

    yield Reader(
        "run: settings", "settings.json", (json_of(settings),), resume, weight=0.5, prepare=beside, culprit="."
    )
    yield Reader("run: metrics", "metrics.jsonl", (_lines(metrics),), resume, weight=0.5, prepare=beside)
    yield Reader(
        *("run: checkpoint", "checkpoint.pt", (checkpoint,), resume), weight=0.5, sealed="checksum", prepare=beside
    )
    yield Reader("experiment's log", "runs.jsonl", (_lines(log),), read_log, weight=1)


def network_readers(folder: Path) -> Iterable[Reader]:
    """All of them.

    Args:
        folder: empty; files are made in it.
    """
    return (*_checkpoints(), *_own_files(folder), *_zoos(folder), *_texts(), *_runs())
