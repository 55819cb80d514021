"""Lines of a zoo's manifest: added one by one as instances are finished, and put in order when all are."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from netspace_models.architectures import NetworkIO
from netspace_models.errors import ConfigError
from netspace_models.wording import setting

from netspace_cli.core.data.records import recorded_io
from netspace_cli.core.files.lines import append_to
from netspace_cli.core.files.outputs import atomic_write
from netspace_cli.core.files.structure import parse_json, read_text

from .zoo import Instance, read_manifest, record_of

# SHA-256 by id of the manifest that this process added to last, and the state of the file that this was true of.
_Known = tuple[tuple[int, ...], dict[str, str]]
_last_known: list[_Known] = [((), {})]


def append_instance(zoo: Path, instance: Instance) -> None:
    """Add a line to the manifest; the whole line is on disk when this returns.

    Several processes may add to one zoo. An instance that another has added meanwhile is left as it is.

    Raises:
        ConfigError: another instance of that id is there.
        RunFailed: the system refused the bytes; the manifest is as it was.
    """
    manifest = zoo / "instances.jsonl"
    with _locked(manifest) as file:
        listed = _listed(manifest, file)
        present = listed.get(instance.id)
        if present is not None and present != instance.sha256:
            raise ConfigError(
                f"{zoo} has another instance {instance.id!r} already, added while this one was made.",
                f"Give each run that adds to a zoo seeds of its own: {setting('seed')}.",
            )
        if present is None:
            append_to(manifest, file, _line(instance, _io_of(zoo)))
            listed[instance.id] = instance.sha256
        _last_known[0] = _state_of(file), listed


def order_instances(zoo: Path, ids: Sequence[str]) -> None:
    """Put instances in an order, whichever was finished first; others stay where they are among them.

    Args:
        ids: those that are not listed are left out.
    Raises:
        RunFailed: the system refused the bytes; the manifest is as it was.
    """
    manifest = zoo / "instances.jsonl"
    if _ordered(read_manifest(manifest), ids) is None:
        return  # also where nothing can be written
    with _locked(manifest):
        after = _ordered(read_manifest(manifest), ids)
        if after is not None:
            io = _io_of(zoo)
            lines = "".join(_line(instance, io) + "\n" for instance in after)
            atomic_write(manifest, lambda path: path.write_text(lines), force=True)


def _ordered(before: Sequence[Instance], ids: Sequence[str]) -> list[Instance] | None:
    """Instances in their order among others; None if they have it."""
    by_id = {instance.id: instance for instance in before}
    own = [id for id in ids if id in by_id]
    ordered, among = iter(own), frozenset(own)
    after = [by_id[next(ordered)] if instance.id in among else instance for instance in before]
    return None if after == list(before) else after


@contextmanager
def _locked(manifest: Path) -> Generator[FileIO]:
    """A manifest that no other process changes meanwhile, open for reading and adding."""
    while True:
        with manifest.open("ab+", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Another process may have put a new file in its place while this one waited. Opened again, as a network's
            # file system may remember what the name stood for.
            with manifest.open("rb") as now:
                same = os.path.samestat(os.fstat(file.fileno()), os.fstat(now.fileno()))
            if same:
                yield file
                return


def _line(instance: Instance, io: NetworkIO) -> str:
    return json.dumps(record_of(instance, io))


def _io_of(zoo: Path) -> NetworkIO:
    return recorded_io(parse_json(read_text(zoo / "zoo.json", hint="Index the folder again."))["data"]["io"])


def _state_of(file: FileIO) -> tuple[int, ...]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _listed(manifest: Path, file: FileIO) -> dict[str, str]:
    """SHA-256 of each instance by id. A manifest that nobody else has changed is not read again for every line."""
    state, digests = _last_known[0]
    return digests if state == _state_of(file) else {i.id: i.sha256 for i in read_manifest(manifest)}
