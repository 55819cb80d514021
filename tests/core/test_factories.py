"""Anyone's factory as an architecture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from netspace_models.architectures import Signal
from netspace_models.errors import ConfigError, UnknownArchitecture

from netspace_cli.core.factories import fresh_module, is_factory, resolve_architecture, signal_of_factory

SIGNAL = Signal(1, 8, 3)
SOURCE = """
import torch
from torch import nn

def _net(inputs, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 5), nn.ReLU(), nn.Linear(5, classes))

def with_signal(signal):
    return _net(signal.channels * signal.size ** 2, signal.classes)

def fixed():
    return _net(64, 3)

def with_default(hidden=5, *args, **options):
    return _net(64, 3)

def conv_for_28():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 26 * 26, 7))

def fails(signal):
    return nn.Linear(signal.width, 3)

def no_module():
    return {"weights": 1}

class Net(nn.Module):
    def __init__(self, signal):
        super().__init__()
        self.body = with_signal(signal)
    def forward(self, x):
        return self.body(x)
"""


@pytest.fixture(autouse=True)
def factory_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "factories_for_tests.py").write_text(SOURCE)
    (tmp_path / "broken_for_tests.py").write_text("import no_such_package_anywhere\n")
    (tmp_path / "half_written_for_tests.py").write_text("def make(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield


def test_names_of_factories_have_a_colon() -> None:
    assert is_factory("a.b:c")
    assert not is_factory("resnet8")


@pytest.mark.parametrize("name", ["with_signal", "fixed", "with_default", "Net"])
def test_a_factory_is_called_with_the_signal_only_if_it_needs_one(name: str) -> None:
    architecture = resolve_architecture(f"factories_for_tests:{name}", SIGNAL)
    assert architecture.parameters == 64 * 5 + 5 + 5 * 3 + 3
    assert architecture.name == f"factories_for_tests:{name}"
    assert architecture.hidden_groups == ()


def test_built_in_architectures_by_name() -> None:
    assert resolve_architecture("lenetlike", SIGNAL).name == "lenetlike"
    with pytest.raises(UnknownArchitecture, match="Did you mean resnet8"):
        resolve_architecture("resnt8", SIGNAL)


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
        resolve_architecture(name, SIGNAL)
    assert f"the factory {name} cannot be imported" in refused.value.message
    assert "package.module:function" in refused.value.hint


def test_a_factory_that_makes_no_module_is_told() -> None:
    with pytest.raises(ConfigError, match=r"returned a dict, not a torch\.nn\.Module"):
        resolve_architecture("factories_for_tests:no_module", SIGNAL)


def test_a_factory_that_fails_is_told_with_its_own_error() -> None:
    with pytest.raises(ConfigError, match="the factory factories_for_tests:fails failed: AttributeError: .*width"):
        resolve_architecture("factories_for_tests:fails", SIGNAL)


def test_what_cannot_be_called_is_told() -> None:
    with pytest.raises(ConfigError, match="the factory math:pi cannot be called"):
        resolve_architecture("math:pi", SIGNAL)


def test_a_module_for_other_images_is_told() -> None:
    with pytest.raises(UnknownArchitecture, match="factories_for_tests:fixed does not run on images of 1x9x9"):
        resolve_architecture("factories_for_tests:fixed", Signal(1, 9, 3))
    with pytest.raises(UnknownArchitecture, match=r"gives outputs of shape \(2, 3\)"):
        resolve_architecture("factories_for_tests:fixed", Signal(1, 8, 4))


def test_resolving_leaves_the_process_own_stream_alone() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    resolve_architecture("factories_for_tests:with_signal", SIGNAL)
    signal_of_factory("factories_for_tests:fixed", 1, (8, 16))
    assert torch.equal(torch.rand(2), wanted)


@pytest.mark.parametrize("name", ["factories_for_tests:with_signal", "lenetlike"])
def test_fresh_modules_come_from_the_current_stream(name: str) -> None:
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        made.append(torch.cat([p.flatten() for p in fresh_module(name, SIGNAL).parameters()]))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_a_factory_without_arguments_tells_its_own_signal() -> None:
    assert signal_of_factory("factories_for_tests:fixed", 1, (32, 16, 8)) == SIGNAL
    assert signal_of_factory("factories_for_tests:conv_for_28", 1, (32, 16, 28, 64)) == Signal(1, 28, 7)
    assert signal_of_factory("factories_for_tests:fixed", 1, (32, 16)) is None
    assert signal_of_factory("factories_for_tests:with_signal", 1, (8,)) is None
