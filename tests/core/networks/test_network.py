"""Networks: read from anyone's checkpoint, written so that their own module loads them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from netspace_models.architectures import ImageIO, NetworkIO, build
from netspace_models.architectures.architecture import Form
from netspace_models.errors import CheckpointError, ConfigError, NotFinite, OutputExists, UnknownArchitecture

from netspace_cli.core.files.checkpoint import read_checkpoint, write_checkpoint
from netspace_cli.core.networks.network import Network, check_teacher, read_network, write_network
from tests.worlds import Tiny

IO = ImageIO(1, 8, 3)
IMAGES = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["lenetlike", "vanillacnn", "resnet8"])
def test_a_network_computes_what_its_module_computes(tiny: Tiny, name: str) -> None:
    network = read_network(tiny.networks[name], io=IO)
    module = build(name, IO).module
    module.load_state_dict(read_checkpoint(tiny.networks[name]).state, strict=True)
    with torch.no_grad():
        found, wanted = network.architecture.run(network.weights, IMAGES), module.eval()(IMAGES)
    assert torch.allclose(found, wanted, atol=1e-4)
    assert network.source == str(tiny.networks[name])


@pytest.mark.parametrize("name", ["lenetlike", "vanillacnn", "resnet8"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("form", ["full", "fused"])
def test_a_written_network_is_loaded_strictly_and_read_back(
    tiny: Tiny, tmp_path: Path, name: str, suffix: str, form: Form
) -> None:
    network = read_network(tiny.networks[name], io=IO)
    path = tmp_path / f"net{suffix}"
    write_network(path, Network(network.architecture, network.weights, form), metadata={"netspace.arch": name})
    module = network.architecture.fused if form == "fused" else network.architecture.module
    state = read_checkpoint(path).state
    module.load_state_dict(state, strict=True)
    again = read_network(path, io=IO)
    assert again.form == ("full" if name != "resnet8" else form)
    assert torch.allclose(again.weights, network.weights, atol=1e-5)


def test_what_is_kept_with_a_network_need_not_be_said(tiny: Tiny, tmp_path: Path) -> None:
    write_network(tmp_path / "one.safetensors", read_network(tiny.networks["lenetlike"], io=IO))
    assert read_checkpoint(tmp_path / "one.safetensors").metadata["netspace.arch"] == "lenetlike"


def test_a_checkpoint_in_the_fused_form_is_read(tiny: Tiny, tmp_path: Path) -> None:
    full = read_network(tiny.networks["resnet8"], io=IO)
    write_network(tmp_path / "f.pt", Network(full.architecture, full.weights, "fused"), metadata={})
    fused = read_network(tmp_path / "f.pt", io=IO)
    assert (full.form, fused.form) == ("full", "fused")
    assert torch.equal(fused.weights, full.weights)


@pytest.mark.parametrize(("arch", "form"), [("lenetlike", "full"), ("resnet8", "full"), ("resnet8", "fused")])
def test_whole_numbers_are_not_taken_for_weights(tiny: Tiny, tmp_path: Path, arch: str, form: Form) -> None:
    network = read_network(tiny.networks[arch], io=IO)
    write_network(tmp_path / "f.pt", Network(network.architecture, network.weights, form), metadata={})
    state = dict(read_checkpoint(tmp_path / "f.pt").state)
    name = next(n for n in state if n.endswith("weight"))
    torch.save({**state, name: (100 * state[name]).to(torch.int8)}, tmp_path / "int8.pt")
    said = rf"int8\.pt: .*{name}.* is int8, and weights of {arch} are fractions"
    with pytest.raises(CheckpointError, match=said) as refused:
        read_network(tmp_path / "int8.pt", io=IO)
    assert "dequantised" in refused.value.hint


def test_nested_and_prefixed_checkpoints_give_the_same_network(tiny: Tiny, tmp_path: Path) -> None:
    plain = read_network(tiny.networks["resnet8"], io=IO)
    state = read_checkpoint(tiny.networks["resnet8"]).state
    torch.save({"epoch": 1, "state_dict": {f"module.{n}": t for n, t in state.items()}}, tmp_path / "n.pt")
    network = read_network(tmp_path / "n.pt", io=IO)
    assert torch.equal(network.weights, plain.weights)
    assert len(network.notes) == 3 and network.notes[2].startswith("resnet8 assumed")
    assert torch.equal(read_network(tmp_path / "n.pt", io=IO, key="state_dict").weights, plain.weights)


def test_a_network_is_not_written_over_a_file(tiny: Tiny, tmp_path: Path) -> None:
    network = read_network(tiny.networks["lenetlike"], io=IO)
    (tmp_path / "net.pt").write_text("mine")
    with pytest.raises(OutputExists):
        write_network(tmp_path / "net.pt", network, metadata={})
    assert (tmp_path / "net.pt").read_text() == "mine"
    write_network(tmp_path / "net.pt", network, metadata={}, force=True)
    assert torch.equal(read_network(tmp_path / "net.pt", io=IO).weights, network.weights)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused_by_name(tiny: Tiny, tmp_path: Path, value: float) -> None:
    state = dict(read_checkpoint(tiny.networks["lenetlike"]).state)
    state["fc2.bias"] = torch.full_like(state["fc2.bias"], value)
    write_checkpoint(tmp_path / "net.pt", state)
    with pytest.raises(NotFinite, match=r"net\.pt: 1 of \d+ tensors .* fc2\.bias"):
        read_network(tmp_path / "net.pt", io=IO)


def test_what_is_no_checkpoint_or_no_architecture_is_named(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"missing\.pt: no such file"):
        read_network(tmp_path / "missing.pt")
    state = read_checkpoint(tiny.networks["lenetlike"]).state
    write_checkpoint(tmp_path / "less.pt", {n: t for n, t in state.items() if n != "fc3.bias"})
    with pytest.raises(UnknownArchitecture, match=r"less\.pt: .*Nearest is lenetlike .* 1 missing: fc3\.bias"):
        read_network(tmp_path / "less.pt", io=IO)


@pytest.mark.parametrize("io", [ImageIO(3, 8, 3), ImageIO(1, 8, 10)])
def test_a_teacher_for_other_images_is_refused_with_both(io: NetworkIO) -> None:
    architecture = build("resnet8", io)
    teacher = Network(architecture, torch.zeros(architecture.parameter_count), source="t.pt")
    with pytest.raises(ConfigError, match=f"t.pt is for {io.describe()}; these images are 1x8x8, 3 classes"):
        check_teacher(teacher, IO)
    check_teacher(teacher, io)
