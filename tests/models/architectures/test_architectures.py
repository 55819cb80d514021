"""The built-in architectures against the published sizes and names, and anyone's module through `describe`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from netspace_models.architectures import FAMILIES, Architecture, ImageIO, build
from netspace_models.architectures.architecture import describe, difference
from netspace_models.errors import NamesDiffer, UnknownArchitecture
from netspace_models.parameters.symmetry import HiddenGroup, Member
from torch import Tensor, nn
from torch.func import functional_call

from tests.small_networks import seeded

CIFAR, TINY_IMAGENET, DIGITS, SMALL = (
    ImageIO(3, 32, 10),
    ImageIO(3, 64, 200),
    ImageIO(1, 16, 10),
    ImageIO(1, 8, 3),
)
FOUR = ("lenetlike", "vanillacnn", "resnet8", "resnet32")

PUBLISHED = [
    (CIFAR, "lenetlike", 62_006),
    (CIFAR, "vanillacnn", 68_818),
    (CIFAR, "resnet8", 77_706),
    (CIFAR, "resnet32", 465_674),
    (CIFAR, "resnet56", 853_642),
    (TINY_IMAGENET, "lenetlike", 79_612),
    (TINY_IMAGENET, "vanillacnn", 112_856),
    (TINY_IMAGENET, "resnet8", 128_456),
    (TINY_IMAGENET, "resnet32", 516_424),
    (TINY_IMAGENET, "resnet56", 904_392),
    (DIGITS, "lenetlike", 44_426),
    (DIGITS, "resnet32", 465_386),
]


def images(io: ImageIO, count: int = 4) -> Tensor:
    return torch.randn(count, io.channels, io.size, io.size, generator=seeded(7))


def trained_looking(architecture: Architecture, seed: int = 0) -> dict[str, Tensor]:
    """A full state dict whose norms have statistics, scales and shifts of their own."""
    generator, state = seeded(seed), {}
    for name, tensor in architecture.module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(11)
        elif name.endswith("running_var") or (tensor.dim() == 1 and name.endswith(".weight")):
            state[name] = 0.5 + torch.rand(tensor.shape, generator=generator)
        elif tensor.dim() == 1:
            state[name] = 0.3 * torch.randn(tensor.shape, generator=generator)
        else:
            state[name] = torch.randn(tensor.shape, generator=generator) / tensor[0].numel() ** 0.5
    return state


@pytest.mark.parametrize(("io", "name", "parameters"), PUBLISHED)
def test_folded_parameter_counts_are_the_published_ones(io: ImageIO, name: str, parameters: int) -> None:
    architecture = build(name, io)
    assert architecture.parameter_count == parameters
    assert sum(p.numel() for p in architecture.fused.parameters()) == parameters
    assert (architecture.name, architecture.io) == (name, io)


@pytest.mark.parametrize("io", [CIFAR, TINY_IMAGENET, DIGITS])
def test_the_published_order_of_class_ids_is_that_of_sizes(io: ImageIO) -> None:
    sizes = [build(name, io).parameter_count for name in FOUR]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("size", [32, 48, 64])
def test_lenetlike_has_the_names_of_the_release(size: int) -> None:
    layers = ["conv1", "conv2", *(["conv3"] if size >= 48 else []), "fc1", "fc2", "fc3"]
    names = [f"{layer}.{leaf}" for layer in layers for leaf in ("weight", "bias")]
    architecture = build("lenetlike", ImageIO(3, size, 10))
    assert list(architecture.module.state_dict()) == names
    assert [p.name for p in architecture.spec.parameters] == names


def test_vanillacnn_has_the_names_of_the_release() -> None:
    names = [f"layers.{i}.{leaf}" for i in range(6) for leaf in ("weight", "bias")]
    architecture = build("vanillacnn", CIFAR)
    assert list(architecture.module.state_dict()) == names
    assert [p.name for p in architecture.spec.parameters] == names


@pytest.mark.parametrize(
    ("io", "shapes"),
    [
        (CIFAR, [(6, 3, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84)]),
        (TINY_IMAGENET, [(4, 3, 5, 5), (8, 4, 5, 5), (16, 8, 5, 5), (120, 400), (84, 120), (200, 84)]),
    ],
)
def test_lenetlike_has_the_published_shapes(io: ImageIO, shapes: list[tuple[int, ...]]) -> None:
    spec = build("lenetlike", io).spec
    assert [p.shape for p in spec.parameters if p.name.endswith("weight")] == shapes


@pytest.mark.parametrize(
    ("io", "channels", "strides", "flat"),
    [(CIFAR, [8, 8, 32, 64, 64], [2, 1, 2, 1, 2], 1024), (TINY_IMAGENET, [8, 16, 32, 64, 64], [2] * 5, 256)],
)
def test_vanillacnn_has_the_published_layers(io: ImageIO, channels: list[int], strides: list[int], flat: int) -> None:
    *convolutions, classifier = build("vanillacnn", io).module.get_submodule("layers").children()
    assert [c.out_channels for c in convolutions] == channels
    assert [c.stride for c in convolutions] == [(s, s) for s in strides]
    assert {(c.kernel_size, c.padding) for c in convolutions} == {((3, 3), (1, 1))}
    assert classifier.in_features == flat


def resnet_names(blocks: int, *, folded: bool) -> list[str]:
    """The release's names: in the order of a PRep when folded, else in that of the state dict."""

    def layer(convolution: str, norm: str) -> list[str]:
        if folded:
            return [f"{convolution}.weight", f"{convolution}.bias"]
        leaves = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        return [f"{convolution}.weight", *(f"{norm}.{leaf}" for leaf in leaves)]

    names = layer("conv1", "bn1")
    for stage in (1, 2, 3):
        for b in range(blocks):
            block = f"layer{stage}.{b}"
            names += layer(f"{block}.conv1", f"{block}.bn1") + layer(f"{block}.conv2", f"{block}.bn2")
            if stage > 1 and b == 0:
                names += layer(f"{block}.downsample.0", f"{block}.downsample.1")
    return [*names, "fc.weight", "fc.bias"]


@pytest.mark.parametrize("depth", [8, 20, 32])
def test_resnets_have_the_names_of_the_release_and_the_order_of_a_prep(depth: int) -> None:
    architecture = build(f"resnet{depth}", SMALL)
    blocks = (depth - 2) // 6
    assert list(architecture.module.state_dict()) == resnet_names(blocks, folded=False)
    assert [p.name for p in architecture.spec.parameters] == resnet_names(blocks, folded=True)


@pytest.mark.parametrize(("io", "inputs"), [(CIFAR, 64), (TINY_IMAGENET, 256), (DIGITS, 64), (SMALL, 64)])
def test_resnets_pool_to_the_published_classifier(io: ImageIO, inputs: int) -> None:
    assert build("resnet8", io).module.get_submodule("fc").in_features == inputs


def test_resnet_shortcuts_are_strided_1x1_convolutions_without_bias() -> None:
    module = build("resnet8", CIFAR).module
    assert not hasattr(module.get_submodule("layer1.0"), "downsample")
    for stage in (2, 3):
        shortcut = module.get_submodule(f"layer{stage}.0.downsample.0")
        assert (shortcut.kernel_size, shortcut.stride, shortcut.padding) == ((1, 1), (2, 2), (0, 0))
        assert shortcut.bias is None


def test_resnet_convolutions_start_kaiming_normal_over_what_goes_out() -> None:
    weight = build("resnet20", CIFAR).module.get_parameter("layer3.0.conv1.weight")
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.03)


@pytest.mark.parametrize("depth", [14, 26])
def test_any_depth_of_the_form_6n_plus_2_builds(depth: int) -> None:
    architecture = build(f"resnet{depth}", SMALL)
    convolutions = [p for p in architecture.spec.parameters if len(p.shape) == 4 and "downsample" not in p.name]
    assert len(convolutions) + 1 == depth


@pytest.mark.parametrize(("depth", "nearest"), [(1, 8), (2, 8), (9, 8), (13, 14), (18, 20), (34, 32), (101, 98)])
def test_other_depths_are_refused_with_the_nearest(depth: int, nearest: int) -> None:
    with pytest.raises(UnknownArchitecture) as raised:
        build(f"resnet{depth}", SMALL)
    assert abs(nearest - depth) <= 3 or nearest == 8
    assert str(raised.value) == f"resnet{depth} does not exist: the depth must be 6n + 2. Nearest: resnet{nearest}."


@pytest.mark.parametrize("name", ["resnet008", "resnet", "resnet8 ", "resnet٨", "ResNet8", "lenet", ""])
def test_unknown_names_are_refused_with_what_is_known(name: str) -> None:
    with pytest.raises(UnknownArchitecture) as raised:
        build(name, SMALL)
    assert f"unknown architecture {name!r}." in str(raised.value)
    assert all(known in raised.value.hint for known in FAMILIES)


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownArchitecture, match="Did you mean lenetlike?"):
        build("lenetlke", SMALL)


@pytest.mark.parametrize(("name", "times"), [("lenetlike", 4), ("vanillacnn", 5), ("resnet8", 7), ("resnet32", 31)])
def test_leaky_relu_has_slope_a_hundredth(name: str, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    slopes = []

    def leaky(x: Tensor, slope: float = -1.0) -> Tensor:
        slopes.append(slope)
        return x

    architecture = build(name, SMALL)
    monkeypatch.setattr(F, "leaky_relu", leaky)
    architecture.module(images(SMALL))
    assert slopes == [0.01] * times


def test_a_lenetlike_is_its_layers_with_leaky_relu_between() -> None:
    architecture = build("lenetlike", CIFAR)
    state, x = trained_looking(architecture), images(CIFAR)
    expected = F.leaky_relu(F.conv2d(x, state["conv1.weight"], state["conv1.bias"], stride=2), 0.01)
    expected = F.leaky_relu(F.conv2d(expected, state["conv2.weight"], state["conv2.bias"], stride=2), 0.01)
    expected = expected.reshape(len(x), 400)  # channel, row, column
    for layer in ("fc1", "fc2"):
        expected = F.leaky_relu(F.linear(expected, state[f"{layer}.weight"], state[f"{layer}.bias"]), 0.01)
    expected = F.linear(expected, state["fc3.weight"], state["fc3.bias"])
    torch.testing.assert_close(architecture.run(architecture.to_weights(state), x), expected)


@pytest.mark.parametrize("name", FOUR)
@pytest.mark.parametrize("io", [SMALL, ImageIO(2, 11, 5)])
def test_folded_and_full_networks_give_the_same_outputs(name: str, io: ImageIO) -> None:
    architecture = build(name, io)
    state, x = trained_looking(architecture), images(io)
    with torch.no_grad():
        expected = functional_call(architecture.module, state, (x,))
        found = architecture.run(architecture.to_weights(state), x)
    assert expected.std().item() > 1e-3
    assert (found - expected).abs().max().item() <= 1e-5 * max(1.0, expected.abs().max().item())


@pytest.mark.parametrize("name", FOUR)
def test_a_vector_survives_both_forms_bit_for_bit(name: str) -> None:
    architecture = build(name, SMALL)
    vector = torch.randn(architecture.parameter_count, generator=seeded(3))
    for form in ("full", "fused"):
        assert torch.equal(architecture.to_weights(architecture.to_state(vector, form)), vector)


@pytest.mark.parametrize("name", FOUR)
def test_a_predicted_instance_loads_strictly_and_computes_the_same(name: str) -> None:
    architecture = build(name, SMALL)
    vector, x = architecture.to_weights(trained_looking(architecture, 4)), images(SMALL)
    kind = type(architecture.module)
    fresh = kind(SMALL, depth=int(name[6:])) if name.startswith("resnet") else kind(SMALL)
    assert list(architecture.to_state(vector)) == list(fresh.state_dict())
    fresh.load_state_dict(architecture.to_state(vector), strict=True)
    with torch.no_grad():
        found, expected = fresh.eval()(x), architecture.run(vector, x)
    assert (found - expected).abs().max().item() <= 1e-5 * max(1.0, expected.abs().max().item())
    assert set(architecture.to_state(vector, "fused")) == set(architecture.fused.state_dict())


def test_states_share_no_memory_with_the_vector() -> None:
    architecture = build("lenetlike", SMALL)
    vector = torch.zeros(architecture.parameter_count)
    architecture.to_state(vector)["fc1.weight"].fill_(5)
    assert not vector.any()


def test_running_is_differentiable_in_every_layer_and_changes_nothing() -> None:
    architecture = build("resnet8", SMALL)
    before = {n: t.clone() for n, t in architecture.fused.state_dict().items()}
    vector = architecture.to_weights(trained_looking(architecture)).requires_grad_()
    architecture.run(vector, images(SMALL)).square().sum().backward()
    assert vector.grad is not None
    assert all(vector.grad[la.start : la.stop].abs().sum() > 0 for la in architecture.spec.layers)
    assert all(torch.equal(t, before[n]) for n, t in architecture.fused.state_dict().items())


def test_the_layout_of_a_state_dict_is_recognised() -> None:
    architecture = build("resnet8", SMALL)
    full = dict(architecture.module.state_dict())
    assert architecture.form_of(full) == "full"
    assert architecture.form_of({n: t for n, t in full.items() if not n.endswith("num_batches_tracked")}) == "full"
    assert architecture.form_of(architecture.fused.state_dict()) == "fused"


@pytest.mark.parametrize("form", ["full", "fused"])
def test_a_foreign_state_dict_is_refused_by_the_nearer_layout(form: str) -> None:
    architecture = build("resnet8", SMALL)
    state = dict((architecture.module if form == "full" else architecture.fused).state_dict())
    del state["conv1.weight"]
    state["fc.bias"], state["stray"] = torch.zeros(7), torch.zeros(1)
    with pytest.raises(NamesDiffer) as raised:
        architecture.to_weights(state)
    assert str(raised.value) == (
        "the parameters do not fit resnet8. 1 missing: conv1.weight. 1 unexpected: stray. "
        "1 misshaped: fc.bias: (7,), expected (3,)."
    )
    assert difference(raised.value) == 3


def test_building_leaves_the_callers_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build.cache_clear()
    build("lenetlike", SMALL)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", FOUR)
@pytest.mark.parametrize("size", [1, 7, 31, 33])
def test_unusual_image_sizes_build_and_run(name: str, size: int) -> None:
    io = ImageIO(2, size, 4)
    assert build(name, io).fused(images(io, 3)).shape == (3, 4)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("name", FOUR)
def test_images_of_no_size_are_refused(name: str) -> None:
    with pytest.raises(UnknownArchitecture, match=f"{name} (does not run on images of|cannot be built for) 3x0x0, 10"):
        build(name, ImageIO(3, 0, 10))


class PlainCNN(nn.Module):
    """Somebody's own network: a sequential part, max pooling, batch norm after everything."""

    def __init__(self, *, bias: bool = True, affine: bool = True) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 5, 3, padding=1, bias=bias),
            nn.BatchNorm2d(5, affine=affine, eps=1e-3),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        self.hidden = nn.Linear(80, 6, bias=bias)
        self.norm = nn.BatchNorm1d(6, affine=affine)
        self.out = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.norm(self.hidden(self.features(x).flatten(1)))))


class WithOwnParameters(nn.Module):
    """Parameters outside of any layer, a layer norm, a constant, and a layer that is never used."""

    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.tokens = nn.Parameter(torch.randn(4, 8))
        self.register_buffer("offset", torch.full((1,), 0.5), persistent=False)
        self.norm = nn.LayerNorm(8)
        self.out = nn.Linear(8, 3)
        self.never = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        rows = x[:, 0].unflatten(1, (4, 2)).mean(2) + self.tokens
        return self.out(torch.tanh(self.norm(rows) + self.offset).mean(1)) * self.scale


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_anyones_module_works(bias: bool, affine: bool) -> None:
    architecture = describe("mine", PlainCNN(bias=bias, affine=affine), SMALL)
    folded = [f"{la}.{leaf}" for la in ("features.0", "hidden", "out") for leaf in ("weight", "bias")]
    assert [p.name for p in architecture.spec.parameters] == folded
    state, x = trained_looking(architecture), images(SMALL)
    vector = architecture.to_weights(state)
    restored = architecture.to_state(vector)
    assert list(restored) == list(state)
    with torch.no_grad():
        expected = functional_call(architecture.module, state, (x,))
        torch.testing.assert_close(architecture.run(vector, x), expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(functional_call(architecture.module, restored, (x,)), expected, rtol=0, atol=1e-5)
    assert len(architecture.hidden_groups) == 2


@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_norm_that_is_never_run_is_left_out(affine: bool) -> None:
    module = PlainCNN()
    module.add_module("spare", nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, affine=affine)))
    architecture = describe("mine", module, SMALL)
    assert not any(p.name.startswith("spare.1") for p in architecture.spec.parameters)
    state, x = trained_looking(architecture), images(SMALL)
    weights = architecture.to_weights(state)
    restored = architecture.to_state(weights)
    assert list(restored) == list(state) == list(module.state_dict())
    assert torch.equal(architecture.to_weights(restored), weights)
    assert torch.equal(architecture.to_weights(architecture.to_state(weights, "fused")), weights)
    with torch.no_grad():
        torch.testing.assert_close(architecture.run(weights, x), functional_call(module, state, (x,)))


def test_a_batch_norm_that_is_used_without_being_run_is_refused() -> None:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        norm = m.get_submodule("norm")
        assert isinstance(norm.running_mean, Tensor)
        out: Tensor = m.get_submodule("a")(x.flatten(1)) - norm.running_mean
        return out

    module = made(forward, a=nn.Linear(64, 3), norm=nn.BatchNorm1d(3))
    with pytest.raises(UnknownArchitecture, match="of the batch norms norm one is used otherwise than by calling it"):
        describe("mine", module, SMALL)


def test_parameters_outside_layers_are_kept() -> None:
    module = WithOwnParameters().eval()
    expected = module(images(SMALL))
    architecture = describe("mine", module, SMALL)
    assert {p.name for p in architecture.spec.parameters} == set(module.state_dict())
    assert architecture.parameter_count == sum(p.numel() for p in module.parameters())
    vector = architecture.to_weights(module.state_dict())
    torch.testing.assert_close(architecture.run(vector, images(SMALL)), expected)
    assert list(architecture.to_state(vector)) == list(module.state_dict())


def test_parameters_stand_in_the_order_of_use() -> None:
    def forward(m: nn.Module, x: Tensor) -> Tensor:
        return m.get_submodule("a")(m.get_submodule("b")(x.flatten(1)))

    module = made(forward, a=nn.Linear(4, 3), unused=nn.Linear(1, 1), b=nn.Linear(64, 4))
    names = [p.name for p in describe("mine", module, SMALL).spec.parameters]
    assert names == [f"{layer}.{leaf}" for layer in ("b", "a", "unused") for leaf in ("weight", "bias")]


def made(forward: Callable[[nn.Module, Tensor], object], **modules: nn.Module) -> nn.Module:
    """A module with this forward and these children."""
    module = type("Made", (nn.Module,), {"forward": forward})()
    for name, child in modules.items():
        module.add_module(name, child)
    return module


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(63, 3)), "mine does not run on images of 1x8x8, 3 classes: "),
        (
            made(lambda m, x: m.get_submodule("a")(x, x), a=nn.Linear(64, 3)),
            "mine does not run on images of 1x8x8, 3 classes: ",
        ),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 4)),
            "(2, 4) for two images; (2, 3) is needed for 1x8x8, 3 classes.",
        ),
        (
            made(lambda m, x: (m.get_submodule("a")(x.flatten(1)),), a=nn.Linear(64, 3)),
            "mine gives a tuple for two images; (2, 3) is",
        ),
        (made(lambda m, x: x.flatten(1)[:, :3]), "mine has no parameters."),
    ],
)
def test_modules_that_are_no_classifier_of_the_images_are_refused(module: nn.Module, text: str) -> None:
    with pytest.raises(UnknownArchitecture) as raised:
        describe("mine", module, SMALL)
    assert text in str(raised.value)
    assert raised.value.hint


def test_constants_are_written_as_the_module_has_them() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    module.register_buffer("mean", torch.full((1,), 0.5))
    mine = describe("mine", module, ImageIO(1, 8, 3))
    assert mine.constants == ("mean",) and mine.parameter_count == 64 * 3 + 3
    assert mine.to_state(torch.zeros(mine.parameter_count))["mean"] == 0.5


def test_shared_parameters_are_counted_once() -> None:
    a, b = nn.Linear(64, 64), nn.Linear(64, 64)
    b.weight = a.weight
    module = nn.Sequential(nn.Flatten(), a, b, nn.Linear(64, 3))
    mine = describe("mine", module, ImageIO(1, 8, 3))
    assert mine.shared == {"2.weight": "1.weight"} and mine.parameter_count == 64 * 64 + 64 + 64 + 64 * 3 + 3
    state = mine.to_state(torch.rand(mine.parameter_count))
    assert torch.equal(state["1.weight"], state["2.weight"]) and list(state) == list(module.state_dict())


class Grouped(nn.Module):
    """Two linear layers that name their hidden group, rightly or not."""

    def __init__(self, *members: Member) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(64, 5), nn.Linear(5, 3)
        self.members = members

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(x.flatten(1))))

    def hidden_groups(self) -> tuple[HiddenGroup, ...]:
        return (HiddenGroup(5, self.members),)


RIGHT = (Member("a.weight", 0), Member("a.bias", 0), Member("b.weight", 1))


def test_hidden_groups_of_anyones_module_are_used() -> None:
    architecture = describe("mine", Grouped(*RIGHT), SMALL)
    vector = torch.randn(architecture.parameter_count, generator=seeded(1))
    shuffled = architecture.shuffle(vector, seeded(2))
    assert not torch.equal(shuffled, vector)
    torch.testing.assert_close(architecture.run(shuffled, images(SMALL)), architecture.run(vector, images(SMALL)))


@pytest.mark.parametrize("left_out", range(3))
def test_hidden_groups_that_change_the_outputs_are_refused(left_out: int) -> None:
    members = RIGHT[:left_out] + RIGHT[left_out + 1 :]
    with pytest.raises(UnknownArchitecture, match="reordering the hidden groups of mine changes its outputs by"):
        describe("mine", Grouped(*members), SMALL)


@pytest.mark.parametrize("member", [Member("c.weight", 0), Member("a.bias", 1), Member("b.weight", 0)])
def test_hidden_groups_that_fit_no_parameter_are_refused(member: Member) -> None:
    with pytest.raises(UnknownArchitecture, match="the hidden groups of mine do not fit its parameters"):
        describe("mine", Grouped(*RIGHT, member), SMALL)


def test_io_describes_itself() -> None:
    assert CIFAR.describe() == "3x32x32, 10 classes"


def test_the_largest_output_is_that_of_any_layer_for_one_input() -> None:
    class Narrowing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.last = nn.Conv2d(1, 2, 3), nn.Linear(1, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.layer(x).mean((1, 2, 3))[:, None])

    assert build("resnet32", ImageIO(3, 32, 10)).largest_output == 16 * 32 * 32
    own = describe("own:narrowing", Narrowing(), ImageIO(1, 20, 3))
    assert own.largest_output == 2 * 18 * 18
    assert not any(layer._forward_hooks for layer in own.fused.modules())
