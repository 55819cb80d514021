"""Taking an instance out of a zoo: as it is, never over another, and with a hint for who asks for the wrong one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from netspace_models.errors import ConfigError, InputFileError, OutputExists

from netspace_cli.core.files.checkpoint import read_checkpoint
from netspace_cli.core.zoos.export import export_instance
from netspace_cli.core.zoos.zoo import open_zoo
from tests.worlds import Tiny


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_what_comes_out_is_what_is_in(tiny: Tiny, tmp_path: Path, name: str) -> None:
    for instance in tiny.zoo.select(split="test"):
        network = export_instance(tiny.zoo, instance.id, tmp_path / name, force=True)
        own, written = (read_checkpoint(p).state for p in (tiny.zoo.file_of(instance), tmp_path / name))
        assert network.architecture.name == instance.arch
        assert own.keys() == written.keys() and all(torch.equal(own[n], written[n]) for n in own)


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("lenetlik-0001", "Did you mean lenetlike-0001?"),
        ("lenetlike-1", "Did you mean lenetlike-0001?"),
        ("LeNetLike-0001", "Did you mean lenetlike-0001?"),
        ("resnet8-0001.safetensors", "Did you mean resnet8-0001?"),
        ("instances/resnet8/resnet8-0002.safetensors", "Did you mean resnet8-0002?"),
        ("lenetlike-9999", "It has 4 such ids, from lenetlike-0000 to lenetlike-0003."),
        ("resnet8", "It has 4 such ids, from resnet8-0000 to resnet8-0003."),
        ("resnet32-0001", "lists its 12 instances."),
        ("7" * 5000, "lists its 12 instances."),
    ],
)
def test_who_asks_for_another_instance_is_told_what_there_is(tiny: Tiny, tmp_path: Path, asked: str, hint: str) -> None:
    with pytest.raises(ConfigError, match="zoo has no instance") as refused:
        export_instance(tiny.zoo, asked, tmp_path / "a.pt")
    assert refused.value.hint.endswith(hint)
    assert list(tmp_path.iterdir()) == []


def test_an_instance_s_own_file_is_not_written_over(tiny: Tiny, tmp_path: Path) -> None:
    shutil.copytree(tiny.single_zoo.path, tmp_path / "zoo")
    zoo = open_zoo(tmp_path / "zoo")
    file = zoo.file_of(zoo.instances[1])
    with pytest.raises(ConfigError, match="is an input"):
        export_instance(zoo, zoo.instances[0].id, file, force=True)
    (tmp_path / "a.pt").touch()
    with pytest.raises(OutputExists, match=r"a\.pt exists already"):
        export_instance(zoo, zoo.instances[0].id, tmp_path / "a.pt")
    with pytest.raises(ConfigError, match="unknown checkpoint extension"):
        export_instance(zoo, zoo.instances[0].id, tmp_path / "a.zip")


def test_a_file_that_changed_is_not_exported(tiny: Tiny, tmp_path: Path) -> None:
    shutil.copytree(tiny.single_zoo.path, tmp_path / "zoo")
    zoo = open_zoo(tmp_path / "zoo")
    shutil.copy(zoo.file_of(zoo.instances[1]), zoo.file_of(zoo.instances[0]))
    with pytest.raises(InputFileError, match="the manifest says"):
        export_instance(zoo, zoo.instances[0].id, tmp_path / "a.pt")
    assert not (tmp_path / "a.pt").exists()
