"""Decoding an embedding file, as a person asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netspace_models.architectures.architecture import Form
from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from netspace_cli.core.data.data import Data
from netspace_cli.core.encoding.decode import decode, output_paths, write_decoded
from netspace_cli.core.files.outputs import check_no_input
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.embeddings import Embeddings, check_space, load_embeddings
from netspace_cli.core.spaces.space import Space

from .choose_data import choose_data, recorded
from .choose_space import choose_space


@dataclass(frozen=True)
class DecodeRequest:
    """What is asked for.

    Attributes:
        embedding: an embedding file.
        output: a checkpoint, or a folder for several; force: replace what is there.
        arch, recognised, form: as of `decode`.
        space, data: a name or a path, and a data set as of `load_data`; None for those that fit.
    """

    embedding: Path
    output: Path
    arch: str | None = None
    recognised: bool = False
    form: Form | None = None
    space: str | None = None
    data: str | None = None
    force: bool = False

    def prepare(self) -> DecodeTask:
        """Read the embeddings and refuse what cannot be done, before any work.

        Raises:
            ConfigError, OutputExists, WrongSpace, DataUnavailable, InputFileError: say what and why.
        """
        if self.recognised and self.arch is not None:
            raise ConfigError(
                f"{setting('arch')} and {setting('recognised')} say both what is built.", "Give one of them."
            )
        check_no_input([self.output], [self.embedding, self.space])
        embeddings = load_embeddings(self.embedding)
        space = choose_space(self.space, [self.embedding])
        check_space(self.embedding, embeddings, space)
        paths = output_paths(self.output, embeddings, force=self.force)
        return DecodeTask(self, space, choose_data(space, self.data), embeddings, paths)


@dataclass(frozen=True)
class DecodeTask:
    """Embeddings that can be decoded.

    Attributes:
        request: what was asked for.
        space, data: opened; data None where the space's own are not at hand.
        embeddings: read; paths: where each network goes.
    """

    request: DecodeRequest
    space: Space
    data: Data | None
    embeddings: Embeddings
    paths: Sequence[Path]

    def run(self, runner: Runner) -> list[Network]:
        """Build the networks."""
        asked = self.request
        return decode(
            self.embeddings, self.space, runner, arch=asked.arch, recognised=asked.recognised, form=asked.form
        )

    def rows(self, networks: Sequence[Network], runner: Runner) -> list[dict[str, Any]]:
        """{arch, parameters, path, accuracy?} of each network, scored on the test split where there are labels."""
        accuracies = self.space.kind.accuracies(networks, self.data, runner)
        return [
            {"arch": n.architecture.name, "parameters": n.architecture.parameter_count, "path": path}
            | ({} if accuracy is None else {"accuracy": accuracy})
            for n, path, accuracy in zip(networks, self.paths, accuracies, strict=True)
        ]

    def write(self, networks: Sequence[Network]) -> None:
        """Write a checkpoint of each."""
        write_decoded(networks, self.paths, self.space, force=self.request.force)

    def record(self) -> dict[str, Any]:
        """What the outcome depends on, for a JSON document."""
        return {"space": self.space.name, "data": recorded(self.data)}
