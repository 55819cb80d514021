"""Zoos on disk: what was written comes back, and a manifest that cannot be trusted is refused by name."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.errors import ConfigError, InputFileError, UnknownArchitecture

from netspace_cli.core.networks.network import read_network
from netspace_cli.core.zoos import zoo as zoo_files
from netspace_cli.core.zoos.listing import append_instance
from netspace_cli.core.zoos.zoo import Instance, create_zoo, open_zoo, verify
from tests.worlds import Tiny


@pytest.fixture
def zoo_path(tiny: Tiny, tmp_path: Path) -> Path:
    """A zoo of its own to spoil."""
    shutil.copytree(tiny.single_zoo.path, tmp_path / "zoo")
    return tmp_path / "zoo"


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "instances.jsonl").read_text().splitlines()]


def rewrite(path: Path, *lines: object) -> None:
    """The manifest's lines: tables as JSON, text and bytes as they are."""
    content = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (path / "instances.jsonl").write_text("".join(f"{line}\n" for line in content))


def an_instance(**changes: Any) -> Instance:
    return replace(Instance("a", "lenetlike", "train", "a.pt", "0" * 64), **changes)


def test_a_manifest_comes_back_as_it_was_written(tiny: Tiny, tmp_path: Path) -> None:
    instances = [an_instance(id=str(i), seed=i, epochs=2 * i, accuracy={"test": 1 / 3}) for i in range(3)]
    instances.append(an_instance(id="naïve ü\u2028\x85", licence="CC0-1.0"))
    create_zoo(tmp_path / "zoo", tiny.data.record(), {"licence": "MIT"})
    for instance in instances:
        append_instance(tmp_path / "zoo", instance)
    zoo = open_zoo(tmp_path / "zoo")
    assert list(zoo.instances) == instances
    assert (zoo.data, zoo.about) == (tiny.data.record(), {"licence": "MIT"})
    assert zoo.io == tiny.data.io


def test_a_zoo_needs_nothing_but_json_and_safetensors_to_read(tiny: Tiny) -> None:
    from safetensors.torch import load_file

    record = json.loads((tiny.zoo.path / "zoo.json").read_text())
    assert (record["format"], record["version"]) == ("netspace-zoo", 1)
    for line in lines_of(tiny.zoo.path):
        assert load_file(tiny.zoo.path / line["file"])


def test_a_zoo_that_has_its_io_under_the_older_key_is_read_and_added_to(tiny: Tiny, zoo_path: Path) -> None:
    record = json.loads((zoo_path / "zoo.json").read_text())
    record["data"]["signal"] = record["data"].pop("io")
    (zoo_path / "zoo.json").write_text(json.dumps(record))
    assert open_zoo(zoo_path).io == tiny.data.io
    assert create_zoo(zoo_path, tiny.data.record(), {}).instances == tiny.single_zoo.instances


def test_instances_are_selected_by_split_and_architecture(tiny: Tiny) -> None:
    zoo = tiny.zoo
    assert len(zoo.select()) == len(zoo.instances) == 12
    assert {i.split for i in zoo.select(split="val")} == {"val"}
    assert {(i.split, i.arch) for i in zoo.select(split="train", arch="resnet8")} == {("train", "resnet8")}
    assert zoo.select(arch="resnet110") == ()
    sizes = [a.parameter_count for a in zoo.architectures()]
    assert sizes == sorted(sizes)


def test_networks_are_those_of_the_files(tiny: Tiny) -> None:
    (architecture,) = tiny.single_zoo.architectures()
    instance = tiny.single_zoo.instances[0]
    network = tiny.single_zoo.network(instance, architecture)
    plain = read_network(tiny.single_zoo.file_of(instance), io=tiny.data.io)
    assert torch.equal(network.weights, plain.weights)
    assert network.sha256 == instance.sha256


@pytest.mark.parametrize("file", ["../../x", "/etc/passwd", "a/../../x", "instances/../../x"])
def test_a_manifest_that_points_outside_is_refused(tiny: Tiny, zoo_path: Path, file: str) -> None:
    rewrite(zoo_path, {**lines_of(zoo_path)[0], "file": file})
    zoo = open_zoo(zoo_path)
    for use in (lambda: zoo.file_of(zoo.instances[0]), lambda: verify(zoo)):
        with pytest.raises(InputFileError, match=r"instances\.jsonl: instance 'lenetlike-0000' points outside"):
            use()
    (architecture,) = zoo.architectures()
    with pytest.raises(InputFileError, match="points outside the zoo"):
        zoo.weights(zoo.instances, architecture)


@pytest.mark.parametrize("file", ["", ".", "instances", "no\0such", "x" * 300])
def test_a_manifest_that_points_at_no_file_is_refused(tiny: Tiny, zoo_path: Path, file: str) -> None:
    rewrite(zoo_path, {**lines_of(zoo_path)[0], "file": file})
    zoo = open_zoo(zoo_path)
    (architecture,) = zoo.architectures()
    with pytest.raises(InputFileError, match="no such file"):
        zoo.network(zoo.instances[0], architecture)
    assert verify(zoo) == [(zoo.instances[0], "missing")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"split": "holdout"}, "unknown split 'holdout'"),
        ({"split": None}, "split = None is not text"),
        ({"file": 5}, "file = 5 is not text"),
        ({"id": ["a"]}, r"id = \['a'\] is not text"),
        ({"sha256": None}, "sha256 = None"),
        ({"accuracy": None}, "accuracy = None is not a table"),
        ({"accuracy": {"test": "high"}}, "is not a table of numbers"),
        ({"accuracy": {"test": True}}, "is not a table of numbers"),
        ({"accuracy": {"val": 0.5, "test": 7}}, r"accuracy = \{'val': 0.5, 'test': 7\} is more than 1"),
        ({"accuracy": {"test": float("nan")}}, "NaN where a number belongs"),
        ({"id": "../../x"}, "id = '../../x' is a path that leads elsewhere"),
        ({"arch": "/etc/x"}, "arch = '/etc/x' is a path that leads elsewhere"),
        ({"seed": True}, "seed True or epochs 0 is not a whole number"),
        ({"epochs": [1]}, "epochs \\[1\\] is not a whole number"),
        ({"training": {"key": 5}}, "key = 5 is not text"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_line_that_is_no_instance_is_named(zoo_path: Path, change: dict[str, Any], words: str) -> None:
    first, second = lines_of(zoo_path)[:2]
    rewrite(zoo_path, first, {**second, **change})
    with pytest.raises(InputFileError, match=rf"instances\.jsonl: line 2 is not an instance \(.*{words}"):
        open_zoo(zoo_path)


@pytest.mark.parametrize("line", ['{"id": "a', "", "[]", "null", "5", '{"id": "a"}'])
def test_a_line_that_is_no_json_or_not_whole_is_named(zoo_path: Path, line: str) -> None:
    rewrite(zoo_path, *lines_of(zoo_path)[:1], line, *lines_of(zoo_path)[1:2])
    with pytest.raises(InputFileError, match=r"instances\.jsonl: line 2 is not an instance"):
        open_zoo(zoo_path)


def test_an_id_twice_is_named(zoo_path: Path) -> None:
    first = lines_of(zoo_path)[0]
    rewrite(zoo_path, first, first)
    with pytest.raises(InputFileError, match="line 2: the id 'lenetlike-0000' appears twice"):
        open_zoo(zoo_path)


def test_a_manifest_that_is_no_text_is_named(zoo_path: Path) -> None:
    (zoo_path / "instances.jsonl").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputFileError, match=r"instances\.jsonl: not text"):
        open_zoo(zoo_path)
    (zoo_path / "instances.jsonl").unlink()
    with pytest.raises(InputFileError, match=r"instances\.jsonl: no such file"):
        open_zoo(zoo_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"format": "netspace-zoo"}',
        '{"format": "netspace-zoo", "version": 1}',
        '{"format": "netspace-zoo", "version": 1, "data": {"name": "x"}}',
        '{"format": "netspace-zoo", "version": 1, "data": {"name": "x", "io": {"channels": 3}}}',
        '{"format": "netspace-zoo", "version": 1, "data": {"io": {"channels": 3, "size": 8, "classes": 2}}}',
        '{"format": "netspace-zoo", "version": 1, "data": '
        '{"name": "x", "io": {"channels": "3", "size": 8, "classes": 2}}}',
        '{"format": "netspace-zoo", "version": 1, "data": '
        '{"name": "x", "io": {"channels": 3, "size": 0, "classes": 2}}}',
        '{"format": "netspace-zoo", "version": 1, "data": "x"}',
    ],
)
def test_a_record_that_is_not_whole_is_named(zoo_path: Path, content: str) -> None:
    (zoo_path / "zoo.json").write_text(content)
    with pytest.raises(InputFileError, match=r"zoo\.json: not a zoo record"):
        open_zoo(zoo_path)


@pytest.mark.parametrize(
    ("content", "kind"),
    [("[1]", "list"), ('"x"', "str"), ('{"format": "netspace-zoo", "version": 1, "data": [1]}', "list")],
)
def test_a_record_that_is_no_table_is_named_by_what_it_is(zoo_path: Path, content: str, kind: str) -> None:
    (zoo_path / "zoo.json").write_text(content)
    with pytest.raises(InputFileError, match=f"not a zoo record \\(a {kind}, not a table\\)"):
        open_zoo(zoo_path)


def test_a_record_whose_scale_divides_by_nothing_is_refused(zoo_path: Path) -> None:
    record = json.loads((zoo_path / "zoo.json").read_text())
    record["data"]["std"] = "a"
    (zoo_path / "zoo.json").write_text(json.dumps(record))
    with pytest.raises(InputFileError, match=r"not a zoo record \(std 'a' is not a list of numbers\)"):
        open_zoo(zoo_path)


@pytest.mark.parametrize(
    ("io", "words"),
    [
        (
            {"channels": 3, "size": 8, "classes": 20_000_000},
            "classes 20000000 is not a whole number from 1 to 1,000,000",
        ),
        ({"channels": 3, "size": 8, "classes": True}, "classes True is not a whole number from 1 to 1,000,000"),
        (
            {"channels": 9999, "size": 9999, "classes": 2},
            "inputs of 999,700,029,999 values each, the limit is 16,777,216",
        ),
    ],
)
def test_sizes_of_no_network_are_refused_in_a_record_and_before_it_is_written(
    zoo_path: Path, tmp_path: Path, io: dict[str, int], words: str
) -> None:
    data = {"name": "x", "io": io}
    (zoo_path / "zoo.json").write_text(json.dumps({"format": "netspace-zoo", "version": 1, "data": data}))
    with pytest.raises(InputFileError) as refused:
        open_zoo(zoo_path)
    assert str(refused.value) == f"{zoo_path / 'zoo.json'}: not a zoo record ({words}). Index the folder again."
    with pytest.raises(ConfigError, match=f"a zoo cannot be made of x: {words}. Give other data."):
        create_zoo(tmp_path / "new", data, {})
    assert not (tmp_path / "new").exists()


def test_an_architecture_that_is_none_is_refused_with_the_manifest(zoo_path: Path) -> None:
    rewrite(zoo_path, {**lines_of(zoo_path)[0], "arch": "siren-9999x99"})
    with pytest.raises(UnknownArchitecture) as refused:
        open_zoo(zoo_path).architectures()
    assert refused.value.message.startswith(f"{zoo_path / 'instances.jsonl'}: siren-9999x99 would have more than 9,")


def test_architectures_that_are_larger_together_than_the_files_are_refused(zoo_path: Path) -> None:
    record = json.loads((zoo_path / "zoo.json").read_text())
    record["data"]["io"] = {"dimensions": 2, "values": 1}
    (zoo_path / "zoo.json").write_text(json.dumps(record))
    line = lines_of(zoo_path)[0]
    rewrite(zoo_path, *({**line, "id": f"{k}", "arch": f"siren-{1500 + k}x3"} for k in range(8)))
    with pytest.raises(InputFileError) as refused:
        open_zoo(zoo_path).architectures()
    words = "instances.jsonl: its architectures ask for more than "
    assert words in refused.value.message and "made to fill memory" in refused.value.hint
    rewrite(zoo_path, {**line, "arch": "siren-1500x3"})
    assert len(open_zoo(zoo_path).architectures()) == 1


def test_a_newer_version_is_refused_with_both_versions(zoo_path: Path) -> None:
    record = json.loads((zoo_path / "zoo.json").read_text())
    (zoo_path / "zoo.json").write_text(json.dumps({**record, "version": 2}))
    with pytest.raises(InputFileError, match=r"'netspace-zoo' version 2; this netspace reads 'netspace-zoo' version 1"):
        open_zoo(zoo_path)


def test_no_zoo_is_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputFileError, match="not a zoo") as refused:
            open_zoo(path)
        assert "zoo index" in refused.value.hint


def test_verify_finds_what_is_missing_and_what_was_changed(zoo_path: Path) -> None:
    zoo = open_zoo(zoo_path)
    assert [word for _, word in verify(zoo)] == ["ok"] * len(zoo.instances)
    zoo.file_of(zoo.instances[0]).unlink()
    path = zoo.file_of(zoo.instances[1])
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert [word for _, word in verify(zoo)][:3] == ["missing", "changed", "ok"]
    (architecture,) = zoo.architectures()
    with pytest.raises(InputFileError, match=rf"{path.name}: its SHA-256 is [0-9a-f]{{12}}, the manifest says"):
        zoo.network(zoo.instances[1], architecture)


def test_a_zoo_of_other_data_is_refused_and_the_difference_named(tiny: Tiny, zoo_path: Path) -> None:
    record = tiny.data.record()
    assert create_zoo(zoo_path, record, {}).instances == open_zoo(zoo_path).instances
    with pytest.raises(ConfigError, match=r"is a zoo of npz:tiny.npz \(1x8x8, 3 classes\).*They differ in: padding\."):
        create_zoo(zoo_path, {**record, "padding": 9}, {})
    with pytest.raises(ConfigError, match=r"this is other \(1x8x8, 3 classes\)"):
        create_zoo(zoo_path, {**record, "name": "other"}, {})


def test_what_is_no_zoo_is_not_made_one(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.jsonl").write_text("mine")
    for name in ("file", "folder"):
        with pytest.raises(ConfigError, match=f"{name} already exists and is not a zoo"):
            create_zoo(tmp_path / name, tiny.data.record(), {})
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder", "notes.jsonl"]


def test_a_zoo_is_whole_from_its_first_file_that_says_so(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object, **settings: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(zoo_files, "atomic_write", killed)
        create_zoo(tmp_path / "zoo", tiny.data.record(), {})
    assert [p.name for p in (tmp_path / "zoo").iterdir()] == ["instances.jsonl"]
    assert create_zoo(tmp_path / "zoo", tiny.data.record(), {}).instances == ()
    assert open_zoo(tmp_path / "zoo").instances == ()


def test_lines_without_a_zoo_are_not_taken_for_one_that_was_begun(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "instances.jsonl").write_text("mine")
    with pytest.raises(ConfigError, match="already exists and is not a zoo"):
        create_zoo(tmp_path, tiny.data.record(), {})
    assert (tmp_path / "instances.jsonl").read_text() == "mine"


def test_an_architecture_that_nobody_knows_is_told(zoo_path: Path) -> None:
    from netspace_models.errors import UnknownArchitecture

    rewrite(zoo_path, {**lines_of(zoo_path)[0], "arch": "resnet9"})
    with pytest.raises(UnknownArchitecture, match="resnet9 does not exist"):
        open_zoo(zoo_path).architectures()
