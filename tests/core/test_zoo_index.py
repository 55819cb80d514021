"""Adopting other people's checkpoints: recognised, scored, left as they are; the rest is reported."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.architectures import Signal, build
from netspace_models.errors import ConfigError

from netspace_cli.core.checkpoint import read_checkpoint, write_checkpoint
from netspace_cli.core.runner import Runner
from netspace_cli.core.zoo import open_zoo, verify
from netspace_cli.core.zoo_index import Adopted, index_folder


def index(folder: Path, tiny: Any, **options: Any) -> Adopted:
    with Runner("cpu") as runner:
        return index_folder(folder, tiny.data, runner, **options)


@pytest.fixture
def folder(tiny: Any, tmp_path: Path) -> Path:
    """Checkpoints as they come: three formats, nested, prefixed, in folders; and things that are none."""
    root = tmp_path / "theirs"
    (root / "deep" / "er").mkdir(parents=True)
    lenet = read_checkpoint(tiny.networks["lenetlike"]).state
    resnet = read_checkpoint(tiny.networks["resnet8"]).state
    write_checkpoint(root / "a.safetensors", lenet)
    write_checkpoint(root / "deep" / "b.pth", lenet)
    torch.save({"epoch": 3, "model": {"state_dict": lenet}}, root / "deep" / "er" / "nested.pt")
    torch.save({f"module.{n}": t for n, t in resnet.items()}, root / "prefixed.th")
    (root / "broken.pt").write_bytes(b"<html>not found</html>" * 10)
    (root / "notes.txt").write_text("mine")
    torch.save({n: t * float("nan") for n, t in lenet.items()}, root / "diverged.pt")
    other = build("lenetlike", Signal(3, 32, 10)).module.state_dict()
    write_checkpoint(root / "cifar.safetensors", other)
    return root


def test_checkpoints_of_all_kinds_are_adopted_and_the_rest_reported(tiny: Any, folder: Path) -> None:
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    adopted = index(folder, tiny, licence="MIT")
    found = {i.id: i for i in adopted.zoo.instances}
    assert {n: i.arch for n, i in found.items()} == {
        "a": "lenetlike",
        "deep/b": "lenetlike",
        "deep/er/nested": "lenetlike",
        "prefixed": "resnet8",
    }
    original = {i.arch: i.accuracy for i in tiny.zoo.select(split="test")}
    for instance in found.values():
        assert instance.accuracy == original[instance.arch]
        assert (instance.licence, instance.epochs, instance.seed) == ("MIT", None, None)
    refused = {path.name: reason for path, reason in adopted.refused}
    assert set(refused) == {"broken.pt", "diverged.pt", "cifar.safetensors"}
    assert "HTML" in refused["broken.pt"]
    assert "NaN" in refused["diverged.pt"]
    assert "Nearest is lenetlike (1x8x8, 3 classes)" in refused["cifar.safetensors"]
    assert {p: p.read_bytes() for p in before} == before


def test_an_adopted_zoo_is_a_zoo(tiny: Any, folder: Path) -> None:
    zoo = index(folder, tiny).zoo
    assert [word for _, word in verify(zoo)] == ["ok"] * 4
    for architecture in zoo.architectures():
        assert zoo.vectors(zoo.select(arch=architecture.name), architecture)


def test_run_again_it_adds_what_is_new_and_nothing_else(tiny: Any, folder: Path) -> None:
    first = index(folder, tiny).zoo
    manifest = (folder / "instances.jsonl").read_bytes()
    assert index(folder, tiny).zoo.instances == first.instances
    assert (folder / "instances.jsonl").read_bytes() == manifest
    write_checkpoint(folder / "new.pt", read_checkpoint(tiny.networks["vanillacnn"]).state)
    third = index(folder, tiny).zoo
    assert third.instances[:-1] == first.instances
    assert (third.instances[-1].id, third.instances[-1].arch) == ("new", "vanillacnn")


def test_one_name_with_two_extensions_is_two_instances(tiny: Any, tmp_path: Path) -> None:
    state = read_checkpoint(tiny.networks["lenetlike"]).state
    for name in ("a.pt", "a.pth", "a.safetensors"):
        write_checkpoint(tmp_path / name, state)
    zoo = index(tmp_path, tiny).zoo
    assert [i.id for i in zoo.instances] == ["a", "a.pth", "a.safetensors"]
    assert len(index(tmp_path, tiny).zoo.instances) == len(open_zoo(tmp_path).instances) == 3


def test_splits_are_in_the_proportions_asked_for(tiny: Any, tmp_path: Path) -> None:
    state = read_checkpoint(tiny.networks["lenetlike"]).state
    for i in range(10):
        write_checkpoint(tmp_path / f"{i}.pt", state)
    zoo = index(tmp_path, tiny, shares=(6, 1, 3)).zoo
    assert Counter(i.split for i in zoo.instances) == {"train": 6, "val": 1, "test": 3}


@pytest.mark.parametrize("shares", [(0, 0, 0), (-1, 2, 2), (1, 2)])
def test_shares_that_make_no_splits_are_refused(tiny: Any, tmp_path: Path, shares: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="make no splits"):
        index(tmp_path, tiny, shares=shares)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_nothing_that_fits_stays_as_it_was(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none of 0 checkpoint files") as refused:
        index(tmp_path, tiny)
    assert ".safetensors" in refused.value.hint
    (tmp_path / "a.pt").write_bytes(b"<html></html>" * 10)
    with pytest.raises(ConfigError, match="none of 1 checkpoint files could be adopted") as refused:
        index(tmp_path, tiny)
    assert "a.pt" in refused.value.hint
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_no_folder_is_told_and_none_is_made(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere is no folder"):
        index(tmp_path / "nowhere", tiny)
    assert list(tmp_path.iterdir()) == []


def test_an_architecture_can_be_named(tiny: Any, folder: Path) -> None:
    adopted = index(folder, tiny, arch="resnet8")
    assert [i.id for i in adopted.zoo.instances] == ["prefixed"]
    assert "It is no resnet8" not in adopted.refused[0][1]
    assert len(adopted.refused) == 6


def test_a_zoo_that_was_trained_can_be_added_to(tiny: Any, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(tiny.single_zoo.path, tmp_path / "zoo")
    shutil.copy(tiny.networks["resnet8"], tmp_path / "zoo" / "found.safetensors")
    adopted = index(tmp_path / "zoo", tiny)
    assert adopted.zoo.instances[:-1] == tiny.single_zoo.instances
    assert adopted.zoo.instances[-1].id == "found"
    assert adopted.refused == ()
