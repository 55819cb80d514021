"""Requests to decode an embedding file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netspace_models.architectures.architecture import Form
from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from netspace_cli.core.data.data import Data
from netspace_cli.core.encoding.decode import decode, output_paths, starts_of, wanted_archs, write_decoded
from netspace_cli.core.files.outputs import check_no_input
from netspace_cli.core.kinds.labelled import require_labelled
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import labels_of
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.sampling.together import test_logits, together
from netspace_cli.core.spaces.embeddings import Embeddings, check_space, load_embeddings
from netspace_cli.core.spaces.space import Space

from .choose_data import choose_data, recorded
from .choose_space import choose_space


@dataclass(frozen=True)
class DecodeRequest:
    """A request to decode embeddings.

    Attributes:
        embedding: an embedding file.
        output: a checkpoint, or a folder for several; force: replace what is there.
        arch, recognised, form, start, members: as in `decode`.
        space, data: a name or a path, and a data set as in `load_data`; None for those that fit.
    """

    embedding: Path
    output: Path
    arch: str | None = None
    recognised: bool = False
    form: Form | None = None
    space: str | None = None
    data: str | None = None
    force: bool = False
    start: int = 0
    members: int | None = None

    def prepare(self) -> DecodeTask:
        """Read the embeddings and refuse what cannot be done, before any work.

        Raises:
            ConfigError, OutputExists, WrongSpace, DataUnavailable, InputFileError: say what and why.
        """
        if self.recognised and self.arch is not None:
            raise ConfigError(
                f"{setting('arch')} and {setting('recognised')} cannot be combined.", "Give only one of them."
            )
        check_no_input([self.output], [self.embedding, self.space, self.data])
        embeddings = load_embeddings(self.embedding)
        space = choose_space(self.space, [self.embedding])
        check_space(self.embedding, embeddings, space)
        archs = wanted_archs(embeddings, self.arch, self.recognised)
        starts = starts_of(space, archs, start=self.start, members=self.members)
        paths = output_paths(self.output, embeddings, force=self.force, members=self.members)
        return DecodeTask(self, space, choose_data(space, self.data), embeddings, paths, starts)


@dataclass(frozen=True)
class DecodeTask:
    """A decoding task that is ready to run.

    Attributes:
        request: what was asked for.
        space, data: opened; data None where the space's own are not available.
        embeddings: read; paths: where each network goes.
        starts: that the networks of each embedding come from.
    """

    request: DecodeRequest
    space: Space
    data: Data | None
    embeddings: Embeddings
    paths: Sequence[Path]
    starts: Sequence[int] = (0,)

    def run(self, runner: Runner) -> list[Network]:
        """Build the networks."""
        asked = self.request
        return decode(
            self.embeddings,
            self.space,
            runner,
            arch=asked.arch,
            recognised=asked.recognised,
            form=asked.form,
            start=asked.start,
            members=asked.members,
        )

    def rows(self, networks: Sequence[Network], runner: Runner) -> list[dict[str, Any]]:
        """{arch, parameters, path, accuracy or r2?} per network, scored on the test split if there are labels."""
        return self._rows(networks, self.space.kind.accuracies(networks, self.data, runner))

    def ensembles(
        self, networks: Sequence[Network], runner: Runner
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Rows with each network's starting point, and one row per embedding for its networks together.

        The latter are {source, members, accuracy or r2?, agreement?}.
        """
        size, sources = len(self.starts), [origin.source for origin in self.embeddings.origins]
        ensembles: list[dict[str, Any]] = [{"source": source, "members": size} for source in sources]
        accuracies: list[float | None] = [None] * len(networks)
        if self.data is not None:
            images = runner.place(require_labelled(self.data))
            labels = labels_of(images, "test")
            groups = [networks[i : i + size] for i in range(0, len(networks), size)]
            found = [together(test_logits(group, images, runner), labels, images.io.problem) for group in groups]
            accuracies = [accuracy for each in found for accuracy in each.accuracies]
            ensembles = [
                row
                | {self.space.io.problem.key: each.ensemble}
                | ({} if each.agreement is None else {"agreement": each.agreement})
                for row, each in zip(ensembles, found, strict=True)
            ]
        rows = self._rows(networks, accuracies)
        return [row | {"start": self.starts[i % size]} for i, row in enumerate(rows)], ensembles

    def _rows(self, networks: Sequence[Network], accuracies: Sequence[float | None]) -> list[dict[str, Any]]:
        return [
            {"arch": n.architecture.name, "parameters": n.architecture.parameter_count, "path": path}
            | ({} if accuracy is None else {self.space.io.problem.key: accuracy})
            for n, path, accuracy in zip(networks, self.paths, accuracies, strict=True)
        ]

    def write(self, networks: Sequence[Network]) -> None:
        """Write a checkpoint of each network."""
        write_decoded(networks, self.paths, self.space, force=self.request.force, starts=self.starts)

    def record(self) -> dict[str, Any]:
        """What the result depends on, for a JSON document."""
        return {"space": self.space.name, "data": recorded(self.data)}
