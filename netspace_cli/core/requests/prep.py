"""Requests to write a network's PRep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from netspace_cli.core.files.outputs import check_no_input, check_output
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.prep_files import check_prep, write_prep
from netspace_cli.core.spaces.built_in import built_in_architectures
from netspace_cli.core.spaces.space import load_space

from .reader import CheckpointReader


@dataclass(frozen=True)
class PrepRequest:
    """A request to write a PRep.

    Attributes:
        network: a checkpoint.
        output, height, width, force: as in `write_prep`.
        space: whose architectures are tried first; None for those of the built-in spaces.
        arch, key: how the checkpoint is read.
    """

    network: Path
    output: Path
    height: int | None = None
    width: int = 10_000
    space: str | None = None
    arch: str | None = None
    key: str | None = None
    force: bool = False

    def prepare(self) -> PrepTask:
        """Read the network and refuse what cannot be done, before anything is written.

        Raises:
            ConfigError, OutputExists, InputFileError, UnknownArchitecture, DoesNotFit: say what and why.
        """
        check_no_input([self.output], [self.network, self.space])
        check_output(self.output, force=self.force)
        candidates = built_in_architectures() if self.space is None else load_space(self.space).architectures
        network = CheckpointReader(self.arch, self.key).network(self.network, candidates=candidates)
        grid = check_prep(network, self.output, height=self.height, width=self.width, force=self.force)
        return PrepTask(self, network, grid)


@dataclass(frozen=True)
class PrepTask:
    """A PRep that is ready to be written.

    Attributes:
        request: what was asked for.
        network: read.
        grid: (height, width).
    """

    request: PrepRequest
    network: Network
    grid: tuple[int, int]

    def run(self) -> None:
        """Write the file."""
        height, width = self.grid
        write_prep(self.network, self.request.output, height=height, width=width, force=self.request.force)
