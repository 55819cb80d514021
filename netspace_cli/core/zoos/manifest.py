"""Manifest of an indexed zoo: what it has, and how to add to it or replace it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from netspace_models.errors import ConfigError, InputFileError, OutputExists
from netspace_models.wording import setting

from netspace_cli.core.data.data import LabelledData
from netspace_cli.core.files.outputs import atomic_write

from .listing import append_instance
from .zoo import FORMAT, VERSION, Instance, Zoo, create_zoo, is_barely_begun, open_zoo, record_of


def existing_zoo(folder: Path, data: LabelledData, *, force: bool) -> Zoo | None:
    """The zoo already in a folder, if it may be added to or, with `force`, replaced.

    Raises:
        ConfigError: to be added to, but of other data; to be replaced, but trained by netspace.
        OutputExists: a manifest without a zoo.
        InputFileError: to be added to, but not whole.
    """
    manifest = folder / "instances.jsonl"
    if not (folder / "zoo.json").exists():
        if manifest.exists() and not force and not is_barely_begun(folder):
            raise OutputExists(manifest)
        return None
    if not force:
        try:
            return create_zoo(folder, data.record(), {})
        except ConfigError as failure:
            anew = f"an indexed folder can be indexed again for these images: {setting('force', True)}."
            raise ConfigError(failure.message, f"Choose another folder; {anew}") from failure
    try:
        zoo = open_zoo(folder)
    except InputFileError:
        return None  # a manifest that cannot be read is just what is to be replaced
    trained = sum(i.seed is not None for i in zoo.instances)
    if trained:
        raise ConfigError(
            f"{trained} of {len(zoo.instances)} instances in {folder} were trained by netspace; indexing again "
            "would lose their seeds, epochs and splits.",
            f"Leave out {setting('force', True)} to add to them, or index a copy of the checkpoints.",
        )
    return zoo


def write_zoo(zoo: Zoo, scored: Iterable[Instance], before: Zoo | None, *, force: bool) -> Zoo:
    """Write the manifest with new instances, added one by one; with `force`, only these, after all are ready.

    Args:
        zoo: what is to be written of path, data and the rest.
        before: what `existing_zoo` gave.
    Raises:
        RunFailed: the system refused the bytes; what was listed before still is.
    """
    if force:
        _write_manifest(zoo, list(scored), force=True)
    for number, instance in enumerate(() if force else scored):
        if before is None and number == 0:
            _write_manifest(zoo, [], force=False)
        append_instance(zoo.path, instance)
    return open_zoo(zoo.path)


def _write_manifest(zoo: Zoo, instances: Sequence[Instance], *, force: bool) -> None:
    record = {"format": FORMAT, "version": VERSION, "data": zoo.data, **zoo.about}
    lines = "".join(json.dumps(record_of(i, zoo.io)) + "\n" for i in instances)

    def write(temporary: Path) -> None:
        temporary.write_text(json.dumps(record, indent=1) + "\n")
        # From within, so that what keeps one of the two files from being written keeps the other.
        replaced = force or is_barely_begun(zoo.path)
        atomic_write(zoo.path / "instances.jsonl", lambda p: p.write_text(lines), force=replaced)

    atomic_write(zoo.path / "zoo.json", write, force=force)
