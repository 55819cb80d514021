"""Functions of the library take paths as text, as Python's own do."""

from __future__ import annotations

from pathlib import Path

import pytest

import netspace_cli
from netspace_cli import Runner, ZooPlan, encode, open_zoo, save_embeddings, train_zoo, write_network, write_prep
from netspace_cli.core.spaces.embeddings import load_embeddings
from tests.worlds import Tiny


def test_paths_may_be_text(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    zoo = open_zoo(str(tiny.zoo.path))
    network = zoo.network(zoo.instances[0], zoo.architectures()[0])
    write_network("a.pt", network, metadata={})
    write_prep(network, "a.npy")
    with Runner("cpu") as runner:
        save_embeddings("a.emb", encode([network], tiny.space, runner))
        assert load_embeddings("a.emb").origins[0].arch == network.architecture.name
        made = train_zoo("made", ZooPlan(("lenetlike",), (1, 0, 0), (0, 0)), tiny.data, runner)
    assert open_zoo("made").instances == made.instances
    Path("recipe.toml").write_text("[train]\nsteps = 7\n")
    assert netspace_cli.load_recipe("recipe.toml").train.steps == 7
