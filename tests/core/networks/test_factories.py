"""Anyone's factory as an architecture."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
import torch
from netspace_models.architectures import FieldIO, ImageIO, NetworkIO
from netspace_models.errors import ConfigError, InputFileError, UnknownArchitecture

from netspace_cli.core.networks.factories import (
    fresh_module,
    io_of_factory,
    is_factory,
    known_io,
    recorded_architecture,
    resolve_architecture,
)
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.networks.trust import trusting

IO = ImageIO(1, 8, 3)
SOURCE = """
import torch
from torch import nn

def _net(inputs, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 5), nn.ReLU(), nn.Linear(5, classes))

def with_io(io):
    return _net(io.channels * io.size ** 2, io.classes)

def fixed():
    return _net(64, 3)

def with_default(hidden=5, *args, **options):
    return _net(64, 3)

def conv_for_28():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 26 * 26, 7))

def depthwise():
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)]
    return nn.Sequential(nn.Conv2d(3, 3, 3, groups=3), nn.GroupNorm(1, 3), nn.Conv2d(3, 4, 1), *head)

def points():
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))

def rows():
    return nn.Linear(30, 3)

class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches, self.attention = nn.Conv2d(1, 4, 4, 4), nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm, self.fc = nn.LayerNorm(4), nn.Linear(4, 5)
    def forward(self, x):
        assert x.shape[-1] == 16, "made for 16 pixels"
        tokens = self.norm(self.patches(x).flatten(2).mT)
        return self.fc(self.attention(tokens, tokens, tokens)[0].mean(1))

class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.full((1, 1, 1), 0.5))
        self.conv, self.a, self.b = nn.Conv2d(1, 4, 3), nn.Linear(4, 4), nn.Linear(4, 4)
        self.b.weight = self.a.weight
        self.spare, self.head = nn.BatchNorm2d(4), nn.Linear(4, 3)
        self.fc = self.head
    def forward(self, x):
        x = self.conv(x - self.mean).relu().mean((2, 3))
        return self.fc(self.b(self.a(x).relu()).relu())

class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = fixed()
    def forward(self, x):
        return self.net(x)

class SharedBehindNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=1)
        self.b.weight, self.norm, self.fc = self.a.weight, nn.BatchNorm2d(1), nn.Linear(1, 3)
    def forward(self, x):
        return self.fc(self.norm(self.b(self.a(x).relu())).mean((2, 3)))

def lazy():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(5), nn.LazyBatchNorm1d(), nn.LazyLinear(3))

def frozen():
    return fixed().requires_grad_(False)

def fails(io):
    return nn.Linear(io.width, 3)

def no_module():
    return {"weights": 1}

class Net(nn.Module):
    def __init__(self, io):
        super().__init__()
        self.body = with_io(io)
    def forward(self, x):
        return self.body(x)
"""


@pytest.fixture(autouse=True)
def factory_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "factories_for_tests.py").write_text(SOURCE)
    (tmp_path / "broken_for_tests.py").write_text("import no_such_package_anywhere\n")
    (tmp_path / "half_written_for_tests.py").write_text("def make(:\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_names_of_factories_have_a_colon() -> None:
    assert is_factory("a.b:c")
    assert not is_factory("resnet8")


@pytest.mark.parametrize("name", ["with_io", "fixed", "with_default", "Net"])
def test_a_factory_is_called_with_the_io_only_if_it_needs_an_argument(name: str) -> None:
    architecture = resolve_architecture(f"factories_for_tests:{name}", IO)
    assert architecture.parameter_count == 64 * 5 + 5 + 5 * 3 + 3
    assert architecture.name == f"factories_for_tests:{name}"
    assert [group.size for group in architecture.hidden_groups] == [5]


def test_built_in_architectures_by_name() -> None:
    assert resolve_architecture("lenetlike", IO).name == "lenetlike"
    with pytest.raises(UnknownArchitecture, match="Did you mean resnet8"):
        resolve_architecture("resnt8", IO)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module_anywhere:make", "no_such_module_anywhere"),
        ("broken_for_tests:make", "no_such_package_anywhere"),
        ("half_written_for_tests:make", "invalid syntax"),
        ("factories_for_tests:nothing", "nothing"),
        ("factories_for_tests:", "cannot be imported"),
        (":make", "cannot be imported"),
        ("..models:make", "cannot be imported"),
    ],
)
def test_a_factory_that_cannot_be_imported_is_told(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        resolve_architecture(name, IO)
    assert f"the factory {name} cannot be imported" in refused.value.message
    assert "package.module:function" in refused.value.hint


def test_a_factory_that_makes_no_module_is_told() -> None:
    with pytest.raises(ConfigError, match=r"returned a dict, not a torch\.nn\.Module"):
        resolve_architecture("factories_for_tests:no_module", IO)


def test_a_factory_that_fails_is_told_with_its_own_error() -> None:
    with pytest.raises(ConfigError, match="the factory factories_for_tests:fails failed: AttributeError: .*width"):
        resolve_architecture("factories_for_tests:fails", IO)


def test_what_cannot_be_called_is_told() -> None:
    with pytest.raises(ConfigError, match="the factory math:pi cannot be called"):
        resolve_architecture("math:pi", IO)


def test_a_module_for_other_images_is_told() -> None:
    with pytest.raises(UnknownArchitecture, match="factories_for_tests:fixed does not run on images of 1x9x9"):
        resolve_architecture("factories_for_tests:fixed", ImageIO(1, 9, 3))
    with pytest.raises(UnknownArchitecture, match=r"gives outputs of shape \(2, 3\)") as refused:
        resolve_architecture("factories_for_tests:fixed", ImageIO(1, 8, 4))
    assert refused.value.hint == (
        "The factory must build a classifier with one logit a class. Where a library's function gives another number, "
        "name a function of your own that calls it with 4."
    )


def test_resolving_leaves_the_process_own_stream_alone() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    resolve_architecture("factories_for_tests:with_io", IO)
    io_of_factory("factories_for_tests:fixed", 1, (8, 16))
    assert torch.equal(torch.rand(2), wanted)


@pytest.mark.parametrize("name", ["factories_for_tests:with_io", "factories_for_tests:lazy", "lenetlike"])
def test_fresh_modules_come_from_the_current_stream(name: str) -> None:
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        made.append(torch.cat([p.flatten() for p in fresh_module(name, IO).parameters()]))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_fresh_modules_can_be_trained() -> None:
    module = fresh_module("factories_for_tests:lazy", IO)
    assert module.training and [p.shape[0] for p in module.parameters()] == [5, 5, 5, 5, 3, 3]
    with pytest.raises(
        ConfigError, match="frozen cannot be trained: none of its 4 parameters has requires_grad"
    ) as told:
        fresh_module("factories_for_tests:frozen", IO)
    assert told.value.hint == "Let the factory return a module that is not frozen."


def test_a_factory_without_arguments_tells_its_own_io() -> None:
    assert io_of_factory("factories_for_tests:fixed", 1, (32, 16, 8)) == IO
    assert io_of_factory("factories_for_tests:conv_for_28", 1, (32, 16, 28, 64)) == ImageIO(1, 28, 7)
    assert io_of_factory("factories_for_tests:fixed", 1, (32, 16)) is None
    assert io_of_factory("factories_for_tests:with_io", 1, (8,)) is None


@pytest.mark.parametrize(
    ("name", "io"),
    [
        ("depthwise", ImageIO(3, 32, 2)),
        ("points", FieldIO(3, 1)),
        ("Attention", ImageIO(1, 16, 5)),
        ("conv_for_28", ImageIO(1, 28, 7)),
        ("rows", None),
    ],
)
def test_what_a_module_takes_is_found_by_running_it(name: str, io: NetworkIO | None) -> None:
    assert io_of_factory(f"factories_for_tests:{name}", None, (32, 16, 28, 64)) == io


def test_a_module_that_takes_something_else_is_refused_for_that(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(30, 3).state_dict(), tmp_path / "a.pt")
    with pytest.raises(UnknownArchitecture, match="rows runs neither on square images of 16, .* nor on points"):
        read_network(tmp_path / "a.pt", arch="factories_for_tests:rows")


@pytest.mark.parametrize("name", ["depthwise", "points", "Attention"])
def test_a_checkpoint_of_anyones_module_is_read(name: str, tmp_path: Path) -> None:
    factory = f"factories_for_tests:{name}"
    torch.manual_seed(0)
    module = fresh_module(factory, IO).eval()
    torch.save(module.state_dict(), tmp_path / "a.pt")
    network = read_network(tmp_path / "a.pt", arch=factory)
    inputs = network.architecture.io.example(2, torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(network.architecture.run(network.weights, inputs), module(inputs))


@pytest.mark.parametrize("nested", ["", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "net."])
def test_a_name_that_wrappers_have_too_may_be_the_module_s_own(nested: str, prefix: str, tmp_path: Path) -> None:
    module = fresh_module("factories_for_tests:Wrapped", IO)
    saved = {prefix + name: tensor for name, tensor in module.state_dict().items()}
    torch.save({nested: saved} if nested else saved, tmp_path / "a.pt")
    network = read_network(tmp_path / "a.pt", arch="factories_for_tests:Wrapped", io=IO)
    assert torch.equal(network.weights, network.architecture.to_weights(module.state_dict()))
    cut = [f"The prefix {prefix!r} was cut off every name."] if prefix else []
    assert [note for note in network.notes if "prefix" in note] == cut


def test_shared_parameters_and_constants_are_kept(tmp_path: Path) -> None:
    factory = "factories_for_tests:Fixed"
    torch.manual_seed(0)
    module = fresh_module(factory, IO).eval()
    torch.save(module.state_dict(), tmp_path / "a.pt")
    network = read_network(tmp_path / "a.pt", arch=factory)
    architecture = network.architecture
    assert architecture.parameter_count == 4 * 9 + 4 + 4 * 4 + 2 * 4 + 4 * 3 + 3
    inputs = architecture.io.example(2, torch.Generator().manual_seed(1))
    for form in ("full", "fused"):
        target = fresh_module(factory, IO).eval() if form == "full" else copy.deepcopy(architecture.fused)
        target.load_state_dict(architecture.to_state(network.weights, form), strict=True)
        with torch.no_grad():
            torch.testing.assert_close(target(inputs), module(inputs))
            torch.testing.assert_close(architecture.run_each(network.weights[None], inputs)[0], module(inputs))
        assert torch.equal(architecture.to_weights(architecture.to_state(network.weights, form)), network.weights)


@pytest.mark.parametrize(
    ("changed", "words"),
    [("b.weight", "b.weight and a.weight are one parameter"), ("mean", "the buffer mean has other values")],
)
def test_values_that_could_not_be_restored_are_refused(tmp_path: Path, changed: str, words: str) -> None:
    state = fresh_module("factories_for_tests:Fixed", IO).state_dict()
    state[changed] = state[changed] + 1
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(UnknownArchitecture, match=words):
        read_network(tmp_path / "a.pt", arch="factories_for_tests:Fixed")


def test_a_shared_layer_before_a_batch_norm_is_refused() -> None:
    with pytest.raises(UnknownArchitecture, match=r"b\.weight and a\.weight are one parameter, and a batch norm"):
        resolve_architecture("factories_for_tests:SharedBehindNorm", IO)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder that is not on Python's search path, as for a console script."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert str(folder) not in sys.path and "" not in sys.path
    return folder


def test_a_factory_of_the_current_folder_is_found_if_the_user_named_it(here: Path) -> None:
    (here / "nets_found_here.py").write_text(SOURCE)
    before = list(sys.path)
    with pytest.raises(ConfigError, match="no module 'nets_found_here'") as refused:
        resolve_architecture("nets_found_here:fixed", IO)
    assert 'with `trusting("nets_found_here:fixed")` here as well' in refused.value.hint
    with trusting("nets_found_here:fixed"):
        assert resolve_architecture("nets_found_here:fixed", IO).parameter_count == 64 * 5 + 5 + 5 * 3 + 3
    assert sys.path == before


def test_what_a_factory_imports_when_it_is_called_is_found_too(here: Path) -> None:
    (here / "late_net.py").write_text("def make():\n    import part_of_late_net\n    return part_of_late_net.fixed()\n")
    (here / "part_of_late_net.py").write_text(SOURCE)
    with trusting("late_net:make"):
        assert resolve_architecture("late_net:make", IO).parameter_count == 64 * 5 + 5 + 5 * 3 + 3


def test_a_file_of_the_current_folder_takes_no_installed_module_s_place(here: Path) -> None:
    (here / "colorsys.py").write_text("raise SystemExit('the wrong module')")
    sys.modules.pop("colorsys", None)
    (here / "net_with_colours.py").write_text("import colorsys\ncolorsys.rgb_to_hsv\n" + SOURCE)
    with trusting("net_with_colours:fixed"):
        resolve_architecture("net_with_colours:fixed", IO)


def test_a_misspelt_function_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as refused:
        resolve_architecture("factories_for_tests:wth_io", IO)
    assert "the module factories_for_tests (" in refused.value.message
    assert "factories_for_tests.py) has no function 'wth_io'" in refused.value.message
    assert refused.value.hint.startswith("Did you mean with_io")
    with pytest.raises(ConfigError) as refused:
        resolve_architecture("factories_for_tests:qqqq", IO)
    assert "with_io or fixed" in refused.value.hint and "nn" not in refused.value.hint.split()


def test_a_missing_module_says_where_it_was_looked_for(here: Path) -> None:
    with trusting("no_such_net:make"), pytest.raises(ConfigError) as refused:
        resolve_architecture("no_such_net:make", IO)
    assert refused.value.message.endswith("cannot be imported: there is no module 'no_such_net'.")
    assert f"then in the current folder ({here})" in refused.value.hint and "PYTHONPATH" in refused.value.hint


@pytest.mark.parametrize("name", ["nets.py:make", "./nets.py:make", "nets/net.py:make"])
def test_a_path_in_the_place_of_a_module_is_told_how_it_is_written(here: Path, name: str) -> None:
    (here / "nets.py").write_text(SOURCE)
    with trusting(name), pytest.raises(ConfigError) as refused:
        resolve_architecture(name, IO)
    assert ("nets.net:make" if "/net." in name else "nets:make") in refused.value.hint


def test_a_file_s_factory_is_trusted_and_importable_or_the_file_is_named(here: Path) -> None:
    (here / "recorded_net.py").write_text(SOURCE)
    with pytest.raises(InputFileError, match="s.safetensors: it names the factory recorded_net:fixed") as refused:
        recorded_architecture("recorded_net:fixed", IO, Path("s.safetensors"))
    assert '`trusting("recorded_net:fixed")`' in refused.value.hint
    with trusting("recorded_net:fixed"):
        assert recorded_architecture("recorded_net:fixed", IO, Path("s.safetensors")).name == "recorded_net:fixed"
    with trusting("gone_net:fixed"), pytest.raises(InputFileError) as refused:
        recorded_architecture("gone_net:fixed", IO, Path("s.safetensors"))
    assert "s.safetensors: its architecture cannot be built here: the factory gone_net:fixed" in refused.value.message
    assert "run in the folder that holds gone_net" in refused.value.hint


@pytest.mark.parametrize(
    ("name", "io", "expected"),
    [
        ("lenetlike", ImageIO(3, 32, 10), "3x32x32, 10 classes"),
        ("vanillacnn", ImageIO(1, 16, 10), "1x16x16, 10 classes"),
        ("resnet8", ImageIO(1, 16, 10), "1 channel, 10 classes; works at several image sizes (16, 28, 32, ...)"),
        ("resnet8", ImageIO(3, 24, 4), "3 channels, 4 classes; works at several image sizes (16, 24, 28, 32, ...)"),
        ("resnet8", ImageIO(3, 64, 4), "3x64x64, 4 classes"),
        ("factories_for_tests:with_io", IO, "1x8x8, 3 classes"),
    ],
)
def test_a_size_of_images_that_the_parameters_do_not_tell_is_not_named(name: str, io: NetworkIO, expected: str) -> None:
    assert known_io(resolve_architecture(name, io)) == expected
