"""Requests to encode checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netspace_cli.core.data.data import Data
from netspace_cli.core.data.images import images_or_none
from netspace_cli.core.data.normalise import AS_IT_IS, Normalisation, check_recorded
from netspace_cli.core.encoding.encode import count_parts, default_refine_steps, encode
from netspace_cli.core.encoding.fidelity import fidelities
from netspace_cli.core.encoding.refine import check_refining
from netspace_cli.core.files.outputs import check_no_input, check_output
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.recorded_accuracy import compare_recorded
from netspace_cli.core.runtime.cluster import Cluster
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.embeddings import check_embedding_output, save_embeddings
from netspace_cli.core.spaces.space import Space

from .choose_data import choose_data, recorded
from .choose_space import choose_space
from .inputs import read_networks
from .reader import CheckpointReader
from .workers import UNDIVIDED, source_of, undivided_note, workers_for


@dataclass(frozen=True)
class EncodeRequest:
    """A request to encode checkpoints.

    Attributes:
        networks: checkpoints.
        output: of the embeddings; force: replace it.
        refine_steps: None for what the space records.
        space, data: a name or a path, and a data set as in `load_data`; None for those that fit.
        arch, key: how checkpoints are read.
        normalisation: of the images that they were trained on, which is to be the space's.
        workers: processes that the networks are divided among; cluster: where they run, None for this machine.
    """

    networks: Sequence[Path]
    output: Path
    refine_steps: int | None = None
    space: str | None = None
    data: str | None = None
    arch: str | None = None
    key: str | None = None
    force: bool = False
    normalisation: Normalisation = AS_IT_IS
    workers: int = 1
    cluster: Cluster | None = None

    def prepare(self) -> EncodeTask:
        """Read the networks and refuse what cannot be done, before any work.

        Raises:
            ConfigError, OutputExists, WrongSpace, DataUnavailable, CheckpointError: say what and why.
        """
        check_embedding_output(self.output)
        check_no_input([self.output], [*self.networks, self.space, self.data])
        check_output(self.output, force=self.force)
        reader = CheckpointReader(self.arch, self.key)
        space = choose_space(self.space, self.networks, reader)
        data = choose_data(space, self.data)
        check_recorded(self.normalisation, space.record["data"], images_or_none(data), f"space {space.name!r}")
        networks = read_networks(self.networks, space, reader, data)
        steps = default_refine_steps(space, data) if self.refine_steps is None else self.refine_steps
        check_refining(space, data, steps)
        return EncodeTask(self, space, data, networks, steps)


@dataclass(frozen=True)
class EncodeTask:
    """An encoding task that is ready to run.

    Attributes:
        request: what was asked for.
        space, data: opened; data None where the space's own are not available.
        networks: read; refine_steps: of each.
    """

    request: EncodeRequest
    space: Space
    data: Data | None
    networks: Sequence[Network]
    refine_steps: int

    def rows(self) -> list[dict[str, Any]]:
        """{path, arch, parameters, embedding_size, refine_steps} per network."""
        return [
            {
                "path": n.source,
                "arch": n.architecture.name,
                "parameters": n.architecture.parameter_count,
                "embedding_size": self.space.model.embedding_size,
                "refine_steps": self.refine_steps,
            }
            for n in self.networks
        ]

    def run(self, runner: Runner) -> list[dict[str, Any]]:
        """Encode, compare and write; returns `rows` with each network's fidelity."""
        networks, space, data, steps = self.networks, self.space, self.data, self.refine_steps
        asked, rows = self.request, self.rows()
        with workers_for(source_of(space, asked.data), runner, asked, self.parts(runner), asked.output) as workers:
            embeddings = encode(networks, space, runner, data=data, refine_steps=steps, workers=workers)
            if data is not None:
                found = fidelities(networks, embeddings, space, data, runner, workers=workers)
                rows = [{**row, **vars(each)} for row, each in zip(rows, found, strict=True)]
                compare_recorded(networks, data, runner, [row.get("target_accuracy") for row in rows])
        save_embeddings(asked.output, embeddings, force=asked.force)
        return rows

    def parts(self, runner: Runner) -> int:
        """Into how many parts the work is divided, at most."""
        return count_parts(self.networks, self.space, self.refine_steps, runner)

    def undivided(self, runner: Runner) -> str | None:
        """A note where workers make no difference, or None."""
        why = "There is one network." if len(self.networks) == 1 else UNDIVIDED
        return undivided_note(self.request, self.parts(runner), why)

    def record(self) -> dict[str, Any]:
        """What the result depends on, for a JSON document."""
        return {
            "space": self.space.name,
            "space_sha256": self.space.sha256,
            "data": recorded(self.data),
            "output": self.request.output,
        }
