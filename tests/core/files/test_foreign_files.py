"""Files as others' trainers leave them: what is beside a network, quantised ones, and names that tell nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from netspace_models.errors import CheckpointError
from torch import Tensor, nn

from netspace_cli.core.files.checkpoint import read_checkpoint, write_checkpoint
from netspace_cli.core.files.checkpoint_files import describe_passed_over, find_checkpoints, without_extension


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def lightning(**beside: Tensor) -> dict[str, object]:
    named = {name.replace("__", "."): tensor for name, tensor in beside.items()}
    return {"state_dict": {"model.fc.weight": torch.eye(2), "model.fc.bias": torch.ones(2), **named}, "epoch": 3}


@pytest.mark.parametrize("name", ["criterion.weight", "loss_fn.weight", "train_acc.correct", "val_metrics.f1.total"])
def test_what_is_beside_a_network_is_left_out_and_named(tmp_path: Path, name: str) -> None:
    found = read_checkpoint(saved(tmp_path / "a.ckpt", lightning(**{name.replace(".", "__"): torch.ones(3)})))
    assert list(found.state) == ["fc.weight", "fc.bias"]
    assert found.prefix == "model."
    assert f"Left out, as they are beside the network: {name}." in found.notes


@pytest.mark.parametrize("name", ["head.weight", "net.fc.weight", "lossless.weight", "criterion"])
def test_what_may_be_a_part_of_the_network_is_not_left_out(tmp_path: Path, name: str) -> None:
    found = read_checkpoint(saved(tmp_path / "a.ckpt", lightning(**{name.replace(".", "__"): torch.ones(3)})))
    assert set(found.state) == {"model.fc.weight", "model.fc.bias", name}


def test_a_plain_state_dict_keeps_all_its_names(tmp_path: Path) -> None:
    state = {"model.weight": torch.ones(2), "criterion.weight": torch.ones(3)}
    assert read_checkpoint(saved(tmp_path / "a.pt", state)).state.keys() == state.keys()


QUANTISED = {
    "packed": {"0.scale": torch.ones(1), "0._packed_params.dtype": torch.qint8, "0._packed_params.x": (1, None)},
    "nested": {"state_dict": {"0.scale": torch.ones(1), "0._packed_params.dtype": torch.qint8}},
    "trained for it": {"fc.weight": torch.ones(2, 2), "fc.weight_fake_quant.scale": torch.ones(1)},
    "by others": {"fc.qweight": torch.ones(2, 2, dtype=torch.int32), "fc.scales": torch.ones(2)},
    "of 8 bits": {"fc.weight": torch.ones(2, 2, dtype=torch.int8), "fc.SCB": torch.ones(2)},
}


@pytest.mark.parametrize("content", QUANTISED.values(), ids=QUANTISED)
def test_a_quantised_network_is_called_that(tmp_path: Path, content: object) -> None:
    with pytest.raises(CheckpointError, match="state dict of a quantised network .* plain numbers") as refused:
        read_checkpoint(saved(tmp_path / "a.pt", content))
    assert "before quantisation" in refused.value.hint


def test_checkpoints_are_found_by_content_where_names_do_not_tell(tmp_path: Path) -> None:
    state = nn.Linear(2, 2).state_dict()
    names = ["a.pt", "b.ckpt", "c.bin", "d.model", "epoch=1.5", "e.pth.tar", "sub/last", "old.pkl"]
    (tmp_path / "sub").mkdir()
    for name in names:
        torch.save(state, tmp_path / name, _use_new_zipfile_serialization=name != "old.pkl")
    write_checkpoint(tmp_path / "f.safetensors", state)
    (tmp_path / "f.safetensors").rename(tmp_path / "weights")
    np.savez(tmp_path / "images.npz", x=np.zeros(2))
    (tmp_path / "bad.pt").write_text("no checkpoint, but called one")
    (tmp_path / "cut.ckpt").write_bytes((tmp_path / "b.ckpt").read_bytes()[:30])
    for name in ("notes.txt", "a.log", "b.log", "c.log", ".hidden", "zoo.json", "vectors.emb"):
        (tmp_path / name).write_text("words")
    found, others = find_checkpoints(tmp_path)
    assert {p.relative_to(tmp_path).as_posix() for p in found} == {*names, "weights", "bad.pt", "cut.ckpt"}
    assert describe_passed_over(others) == (
        "6 files were passed over, not checkpoints by their content (text: a.log, b.log, c.log and 1 more; an archive "
        "or a pickle of something else: images.npz; an embedding: vectors.emb)."
    )
    assert describe_passed_over([]) == ""


@pytest.mark.parametrize(
    ("name", "short"),
    [("a.pt", "a"), ("a.pt.pt", "a.pt"), ("best.pth.tar", "best"), ("epoch=1.5", "epoch=1.5"), ("b.CKPT", "b")],
)
def test_names_lose_a_checkpoint_s_extension_only(name: str, short: str) -> None:
    assert without_extension(name) == short
