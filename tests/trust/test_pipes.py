"""Whatever reads a file refuses pipes, devices and folders in words, and waits for nobody."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from netspace_models.errors import ConfigError, InputFileError, NetspaceError

from netspace_cli.core.data.datasets import load_data
from netspace_cli.core.files.checkpoint import read_checkpoint
from netspace_cli.core.files.inputs import describe_bytes, sha256_of
from netspace_cli.core.files.safetensors_file import read_safetensors
from netspace_cli.core.files.structure import read_text
from netspace_cli.core.shapes.scans import is_scan, read_scan
from netspace_cli.core.shapes.sources import find_shapes
from netspace_cli.core.spaces.embeddings import load_embeddings
from netspace_cli.core.spaces.recipe_reading import load_recipe
from netspace_cli.core.spaces.space import load_space
from netspace_cli.core.training.run_folder import RunFolder
from netspace_cli.core.zoos.lists import read_lists
from netspace_cli.core.zoos.zoo import open_zoo
from tests.worlds import Tiny

# A reader that waits would wait for ever.
pytestmark = pytest.mark.timeout(20)

READERS: dict[str, Callable[[Path], Any]] = {
    "a.pt": read_checkpoint,
    "b.safetensors": read_safetensors,
    "c.emb": load_embeddings,
    "d.safetensors": load_space,
    "e.toml": load_recipe,
    "f.npz": lambda path: load_data(str(path)),
    "g.npz": lambda path: load_data(f"cifar10:{path}"),
    "h.npz": lambda path: list(find_shapes(path)),
    "i.obj": lambda path: list(find_shapes(path)),
    "j.png": lambda path: list(find_shapes(path)),
    "k.npy": read_scan,
    "l.xyz": read_scan,
    "m.ply": is_scan,
    "n.txt": lambda path: read_lists([path], path.parent),
    "o": sha256_of,
    "p": describe_bytes,
    "q": read_text,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["a named pipe", "a device", "a directory"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(NetspaceError) as refused:
        READERS[name](path)
    assert isinstance(refused.value, ConfigError | InputFileError) and name in refused.value.message


@pytest.mark.parametrize("name", ["zoo.json", "instances.jsonl"])
def test_a_zoo_of_pipes_is_refused_at_once(tiny: Tiny, tmp_path: Path, name: str) -> None:
    shutil.copytree(tiny.single_zoo.path, tmp_path / "zoo")
    (tmp_path / "zoo" / name).unlink()
    os.mkfifo(tmp_path / "zoo" / name)
    with pytest.raises(InputFileError):
        open_zoo(tmp_path / "zoo")


@pytest.mark.parametrize("name", ["settings.json", "metrics.jsonl", "checkpoint.pt"])
def test_a_run_of_pipes_is_refused_at_once(tmp_path: Path, name: str) -> None:
    run = RunFolder(tmp_path / "s.run")
    run.path.mkdir()
    run.begin({"seed": 0}, force=False)
    run.save({"step": 1})
    (run.path / name).unlink()
    os.mkfifo(run.path / name)
    with pytest.raises(NetspaceError, match=f"{name}.*named pipe"):
        run.resume({"seed": 0})


def test_an_instance_that_is_a_pipe_is_refused_at_once(tiny: Tiny, tmp_path: Path) -> None:
    shutil.copytree(tiny.single_zoo.path, tmp_path / "zoo")
    zoo = open_zoo(tmp_path / "zoo")
    file = zoo.file_of(zoo.instances[0])
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(InputFileError, match="no such file"):
        zoo.network(zoo.instances[0], zoo.architectures()[0])
