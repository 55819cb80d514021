"""Which architecture a checkpoint is, from names and shapes alone; and what is said where it is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from netspace_models.architectures import FieldIO, ImageIO, NetworkIO, build
from netspace_models.architectures.architecture import Form
from netspace_models.errors import UnknownArchitecture
from torch import Tensor

from netspace_cli.core.files.checkpoint import Checkpoint
from netspace_cli.core.networks import recognise as recognising
from netspace_cli.core.networks.factories import resolve_architecture
from netspace_cli.core.networks.network import recognise_network
from netspace_cli.core.networks.recognise import recognise

IO = ImageIO(1, 8, 3)
FACTORY = """
from collections import OrderedDict

from torch import nn

def make(io):
    return nn.Sequential(nn.Flatten(), nn.Linear(io.channels * io.size ** 2, 5), nn.ReLU(), nn.Linear(5, 3))

def large(io):
    flat = 2 * (io.size - 18) ** 2
    layers = {"conv1": nn.Conv2d(io.channels, 2, 19), "flat": nn.Flatten(), "fc": nn.Linear(flat, io.classes)}
    return nn.Sequential(OrderedDict(layers))

def fixed():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 14 * 14, 4))
"""


@pytest.fixture
def factory_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "recognised_factories.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(tmp_path)
    return "recognised_factories"


def checkpoint(state: dict[str, Tensor], **metadata: str) -> Checkpoint:
    named = {f"netspace.{key}": value for key, value in metadata.items()}
    return Checkpoint(Path("net.pt"), "0" * 64, "pt", state, named, ())


def state_of(name: str, io: NetworkIO = IO) -> dict[str, Tensor]:
    return dict(build(name, io).module.state_dict())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layers.1.weight": torch.zeros(4, 3)}, r"1 misshaped: layers.1.weight: \(4, 3\), expected \(4, 4\)"),
        ({"layers.1.bias": None}, "1 missing: layers.1.bias"),
        ({"layers.2.weight": torch.zeros(1, 1)}, r"1 misshaped: layers.2.weight: \(1, 1\), expected \(1, 4\)"),
    ],
)
def test_a_broken_network_of_sines_is_nearest_to_a_whole_one(change: dict[str, Tensor | None], words: str) -> None:
    state = state_of("siren-4x2", FieldIO(3, 1)) | change
    with pytest.raises(
        UnknownArchitecture, match=r"Nearest is siren-4x2 \(points of 3 coordinates, 1 value\), .*" + words
    ):
        recognise(checkpoint({name: tensor for name, tensor in state.items() if tensor is not None}))


@pytest.mark.parametrize("missing", ["layers.0.weight", "layers.2.weight"])
def test_what_tells_no_width_is_nearest_to_no_network_of_sines(missing: str) -> None:
    state = state_of("siren-4x2", FieldIO(3, 1))
    del state[missing]
    with pytest.raises(UnknownArchitecture, match=r"tensors that fit no known architecture\.") as refused:
        recognise(checkpoint(state))
    assert "Nearest" not in refused.value.message


def test_layers_whose_numbers_have_gaps_are_no_network_of_sines() -> None:
    state = {f"layers.{i}.weight": torch.zeros(rows, columns) for i, rows, columns in ((0, 4, 9), (2, 3, 4))}
    with pytest.raises(UnknownArchitecture) as refused:
        recognise(checkpoint(state))
    assert "siren" not in refused.value.message


def test_a_small_file_makes_no_large_network_of_sines(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    monkeypatch.setattr(recognising, "build", lambda name, io: built.append(name))
    state = {f"layers.{i}.bias": torch.zeros(1) for i in range(1, 98)}
    state |= {"layers.0.weight": torch.zeros(9999, 1), "layers.98.weight": torch.zeros(1, 9999)}
    with pytest.raises(UnknownArchitecture, match="fit no known architecture"):
        recognise(checkpoint(state))
    assert not any(name.startswith("siren") for name in built)


@pytest.mark.parametrize("name", ["lenetlike", "vanillacnn", "resnet8", "resnet14", "resnet32", "resnet8-a"])
@pytest.mark.parametrize("io", [ImageIO(3, 32, 10), ImageIO(1, 28, 10), ImageIO(1, 16, 10), ImageIO(3, 64, 200)])
def test_built_in_architectures_are_recognised_with_nothing_else_known(name: str, io: ImageIO) -> None:
    found = recognise(checkpoint(state_of(name, io)))
    assert found.name == name
    assert isinstance(found.io, ImageIO)
    assert (found.io.channels, found.io.classes) == (io.channels, io.classes)
    assert found.parameter_count == build(name, io).parameter_count


@pytest.mark.parametrize("name", ["lenetlike", "vanillacnn", "resnet8"])
def test_a_known_io_is_used_where_the_size_is_unusual(name: str) -> None:
    assert recognise(checkpoint(state_of(name)), io=IO).io == IO


@pytest.mark.parametrize("name", ["resnet8", "resnet8-a"])
@pytest.mark.parametrize("form", ["full", "fused"])
def test_both_forms_are_recognised(name: str, form: Form) -> None:
    architecture = build(name, IO)
    state = architecture.to_state(torch.zeros(architecture.parameter_count), form)
    found = recognise(checkpoint(state), io=IO)
    assert (found.name, found.form_of(state)) == (name, form)


def test_candidates_come_first() -> None:
    candidate = build("lenetlike", IO)
    assert recognise(checkpoint(state_of("lenetlike")), candidates=[candidate]) is candidate


def test_nothing_known_has_the_nearest_and_the_differences() -> None:
    state = state_of("lenetlike")
    state["fc3.wait"] = state.pop("fc3.weight")
    with pytest.raises(UnknownArchitecture) as refused:
        recognise(checkpoint(state), candidates=[build("resnet8", IO), build("lenetlike", IO)])
    for words in ("net.pt", "Nearest is lenetlike (1x8x8, 3 classes)", "1 missing: fc3.weight", "unexpected: fc3.wait"):
        assert words in refused.value.message
    assert "package.module:function" in refused.value.hint


def test_wrong_shapes_are_told_with_both() -> None:
    state = state_of("lenetlike", ImageIO(1, 8, 4))
    with pytest.raises(UnknownArchitecture, match=r"misshaped: fc3\.weight: \(4, 84\), expected \(3, 84\)"):
        recognise(checkpoint(state), io=IO)


def test_nothing_alike_is_told() -> None:
    for state in ({}, {"encoder.w": torch.ones(3)}):
        with pytest.raises(UnknownArchitecture, match=rf"{len(state)} tensors that fit no known architecture\."):
            recognise(checkpoint(state))


def test_a_wrong_name_is_told_with_what_differs() -> None:
    with pytest.raises(UnknownArchitecture, match=r"net\.pt: the parameters do not fit lenetlike") as refused:
        recognise(checkpoint(state_of("resnet8")), arch="lenetlike", candidates=[build("lenetlike", IO)])
    assert "It is not a lenetlike" in refused.value.hint
    with pytest.raises(UnknownArchitecture, match="Did you mean lenetlike"):
        recognise(checkpoint(state_of("lenetlike")), arch="lenetlik", io=IO)


def test_a_name_without_a_word_on_the_images_needs_one(factory_module: str) -> None:
    state = dict(resolve_architecture(f"{factory_module}:make", IO).module.state_dict())
    with pytest.raises(UnknownArchitecture, match="does not say for which images and classes to build .*") as refused:
        recognise(checkpoint(state), arch=f"{factory_module}:make")
    assert "(`candidates`, `io`)" in refused.value.hint


def test_factories_with_and_without_an_argument(factory_module: str) -> None:
    made = resolve_architecture(f"{factory_module}:make", IO)
    state = dict(made.module.state_dict())
    assert recognise(checkpoint(state), arch=made.name, io=IO).parameter_count == made.parameter_count
    assert recognise(checkpoint(state), arch=made.name, candidates=[made]) is made
    assert recognise(checkpoint(state), candidates=[made]) is made
    fixed = resolve_architecture(f"{factory_module}:fixed", ImageIO(1, 16, 4))
    found = recognise(checkpoint(dict(fixed.module.state_dict())), arch=fixed.name)
    assert (found.name, found.io) == (fixed.name, ImageIO(1, 16, 4))


def test_of_a_named_factory_it_is_not_asked_to_be_named(factory_module: str) -> None:
    made = resolve_architecture(f"{factory_module}:make", IO)
    state = dict(made.module.state_dict())
    missing = next(iter(state))
    with pytest.raises(UnknownArchitecture, match=rf"Nearest is {made.name} .*{missing}") as refused:
        recognise(checkpoint({n: t for n, t in state.items() if n != missing}), candidates=[made])
    assert refused.value.hint.startswith(f"Save all parameters and buffers of {made.name}, or name another factory")
    alike = {missing: state[missing], "other.weight": torch.zeros(3)}
    with pytest.raises(UnknownArchitecture, match=rf"Nearest is {made.name}") as refused:
        recognise(checkpoint(alike), candidates=[made])
    assert refused.value.hint.startswith("If it is an architecture of your own, name its factory")


def test_a_factory_is_not_asked_for_sizes_once_one_fits(factory_module: str) -> None:
    made = resolve_architecture(f"{factory_module}:large", ImageIO(3, 32, 10))
    with pytest.raises(UnknownArchitecture, match="does not run on images of 3x16x16"):
        resolve_architecture(made.name, ImageIO(3, 16, 10))
    assert recognise(checkpoint(dict(made.module.state_dict())), arch=made.name).io == made.io


def test_sizes_that_only_a_hostile_file_has_are_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[object] = []

    def spy(name: str, io: NetworkIO) -> object:
        built.append((name, io))
        raise UnknownArchitecture("not built here")

    monkeypatch.setattr(recognising, "build", spy)
    bias = {"fc.bias": torch.zeros(10)}
    for state in (
        {"conv1.weight": torch.zeros(1, 10**9, 0, 1), **bias},
        {"conv1.weight": torch.zeros(1, 0, 3, 3), **bias},
        {"conv1.weight": torch.zeros(1, 3, 3, 3), "fc.bias": torch.zeros(200_000)},
        {"conv1.weight": torch.zeros(1, 3, 3, 3), "fc.bias": torch.zeros(0)},
        {"conv1.weight": torch.zeros(1, 3, 3, 3), "linear.weight": torch.zeros(200_000, 0)},
    ):
        with pytest.raises(UnknownArchitecture, match="fit no known architecture"):
            recognise(checkpoint(state))
    assert built == []
    for blocks in (600, 2500):  # deeper than tensors of one value are worth, and deeper than any
        deep = {f"layer1.{b}.conv{i}.weight": torch.zeros(1, 1, 1, 1) for b in range(blocks) for i in (1, 2)}
        with pytest.raises(UnknownArchitecture, match="fit no known architecture"):
            recognise(checkpoint({"conv1.weight": torch.zeros(1, 3, 3, 3), **bias, **deep}))
    assert built == []


def test_a_deep_network_with_numbers_is_recognised() -> None:
    state = state_of("resnet116", ImageIO(3, 32, 10))
    assert recognise(checkpoint(state)).name == "resnet116"


@pytest.mark.parametrize("layout", ["cnn-small", "cnn-large"])
@pytest.mark.parametrize("io", [ImageIO(1, 28, 10), ImageIO(3, 32, 10)])
def test_networks_that_differ_in_their_activation_are_told_apart_by_their_files(layout: str, io: ImageIO) -> None:
    state = state_of(layout, io)
    bare = recognise_network(checkpoint(state), "net.pt")
    assert bare.architecture.name == layout
    assert bare.notes == (
        f"{layout} assumed: {layout}-gelu and {layout}-relu have the same parameters, and the file names "
        f'none of them. `arch="{layout}-gelu"` chooses another.',
    )
    for name in (layout, f"{layout}-gelu", f"{layout}-relu"):
        found = recognise_network(checkpoint(state, arch=name), "net.pt", io=io)
        assert (found.architecture.name, found.architecture.io, found.notes) == (name, io, ())
        named = recognise_network(checkpoint(state), "net.pt", arch=name, io=io)
        assert (named.architecture.name, named.notes) == (name, ())


def test_a_candidate_of_another_activation_than_the_file_names_is_not_taken() -> None:
    io = ImageIO(1, 28, 10)
    state, gelu = state_of("cnn-small", io), build("cnn-small-gelu", io)
    tanh = build("cnn-small", io)
    assert recognise(checkpoint(state), candidates=[gelu]) is gelu
    assert recognise(checkpoint(state, arch="cnn-small"), candidates=[gelu]).name == "cnn-small"
    assert recognise(checkpoint(state, arch="cnn-small"), candidates=[gelu, tanh]) is tanh
    assert recognise(checkpoint(state, arch="lenetlike"), candidates=[gelu]) is gelu


def test_the_nearest_shares_names_and_shapes_and_is_not_the_smallest() -> None:
    state = {n.replace("layer1.0", "stage1.0"): t for n, t in state_of("resnet20", ImageIO(3, 32, 10)).items()}
    candidates = [build("siren", FieldIO(3, 1)), build("lenetlike", ImageIO(3, 32, 10))]
    with pytest.raises(UnknownArchitecture, match="Nearest is resnet20 "):
        recognise(checkpoint(state), candidates=candidates)
    with pytest.raises(UnknownArchitecture) as refused:
        recognise(checkpoint({"encoder.w": torch.ones(3)}), candidates=candidates)
    assert "Nearest" not in refused.value.message


def test_a_known_network_for_something_else_is_called_what_it_is() -> None:
    state = state_of("siren-4x2", FieldIO(2, 1))
    assert recognise(checkpoint(state), io=FieldIO(2, 1)).name == "siren-4x2"
    for io, given in ((IO, "images of 1x8x8, 3 classes"), (FieldIO(3, 1), "points of 3 coordinates, 1 value")):
        with pytest.raises(UnknownArchitecture, match=f"a siren-4x2 for points of 2 coordinates.*, not for {given}"):
            recognise(checkpoint(state), io=io)
