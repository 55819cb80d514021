"""What is this file?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from netspace_models.errors import ConfigError, InputFileError

from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.files.checkpoint import read_checkpoint, write_checkpoint
from netspace_cli.core.files.safetensors_file import read_safetensors, write_safetensors
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.requests import inspect as inspecting
from netspace_cli.core.requests.inspect import describe_built_in, inspect
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces import built_in as spaces
from netspace_cli.core.spaces.embeddings import save_embeddings
from netspace_cli.core.spaces.space import save_space
from tests.worlds import Tiny, space_file


@pytest.fixture(autouse=True)
def shelf(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny space is built in, so that its images' size is known."""
    folder = tmp_path_factory.mktemp("shelf")
    save_space(folder / "tiny.safetensors", tiny.space)
    monkeypatch.setattr(spaces, "BUILT_IN", folder)
    return folder


@pytest.mark.parametrize("arch", ["lenetlike", "vanillacnn", "resnet8"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_checkpoint(tiny: Tiny, tmp_path: Path, arch: str, suffix: str) -> None:
    state = read_checkpoint(tiny.networks[arch]).state
    write_checkpoint(tmp_path / f"a{suffix}", state)
    found = inspect(tmp_path / f"a{suffix}")
    assert (found["kind"], found["arch"], found["form"]) == ("checkpoint", arch, "full")
    assert found["parameters"] == read_network(tiny.networks[arch], io=tiny.data.io).architecture.parameter_count
    assert (found["tensors"], found["not_finite"]) == (len(state), [])
    told = "1 channel, 3 classes; works at several image sizes (8, 16, 28, 32, ...)"
    assert found["io"] == (told if arch == "resnet8" else "1x8x8, 3 classes")
    json.dumps(found, allow_nan=False)


def test_a_checkpoint_of_nothing_known(tmp_path: Path) -> None:
    torch.save(
        {"model": {"w": torch.tensor([1.0, float("nan")]), "n": torch.ones(2, dtype=torch.int64)}}, tmp_path / "a.pt"
    )
    found = inspect(tmp_path / "a.pt")
    assert (found["kind"], found["arch"]) == ("checkpoint", None)
    assert "fit no known architecture" in found["reason"]
    assert found["not_finite"] == ["w"]
    assert "'model'" in found["notes"][0]


def test_an_architecture_that_it_is_not(tiny: Tiny) -> None:
    found = inspect(tiny.networks["lenetlike"], arch="resnet8")
    assert found["arch"] is None
    assert "do not fit resnet8" in found["reason"]


def test_an_embedding(tiny: Tiny, tmp_path: Path) -> None:
    network = read_network(tiny.networks["resnet8"], candidates=tiny.space.architectures)
    with Runner("cpu") as runner:
        embeddings = encode([network], tiny.space, runner)
    save_embeddings(tmp_path / "a.emb", embeddings)
    found = inspect(tmp_path / "a.emb")
    assert (found["kind"], found["space"], found["embedding_size"]) == ("embedding", "tiny", 64)
    assert found["space_sha256"] == tiny.space.sha256
    assert found["networks"] == [asdict(embeddings.origins[0])]


def test_a_space(tiny: Tiny) -> None:
    found = inspect(space_file(tiny.space))
    assert (found["kind"], found["space"], found["backbone"]) == ("space", "tiny", "tokens")
    assert found["architectures"] == ["lenetlike", "vanillacnn", "resnet8"]
    assert (found["embedding_size"], found["refine_steps"], found["instances"]) == (64, 2, 9)
    assert (found["io"], found["data"]) == ("1x8x8, 3 classes", "npz:tiny.npz")


def test_a_zoo(tiny: Tiny) -> None:
    found = inspect(tiny.zoo.path)
    assert (found["kind"], found["instances"], found["data"]) == ("zoo", 12, "npz:tiny.npz")
    assert found["train_val_test"] == {"lenetlike": "2/1/1", "vanillacnn": "2/1/1", "resnet8": "2/1/1"}


def test_what_is_none_of_these_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="a folder, but not a zoo"):
        inspect(tmp_path)
    with pytest.raises(ConfigError, match=r"a\.pt does not exist, and no built-in space has this name") as refused:
        inspect(tmp_path / "a.pt")
    assert "Built-in spaces: tiny." in refused.value.hint
    (tmp_path / "a.pt").write_bytes(b"<!doctype html><html>not found</html>")
    with pytest.raises(InputFileError, match="an HTML page"):
        inspect(tmp_path / "a.pt")
    write_safetensors(tmp_path / "a.emb", {"a": torch.ones(1)}, {}, force=False)
    with pytest.raises(InputFileError, match="not an embedding"):
        inspect(tmp_path / "a.emb")


@pytest.mark.parametrize("key", ["recipe", "zoo", "io", "data", "netspace_version", "architectures"])
def test_a_space_whose_record_is_not_whole_is_told(tiny: Tiny, tmp_path: Path, key: str) -> None:
    tensors, metadata = read_safetensors(space_file(tiny.space))
    record = json.loads(metadata["netspace.space"])
    del record[key]
    write_safetensors(tmp_path / "s.safetensors", tensors, {"netspace.space": json.dumps(record)}, force=False)
    with pytest.raises(InputFileError, match=rf"its record is not complete \(KeyError: '{key}'\)"):
        inspect(tmp_path / "s.safetensors")


def test_the_built_in_spaces(shelf: Path) -> None:
    (found,) = describe_built_in()
    assert (found["name"], found["path"]) == ("tiny", str(shelf / "tiny.safetensors"))
    assert found["bytes"] == (shelf / "tiny.safetensors").stat().st_size
    assert inspecting.built_in_spaces() == {"tiny": shelf / "tiny.safetensors"}


def test_a_built_in_space_by_its_name_unless_a_file_has_it(
    tiny: Tiny, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert inspect("tiny") == inspect(shelf / "tiny.safetensors")
    write_checkpoint(tmp_path / "tiny.pt", read_checkpoint(tiny.networks["resnet8"]).state)
    (tmp_path / "tiny.pt").rename("tiny")
    assert inspect("tiny")["kind"] == "checkpoint"


@pytest.mark.parametrize("name", ["a.safetensors", "a.emb"])
def test_a_checkpoint_by_the_name_of_something_else(tiny: Tiny, tmp_path: Path, name: str) -> None:
    torch.save(read_checkpoint(tiny.networks["resnet8"]).state, tmp_path / name)
    assert (inspect(tmp_path / name)["kind"], inspect(tmp_path / name)["format"]) == ("checkpoint", "pt")


def test_a_decoded_safetensors_file_is_a_checkpoint_and_no_space(tiny: Tiny, tmp_path: Path) -> None:
    from netspace_cli.core.encoding.decode import write_decoded
    from netspace_cli.core.networks.network import Network

    architecture = tiny.space.model.architecture("resnet8")
    network = Network(architecture, tiny.zoo.weights(tiny.zoo.select(arch="resnet8"), architecture)[0])
    write_decoded([network], [tmp_path / "d.safetensors"], tiny.space, force=False)
    assert inspect(tmp_path / "d.safetensors")["kind"] == "checkpoint"
