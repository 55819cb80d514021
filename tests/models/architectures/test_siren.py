"""Networks of sines: sizes, names, the formula, reordering, many at once, and encoders of their answers."""

from __future__ import annotations

import math

import pytest
import torch
from netspace_models.architectures import Architecture, FieldIO, ImageIO, NetworkIO, build
from netspace_models.architectures.registry import factory
from netspace_models.errors import UnknownArchitecture
from netspace_models.second_order.curvature import curvature_moments
from torch import Tensor, nn

from tests.small_networks import seeded

SHAPE, COLOURS = FieldIO(3, 1), FieldIO(2, 3)


def fresh(architecture: Architecture, seed: int = 0) -> Tensor:
    """Flat parameters with biases that matter as much as weights."""
    return 0.2 * torch.randn(architecture.parameter_count, generator=seeded(seed))


@pytest.mark.parametrize(
    ("name", "io", "parameters"),
    [
        ("siren", SHAPE, 67_073),  # 3·256 + 256, 256·256 + 256, 256 + 1
        ("siren", COLOURS, 67_331),  # 2·256 + 256, 256·256 + 256, 3·256 + 3
        ("siren-256x2", SHAPE, 67_073),
        ("siren-8x1", SHAPE, 41),  # 3·8 + 8, 8 + 1
        ("siren-16x3", FieldIO(1, 2), 610),  # 16 + 16, twice 16·16 + 16, 2·16 + 2
    ],
)
def test_parameter_counts(name: str, io: FieldIO, parameters: int) -> None:
    architecture = build(name, io)
    assert architecture.parameter_count == parameters == sum(p.numel() for p in architecture.module.parameters())
    assert (architecture.name, architecture.io) == (name, io)


def test_parameters_stand_layer_by_layer_weight_before_bias() -> None:
    architecture = build("siren", SHAPE)
    assert [(p.name, p.shape) for p in architecture.spec.parameters] == [
        ("layers.0.weight", (256, 3)),
        ("layers.0.bias", (256,)),
        ("layers.1.weight", (256, 256)),
        ("layers.1.bias", (256,)),
        ("layers.2.weight", (1, 256)),
        ("layers.2.bias", (1,)),
    ]
    assert [(layer.start, layer.stop) for layer in architecture.spec.layers] == [
        (0, 1024),
        (1024, 66_816),
        (66_816, 67_073),
    ]


def test_a_network_computes_sines_of_thirty_times_its_linear_layers() -> None:
    architecture = build("siren-2x2", FieldIO(1, 1))
    state = {
        "layers.0.weight": torch.tensor([[0.1], [-0.02]]),
        "layers.0.bias": torch.tensor([0.0, 0.05]),
        "layers.1.weight": torch.tensor([[0.03, -0.01], [0.02, 0.04]]),
        "layers.1.bias": torch.tensor([0.01, -0.02]),
        "layers.2.weight": torch.tensor([[2.0, -3.0]]),
        "layers.2.bias": torch.tensor([0.5]),
    }
    for x in (-1.0, 0.0, 0.3):
        a, b = math.sin(30 * 0.1 * x), math.sin(30 * (-0.02 * x + 0.05))
        c, d = math.sin(30 * (0.03 * a - 0.01 * b + 0.01)), math.sin(30 * (0.02 * a + 0.04 * b - 0.02))
        found = architecture.run(architecture.to_weights(state), torch.tensor([[x]]))
        assert found.shape == (1, 1)
        assert float(found) == pytest.approx(2 * c - 3 * d + 0.5, abs=1e-5)


def test_fresh_weights_fill_the_published_ranges() -> None:
    torch.manual_seed(0)
    state = type(build("siren", SHAPE).module)(SHAPE).state_dict()
    deep = math.sqrt(6 / 256) / 30
    for layer, bound in ((0, 1 / 3), (1, deep), (2, deep)):
        largest = float(state[f"layers.{layer}.weight"].abs().max())
        assert 0.97 * bound < largest <= bound


@pytest.mark.parametrize("name", ["siren-8x1", "siren-16x2", "siren-4x4"])
def test_shuffled_hidden_units_leave_the_function(name: str) -> None:
    architecture = build(name, COLOURS)
    vector, points = fresh(architecture), COLOURS.example(50, seeded(1))
    shuffled = architecture.shuffle(vector, seeded(2))
    before, after = (architecture.spec.unflatten(v) for v in (vector, shuffled))
    assert all(not torch.equal(before[n], after[n]) for n in before if n != list(before)[-1])
    assert torch.equal(vector.sort().values, shuffled.sort().values)
    torch.testing.assert_close(architecture.run(shuffled, points), architecture.run(vector, points), rtol=0, atol=1e-4)


def test_many_networks_at_once_give_what_each_gives_alone() -> None:
    architecture = build("siren-16x2", COLOURS)
    vectors = torch.stack([fresh(architecture, seed) for seed in range(4)])
    own = COLOURS.example(4 * 9, seeded(1)).reshape(4, 9, 2)
    for inputs, each in ((own[0], [own[0]] * 4), (own, list(own))):
        found = architecture.run_each(vectors, inputs)
        assert found.shape == (4, 9, 3)
        expected = [architecture.run(vector, points) for vector, points in zip(vectors, each, strict=True)]
        torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=1e-4)


def test_classifiers_can_be_run_at_once_as_well() -> None:
    io = ImageIO(1, 8, 3)
    architecture = build("lenetlike", io)
    vectors, images = torch.stack([fresh(architecture, s) for s in range(2)]), io.example(4, seeded(1))
    expected = torch.stack([architecture.run(vector, images) for vector in vectors])
    torch.testing.assert_close(architecture.run_each(vectors, images), expected)
    own = torch.stack([images, images.flip(0)])
    torch.testing.assert_close(architecture.run_each(vectors, own)[1], expected[1].flip(0))


@pytest.mark.parametrize(
    ("name", "io", "message"),
    [
        ("siren", ImageIO(1, 8, 3), "siren is for points, not for images of 1x8x8, 3 classes."),
        ("siren-8x1", ImageIO(1, 8, 3), "siren-8x1 is for points, not for images of 1x8x8, 3 classes."),
        ("lenetlike", SHAPE, "lenetlike is for images, not for points of 3 coordinates, 1 value."),
        ("vanillacnn", SHAPE, "vanillacnn is for images, not for points of 3 coordinates, 1 value."),
        ("resnet8", COLOURS, "resnet8 is for images, not for points of 2 coordinates, 3 values."),
        ("resnet20-a", COLOURS, "resnet20-a is for images, not for points of 2 coordinates, 3 values."),
    ],
)
def test_io_of_the_other_kind_is_refused(name: str, io: NetworkIO, message: str) -> None:
    with pytest.raises(UnknownArchitecture) as refused:
        build(name, io)
    assert refused.value.message == message and refused.value.hint


@pytest.mark.parametrize("name", ["siren-", "siren-8", "siren-0x1", "siren-8x0", "siren-08x1", "siren-8x100", "sirens"])
def test_sizes_that_are_none_are_no_architecture(name: str) -> None:
    with pytest.raises(UnknownArchitecture, match=f"unknown architecture '{name}'") as refused:
        build(name, SHAPE)
    assert "siren-WxL of L hidden layers of W units" in refused.value.hint


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("siren-9999x99", "9,798,040,098"),  # 98 times 9999 · 9999
        ("siren-9999x2", "99,980,001"),
        ("siren-7072x2", "50,013,184"),
        ("siren-720x98", "50,284,800"),
    ],
)
def test_a_name_is_not_to_fill_the_memory(name: str, weights: str) -> None:
    for attempt in (lambda: build(name, SHAPE), lambda: factory(name)):
        with pytest.raises(UnknownArchitecture) as refused:
            attempt()
        assert str(refused.value) == (
            f"{name} would have more than {weights} parameters; the limit is 50,000,000. "
            "Name a smaller one, e.g. siren-512x3."
        )


@pytest.mark.parametrize("name", ["siren-7071x2", "siren-9999x1", "siren-717x98"])
def test_the_largest_that_may_be_named_are_known(name: str) -> None:
    factory(name)


def test_a_name_near_siren_is_suggested() -> None:
    with pytest.raises(UnknownArchitecture, match="Did you mean siren?"):
        build("sirne", SHAPE)


def test_curvature_is_measured_of_every_layer() -> None:
    architecture = build("siren-8x2", COLOURS)
    state, points = architecture.spec.unflatten(fresh(architecture)), COLOURS.example(20, seeded(1))
    moments = curvature_moments(architecture.fused, state, points, generator=seeded(2), values=True)
    assert {name: tuple(len(moment) for moment in both) for name, both in moments.items()} == {
        "layers.0.weight": (2, 8),
        "layers.1.weight": (8, 8),
        "layers.2.weight": (8, 3),
    }
    torch.testing.assert_close(moments["layers.0.weight"][0].float(), points.T @ points)


def test_curvature_of_values_has_errors_of_deviation_one() -> None:
    module = nn.Linear(2, 3)
    state = {n: torch.randn(t.shape, generator=seeded(0)) for n, t in module.state_dict().items()}
    points = COLOURS.example(6, seeded(1))
    inputs, gradients = curvature_moments(
        nn.Sequential(module), _renamed(state), points, generator=seeded(2), values=True
    )["0.weight"]
    errors = torch.randn(6, 3, generator=seeded(2))
    torch.testing.assert_close(inputs.float(), points.T @ points)
    torch.testing.assert_close(gradients.float(), errors.T @ errors)
    *_, (_, drawn) = curvature_moments(
        nn.Sequential(module), _renamed(state), COLOURS.example(20_000, seeded(3)), generator=seeded(4), values=True
    ).values()
    torch.testing.assert_close(drawn.float() / 20_000, torch.eye(3), rtol=0, atol=0.05)


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"0.{name}": tensor for name, tensor in state.items()}
