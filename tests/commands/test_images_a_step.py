"""One image a step is refused by every command whose batch norms could not do with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worlds import Ask, Refused, Tiny

NETS = """
from torch import nn
def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
"""
NAME = "nets_of_one_image_a_step:make"
STARTS = ("-s", "space.starts=2", "-s", "backbone.embedding_size=64", "-s", "backbone.latents=4", "-s", "train.steps=1")
COMMANDS = {
    "zoo train": (("zoo", "train", "more", "--arch", NAME, "--counts", "1/0/0"), "--batch {}"),
    "finetune": (("finetune", "zoo", "--epochs", "1", "--trust", NAME), "--batch {}"),
    "merge": (("merge", "zoo", "-o", "one.pt", "--steps", 1, "--trust", NAME), "--images {}"),
    "train": (("train", "zoo", "-o", "s.safetensors", *STARTS, "--trust", NAME), "-s train.images={}"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_one_image_a_step_is_refused_and_two_are_enough(
    tiny: Tiny, work: Path, ask: Ask, refused: Refused, name: str
) -> None:
    Path("nets_of_one_image_a_step.py").write_text(NETS)
    data = ("--data", tiny.npz)
    zoo = ["zoo", "train", "zoo", *data, "--arch", NAME, "--counts", "4/1/0", "--epochs", 1]
    ask(*zoo, "--epoch-images", 8, "--batch", 8)
    words, images = COMMANDS[name]
    one, two = images.format(1), images.format(2)
    said = refused(2, *words, *data, *one.split())
    assert f"{NAME} cannot be trained on 1 image a step ({one}): its batch norms average over images" in said
    assert f"Give {two} or more." in said
    ask(*words, *data, *two.split())
