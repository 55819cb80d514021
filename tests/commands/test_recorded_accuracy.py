"""Every command that reads checkpoints and has labelled images compares the accuracy that their files record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.worlds import Cli, Tiny

COMMANDS = {
    "encode": ("encode", "FILE", "--space", "SPACE", "--data", "IMAGES", "-o", "a.emb"),
    "interp": ("interp", "FILE", "OTHER", "--space", "SPACE", "--data", "IMAGES", "--steps", 1, "--straight"),
    "lso": ("lso", "FILE", "--space", "SPACE", "--data", "IMAGES", "--steps", 1, "--images", 8),
    "lso's teacher": ("lso", "OTHER", "--teacher", "FILE", "--space", "SPACE", "--data", "IMAGES", "--steps", 1),
    "train's teacher": ("train", "ZOO", "--teacher", "FILE", "--data", "IMAGES", "-o", "s.safetensors", "RECIPE"),
    "merge": ("merge", "FILE", "OTHER", "--data", "IMAGES", "-o", "one.pt", "--steps", 1, "--images", 8),
    "inspect": ("inspect", "FILE", "--data", "IMAGES"),
    "zoo index": ("zoo", "index", "FOLDER", "--data", "IMAGES"),
}
SMALL = ("steps=1", "instances=1", "images=8", "validate_every=1", "warmup=0")


def recording(path: Path, tiny: Tiny, accuracy: float) -> Path:
    """A checkpoint of a lenetlike that records an accuracy."""
    path.parent.mkdir(exist_ok=True)
    torch.save({"state_dict": load_file(tiny.networks["lenetlike"]), "best_acc": accuracy}, path)
    return path


def measured_accuracy(tiny: Tiny) -> float:
    """That network's, on the test images."""
    file = tiny.networks["lenetlike"]
    return next(i for i in tiny.zoo.instances if tiny.zoo.file_of(i) == file).accuracy["test"]


def arguments(name: str, tiny: Tiny, file: Path) -> list[object]:
    """The words of a command, with the files that they stand for."""
    places = {
        "FILE": file,
        "FOLDER": file.parent,
        "OTHER": tiny.zoo.file_of(tiny.zoo.select(split="train", arch="lenetlike")[0]),
        "SPACE": tiny.space.path,
        "IMAGES": tiny.npz,
        "ZOO": tiny.zoo.path,
    }
    recipe = [f"-strain.{setting}" for setting in SMALL]
    recipe += ["-sbackbone.embedding_size=64", "-sbackbone.width=16", "-sbackbone.heads=2", "-sbackbone.latents=4"]
    words: list[object] = []
    for word in COMMANDS[name]:
        words += recipe if word == "RECIPE" else [places.get(str(word), word)]
    return words


def remarks(cli: Cli, words: Sequence[object]) -> list[str]:
    result = cli(*words)
    assert result.exit_code == 0, result.output
    return [line for line in result.output.splitlines() if "records an accuracy" in line]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_recorded_accuracy_that_images_do_not_show_is_told(tiny: Tiny, work: Path, cli: Cli, name: str) -> None:
    measured = measured_accuracy(tiny)
    wrong = measured / 2
    (line,) = remarks(cli, arguments(name, tiny, recording(work / "wrong" / "a.pt", tiny, wrong)))
    assert (
        f"a.pt records an accuracy of {wrong:.1%}, and answers {measured:.1%} of test images rightly here: other "
        "images, another normalisation or another architecture than lenetlike?" in line
    )


@pytest.mark.parametrize("name", ["encode", "merge", "lso's teacher"])
def test_one_that_images_show_is_not(tiny: Tiny, work: Path, cli: Cli, name: str) -> None:
    file = recording(work / "right" / "a.pt", tiny, measured_accuracy(tiny))
    assert remarks(cli, arguments(name, tiny, file)) == []


def test_images_without_labels_compare_nothing(tiny: Tiny, work: Path, cli: Cli) -> None:
    with np.load(tiny.npz) as arrays:
        np.savez("plain.npz", train_images=np.concatenate([arrays["train_images"], arrays["test_images"]]))
    words = arguments("merge", tiny, recording(work / "wrong" / "a.pt", tiny, 0.1))
    assert remarks(cli, ["plain.npz" if word == tiny.npz else word for word in words]) == []
