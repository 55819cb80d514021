"""Hidden groups of modules that do not name them: the right ones, or none and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from netspace_models.architectures import FieldIO, ImageIO, build
from netspace_models.architectures.architecture import describe
from netspace_models.parameters import trace_groups as traced
from netspace_models.parameters.folding import fused_module, trace
from netspace_models.parameters.symmetry import HiddenGroup, Member, draw_orders, reorder
from netspace_models.parameters.trace_groups import TracedGroups, trace_groups
from torch import Tensor, nn
from torch.func import functional_call
from torchvision.models import ResNet, SqueezeNet
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.models.resnet import BasicBlock
from torchvision.models.vgg import VGG, make_layers

from tests.small_networks import seeded

IMAGES, POINTS = ImageIO(3, 16, 4), FieldIO(2, 1)
NO_WARNING = pytest.mark.filterwarnings("ignore:The default weight initialization")


def found_in(module: nn.Module, size: int = 8) -> TracedGroups:
    """The groups of a module of colour images, its batch norms folded away."""
    x = torch.randn(2, 3, size, size, generator=seeded())
    module = module.eval()
    return trace_groups(fused_module(module, trace(module, x).pairs).requires_grad_(False), x)


def places(groups: Sequence[HiddenGroup]) -> set[frozenset[frozenset[tuple[str, int, int, int]]]]:
    """Groups as sets of units, units as sets of places: without any order."""
    return {
        frozenset(
            frozenset((m.name, m.axis, m.block, m.places[i] if m.places else i) for m in group.members)
            for i in range(group.size)
        )
        for group in groups
    }


@pytest.mark.parametrize("name", ["lenetlike", "vanillacnn", "resnet8", "resnet20-a", "siren-6x2"])
def test_what_the_built_in_architectures_name_is_found(name: str) -> None:
    architecture = build(name, POINTS if name.startswith("siren") else IMAGES)
    found = trace_groups(architecture.fused, architecture.io.example(2, seeded()))
    assert found.reason == ""
    assert places(found.groups) == places(architecture.hidden_groups)


def small_vgg() -> nn.Module:
    module = VGG(make_layers([6, "M", 8, 8], batch_norm=True), num_classes=4, init_weights=False)
    module.avgpool = nn.AdaptiveAvgPool2d(2)
    module.classifier = nn.Sequential(nn.Linear(32, 10), nn.ReLU(), nn.Dropout(), nn.Linear(10, 4))
    return module


@NO_WARNING
@pytest.mark.parametrize(
    ("make", "sizes"),
    [
        (lambda: ResNet(BasicBlock, [1, 1, 1, 1], num_classes=4), [64, 64, 128, 128, 256, 256, 512, 512]),
        (small_vgg, [6, 8, 8, 10]),
        (lambda: SqueezeNet("1_1", num_classes=4), None),
        (lambda: MobileNetV2(4, width_mult=0.1, inverted_residual_setting=[[1, 16, 1, 1], [2, 24, 2, 2]]), None),
    ],
)
def test_torchvisions_networks_can_be_reordered(make: Callable[[], nn.Module], sizes: list[int] | None) -> None:
    module = make().eval()
    found = found_in(module, 32)
    assert found.reason == ""
    if sizes:
        assert sorted(group.size for group in found.groups) == sizes
    x = torch.randn(2, 3, 32, 32, generator=seeded(1))
    fused = fused_module(module, trace(module, x).pairs).requires_grad_(False)
    state = {n: p + 0.01 * torch.randn(p.shape, generator=seeded(2)) for n, p in fused.named_parameters()}
    moved = reorder(state, found.groups, draw_orders(found.groups, seeded(3)))
    torch.testing.assert_close(functional_call(fused, moved, (x,)), functional_call(fused, state, (x,)))
    # Everything moves but the first layer's inputs and the last one's outputs.
    axes = {(n, axis) for n, p in state.items() for axis in range(min(2, p.dim())) if p.shape[axis] > 3}
    reached = {(m.name, m.axis) for group in found.groups for m in group.members}
    last = [n for n, p in state.items() if p.shape[0] == 4]
    assert axes - reached <= {(n, 0) for n in last}


class Net(nn.Module):
    """A stem, something of its own, and a classifier; `middle` takes the stem's eight maps."""

    def __init__(self, middle: Callable[[Any, Tensor], Tensor], last: int = 8, **own: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.stem, self.out = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(last, 4)
        self.middle = middle
        for name, each in own.items():
            setattr(self, name, each)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.middle(self, torch.relu(self.stem(x))).mean((2, 3)))


def conv(inputs: int, outputs: int, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups)


FOUND: dict[str, tuple[Callable[[], nn.Module], dict[int, int]]] = {
    "residual": (lambda: Net(lambda m, x: x + m.a(x), a=conv(8, 8)), {8: 1}),
    "residual in place": (lambda: Net(lambda m, x: F.relu_(m.a(x).add_(x)), a=conv(8, 8)), {8: 1}),
    "concatenation": (lambda: Net(lambda m, x: torch.cat([x, m.a(x)], 1), 13, a=conv(8, 5)), {8: 1, 5: 1}),
    "half of the maps": (lambda: Net(lambda m, x: torch.cat([m.a(x[:, :4]), x], 1), 13, a=conv(4, 5)), {4: 2, 5: 1}),
    "zeros beside": (lambda: Net(lambda m, x: F.pad(x, (0, 0, 0, 0, 2, 2)) + m.a(x), 12, a=conv(8, 12)), {8: 1, 4: 1}),
    "zeros joined": (
        lambda: Net(lambda m, x: torch.cat([x, torch.zeros_like(x)], 1) + m.a(x), 16, a=conv(8, 16)),
        {8: 2},
    ),
    "depthwise": (lambda: Net(lambda m, x: m.a(x), a=conv(8, 8, groups=8)), {8: 1}),
    "depthwise, two each": (lambda: Net(lambda m, x: m.a(x), 16, a=conv(8, 16, groups=8)), {8: 1}),
    "transposed": (lambda: Net(lambda m, x: m.a(x), 5, a=nn.ConvTranspose2d(8, 5, 2)), {8: 1, 5: 1}),
    "a slope each": (lambda: Net(lambda m, x: m.a(x), a=nn.PReLU(8)), {8: 1}),
    "a scale each": (lambda: Net(lambda m, x: x * m.a, a=nn.Parameter(torch.ones(8, 1, 1))), {8: 1}),
    "one scale": (lambda: Net(lambda m, x: x * m.a, a=nn.Parameter(torch.ones(1))), {8: 1}),
    "halves multiplied": (
        lambda: Net(lambda m, x: (lambda a, b: a * b.sigmoid())(*m.a(x).chunk(2, 1)), 5, a=conv(8, 10)),
        {8: 1, 5: 1},
    ),
    "attention to places": (lambda: Net(lambda m, x: x * m.a(x).sigmoid(), a=conv(8, 1)), {8: 1}),
    "attention to maps": (
        lambda: Net(lambda m, x: x * m.a(x.mean((2, 3), keepdim=True)).sigmoid(), a=nn.Conv2d(8, 8, 1)),
        {8: 1},
    ),
    "shuffled maps": (
        lambda: Net(lambda m, x: m.a(x.unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2)), a=conv(8, 8)),
        {8: 2},
    ),
    "layer norm": (
        lambda: Net(lambda m, x: m.a(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), a=nn.LayerNorm(8)),
        {8: 1},
    ),
    "mask of places": (lambda: Net(lambda m, x: x * torch.linspace(0, 1, 8), 8), {8: 1}),
}


@pytest.mark.parametrize("what", FOUND)
def test_units_are_followed_through(what: str) -> None:
    make, sizes = FOUND[what]
    found = found_in(make())
    assert found.reason == ""
    assert Counter(group.size for group in found.groups) == Counter(sizes)


def test_what_is_flattened_has_blocks_or_places() -> None:
    first = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(5 * 36, 4))
    (group,) = found_in(first).groups
    assert group == HiddenGroup(5, (Member("0.weight", 0), Member("0.bias", 0), Member("2.weight", 1, block=36)))

    class ChannelsLast(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return self[2](self[0](x).permute(0, 2, 3, 1).reshape(len(x), -1))

    (group,) = found_in(ChannelsLast(*first)).groups
    columns = [m for m in group.members if m.name == "2.weight"]
    assert [m.places for m in columns] == [tuple(range(5 * k, 5 * k + 5)) for k in range(36)]


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(192, 5), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x.flatten(1))
        return self.b(y if x.sum().item() > 1e9 else y + 1)


NONE: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "groups": (
        lambda: Net(lambda m, x: m.a(x), a=conv(8, 8, groups=2)),
        "the convolution 'a' has 2 groups for 8 inputs",
    ),
    "unknown": (lambda: Net(lambda m, x: x.softmax(1)), "netspace does not follow units through _softmax"),
    "several units as one": (
        lambda: Net(lambda m, x: x.mean(1, keepdim=True), 1),
        "mean takes values of several units as one",
    ),
    "parameter changed": (
        lambda: Net(lambda m, x: x * m.a.exp(), a=nn.Parameter(torch.ones(8, 1, 1))),
        "the parameter a goes through exp",
    ),
    "joined": (
        lambda: Net(
            lambda m, x: torch.cat([x, m.a.expand(len(x), 1, 8, 8)], 1), 9, a=nn.Parameter(torch.ones(1, 1, 8, 8))
        ),
        "cat joins the parameter a with something else",
    ),
    "values decide": (Branching, "its run depends on values of its inputs, by _local_scalar_dense"),
    "values with places": (
        lambda: Net(lambda m, x: x * torch.linspace(0, 1, 8)[:, None, None]),
        "none of its units can change places",
    ),
    "one layer": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), "none of its units can change places"),
}


@pytest.mark.parametrize("what", NONE)
def test_what_is_not_understood_has_no_groups_but_a_reason(what: str) -> None:
    make, reason = NONE[what]
    found = found_in(make())
    assert found.groups == ()
    assert found.reason.startswith(reason)
    assert "\n" not in found.reason


def test_the_images_channels_stay() -> None:
    class Stem(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = conv(3, 3), nn.Linear(192, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.b((x + self.a(x)).flatten(1))

    assert found_in(Stem()) == TracedGroups((), "none of its units can change places")


def test_wrong_groups_are_seen_and_not_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    right = traced._groups

    def wrong(*arguments: object) -> tuple[HiddenGroup, ...]:
        return tuple(HiddenGroup(g.size, g.members[:-1]) for g in right(*arguments))  # type: ignore[arg-type]

    monkeypatch.setattr(traced, "_groups", wrong)
    found = found_in(Net(lambda m, x: m.a(x), a=conv(8, 8)))
    assert found.groups == ()
    assert found.reason.startswith("reordering its units would change its outputs by ")


def test_an_architecture_without_groups_of_its_own_has_those_found() -> None:
    architecture = describe("mine", Net(lambda m, x: m.a(x), 5, a=conv(8, 5)), ImageIO(3, 8, 4))
    assert [group.size for group in architecture.hidden_groups] == [8, 5]
    assert architecture.why_no_groups == ""
    weights = torch.randn(architecture.parameter_count, generator=seeded())
    shuffled, x = architecture.shuffle(weights, seeded(1)), torch.randn(2, 3, 8, 8, generator=seeded(2))
    assert not torch.equal(shuffled, weights)
    torch.testing.assert_close(architecture.run(shuffled, x), architecture.run(weights, x), rtol=1e-4, atol=1e-4)


def test_an_architecture_that_is_not_understood_says_so_and_is_left_as_it_is() -> None:
    architecture = describe("mine", Net(lambda m, x: x.softmax(1)), ImageIO(3, 8, 4))
    assert architecture.hidden_groups == ()
    assert architecture.why_no_groups == "netspace does not follow units through _softmax"
    weights = torch.randn(architecture.parameter_count, generator=seeded())
    assert torch.equal(architecture.shuffle(weights, seeded(1)), weights)


def test_half_precision_around_it_does_not_matter() -> None:
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        assert len(found_in(Net(lambda m, x: x + m.a(x), a=conv(8, 8))).groups) == 1


def test_a_module_for_single_precision_alone_is_compared_in_it() -> None:
    module = Net(lambda m, x: torch.addmm(torch.zeros(5), x.mean((2, 3)), m.a.t())[:, :, None, None], 5)
    module.a = nn.Parameter(torch.ones(5, 8))
    found = found_in(module)
    assert sorted(group.size for group in found.groups) == [5, 8]
