"""The small CNNs of published zoos: their sizes, and many of them at once."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from netspace_models.architectures import Architecture, FieldIO, ImageIO, build
from netspace_models.architectures.architecture import describe
from netspace_models.architectures.registry import twins
from netspace_models.architectures.zoo_cnn import NAMES, ZooCNN
from netspace_models.errors import UnknownArchitecture
from torch import Tensor

from tests.small_networks import seeded

GREY, COLOURS, LARGER = ImageIO(1, 28, 10), ImageIO(3, 28, 10), ImageIO(3, 32, 10)


def fresh(architecture: Architecture, count: int) -> Tensor:
    return 0.2 * torch.randn(count, architecture.parameter_count, generator=seeded(0))


@pytest.mark.parametrize(
    ("name", "io", "parameters"),
    [
        ("cnn-small", GREY, 2464),
        ("cnn-small-gelu", COLOURS, 2864),
        ("cnn-large", LARGER, 10_853),
        ("cnn-large-relu", LARGER, 10_853),
    ],
)
def test_sizes_are_the_published_ones(name: str, io: ImageIO, parameters: int) -> None:
    assert build(name, io).parameter_count == parameters


def test_a_small_one_is_its_layers() -> None:
    architecture = build("cnn-small", GREY)
    (weights,), x = fresh(architecture, 1), GREY.example(4, seeded(1))
    state = architecture.to_state(weights)
    expected = x
    for i in (1, 2, 3):
        expected = F.conv2d(expected, state[f"conv{i}.weight"], state[f"conv{i}.bias"])
        expected = torch.tanh(F.max_pool2d(expected, 2) if i < 3 else expected)
    expected = torch.tanh(F.linear(expected.flatten(1), state["fc1.weight"], state["fc1.bias"]))
    expected = F.linear(expected, state["fc2.weight"], state["fc2.bias"])
    torch.testing.assert_close(architecture.run(weights, x), expected)


@pytest.mark.parametrize("layout", ["cnn-small", "cnn-large"])
def test_activations_differ_and_their_layouts_do_not(layout: str) -> None:
    names = [n for n in NAMES if n.startswith(layout)]
    assert names[0] == layout
    assert set(twins(layout, LARGER)) == set(names) and twins("vanillacnn", LARGER) == ("vanillacnn",)
    assert twins(names[1], LARGER)[0] == names[1]
    architectures = [build(name, LARGER) for name in names]
    assert len({a.spec for a in architectures}) == 1
    weights, x = fresh(architectures[0], 1)[0], LARGER.example(2, seeded(1))
    outputs = [a.run(weights, x) for a in architectures]
    assert all(not torch.allclose(outputs[i], outputs[i - 1]) for i in range(3))


@pytest.mark.parametrize("name", NAMES)
def test_hidden_units_may_be_reordered(name: str) -> None:
    architecture = build(name, LARGER)
    describe(name, architecture.module, LARGER)  # runs a reordered one, and refuses other outputs
    assert [g.size for g in architecture.hidden_groups] == ([8, 6, 4, 20] if "small" in name else [16, 32, 15, 20])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [22, 25, 32])
def test_many_at_once_give_what_each_gives_alone(name: str, size: int) -> None:
    architecture = build(name, ImageIO(2, size, 5))
    weights = fresh(architecture, 3)
    own = architecture.io.example(3 * 6, seeded(1)).reshape(3, 6, 2, size, size)
    for inputs, each in ((own[0], [own[0]] * 3), (own, list(own))):
        expected = torch.stack([architecture.run(w, x) for w, x in zip(weights, each, strict=True)])
        torch.testing.assert_close(architecture.run_each(weights, inputs), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["cnn-small-gelu", "cnn-large"])
def test_gradients_of_many_are_those_of_each(name: str) -> None:
    architecture = build(name, ImageIO(2, 25, 5))
    weights = fresh(architecture, 3).requires_grad_()
    images = architecture.io.example(3 * 6, seeded(1)).reshape(3, 6, 2, 25, 25)
    images[:, :, :, 3:12] = 0.5  # equal values: of a window's equal outputs one alone gets the gradient
    images.requires_grad_()
    expected = torch.autograd.grad(
        torch.stack([architecture.run(w, x) for w, x in zip(weights, images, strict=True)]).square().sum(),
        (weights, images),
    )
    found = torch.autograd.grad(architecture.run_each(weights, images).square().sum(), (weights, images))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_second_gradients_of_many_are_those_of_each() -> None:
    architecture = build("cnn-small", ImageIO(1, 20, 3))
    weights = fresh(architecture, 2).requires_grad_()
    images = architecture.io.example(2, seeded(1))

    def second(outputs: Tensor) -> Tensor:
        (first,) = torch.autograd.grad(outputs.square().sum(), weights, create_graph=True)
        (found,) = torch.autograd.grad(first.square().sum(), weights)
        return found

    expected = second(torch.stack([architecture.run(w, images) for w in weights]))
    torch.testing.assert_close(second(architecture.run_each(weights, images)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "least"), [("cnn-small", 20), ("cnn-large-relu", 22)])
def test_images_too_small_are_refused_with_both_sizes(name: str, least: int) -> None:
    assert build(name, ImageIO(1, least, 2)).module.get_parameter("fc1.weight").shape[1] > 0
    with pytest.raises(UnknownArchitecture) as refused:
        build(name, ImageIO(1, least - 1, 2))
    assert f"needs images of {least} pixels or more; these are 1x{least - 1}x{least - 1}, 2" in refused.value.message
    assert refused.value.hint == f"Train the zoo on larger ones: `size={least}`."


def test_points_are_refused() -> None:
    with pytest.raises(UnknownArchitecture, match="cnn-small is for images, not for points"):
        build("cnn-small", FieldIO(3, 1))


def test_the_module_is_an_ordinary_one() -> None:
    module = ZooCNN(GREY)
    assert list(module.state_dict()) == [
        f"{layer}.{leaf}" for layer in ("conv1", "conv2", "conv3", "fc1", "fc2") for leaf in ("weight", "bias")
    ]
