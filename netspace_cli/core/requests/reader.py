"""Reader of a command's checkpoints: each is read once, however often it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from netspace_models.architectures import Architecture, NetworkIO
from netspace_models.architectures.registry import channels_and_classes
from netspace_models.errors import CheckpointError, InputFileError, UnknownArchitecture
from netspace_models.wording import setting

from netspace_cli.core.files.checkpoint import Checkpoint, read_checkpoint, read_safetensors
from netspace_cli.core.networks.network import Network, recognise_network
from netspace_cli.core.networks.recognise import shapes_of


class CheckpointReader:
    """Read the checkpoints of one command.

    Args:
        arch: their architecture, None to recognise it.
        key: where in a nested checkpoint the state dict lies, None for the usual places.
    """

    def __init__(self, arch: str | None = None, key: str | None = None) -> None:
        self.arch, self.key = arch, key
        self._checkpoints: dict[Path, Checkpoint] = {}

    def network(self, path: Path, *, candidates: Sequence[Architecture] = (), io: NetworkIO | None = None) -> Network:
        """Read a network as `read_network` does; the error for an embedding or a space names its type.

        Raises:
            CheckpointError: the file is an embedding or a space; else as `read_network`.
        """
        checkpoint = self._checkpoint(path)
        try:
            return recognise_network(checkpoint, path, candidates=candidates, arch=self.arch, io=io)
        except UnknownArchitecture as failure:
            other = _other_kind(path)
            if other is None:
                raise
            raise CheckpointError(path, f"this is {other[0]}, not a checkpoint.", other[1]) from failure

    def channels_and_classes(self, path: Path) -> tuple[int, int] | None:
        """Read a network's channels and classes off its names and shapes alone; None if they do not say."""
        return channels_and_classes(shapes_of(self._checkpoint(path).state))

    def _checkpoint(self, path: Path) -> Checkpoint:
        if path not in self._checkpoints:
            self._checkpoints[path] = read_checkpoint(path, key=self.key)
        return self._checkpoints[path]


def _other_kind(path: Path) -> tuple[str, str] | None:
    """The type of netspace's own file that was given instead of a checkpoint, and what to do with it."""
    try:
        _, metadata = read_safetensors(path)
    except InputFileError:
        return None
    if "netspace.embedding" in metadata:
        return "an embedding file", "`netspace decode` makes a checkpoint of it."
    if "netspace.space" in metadata:
        return "a space", f"Give a network's checkpoint here, and the space with {setting('space')}."
    return None
