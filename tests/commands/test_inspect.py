"""netspace inspect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.worlds import Ask, Refused, Rows, Tiny


def test_a_checkpoint(tiny: Tiny, work: Path, ask: Ask, rows: Rows) -> None:
    found = ask("inspect", tiny.networks["resnet8"])
    assert (found["kind"], found["arch"], found["form"]) == ("checkpoint", "resnet8", "full")
    assert found["parameters"] == tiny.space.model.architecture("resnet8").parameter_count
    assert found["not_finite"] == []
    table = {row["what"]: row["value"] for row in rows("inspect", tiny.networks["resnet8"])}
    assert table["kind"] == "checkpoint" and table["sha256"] == found["sha256"]


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_how_a_network_was_made(tiny: Tiny, work: Path, ask: Ask, rows: Rows, suffix: str) -> None:
    torch.save(load_file(tiny.networks["resnet8"]), "plain.pt")
    assert {"recorded", "merged_from"}.isdisjoint(ask("inspect", "plain.pt"))
    file, zoo = f"one{suffix}", tiny.single_zoo
    ask("merge", zoo.path, "--data", tiny.npz, "--method", "mean", "-o", file)
    found = ask("inspect", file)
    assert found["recorded"] == {"arch": "lenetlike", "merged_by": "mean"}
    assert found["merged_from"] == [instance.sha256 for instance in zoo.instances]
    shown = [(row["what"], row["value"]) for row in rows("inspect", file)]
    assert ("recorded.merged_by", "mean") in shown and ("merged_from", zoo.instances[0].sha256) in shown


def test_an_embedding(tiny: Tiny, emb: dict[str, Path], ask: Ask) -> None:
    found = ask("inspect", emb["both"])
    assert (found["kind"], found["space"], found["space_sha256"]) == ("embedding", "tiny", tiny.space.sha256)
    assert [n["arch"] for n in found["networks"]] == ["lenetlike", "resnet8"] and found["embedding_size"] == 64


def test_a_space(tiny: Tiny, ask: Ask) -> None:
    found = ask("inspect", tiny.space.path)
    assert (found["kind"], found["space"], found["data"]) == ("space", "tiny", "npz:tiny.npz")
    assert found["architectures"] == ["lenetlike", "vanillacnn", "resnet8"]


def test_a_built_in_space_by_its_name(work: Path, ask: Ask) -> None:
    found = ask("inspect", "digits")
    assert (found["kind"], found["space"]) == ("space", "digits")


def test_a_zoo(tiny: Tiny, ask: Ask) -> None:
    found = ask("inspect", tiny.zoo.path)
    assert (found["kind"], found["instances"], found["data"]) == ("zoo", 12, "npz:tiny.npz")
    assert found["train_val_test"]["resnet8"] == "2/1/1"


def test_images_and_tables(tiny: Tiny, work: Path, ask: Ask) -> None:
    found = ask("inspect", tiny.npz)
    assert (found["kind"], found["io"]) == ("data", "1x8x8, 3 classes") and set(found["rows"]) == {
        "train",
        "val",
        "test",
    }
    inputs, targets = np.eye(20, 4), np.arange(20.0)
    np.savez("table.npz", train_inputs=inputs, train_targets=targets, test_inputs=inputs[:5], test_targets=targets[:5])
    found = ask("inspect", "table.npz")
    assert found["io"] == "rows of 4 features, 1 target" and found["rows"] == {"train": 16, "val": 4, "test": 5}
    np.savez("plain.npz", train_images=np.zeros((10, 8, 8), np.uint8))
    found = ask("inspect", "plain.npz")
    assert found["io"].startswith("images of 1x8x8") and not found["labels"]


def test_what_is_wrong_with_a_network_is_told_not_refused(tiny: Tiny, work: Path, ask: Ask) -> None:
    state = load_file(tiny.networks["resnet8"])
    state["fc.bias"][0] = float("nan")
    torch.save({"module." + n: t for n, t in state.items()}, "nan.pt")
    found = ask("inspect", "nan.pt")
    assert found["not_finite"] == ["fc.bias"] and "module." in found["notes"][0]
    torch.save({"a": torch.zeros(3)}, "odd.pt")
    found = ask("inspect", "odd.pt")
    assert found["arch"] is None and "fit no known architecture" in found["reason"]


@pytest.mark.parametrize(
    ("code", "name", "expected"),
    [
        (2, "missing.pt", "does not exist"),
        (3, "page.pt", "an HTML page"),
        (3, "folder", "a folder, but not a zoo"),
        (3, "a.emb", "a.emb"),
    ],
)
def test_what_is_none_of_these_is_refused(
    tiny: Tiny, work: Path, refused: Refused, code: int, name: str, expected: str
) -> None:
    Path("page.pt").write_text("<!DOCTYPE html><html><body>Sign in</body></html>")
    Path("folder").mkdir()
    Path("a.emb").write_text("this is text, not an embedding")
    assert expected in refused(code, "inspect", name)


def test_images_score_a_checkpoint_and_its_word_is_compared(tiny: Tiny, work: Path, ask: Ask) -> None:
    state = load_file(tiny.networks["resnet8"])
    torch.save({"state_dict": state, "best_acc": 0.5}, "a.pt")
    found = ask("inspect", "a.pt", "--data", tiny.npz)
    assert (found["arch"], found["recorded_accuracy"]) == ("resnet8", 0.5)
    assert found["accuracy"] > 0.6
    assert any("a.pt records an accuracy of 50.0%, and answers" in note for note in found["notes"])
    torch.save({"state_dict": state, "best_acc": found["accuracy"]}, "b.pt")
    again = ask("inspect", "b.pt", "--data", tiny.npz, "--normalise", "own")
    assert again["accuracy"] == found["accuracy"] and not any("records" in note for note in again["notes"])
    torch.save(load_file(tiny.networks["lenetlike"]), "c.pt")
    other = ask("inspect", "c.pt", "--data", "digits")
    assert other["arch"] is None and "1x16x16, 10 classes" in other["reason"]


def test_images_beside_anything_but_a_checkpoint_are_refused(tiny: Tiny, work: Path, refused: Refused) -> None:
    said = refused(2, "inspect", tiny.space.path, "--data", tiny.npz)
    assert "images tell about checkpoints, and this is of the kind 'space'" in said and "--data" in said
    said = refused(2, "inspect", tiny.networks["resnet8"], "--normalise", "half")
    assert "no images are named" in said
