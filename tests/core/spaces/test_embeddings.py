"""Embedding files: they come back bit for bit, and say which space they belong to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.errors import InputFileError, NotFinite, OutputExists, WrongSpace

from netspace_cli.core.files.safetensors_file import read_safetensors, write_safetensors
from netspace_cli.core.spaces.embeddings import (
    Embeddings,
    Origin,
    check_space,
    embeddings_of,
    is_embedding,
    load_embeddings,
    save_embeddings,
)
from tests.worlds import Tiny, space_file

ORIGINS = (
    Origin("lenetlike", "full", "näme.pt", "a" * 64),
    Origin("resnet8", "fused", "b.pt", "b" * 64, "optimised", 7),
)
EMBEDDINGS = Embeddings(torch.randn(2, 64, generator=torch.Generator().manual_seed(0)), ORIGINS, "tiny", "c" * 64)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_embeddings(tmp_path / "a.emb", EMBEDDINGS)
    return tmp_path / "a.emb"


def tamper(path: Path, *, vectors: torch.Tensor | None = None, **changes: Any) -> None:
    """Change single things of an embedding file; None takes a key out."""
    tensors, metadata = read_safetensors(path)
    record = json.loads(metadata["netspace.embedding"]) | changes
    record = {k: v for k, v in record.items() if v is not None}
    tensors = {"embedding": vectors} if vectors is not None else tensors
    write_safetensors(path, tensors, {"netspace.embedding": json.dumps(record)}, force=True)


def test_what_was_saved_comes_back(path: Path) -> None:
    found = load_embeddings(path)
    assert torch.equal(found.vectors, EMBEDDINGS.vectors)
    assert (found.origins, found.space, found.space_sha256) == (ORIGINS, "tiny", "c" * 64)


def test_the_same_embeddings_give_the_same_bytes(path: Path, tmp_path: Path) -> None:
    save_embeddings(tmp_path / "b.emb", load_embeddings(path))
    assert (tmp_path / "b.emb").read_bytes() == path.read_bytes()


def test_an_existing_file_is_kept(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(OutputExists):
        save_embeddings(path, replace(EMBEDDINGS, space="other"))
    assert path.read_bytes() == before


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_refused(path: Path, value: float) -> None:
    vectors = EMBEDDINGS.vectors.clone()
    vectors[1, 3] = value
    tamper(path, vectors=vectors)
    with pytest.raises(NotFinite, match=r"a\.emb: the embedding holds NaN or infinity"):
        load_embeddings(path)


def test_another_version_is_refused_with_both(path: Path) -> None:
    tamper(path, version=2)
    with pytest.raises(InputFileError, match=r"'netspace-embedding' version 2; this netspace reads .* version 1"):
        load_embeddings(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"networks": []},
        {"networks": [{"arch": "a"}]},
        {"networks": [{"arch": "a"}, {"colour": "red"}]},
        {"networks": 5},
        {"networks": [5, 5]},
        {"networks": [{"arch": "a"}, {"arch": 5}]},
        {"networks": [{"arch": "a"}, {"arch": "a", "form": "half"}]},
        {"networks": [{"arch": "a"}, {"arch": "a", "source": None}]},
        {"space": 5},
        {"space_sha256": ["a"]},
        {"vectors": torch.zeros(64)},
        {"vectors": torch.zeros(3, 64)},
        {"vectors": torch.zeros(2, 64, dtype=torch.int32)},
    ],
)
def test_a_record_that_is_not_whole_is_named(path: Path, changes: dict[str, Any]) -> None:
    tamper(path, **changes)
    with pytest.raises(InputFileError, match=r"a\.emb: not a complete embedding file"):
        load_embeddings(path)


@pytest.mark.parametrize("key", ["networks", "space", "space_sha256", "version", "format"])
def test_a_missing_key_is_told(path: Path, key: str) -> None:
    tamper(path, **{key: None})
    with pytest.raises(InputFileError, match=rf"a\.emb: .*{key}"):
        load_embeddings(path)


@pytest.mark.parametrize("record", ["{", "[]", "null", '"text"'])
def test_a_record_that_is_no_table_is_told(path: Path, record: str) -> None:
    write_safetensors(path, {"embedding": EMBEDDINGS.vectors}, {"netspace.embedding": record}, force=True)
    with pytest.raises(InputFileError, match="its record cannot be read"):
        load_embeddings(path)


def test_other_files_are_told_apart(tmp_path: Path, tiny: Tiny) -> None:
    write_safetensors(tmp_path / "x.emb", {"a": torch.ones(1)}, {}, force=False)
    with pytest.raises(InputFileError, match="this is a checkpoint, not an embedding"):
        load_embeddings(tmp_path / "x.emb")
    with pytest.raises(InputFileError, match="no such file"):
        load_embeddings(tmp_path / "y.emb")
    with pytest.raises(InputFileError, match="this is a space, not an embedding"):
        load_embeddings(space_file(tiny.space))
    (tmp_path / "z.emb").write_bytes(b"\x89PNG" * 10)
    with pytest.raises(InputFileError, match="PNG"):
        load_embeddings(tmp_path / "z.emb")


def test_an_embedding_of_another_space_is_refused_naming_both(tiny: Tiny) -> None:
    own = embeddings_of(tiny.space, torch.zeros(1, 64), ORIGINS[:1])
    check_space("a.emb", own, tiny.space)
    one, other = tiny.space.sha256[:12], tiny.single_space.sha256[:12]
    with pytest.raises(WrongSpace, match=rf"a\.emb: an embedding of space 'tiny' \({one}\); .*'tiny' \({other}\)"):
        check_space("a.emb", own, tiny.single_space)


def test_an_embedding_of_another_size_is_refused_with_both(tiny: Tiny) -> None:
    with pytest.raises(InputFileError, match=r"a\.emb: its embeddings have 7 values, the space's have 64"):
        check_space("a.emb", embeddings_of(tiny.space, torch.zeros(1, 7), ORIGINS[:1]), tiny.space)


def test_embeddings_are_known_by_their_extension() -> None:
    assert is_embedding(Path("a.emb"))
    assert not is_embedding(Path("a.pt"))
