"""Spaces on disk: the same model comes back, the same content gives the same bytes, damage is named."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.errors import ConfigError, InputFileError, NotFinite, OutputExists

from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.files.safetensors_file import read_safetensors, write_safetensors
from netspace_cli.core.networks.trust import trusting
from netspace_cli.core.spaces import built_in as spaces
from netspace_cli.core.spaces.built_in import built_in_architectures, built_in_spaces, space_path
from netspace_cli.core.spaces.embeddings import Origin, embeddings_of, save_embeddings
from netspace_cli.core.spaces.space import load_space, save_space
from tests.worlds import Tiny, space_file


@pytest.fixture
def path(tiny: Tiny, tmp_path: Path) -> Path:
    save_space(tmp_path / "s.safetensors", tiny.single_space)
    return tmp_path / "s.safetensors"


@pytest.fixture
def shelf(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The built-in spaces are `one` and `two`."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    save_space(folder / "one.safetensors", tiny.single_space)
    save_space(folder / "two.safetensors", tiny.space)
    monkeypatch.setattr(spaces, "BUILT_IN", folder)
    return folder


ChangeTensors = Callable[[dict[str, torch.Tensor]], object]


def tamper(
    path: Path, change: Callable[[dict[str, Any]], object] | None = None, tensors: ChangeTensors | None = None
) -> None:
    """Change the record, the tensors or both of a space's file, in place."""
    found, metadata = read_safetensors(path)
    record = json.loads(metadata["netspace.space"])
    if change is not None:
        change(record)
    if tensors is not None:
        tensors(found)
    write_safetensors(path, found, {**metadata, "netspace.space": json.dumps(record)}, force=True)


def test_a_loaded_space_encodes_and_decodes_bit_for_bit(tiny: Tiny) -> None:
    loaded = load_space(space_file(tiny.space))
    generator = torch.Generator().manual_seed(0)
    for architecture in tiny.space.architectures:
        vectors = torch.randn(2, architecture.parameter_count, generator=generator)
        wanted = tiny.space.model.encode(architecture.name, vectors)
        found = loaded.model.encode(architecture.name, vectors)
        assert torch.equal(found, wanted)
        assert torch.equal(
            loaded.model.decode(architecture.name, found), tiny.space.model.decode(architecture.name, wanted)
        )
        assert torch.equal(loaded.model.classify(found), tiny.space.model.classify(wanted))
    assert torch.equal(loaded.embeddings, tiny.space.embeddings)
    assert {**loaded.record, "format": 0, "version": 0} == {**tiny.space.record, "format": 0, "version": 0}
    assert (loaded.sha256, loaded.name, loaded.io) == (tiny.space.sha256, "tiny", tiny.data.io)
    assert loaded.recipe == tiny.recipe


def test_a_loaded_space_is_frozen_and_loading_leaves_the_random_stream_alone(tiny: Tiny) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    loaded = load_space(space_file(tiny.space))
    assert torch.equal(torch.rand(2), wanted)
    assert not loaded.model.training
    assert not any(p.requires_grad for p in loaded.model.parameters())


def test_the_same_space_gives_the_same_bytes(tiny: Tiny, path: Path, tmp_path: Path) -> None:
    again = save_space(tmp_path / "again.safetensors", load_space(path))
    assert space_file(again).read_bytes() == path.read_bytes() == space_file(tiny.single_space).read_bytes()
    assert again.sha256 == sha256_of(path)


def test_an_existing_file_is_kept(tiny: Tiny, path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(OutputExists):
        save_space(path, tiny.space)
    assert path.read_bytes() == before


def test_a_checkpoint_is_no_space(tiny: Tiny, tmp_path: Path) -> None:
    torch.save({"a": torch.ones(3)}, tmp_path / "a.pt")
    torch.save({"a": torch.ones(3)}, tmp_path / "b.pt", _use_new_zipfile_serialization=False)
    for path in (tiny.networks["lenetlike"], tmp_path / "a.pt", tmp_path / "b.pt"):
        with pytest.raises(InputFileError, match=rf"{path.name}: this is a checkpoint, not a space\.") as refused:
            load_space(path)
        assert "`netspace encode` makes an embedding of it" in refused.value.hint


def test_an_embedding_is_no_space(tiny: Tiny, tmp_path: Path) -> None:
    save_embeddings(tmp_path / "a.emb", embeddings_of(tiny.space, tiny.space.embeddings[:1], [Origin("resnet8")]))
    with pytest.raises(InputFileError, match=r"a\.emb: this is an embedding, not a space\.") as refused:
        load_space(tmp_path / "a.emb")
    assert "netspace decode" in refused.value.hint


def test_a_factory_that_cannot_be_imported_is_named_with_the_space(path: Path) -> None:
    tamper(path, lambda record: record.update(architectures=["net_of_a_space:make"]))
    with trusting("net_of_a_space:make"), pytest.raises(InputFileError) as refused:
        load_space(path)
    assert "s.safetensors: its architecture cannot be built here: the factory net_of_a_space:make" in str(refused.value)
    assert "not a complete space" not in str(refused.value) and "PYTHONPATH" in refused.value.hint


def test_a_newer_version_is_refused_with_both(path: Path) -> None:
    tamper(path, lambda record: record.update(version=2))
    with pytest.raises(InputFileError, match=r"'netspace-space' version 2; this netspace reads .* version 1") as told:
        load_space(path)
    assert "Use the netspace that wrote it" in told.value.hint


@pytest.mark.parametrize("cut", [4, 100, -1000, -1])
def test_a_truncated_file_is_named(path: Path, cut: int) -> None:
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputFileError, match=r"s\.safetensors: "):
        load_space(path)


def test_a_space_that_has_its_io_under_the_older_key_is_read(path: Path) -> None:
    written = load_space(path).record

    def older(record: dict[str, Any]) -> None:
        record["signal"], record["data"]["signal"] = record.pop("io"), record["data"].pop("io")

    tamper(path, older)
    assert load_space(path).record == written


@pytest.mark.parametrize("key", ["name", "architectures", "io", "data", "recipe", "zoo", "netspace_version"])
def test_a_record_without_something_is_told(path: Path, key: str) -> None:
    tamper(path, lambda record: record.pop(key))
    with pytest.raises(InputFileError, match=rf"its record is not complete \(KeyError: '{key}'\)"):
        load_space(path)


@pytest.mark.parametrize(
    "change",
    [
        {"name": 5},
        {"architectures": []},
        {"architectures": [5]},
        {"architectures": "lenetlike"},
        {"architectures": ["lenetlik"]},
        {"architectures": ["lenetlike", "lenetlike"]},
        {"io": {"channels": 1, "size": 8}},
        {"io": {"channels": "1", "size": 8, "classes": 3}},
        {"io": {"channels": 1, "size": -8, "classes": 3}},
        {"io": {"channels": 1, "size": 8, "classes": 4}},
        {"data": None},
        {"data": {"name": None}},
        {"zoo": [5]},
        {"zoo": []},
        {"zoo": None},
    ],
    ids=str,
)
def test_a_record_that_does_not_hold_together_is_told(path: Path, change: dict[str, Any]) -> None:
    tamper(path, lambda record: record.update(change))
    with pytest.raises(InputFileError, match=r"s\.safetensors: (its record is not complete|not a complete space)"):
        load_space(path)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("backbone", "embedding_size", 128),
        ("backbone", "embedding_size", "many"),
        ("backbone", "width", 8),
        ("backbone", "width", 15),
        ("backbone", "kind", "mlp"),
        ("backbone", "unknown", 1),
        ("refine", "steps", "many"),
        ("train", "steps", None),
    ],
)
def test_a_recipe_that_is_not_the_tensors_is_told(path: Path, section: str, key: str, value: object) -> None:
    tamper(path, lambda record: record["recipe"][section].update({key: value}))
    with pytest.raises(
        InputFileError, match=r"s\.safetensors: (its record is not complete|not a complete space)"
    ) as told:
        load_space(path)
    assert told.value.exit_code == 3


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("backbone", "embedding_size"), 2**40, "input should be less than or equal to 1000000"),
        (("backbone", "depth"), 100_000, "input should be less than or equal to 256"),
        (("backbone", "feedback", "rounds"), 10**9, "input should be less than or equal to 256"),
        (("refine", "images"), 10**12, "input should be less than or equal to 1000000"),
        (("space", "starts"), 1_000_000, "its record asks for more than 16,"),
        (("backbone", "chunk"), 999_999, "its record asks for more than 16,"),
        (("backbone", "width"), 100_000, "its record asks for more than 16,"),
        (("backbone", "reader", "probes"), 1_000_000, "its record asks for more than 16,"),
    ],
)
def test_a_record_that_asks_for_more_than_the_file_holds_is_refused_at_once(
    path: Path, place: tuple[str, ...], value: int, words: str
) -> None:
    def ask(record: dict[str, Any]) -> None:
        table = record["recipe"]
        for key in place[:-1]:
            table = table[key]
        table[place[-1]] = value

    tamper(path, ask)
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputFileError) as refused:
        load_space(path)
    assert str(refused.value).startswith(f"{path}: ") and words in str(refused.value) and refused.value.hint
    assert time.process_time() - start < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


def test_a_record_that_is_no_json_is_told(path: Path) -> None:
    tensors, _ = read_safetensors(path)
    for record in ("{", "[]", "null"):
        write_safetensors(path, tensors, {"netspace.space": record}, force=True)
        with pytest.raises(InputFileError, match="its record cannot be read"):
            load_space(path)


def test_missing_extra_and_misshaped_tensors_are_told(path: Path) -> None:
    whole = path.read_bytes()

    def damaged(change: ChangeTensors, words: str) -> None:
        path.write_bytes(whole)
        tamper(path, tensors=change)
        with pytest.raises(InputFileError, match=f"(?s)not a complete space .*{words}"):
            load_space(path)

    damaged(lambda t: t.pop("model.backbone.reader.start"), "backbone.reader.start")
    damaged(lambda t: t.update({"model.more": torch.ones(1)}), "more")
    damaged(lambda t: t.update({"model.backbone.reader.start": torch.ones(2, 2)}), "backbone.reader.start")
    damaged(lambda t: t.pop("zoo.embeddings"), "zoo.embeddings")
    damaged(lambda t: t.update({"zoo.embeddings": torch.ones(1, 64)}), r"shape \(1, 64\) for 4 instances")


def test_values_that_are_not_finite_are_named(path: Path) -> None:
    tamper(path, tensors=lambda t: t["model.backbone.reader.start"].fill_(float("nan")))
    with pytest.raises(NotFinite, match=r"s\.safetensors: .*model\.backbone\.reader\.start"):
        load_space(path)


def test_an_unknown_name_lists_the_built_in_ones(shelf: Path) -> None:
    with pytest.raises(
        ConfigError, match="unknown space 'three': no built-in space has this name, and there is no such file"
    ) as refused:
        load_space("three")
    assert "one, two" in refused.value.hint


def test_where_none_is_built_in_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spaces, "BUILT_IN", tmp_path)
    with pytest.raises(ConfigError) as refused:
        load_space("three")
    assert "none" in refused.value.hint


def test_built_in_spaces_are_opened_by_name(tiny: Tiny, shelf: Path) -> None:
    assert built_in_spaces() == {"one": shelf / "one.safetensors", "two": shelf / "two.safetensors"}
    assert load_space("two").sha256 == tiny.space.sha256
    assert space_path("one") == shelf / "one.safetensors"
    assert [a.name for a in built_in_architectures()] == ["lenetlike", "lenetlike", "vanillacnn", "resnet8"]
