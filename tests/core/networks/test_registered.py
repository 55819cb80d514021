"""A family of architectures that is registered is built and recognised, by what the family itself says."""

from __future__ import annotations

import re
from math import prod
from pathlib import Path

import pytest
import torch
from netspace_models.architectures import ImageIO, NetworkIO, build, registry
from netspace_models.architectures.family import Factory, Family, Foreign, Guess, Shapes, images_for
from netspace_models.errors import UnknownArchitecture
from torch import Tensor, nn

from netspace_cli.core.files.checkpoint import Checkpoint
from netspace_cli.core.networks.recognise import recognise

IO = ImageIO(1, 8, 3)
NAME = re.compile(r"flat-([0-9]+)")


class Flat(nn.Module):
    """Pixels to W units to K logits."""

    def __init__(self, io: ImageIO, width: int) -> None:
        super().__init__()
        self.into = nn.Linear(prod(io.input_shape), width)
        self.out = nn.Linear(width, io.classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.into(x.flatten(1))))


def factory(name: str) -> Factory | None:
    match = NAME.fullmatch(name)
    return (lambda io: Flat(images_for(name, io), int(match.group(1)))) if match else None


def recognised(shapes: Shapes) -> Guess | None:
    """Its own IO: one channel, and the size that the pixels make."""
    into, out = shapes.get("into.weight", ()), shapes.get("out.bias", ())
    if len(into) != 2 or len(out) != 1:
        return None
    io = ImageIO(1, round(into[1] ** 0.5), out[0])
    foreign = Foreign("flat network", ("a gate (known: none)",), "gates.models:flat") if "gate" in shapes else None
    return Guess((f"flat-{into[0]}",), io, foreign)


@pytest.fixture
def flat(monkeypatch: pytest.MonkeyPatch) -> None:
    family = Family(("flat-9",), factory, recognised)
    monkeypatch.setattr(registry, "REGISTERED", (*registry.REGISTERED, family))


def checkpoint(state: dict[str, Tensor]) -> Checkpoint:
    return Checkpoint(Path("net.pt"), "0" * 64, "pt", state, {}, ())


def state_of(io: NetworkIO, width: int) -> dict[str, Tensor]:
    return dict(build(f"flat-{width}", io).module.state_dict())


@pytest.mark.usefixtures("flat")
@pytest.mark.parametrize("width", [4, 7])
def test_what_a_registered_family_recognises_is_recognised(width: int) -> None:
    found = recognise(checkpoint(state_of(IO, width)))
    assert (found.name, found.io) == (f"flat-{width}", IO)


@pytest.mark.usefixtures("flat")
def test_the_others_are_recognised_as_before() -> None:
    for name in ("lenetlike", "vanillacnn", "resnet8", "resnet14-a"):
        assert recognise(checkpoint(dict(build(name, IO).module.state_dict())), io=IO).name == name


@pytest.mark.usefixtures("flat")
def test_a_family_says_what_is_foreign_to_it() -> None:
    with pytest.raises(UnknownArchitecture) as refused:
        recognise(checkpoint({**state_of(IO, 4), "gate": torch.ones(1)}))
    assert "Nearest is flat-4 (1x8x8, 3 classes), but this flat network differs in: a gate" in refused.value.message
    assert 'Name gates\'s own architecture: `arch="gates.models:flat"`' in refused.value.hint


def test_without_its_family_it_is_not_recognised() -> None:
    with pytest.raises(UnknownArchitecture, match=r"4 tensors that fit no known architecture\."):
        recognise(checkpoint(dict(Flat(IO, 4).state_dict())))


def test_a_family_without_recognition_is_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first and last layers tell channels and classes, or the IO is known."""
    family = Family(("flat-4",), factory)
    monkeypatch.setattr(registry, "REGISTERED", (*registry.REGISTERED, family))
    state = state_of(IO, 4)
    assert recognise(checkpoint(state), io=IO).name == "flat-4"
    with pytest.raises(UnknownArchitecture):
        recognise(checkpoint(state))


def test_channels_and_classes_are_those_of_the_first_and_last_layer() -> None:
    for name in ("lenetlike", "vanillacnn", "resnet8", "resnet8-a"):
        state = build(name, ImageIO(2, 16, 5)).module.state_dict()
        assert registry.channels_and_classes({n: tuple(t.shape) for n, t in state.items()}) == (2, 5)
    assert registry.channels_and_classes({"conv1.weight": (4, 3, 5, 5)}) is None
    assert registry.channels_and_classes({"fc.bias": (3,)}) is None
