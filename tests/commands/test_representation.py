"""Spaces of each objective, by the commands: trained, and used as any other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.worlds import Ask, Cli, Tiny

NEURONS = ("backbone.kind=neurons", "backbone.embedding_size=8", "backbone.width=16", "backbone.heads=2")
SHORT = ("train.steps=2", "train.instances=2", "train.images=8", "train.warmup=0", "refine.steps=1", "refine.images=8")
CONTRAST = ("train.contrast.gamma=0.2", "train.erase=0.1", "train.multiplicative_noise=0.1")


@pytest.mark.parametrize("objective", ["imitate", "reconstruct", "both"])
def test_a_space_of_each_objective_is_trained_and_used(
    tiny: Tiny, work: Path, cli: Cli, ask: Ask, objective: str
) -> None:
    settings = (*NEURONS, *SHORT, *CONTRAST, f"train.objective={objective}")
    train = ["train", tiny.single_zoo.path, "-o", "mine.safetensors", "--data", tiny.npz]
    assert cli(*train, *(word for each in settings for word in ("-s", each))).exit_code == 0
    images, space = ("--data", tiny.npz), ("--space", "mine.safetensors")
    network = tiny.networks["lenetlike"]
    encoded = ask("encode", network, *space, *images, "--refine", 1, "-o", "a.emb")
    assert encoded["networks"][0]["embedding_size"] == 8
    ask("decode", "a.emb", *space, *images, "-o", "a.pt")
    assert all(bool(value.isfinite().all()) for value in torch.load("a.pt", weights_only=True).values())
    assert len(ask("interp", "a.emb", network, *space, *images, "--steps", 2)["steps"]) >= 2
    assert ask("lso", "a.emb", *space, *images, "--steps", 1, "--images", 8)["optimized"]["loss"] > 0
    evaluated = ask("eval", tiny.single_zoo.path, *space, *images, "--refine", 1)
    assert all(0 <= each["predicted_accuracy"] <= 1 for each in evaluated["instances"])
