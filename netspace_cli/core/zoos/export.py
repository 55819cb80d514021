"""Export one instance of a zoo as a separate checkpoint."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from netspace_models.errors import ConfigError

from netspace_cli.core.files.checkpoint import check_checkpoint_suffix, read_checkpoint, write_checkpoint
from netspace_cli.core.files.outputs import check_no_input, check_output
from netspace_cli.core.networks.network import Network

from .zoo import Instance, Zoo


def export_instance(zoo: Zoo, instance_id: str, path: Path, *, force: bool = False) -> Network:
    """Write an instance's unchanged state dict in the format of the path's extension.

    Raises:
        ConfigError: the zoo has no such instance (the message has what is near), no checkpoint's extension, or
            the path is that of an instance of the zoo.
        OutputExists: the path is taken and `force` is not given.
        InputFileError: the instance's file is missing or changed.
    """
    check_checkpoint_suffix(path)
    instance = find_instance(zoo, instance_id)
    check_no_input([path], [zoo.file_of(i) for i in zoo.instances])
    check_output(path, force=force)
    architecture = next(a for a in zoo.architectures() if a.name == instance.arch)
    network = zoo.network(instance, architecture)
    state = read_checkpoint(zoo.file_of(instance), key=instance.training.get("key")).state
    metadata = {"format": "pt", "netspace.arch": instance.arch, "netspace.licence": instance.licence}
    write_checkpoint(path, state, metadata=metadata, versions=architecture.versions(network.form), force=force)
    return network


def find_instance(zoo: Zoo, asked: str) -> Instance:
    """Find an instance by its id.

    Raises:
        ConfigError: the zoo has none; the message has what is near.
    """
    found = next((i for i in zoo.instances if i.id == asked), None)
    if found is None:
        raise ConfigError(f"{zoo.path} has no instance {asked!r}.", _near(zoo, asked))
    return found


def _near(zoo: Zoo, asked: str) -> str:
    """Hint for a missing id.

    Ids mostly differ in their number alone, and another number is another network: only what has the same
    numbers is taken for a slip.
    """
    by_file = next((i.id for i in zoo.instances if asked in (i.file, str(zoo.path / i.file))), None)
    same_numbers = [i.id for i in zoo.instances if _numbers(i.id) == _numbers(asked)]
    near = [by_file] if by_file else difflib.get_close_matches(asked, same_numbers, n=1)
    if near:
        return f"Did you mean {near[0]}?"
    stem = asked.rstrip("0123456789")
    such = [i.id for i in zoo.instances if i.id.startswith(asked)]
    such = such or [i.id for i in zoo.instances if stem and i.id.rstrip("0123456789") == stem]
    if such:
        return f"It has {len(such)} such ids, from {such[0]} to {such[-1]}."
    return f"`netspace zoo show {zoo.path}` lists its {len(zoo.instances)} instances."


def _numbers(words: str) -> list[str]:
    return [number.lstrip("0") for number in re.findall(r"\d+", words)]
