"""What cannot be trained is refused by every command that trains: on one image a step, or with further outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

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

HEADS = """
from torch import nn
class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, 3))
    def forward(self, images):
        answers = self.layers(images)
        return (answers, answers) if self.training else answers
def make():
    return Heads()
"""
OWN = "nets_with_heads:make"


def test_a_module_with_further_outputs_in_training_is_refused(
    tiny: Tiny, work: Path, ask: Ask, refused: Refused
) -> None:
    Path("nets_with_heads.py").write_text(HEADS)
    Path("nets").mkdir()
    for seed in range(3):
        torch.manual_seed(seed)
        shapes = {"layers.1.weight": (4, 64), "layers.1.bias": (4,), "layers.3.weight": (3, 4), "layers.3.bias": (3,)}
        torch.save({name: torch.randn(shape) for name, shape in shapes.items()}, f"nets/{seed}.pt")
    data = ("--data", tiny.npz)
    told = f"{OWN} cannot be trained here: in training mode it gives a tuple, and outputs are to be one tensor."
    merge = ("merge", "nets", "--arch", OWN, *data)
    assert ask(*merge, "--method", "mean", "-o", "one.pt")["method"] == "mean"
    assert told in refused(2, "zoo", "train", "zoo", *data, "--arch", OWN, "--counts", "1/0/0")
    assert told in refused(2, *merge) and "aux_logits=False" in refused(2, *merge, "--method", "from-best")
    ask("zoo", "index", "nets", "--arch", OWN, *data)
    assert told in refused(2, "finetune", "nets", *data, "--epochs", 1, "--trust", OWN)


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
