"""A file of one kind where another is wanted is called what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from netspace_models.errors import CheckpointError

from netspace_cli.core.files.checkpoint import read_checkpoint, read_own
from netspace_cli.core.files.safetensors_file import read_safetensors
from tests.worlds import Refused, Tiny, space_file


@pytest.fixture
def checkpoints(tiny: Tiny, work: Path) -> list[Path]:
    """The same network as torch.save writes it, as it once did, and as safetensors."""
    state = read_checkpoint(tiny.networks["resnet8"]).state
    torch.save(state, "net.pt")
    torch.save(state, "old.pt", _use_new_zipfile_serialization=False)
    return [Path("net.pt"), Path("old.pt"), tiny.networks["resnet8"]]


def test_a_checkpoint_in_the_place_of_an_embedding_or_a_space(checkpoints: list[Path]) -> None:
    for path in checkpoints:
        with pytest.raises(CheckpointError, match=rf"{path.name}: this is a checkpoint, not an embedding\.") as refused:
            read_own(path, "embedding")
        assert refused.value.hint == "`netspace encode` makes an embedding of it."
        with pytest.raises(CheckpointError, match=rf"{path.name}: this is a checkpoint, not a space\.") as refused:
            read_own(path, "space")
        assert "`netspace encode` makes an embedding of it" in refused.value.hint


def test_an_embedding_and_a_space_in_each_other_s_place(tiny: Tiny, emb: dict[str, Path]) -> None:
    with pytest.raises(CheckpointError, match=r"this is an embedding, not a space\. `netspace decode`"):
        read_own(emb["resnet8"], "space")
    with pytest.raises(CheckpointError, match=r"this is a space, not an embedding\. Give it with `space`\."):
        read_own(space_file(tiny.space), "embedding")
    assert set(read_own(emb["resnet8"], "embedding")[0]) == {"embedding"}
    assert "zoo.embeddings" in read_own(space_file(tiny.space), "space")[0]


def test_other_archives_are_no_checkpoints(tiny: Tiny) -> None:
    with pytest.raises(CheckpointError, match=r"tiny\.npz: this is a zip archive, not a safetensors file"):
        read_safetensors(tiny.npz)


def test_commands_say_so(tiny: Tiny, checkpoints: list[Path], refused: Refused) -> None:
    for path in checkpoints[:2]:
        said = refused(3, "decode", path, "-o", "x.pt")
        assert f"{path}: this is a checkpoint" in said and "`netspace encode` makes an embedding of it" in said
    said = refused(3, "encode", tiny.networks["resnet8"], "--space", "net.pt", "-o", "a.emb")
    assert "net.pt: this is a checkpoint, not a space" in said and "damaged" not in said
