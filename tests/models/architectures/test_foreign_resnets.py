"""The common CIFAR-10 ResNets (option-A shortcuts, ReLU): state dicts built by hand, computed with plain torch."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from netspace_models.architectures import Architecture, ImageIO, build
from netspace_models.architectures.architecture import Form, describe
from netspace_models.architectures.registry import factory
from netspace_models.errors import NamesDiffer, UnknownArchitecture
from netspace_models.parameters.symmetry import HiddenGroup, Member, reorder
from torch import Tensor

from tests.small_networks import seeded

CIFAR, SMALL = ImageIO(3, 32, 10), ImageIO(1, 8, 3)
STAGES = ((1, 16), (2, 32), (3, 64))
State = dict[str, Tensor]


def images(io: ImageIO, count: int = 4) -> Tensor:
    return torch.randn(count, io.channels, io.size, io.size, generator=seeded(7))


def shapes_by_hand(depth: int, io: ImageIO) -> dict[str, tuple[int, ...]]:
    """Names and shapes as the published files have them, in their order; no shortcut has a tensor."""
    leaves = ("weight", "bias", "running_mean", "running_var")
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (16, io.channels, 3, 3)}
    shapes |= {f"bn1.{leaf}": (16,) for leaf in leaves}
    width = 16
    for stage, channels in STAGES:
        for b in range((depth - 2) // 6):
            for i in (1, 2):
                shapes[f"layer{stage}.{b}.conv{i}.weight"] = (channels, width, 3, 3)
                shapes |= {f"layer{stage}.{b}.bn{i}.{leaf}": (channels,) for leaf in leaves}
                width = channels
    return shapes | {"linear.weight": (io.classes, 64), "linear.bias": (io.classes,)}


def trained_looking(depth: int, io: ImageIO) -> State:
    """Norms whose statistics, scales and shifts are a trained network's."""
    generator, state = seeded(0), {}
    for name, shape in shapes_by_hand(depth, io).items():
        if len(shape) > 1:
            state[name] = torch.randn(shape, generator=generator) * (2 / torch.Size(shape[1:]).numel()) ** 0.5
        elif name.endswith(("weight", "running_var")):
            state[name] = 0.3 + torch.rand(shape, generator=generator)
        else:
            state[name] = 0.5 * torch.randn(shape, generator=generator)
    return state


def run_by_hand(state: State, x: Tensor, depth: int) -> Tensor:
    def normed(x: Tensor, convolution: str, norm: str, stride: int = 1) -> Tensor:
        g, b, m, v = (state[f"{norm}.{leaf}"] for leaf in ("weight", "bias", "running_mean", "running_var"))
        x = F.conv2d(x, state[f"{convolution}.weight"], stride=stride, padding=1)
        return F.batch_norm(x, m, v, g, b, training=False, eps=1e-5)

    x = normed(x, "conv1", "bn1").clamp_min(0)
    for stage, channels in STAGES:
        for b in range((depth - 2) // 6):
            block, stride = f"layer{stage}.{b}", 2 if stage > 1 and b == 0 else 1
            y = normed(x, f"{block}.conv1", f"{block}.bn1", stride).clamp_min(0)
            y = normed(y, f"{block}.conv2", f"{block}.bn2")
            if stride == 2:
                nothing = torch.zeros_like(y[:, : channels // 4])
                x = torch.cat([nothing, x[:, :, ::2, ::2], nothing], dim=1)
            x = (x + y).clamp_min(0)
    return x.mean((2, 3)) @ state["linear.weight"].T + state["linear.bias"]


def random_vector(architecture: Architecture) -> Tensor:
    """Values for which every parameter shows in the outputs."""
    generator, values = seeded(0), []
    for p in architecture.spec.parameters:
        fan_in = p.size // p.shape[0] if len(p.shape) > 1 else 1
        values.append(torch.randn(p.size, generator=generator) * (2 / fan_in) ** 0.5)
    return torch.cat(values)


@pytest.mark.parametrize("depth", [8, 20, 32])
@pytest.mark.parametrize("io", [CIFAR, SMALL])
def test_names_shapes_and_their_order_are_the_published_ones(depth: int, io: ImageIO) -> None:
    architecture, shapes = build(f"resnet{depth}-a", io), shapes_by_hand(depth, io)
    own = {n: tuple(t.shape) for n, t in architecture.module.state_dict().items()}
    assert [(n, s) for n, s in own.items() if not n.endswith("num_batches_tracked")] == list(shapes.items())
    convolutions = [n for n, s in shapes.items() if len(s) == 4]
    folded = [f"{n.removesuffix('.weight')}.{leaf}" for n in convolutions for leaf in ("weight", "bias")]
    assert [p.name for p in architecture.spec.parameters] == [*folded, "linear.weight", "linear.bias"]
    assert (architecture.name, architecture.io) == (f"resnet{depth}-a", io)


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.73)])
def test_sizes_are_the_published_ones(depth: int, millions: float) -> None:
    architecture = build(f"resnet{depth}-a", CIFAR)
    assert round(sum(p.numel() for p in architecture.module.parameters()) / 1e6, 2) == millions
    norms = sum(s[0] for n, s in shapes_by_hand(depth, CIFAR).items() if n.endswith("running_mean"))
    assert architecture.parameter_count == sum(p.numel() for p in architecture.module.parameters()) - norms


@pytest.mark.parametrize("depth", [8, 20])
@pytest.mark.parametrize("io", [CIFAR, SMALL, ImageIO(2, 11, 5), ImageIO(1, 33, 2)])
def test_a_folded_network_computes_what_the_state_dict_computes(depth: int, io: ImageIO) -> None:
    architecture, state = build(f"resnet{depth}-a", io), trained_looking(depth, io)
    expected = run_by_hand(state, images(io), depth)
    assert expected.std() > 0.1
    found = architecture.run(architecture.to_weights(state), images(io))
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("form", ["full", "fused"])
def test_both_forms_are_told_apart_and_give_back_the_same_bits(form: Form) -> None:
    architecture = build("resnet8-a", SMALL)
    vector = architecture.to_weights(trained_looking(8, SMALL))
    state = architecture.to_state(vector, form)
    assert architecture.form_of(state) == form
    assert torch.equal(architecture.to_weights(state), vector)
    module = factory("resnet8-a")(SMALL).eval() if form == "full" else architecture.fused
    module.load_state_dict(state, strict=True)
    found, expected = module(images(SMALL)), run_by_hand(trained_looking(8, SMALL), images(SMALL), 8)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_every_parameter_has_a_gradient() -> None:
    architecture = build("resnet8-a", SMALL)
    vector = architecture.to_weights(trained_looking(8, SMALL)).requires_grad_()
    architecture.run(vector, images(SMALL)).square().sum().backward()
    assert vector.grad is not None
    assert all(vector.grad[la.start : la.stop].abs().sum() > 0 for la in architecture.spec.layers)


def test_it_starts_as_he_et_al_say() -> None:
    torch.manual_seed(0)
    module = factory("resnet20-a")(CIFAR)
    assert module.get_parameter("layer3.0.conv1.weight").std().item() == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.03)
    assert module.get_parameter("linear.weight").std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.1)


def test_it_passes_for_anyones_module() -> None:
    """What is asked of a stranger's module holds here too: folding and hidden groups are what they seem."""
    described = describe("mine", factory("resnet14-a")(SMALL), SMALL, verify=True)
    assert described.spec == build("resnet14-a", SMALL).spec
    assert described.hidden_groups == build("resnet14-a", SMALL).hidden_groups


@pytest.mark.parametrize("name", ["resnet8-a", "resnet20-a"])
@pytest.mark.parametrize("size", [8, 16])
def test_reordering_hidden_units_leaves_the_outputs(name: str, size: int) -> None:
    architecture = build(name, ImageIO(1, size, 3))
    vector, x = random_vector(architecture), images(ImageIO(1, size, 3))
    expected = architecture.run(vector, x)
    shuffled = architecture.shuffle(vector, seeded(2))
    torch.testing.assert_close(
        architecture.run(shuffled, x), expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item()
    )
    assert (shuffled != vector).float().mean() > 0.9
    assert torch.equal(shuffled.sort().values, vector.sort().values)


def test_each_group_is_whole_and_each_member_needed() -> None:
    architecture = build("resnet14-a", ImageIO(1, 16, 3))
    state, x = architecture.spec.unflatten(random_vector(architecture)), images(ImageIO(1, 16, 3))

    def outputs(state: State) -> Tensor:
        return architecture.run(architecture.spec.flatten(state), x)

    expected = outputs(state)
    for group in architecture.hidden_groups:
        order = torch.arange(group.size).roll(1)
        whole = outputs(reorder(state, [group], [order]))
        torch.testing.assert_close(whole, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
        for member in group.members:
            alone = outputs(reorder(state, [HiddenGroup(group.size, (member,))], [order]))
            assert (alone - expected).abs().max() > 1e-4 * expected.abs().max(), member


def test_every_unit_of_every_layer_is_in_one_group() -> None:
    architecture = build("resnet14-a", SMALL)
    assert Counter(g.size for g in architecture.hidden_groups) == {16: 2 + 2, 32: 1 + 2, 64: 2}
    places: Counter[tuple[str, int, int]] = Counter()
    for group in architecture.hidden_groups:
        for member in group.members:
            where = range(group.size) if member.places is None else member.places
            assert len(where) == group.size and member.block == 1
            places.update((member.name, member.axis, place) for place in where)
    wanted = {
        (p.name, axis, place)
        for p in architecture.spec.parameters
        for axis in range(min(2, len(p.shape)))
        for place in range(p.shape[axis])
        if (p.name, axis) != ("conv1.weight", 1) and not (p.name.startswith("linear") and axis == 0)
    }
    assert set(places) == wanted and set(places.values()) == {1}


def test_the_padding_ties_the_order_of_one_stage_to_the_next() -> None:
    """Units of the second stage that come from the first may not change places with those that are new."""
    architecture = build("resnet8-a", ImageIO(1, 16, 3))
    state, x = architecture.spec.unflatten(random_vector(architecture)), images(ImageIO(1, 16, 3))
    second = [
        *(Member(f"layer2.0.conv2.{leaf}", 0) for leaf in ("weight", "bias")),
        Member("layer3.0.conv1.weight", 1),
        *(Member(f"layer3.0.conv2.{leaf}", 0, places=tuple(range(16, 48))) for leaf in ("weight", "bias")),
        Member("linear.weight", 1, places=tuple(range(16, 48))),
    ]
    expected = architecture.run(architecture.spec.flatten(state), x)

    def moved(order: Tensor) -> float:
        changed = reorder(state, [HiddenGroup(32, tuple(second))], [order])
        return float((architecture.run(architecture.spec.flatten(changed), x) - expected).abs().max())

    new_ones = torch.tensor([*range(24, 32), *range(8, 24), *range(8)])  # across both margins
    assert moved(new_ones) <= 1e-4 * expected.abs().max()
    assert moved(torch.arange(32).roll(1)) > 1e-2 * expected.abs().max()


def test_they_are_never_taken_for_the_resnets_with_convolutions_in_their_shortcuts() -> None:
    ours, theirs = build("resnet8", SMALL), build("resnet8-a", SMALL)
    for form in ("full", "fused"):
        for one, other in ((ours, theirs), (theirs, ours)):
            state = one.to_state(torch.zeros(one.parameter_count), form)
            with pytest.raises(NamesDiffer) as refused:
                other.form_of(state)
            assert {"fc.weight", "linear.weight"} <= {*refused.value.missing, *refused.value.unexpected}
    renamed = {n.replace("linear", "fc"): t for n, t in trained_looking(8, SMALL).items()}
    for architecture in (ours, theirs):
        with pytest.raises(NamesDiffer):
            architecture.form_of(renamed)


@pytest.mark.parametrize(("depth", "nearest"), [(9, 8), (18, 20), (101, 98)])
def test_other_depths_are_refused_with_the_nearest(depth: int, nearest: int) -> None:
    with pytest.raises(UnknownArchitecture) as raised:
        build(f"resnet{depth}-a", SMALL)
    told = f"resnet{depth}-a does not exist: the depth must be 6n + 2. Nearest: resnet{nearest}-a."
    assert str(raised.value) == told


@pytest.mark.parametrize(
    "name", ["resnet20-c", "resnet20a", "resnet20-A", "resnet-a", "resnet10004", "resnet" + "2" * 5000]
)
def test_names_alike_are_unknown_and_answered_with_what_there_is(name: str) -> None:
    with pytest.raises(UnknownArchitecture, match="unknown architecture") as raised:
        build(name, SMALL)
    assert "resnet20-a" in raised.value.hint and "-a: ReLU and shortcuts without parameters," in raised.value.hint
