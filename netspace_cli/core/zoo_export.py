"""One instance of a zoo as a checkpoint of its own."""

from __future__ import annotations

import difflib
from pathlib import Path

from netspace_models.errors import ConfigError

from .checkpoint import check_checkpoint_suffix, read_checkpoint, write_checkpoint
from .files import check_output
from .networks import Network
from .zoo import Zoo


def export_instance(zoo: Zoo, instance_id: str, path: Path, *, force: bool = False) -> Network:
    """Write an instance's state dict, as it is in the zoo, in the format of the path's extension.

    Raises:
        ConfigError: the zoo has no such instance (the message has the nearest), or no checkpoint's extension.
        OutputExists: the path is taken and `force` is not given.
        InputFileError: the instance's file is missing or changed.
    """
    check_checkpoint_suffix(path)
    check_output(path, force=force)
    instance = next((i for i in zoo.instances if i.id == instance_id), None)
    if instance is None:
        near = difflib.get_close_matches(instance_id, [i.id for i in zoo.instances], n=1)
        raise ConfigError(
            f"{zoo.path} has no instance {instance_id!r}.",
            f"Did you mean {near[0]}?" if near else "`netspace zoo show` lists them.",
        )
    architecture = next(a for a in zoo.architectures() if a.name == instance.arch)
    network = zoo.network(instance, architecture)
    state = read_checkpoint(zoo.file_of(instance)).state
    metadata = {"format": "pt", "netspace.arch": instance.arch, "netspace.licence": instance.licence}
    write_checkpoint(path, state, metadata=metadata, force=force)
    return network
