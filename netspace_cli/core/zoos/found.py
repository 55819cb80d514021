"""Checkpoints to adopt: each read and recognised, in this process or in workers, and none taken twice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import (
    DoesNotFit,
    InputFileError,
    NamesDiffer,
    NetspaceError,
    NotFinite,
    UnknownArchitecture,
)

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.networks.assumptions import Remarks, add_remarks, collecting, is_strict, strictly
from netspace_cli.core.networks.decide import deciding_by
from netspace_cli.core.networks.factories import resolve_architecture
from netspace_cli.core.networks.network import Network, read_network
from netspace_cli.core.networks.scores import check_outputs
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.workers import Workers, in_order, spread

from .lists import Entry

# What is wrong with one file; all else (an interrupt, a full disk) ends the whole work.
_FAULTS = (InputFileError, UnknownArchitecture, NotFinite, NamesDiffer, DoesNotFit)
# A network of finite weights whose outputs are not finite shows it on few inputs.
_FEW = 32


@dataclass(frozen=True)
class Reading:
    """How files are read.

    Attributes:
        arch: a name or a factory, where recognition is not wanted.
        key: where in nested checkpoints the state dict lies.
        candidates: names of architectures that are tried first.
    """

    arch: str | None
    key: str | None
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class IndexInputs:
    """A folder of checkpoints and the images they were trained on, as worker processes open them."""

    folder: Path
    data: LabelledData
    _built: dict[str, Architecture] = field(default_factory=dict)

    def architecture(self, name: str) -> Architecture:
        """An architecture by name, for these images; built once.

        Raises:
            ConfigError, UnknownArchitecture: it cannot be built for them.
        """
        if name not in self._built:
            self._built[name] = resolve_architecture(name, self.data.io)
        return self._built[name]


@dataclass(frozen=True)
class LeftOut:
    """A file that was not adopted, the reason, and the next step."""

    path: Path
    reason: str
    hint: str = ""


@dataclass(frozen=True)
class Found:
    """A file that can be adopted.

    Attributes:
        arch: its architecture; sha256: of the file; weights: SHA-256 of its flat parameters.
        run, accuracy: as in `Network`.
    """

    entry: Entry
    arch: str
    sha256: str
    weights: str
    run: str
    accuracy: float | None


@dataclass
class Seen:
    """Networks found so far, by bytes of their files and by weights, so that none is listed twice."""

    files: dict[str, Path] = field(default_factory=dict)
    networks: dict[str, Path] = field(default_factory=dict)

    def add(self, sha256: str, weights: str, path: Path) -> None:
        """Add a network, by the digests of its file and of its weights.

        Raises:
            InputFileError: it is already there.
        """
        if sha256 in self.files:
            raise InputFileError(path, f"the same file as {self.files[sha256]}.")
        if weights in self.networks:
            raise InputFileError(path, f"the same network as {self.networks[weights]}, in another file.")
        self.files[sha256] = self.networks[weights] = path


def digest_of(network: Network) -> str:
    """SHA-256 of a network's flat parameters."""
    return hashlib.sha256(network.weights.numpy().tobytes()).hexdigest()


def recognise_files(
    entries: Sequence[Entry],
    seen: Seen,
    reading: Reading,
    inputs: IndexInputs,
    runner: Runner,
    workers: Workers[IndexInputs] | None,
) -> tuple[list[Found], list[LeftOut]]:
    """Read files, and recognise their architectures, where need be by images.

    Weights are not kept: a zoo may be larger than the memory.

    Args:
        seen: grows by what is found.
        workers: processes that open these inputs; None for this process alone.
    Returns:
        What can be adopted, and the rest.
    """
    found: list[Found] = []
    refused: list[LeftOut] = []
    if not entries:
        return found, refused
    work = partial(_read, reading=reading, strict=is_strict())
    with (
        runner.progress("recognising", len(entries)) as tick,
        closing(spread(work, entries, inputs, runner, workers)) as outcomes,
    ):
        for outcome, remarks in in_order(outcomes):
            add_remarks(remarks)
            if isinstance(outcome, LeftOut):
                refused.append(outcome)
            else:
                try:
                    seen.add(outcome.sha256, outcome.weights, outcome.entry.path)
                    found.append(outcome)
                except InputFileError as failure:
                    refused.append(_left_out(outcome.entry, failure))
            tick(1)
    return found, refused


def _read(
    entry: Entry, inputs: IndexInputs, runner: Runner, *, reading: Reading, strict: bool
) -> tuple[Found | LeftOut, Remarks]:
    """Read one file; with what was assumed or decided of it."""
    candidates = tuple(map(inputs.architecture, reading.candidates))
    io = None if reading.arch else inputs.data.io
    with ExitStack() as held, deciding_by(inputs.data), collecting() as remarks:
        if strict:
            held.enter_context(strictly())
        try:
            if entry.problem:
                raise InputFileError(entry.path, entry.problem)
            network = read_network(entry.path, candidates=candidates, arch=reading.arch, io=io, key=reading.key)
            name = network.architecture.name
            if entry.arch not in (None, name):
                raise InputFileError(entry.path, f"it is a {name}, the list says {entry.arch}.")
            _check_answers(network, inputs.data, entry.path)
            return Found(entry, name, network.sha256, digest_of(network), network.run, network.accuracy), remarks
        except _FAULTS as failure:
            return _left_out(entry, failure), remarks


def _check_answers(network: Network, data: LabelledData, path: Path) -> None:
    """Refuse a network whose outputs are NaN or infinite, which would be scored as if it said the first class."""
    if network.architecture.io != data.io:
        return
    inputs, _ = data.batch("val", slice(0, _FEW))
    with torch.no_grad():
        check_outputs(network.architecture.run(network.weights, inputs), str(path))


def _left_out(entry: Entry, failure: NetspaceError) -> LeftOut:
    return left_out(entry.path, failure, f" ({entry.line})" if entry.line else "")


def left_out(path: Path, failure: NetspaceError, line: str = "") -> LeftOut:
    """A file that was not adopted for a failure, which names it; `line`: of a list that names it, in brackets."""
    said = failure.message.removeprefix(f"{path}: ")
    reason = failure.reason if isinstance(failure, InputFileError) else said
    return LeftOut(path, reason + line, failure.hint)
