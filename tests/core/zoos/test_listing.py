"""Lines of a manifest: each is added once, and in the end they have one order."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
from netspace_models.errors import ConfigError

from netspace_cli.core.zoos import listing
from netspace_cli.core.zoos.listing import append_instance, order_instances
from netspace_cli.core.zoos.zoo import Instance, create_zoo, open_zoo
from tests.worlds import Tiny


def an_instance(**changes: Any) -> Instance:
    return replace(Instance("a", "lenetlike", "train", "a.pt", "0" * 64), **changes)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "instances.jsonl").read_text().splitlines()]


@pytest.fixture
def five(tiny: Tiny, tmp_path: Path) -> Path:
    """A zoo of the instances a to e."""
    create_zoo(tmp_path / "zoo", tiny.data.record(), {})
    for id in "abcde":
        append_instance(tmp_path / "zoo", an_instance(id=id, accuracy={"val": 1 / 3}, training={"lr": 0.1}))
    return tmp_path / "zoo"


def ids_of(zoo: Path) -> str:
    return "".join(instance.id for instance in open_zoo(zoo).instances)


def test_an_instance_added_by_another_process_is_not_added_again(tiny: Tiny, tmp_path: Path) -> None:
    create_zoo(tmp_path / "zoo", tiny.data.record(), {})
    append_instance(tmp_path / "zoo", an_instance())
    append_instance(tmp_path / "zoo", an_instance())
    assert len(open_zoo(tmp_path / "zoo").instances) == 1
    with pytest.raises(ConfigError, match="has another instance 'a' already"):
        append_instance(tmp_path / "zoo", an_instance(sha256="1" * 64))
    assert [asdict(i) for i in open_zoo(tmp_path / "zoo").instances] == lines_of(tmp_path / "zoo")


def test_a_manifest_is_not_read_again_for_every_line(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_zoo(tmp_path / "zoo", tiny.data.record(), {})
    manifest, true_reading = tmp_path / "zoo" / "instances.jsonl", listing.read_manifest
    read: list[Path] = []

    def reading(file: Path) -> list[Instance]:
        read.append(file)
        return true_reading(file)

    monkeypatch.setattr(listing, "read_manifest", reading)
    one, two, three, four = (Instance(f"n{i}", "lenetlike", "train", f"n{i}.pt", f"{i}" * 64) for i in range(4))
    for instance in (one, two, three):
        append_instance(tmp_path / "zoo", instance)
    assert len(read) == 1
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join([*lines[:2], lines[2].replace('"n2"', '"n3"')]))  # by another process
    append_instance(tmp_path / "zoo", three)
    with pytest.raises(ConfigError, match="another instance 'n3' already"):
        append_instance(tmp_path / "zoo", four)
    assert len(read) == 2
    assert [i.id for i in open_zoo(tmp_path / "zoo").instances] == ["n0", "n1", "n3", "n2"]


def test_instances_are_put_in_order_and_others_stay_where_they_are(five: Path) -> None:
    before = {i.id: i for i in open_zoo(five).instances}
    order_instances(five, ["e", "c", "a"])
    assert ids_of(five) == "ebcda"
    assert {i.id: i for i in open_zoo(five).instances} == before
    append_instance(five, an_instance(id="f"))
    assert ids_of(five) == "ebcdaf"


def test_a_manifest_that_is_in_order_is_not_written_again(five: Path) -> None:
    manifest = five / "instances.jsonl"
    before = manifest.stat()
    order_instances(five, ["a", "b", "d"])
    assert (manifest.stat().st_ino, manifest.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_manifest_in_order_need_not_be_written_to(five: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(listing.fcntl, "flock", refused)
    order_instances(five, ["a", "c", "e"])
    with pytest.raises(PermissionError):
        order_instances(five, ["c", "a"])


def test_a_line_that_was_removed_meanwhile_is_left_out(five: Path) -> None:
    order_instances(five, ["gone", "e", "lost", "a"])
    assert ids_of(five) == "ebcda"


def test_a_line_goes_into_the_file_that_was_put_in_place_meanwhile(five: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process puts instances in order while this one waits for its turn."""
    flock, waited = listing.fcntl.flock, list[FileIO]()

    def waiting(file: FileIO, how: int) -> None:
        if not waited:
            waited.append(file)
            order_instances(five, ["e", "a"])
        flock(file, how)

    monkeypatch.setattr(listing.fcntl, "flock", waiting)
    append_instance(five, an_instance(id="f"))
    assert ids_of(five) == "ebcdaf"
