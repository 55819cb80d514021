"""A zoo on disk: a folder of instances and a manifest, readable with JSON and safetensors readers.

zoo.json            what the zoo is: format, version, data, licence
instances.jsonl     one line an instance, written as instances are finished
instances/<arch>/<id>.safetensors
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from netspace_models.architectures import Architecture, NetworkIO, io_from
from netspace_models.errors import ConfigError, InputFileError
from netspace_models.wording import setting
from torch import Tensor

from netspace_cli.core.data.records import check_recorded_scale, check_version, recorded_io, translated_record
from netspace_cli.core.files.checkpoint import check_finite, write_checkpoint
from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.files.lines import whole_lines
from netspace_cli.core.files.outputs import atomic_write
from netspace_cli.core.files.structure import parse_json, read_text
from netspace_cli.core.files.tensor_names import brief, leads_elsewhere, shown, shown_value
from netspace_cli.core.kinds.kind import Kind
from netspace_cli.core.kinds.registry import kind_of
from netspace_cli.core.networks.factories import recorded_architectures
from netspace_cli.core.networks.network import Network, read_network
from netspace_cli.core.networks.scores import key_of
from netspace_cli.core.runtime.results import Table, plain

FORMAT, VERSION = "netspace-zoo", 1
MOST_MANIFEST_BYTES = 1 << 30
SPLITS = ("train", "val", "test")
# What manifests call scores, beside `accuracy`, under which older ones have R² too.
SCORES = ("r2",)
# Keys of the record of data, where people have other words.
_WORDS = {"io": "inputs or outputs"}


@dataclass(frozen=True)
class Instance:
    """One line of the manifest.

    Attributes:
        id: unique within the zoo.
        arch: name of its architecture.
        split: "train", "val" or "test": what the instance may be used for.
        file: path of its checkpoint, relative to the zoo.
        sha256: of that file.
        seed, epochs: how it was trained; None for adopted checkpoints.
        accuracy: by split of the images, a fraction; of regressors R², which manifests call r2.
        licence: of the weights.
        training: optimiser, lr, weight_decay and batch; where several epochs of one run are instances, `run`, its id,
            and `epochs`, over which its rate falls; of an adopted checkpoint the `key` under which its state dict lies,
            where it was named.
    """

    id: str
    arch: str
    split: str
    file: str
    sha256: str
    seed: int | None = None
    epochs: int | None = None
    accuracy: dict[str, float] = field(default_factory=dict)
    licence: str = ""
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def run(self) -> str:
        """The run it belongs to, shared with instances of other epochs; its own id if none is recorded."""
        return str(self.training.get("run", self.id))


@dataclass(frozen=True)
class Zoo(Table):
    """An opened zoo.

    Attributes:
        path: the folder.
        data: record of the data set its instances were trained on (`ImageData.record`).
        instances: in manifest order.
        about: the rest of zoo.json.
    """

    path: Path
    data: dict[str, Any]
    instances: tuple[Instance, ...]
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def io(self) -> NetworkIO:
        """Inputs and outputs of its networks."""
        return io_from(self.data["io"])

    @cached_property
    def kind(self) -> Kind:
        """Kind of its networks."""
        return kind_of(self.io, self.data)

    def architectures(self) -> tuple[Architecture, ...]:
        """Its architectures by number of parameters; the place of each is its ClassId."""
        names = {i.arch: i for i in self.instances}
        # In the smallest format a number takes a byte.
        values = sum(self._bytes_of(instance) for instance in names.values())
        built = recorded_architectures(names, self.io, self.path / "instances.jsonl", values)
        return tuple(sorted(built, key=lambda a: (a.parameter_count, a.name)))

    def records(self) -> list[dict[str, Any]]:
        """Its instances, as the manifest has them."""
        return [plain(record_of(instance, self.io)) for instance in self.instances]

    def _bytes_of(self, instance: Instance) -> int:
        with suppress(InputFileError, OSError, ValueError):
            return self.file_of(instance).stat().st_size
        return 0

    def select(self, *, split: str | None = None, arch: str | None = None) -> tuple[Instance, ...]:
        """Select instances of a split, of an architecture, or of both."""
        return tuple(
            i for i in self.instances if (split is None or i.split == split) and (arch is None or i.arch == arch)
        )

    def network(self, instance: Instance, architecture: Architecture) -> Network:
        """Read one instance.

        Raises:
            InputFileError: the file is missing or is not the one the manifest describes.
        """
        path = self.file_of(instance)
        found = sha256_of(path) if os.path.isfile(path) else None  # of names too long, too
        if found != instance.sha256:
            raise InputFileError(
                path,
                "no such file."
                if found is None
                else f"its SHA-256 is {found[:12]}, the manifest says {brief(instance.sha256[:12])}.",
                f"`netspace zoo verify {self.path}` lists all such files. Those that are gone `netspace zoo "
                "train` makes again, if it made them; else bring them back, or index the folder again.",
            )
        key = instance.training.get("key")
        return read_network(path, arch=architecture.name, candidates=[architecture], key=key)

    def weights(self, instances: Sequence[Instance], architecture: Architecture) -> list[Tensor]:
        """(N, P) flat weights of several instances of one architecture."""
        return [self.network(i, architecture).weights for i in instances]

    def file_of(self, instance: Instance) -> Path:
        """Path of an instance's checkpoint.

        Raises:
            InputFileError: the manifest points outside the zoo.
        """
        return file_in(self.path, instance, self.path / "instances.jsonl")


def file_in(zoo: Path, instance: Instance, listed: Path) -> Path:
    """Path of an instance's checkpoint.

    Args:
        listed: the file that names it.
    Raises:
        InputFileError: it is named outside the zoo.
    """
    relative = PurePosixPath(instance.file)
    if relative.is_absolute() or ".." in relative.parts:
        raise InputFileError(
            listed,
            f"instance {shown(instance.id)} points outside the zoo: {shown(instance.file)}.",
            "Do not trust it, or index the folder again.",
        )
    return zoo / relative


def create_zoo(path: Path, data: dict[str, Any], about: dict[str, Any]) -> Zoo:
    """Begin a zoo, or open the existing one if its data are the same.

    Raises:
        ConfigError: the folder holds a zoo of other data or with another licence, or something that is not a zoo.
    """
    try:
        recorded_io(data["io"])
        check_recorded_scale(data)
    except (TypeError, ValueError) as failure:
        raise ConfigError(f"a zoo cannot be made of {data['name']}: {failure}.", "Give other data.") from failure
    if (path / "zoo.json").exists():
        zoo = open_zoo(path)
        if zoo.data != data:
            own, other = zoo.data, data
            differing = ", ".join(_WORDS.get(k, k) for k in sorted({*own, *other}) if own.get(k) != other.get(k))
            raise ConfigError(
                f"{path} is a zoo of {own['name']} ({io_from(own['io']).describe()}); "
                f"this is {other['name']} ({io_from(other['io']).describe()}). They differ in: {differing}.",
                "Choose another folder: a zoo has one data set.",
            )
        licence = zoo.about.get("licence")
        if licence is not None and about.get("licence", licence) != licence:
            raise ConfigError(
                f"{path} is a zoo with the licence {licence}; this is {about['licence']}.",
                f"Give {setting('licence', licence)}, or choose another folder: a zoo has one licence.",
            )
        return zoo
    taken = path.exists() and (not path.is_dir() or any(p.suffix == ".jsonl" for p in path.iterdir()))
    if taken and not is_barely_begun(path):
        raise ConfigError(f"{path} already exists and is not a zoo.", "Choose another folder.")
    path.mkdir(parents=True, exist_ok=True)
    # A zoo is there from zoo.json on, and then it is whole: a kill before leaves what `is_barely_begun` knows.
    (path / "instances.jsonl").touch()
    record = {"format": FORMAT, "version": VERSION, "data": data, **about}
    atomic_write(path / "zoo.json", lambda p: p.write_text(json.dumps(record, indent=1) + "\n"), force=False)
    return Zoo(path, data, (), about)


def is_barely_begun(path: Path) -> bool:
    """Whether a folder has an empty manifest and no zoo.json, as when the making of a zoo was killed at once."""
    manifest = path / "instances.jsonl"
    others = [p for p in path.iterdir() if p.suffix == ".jsonl" and p != manifest] if path.is_dir() else []
    return manifest.is_file() and not manifest.stat().st_size and not others and not (path / "zoo.json").exists()


def open_zoo(path: Path | str) -> Zoo:
    """Open a zoo and read its manifest.

    Raises:
        InputFileError: not a zoo, a newer version, or a line that is not an instance.
    """
    path = Path(path)
    file = path / "zoo.json"
    if not file.is_file():
        raise InputFileError(
            path,
            "not a zoo (it has no zoo.json).",
            "Make one with `netspace zoo train` or `netspace zoo index`.",
        )
    try:
        record = parse_json(read_text(file, hint="Index the folder again."))
        check_version(file, as_table(record), (FORMAT, VERSION), "Use the netspace that wrote it.")
        data = translated_record(dict(as_table(record["data"])))
        recorded_io(data["io"])
        check_recorded_scale(data)
        if not isinstance(data["name"], str):
            raise TypeError(f"name {shown_value(data['name'])} is not text")
    except KeyError as failure:
        raise InputFileError(file, f"not a zoo record (it lacks {failure}).", "Index the folder again.") from failure
    except (ValueError, TypeError) as failure:
        raise InputFileError(file, f"not a zoo record ({brief(failure)}).", "Index the folder again.") from failure
    about = {k: v for k, v in record.items() if k not in ("format", "version", "data")}
    return Zoo(path, data, tuple(read_manifest(path / "instances.jsonl")), about)


def read_manifest(file: Path) -> list[Instance]:
    """Instances that a manifest lists, in its order.

    Raises:
        InputFileError: no such file, or a line that is not an instance.
    """
    if not file.is_file():
        raise InputFileError(file, "no such file.", "Index the folder again.")
    text = read_text(file, most=MOST_MANIFEST_BYTES, hint="Index the folder again.")
    lines = whole_lines(text.encode()).decode().split("\n")
    instances: dict[str, Instance] = {}
    for number, line in enumerate(lines if lines[-1] else lines[:-1], start=1):
        try:
            instance = instance_from(parse_json(line))
        except (ValueError, TypeError) as failure:
            raise InputFileError(
                file, f"line {number} is not an instance ({brief(failure)}).", "Remove that line."
            ) from failure
        if instance.id in instances:
            reason = f"line {number}: the id {shown(instance.id)} appears twice."
            raise InputFileError(file, reason, "Remove that line.")
        instances[instance.id] = instance
    return list(instances.values())


def as_table(value: Any) -> dict[str, Any]:
    """What JSON holds, which must be names with values. Raises TypeError: says what it is."""
    if not isinstance(value, dict):
        raise TypeError(f"a {type(value).__name__}, not a table")
    return value


def instance_from(fields: dict[str, Any]) -> Instance:
    """An instance from a line's content.

    Raises:
        TypeError, ValueError: it is not one.
    """
    fields = as_table(fields)
    if "accuracy" not in fields:
        fields = {"accuracy" if name in SCORES else name: value for name, value in fields.items()}
    instance = Instance(**fields)
    for name in ("id", "arch", "split", "file", "sha256", "licence"):
        if not isinstance(getattr(instance, name), str):
            raise TypeError(f"{name} = {shown_value(getattr(instance, name))} is not text")
    # Files of other zoos are named after them.
    for name in ("id", "arch"):
        if leads_elsewhere(getattr(instance, name)):
            raise ValueError(f"{name} = {shown(getattr(instance, name))} is a path that leads elsewhere")
    if not all(each is None or type(each) is int for each in (instance.seed, instance.epochs)):
        raise TypeError(f"seed {instance.seed!r} or epochs {instance.epochs!r} is not a whole number")
    if instance.split not in SPLITS:
        raise ValueError(f"unknown split {shown(instance.split)}: one of {', '.join(SPLITS)}")
    if not isinstance(instance.training, dict):
        raise TypeError(f"training = {shown_value(instance.training)} is not a table")
    if not isinstance(instance.training.get("key", ""), str | None):
        raise TypeError(f"key = {shown_value(instance.training['key'])} is not text")
    scores = instance.accuracy
    if not isinstance(scores, dict) or not all(type(v) in (int, float) for v in scores.values()):
        raise TypeError(f"accuracy = {shown_value(scores)} is not a table of numbers")
    if any(v > 1 for v in scores.values()):
        raise ValueError(f"accuracy = {shown_value(scores)} is more than 1, which is all")
    return instance


def write_instance(
    zoo: Path, id: str, arch: str, state: Mapping[str, Tensor], licence: str, *, run: str | None = None
) -> str:
    """Write an instance's checkpoint into the zoo; returns its relative path.

    Args:
        run: of which it is one of several instances.
    Raises:
        NotFinite: NaN or infinity among its values.
    """
    file = f"instances/{arch.replace(':', '/')}/{id}.safetensors"
    check_finite(state, zoo / file)
    (zoo / file).parent.mkdir(parents=True, exist_ok=True)
    metadata = {"format": "pt", "netspace.arch": arch, "netspace.licence": licence}
    metadata |= {"netspace.run": run} if run else {}
    write_checkpoint(zoo / file, state, metadata=metadata, force=True)
    return file


def record_of(instance: Instance, io: NetworkIO) -> dict[str, Any]:
    """A line of the manifest of such networks, as plain data: their scores have their own name."""
    return {key_of(io) if name == "accuracy" else name: value for name, value in asdict(instance).items()}


def verify(zoo: Zoo) -> list[tuple[Instance, str]]:
    """Check every instance's file against the manifest: (instance, "ok", "missing", "changed" or "unreadable")."""
    return [(instance, file_state(zoo.file_of(instance), instance.sha256)) for instance in zoo.instances]


def file_state(path: Path, sha256: str) -> str:
    """Whether a file is the one of a digest: "ok", "missing", "changed" or "unreadable"."""
    if not os.path.isfile(path):
        return "missing"
    try:
        return "ok" if sha256_of(path) == sha256 else "changed"
    except InputFileError:
        return "unreadable"
