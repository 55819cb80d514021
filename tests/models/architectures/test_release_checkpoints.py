"""Checkpoints of the published system: built here by hand from its names and shapes, computed with plain torch.

None of our modules is used for what is expected, so that both the PRep and the outputs are checked against the
publication and not against ourselves.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from netspace_models.architectures import ImageIO, build
from netspace_models.parameters.prep_grid import WIDTH, from_prep, published_height, to_prep
from torch import Tensor

from tests.small_networks import seeded

CIFAR, TINY_IMAGENET = ImageIO(3, 32, 10), ImageIO(3, 64, 200)
State = dict[str, Tensor]

LENETLIKE = {
    CIFAR: {"conv1": (6, 3, 5, 5), "conv2": (16, 6, 5, 5), "fc1": (120, 400), "fc2": (84, 120), "fc3": (10, 84)},
    TINY_IMAGENET: {
        "conv1": (4, 3, 5, 5),
        "conv2": (8, 4, 5, 5),
        "conv3": (16, 8, 5, 5),
        "fc1": (120, 400),
        "fc2": (84, 120),
        "fc3": (200, 84),
    },
}
# Output channels and stride of the five convolutions, and what is left to flatten.
VANILLACNN = {
    CIFAR: (((8, 2), (8, 1), (32, 2), (64, 1), (64, 2)), 4 * 4 * 64),
    TINY_IMAGENET: (((8, 2), (16, 2), (32, 2), (64, 2), (64, 2)), 2 * 2 * 64),
}
RESNET_INPUTS = {CIFAR: 64, TINY_IMAGENET: 256}
PARAMETERS = {
    ("lenetlike", CIFAR): 62_006,
    ("lenetlike", TINY_IMAGENET): 79_612,
    ("vanillacnn", CIFAR): 68_818,
    ("vanillacnn", TINY_IMAGENET): 112_856,
    ("resnet8", CIFAR): 77_706,
    ("resnet8", TINY_IMAGENET): 128_456,
    ("resnet32", CIFAR): 465_674,
}
CIFAR_AND_TINY = (CIFAR, TINY_IMAGENET)


def images(io: ImageIO) -> Tensor:
    return torch.randn(3, io.channels, io.size, io.size, generator=seeded(7))


def biased(layers: dict[str, tuple[int, ...]]) -> State:
    """Weight and bias of each layer."""
    generator, state = seeded(0), {}
    for name, shape in layers.items():
        weight = torch.randn(shape, generator=generator)
        state[f"{name}.weight"] = weight / weight[0].numel() ** 0.5
        state[f"{name}.bias"] = 0.3 * torch.randn(shape[0], generator=generator)
    return state


def vanillacnn(io: ImageIO) -> dict[str, tuple[int, ...]]:
    convolutions, flat = VANILLACNN[io]
    shapes, width = {}, 3
    for i, (channels, _) in enumerate(convolutions):
        shapes[f"layers.{i}"], width = (channels, width, 3, 3), channels
    return {**shapes, "layers.5": (io.classes, flat)}


def convolutions_of_resnet(depth: int) -> Iterator[tuple[str, str, tuple[int, ...], int]]:
    """In the order of a PRep: a convolution's name, its norm's, its shape, its stride."""
    yield "conv1", "bn1", (16, 3, 3, 3), 1
    width = 16
    for stage, channels in ((1, 16), (2, 32), (3, 64)):
        for b in range((depth - 2) // 6):
            block, stride = f"layer{stage}.{b}", 2 if stage > 1 and b == 0 else 1
            yield f"{block}.conv1", f"{block}.bn1", (channels, width, 3, 3), stride
            yield f"{block}.conv2", f"{block}.bn2", (channels, channels, 3, 3), 1
            if stride == 2:
                yield f"{block}.downsample.0", f"{block}.downsample.1", (channels, width, 1, 1), stride
            width = channels


def resnet(depth: int, io: ImageIO) -> State:
    """Convolutions without bias, and norms whose statistics, scales and shifts are a trained network's."""
    generator, state = seeded(1), {}
    for convolution, norm, shape, _ in convolutions_of_resnet(depth):
        weight = torch.randn(shape, generator=generator)
        state[f"{convolution}.weight"] = weight * (2 / weight[0].numel()) ** 0.5
        state[f"{norm}.weight"] = 0.4 + torch.rand(shape[0], generator=generator)
        state[f"{norm}.bias"] = 0.5 * torch.randn(shape[0], generator=generator)
        state[f"{norm}.running_mean"] = torch.randn(shape[0], generator=generator)
        state[f"{norm}.running_var"] = 0.2 + 3 * torch.rand(shape[0], generator=generator)
        state[f"{norm}.num_batches_tracked"] = torch.tensor(94_000)
    return state | biased({"fc": (io.classes, RESNET_INPUTS[io])})


def folded_by_hand(state: State, depth: int) -> list[tuple[Tensor, Tensor]]:
    """(weight, bias) of each layer in the order of a PRep."""
    layers = []
    for convolution, norm, _, _ in convolutions_of_resnet(depth):
        g, b, m, v = (state[f"{norm}.{leaf}"] for leaf in ("weight", "bias", "running_mean", "running_var"))
        deviation = torch.sqrt(v + 1e-5)
        layers.append((state[f"{convolution}.weight"] * (g / deviation)[:, None, None, None], b - m / deviation * g))
    return [*layers, (state["fc.weight"], state["fc.bias"])]


def laid_out(layers: list[tuple[Tensor, Tensor]], height: int) -> Tensor:
    """Layer after layer, weight then bias, each row-major; cut into rows of 10,000, zeros after the last."""
    flat = torch.cat([t.flatten() for layer in layers for t in layer])
    return torch.cat([flat, torch.zeros(height * 10_000 - len(flat))]).view(height, 10_000)


def leaky(x: Tensor) -> Tensor:
    return torch.where(x < 0, 0.01 * x, x)


def run_lenetlike(state: State, x: Tensor) -> Tensor:
    large = x.shape[-1] == 64
    for i, padding in enumerate((2, 0, 0) if large else (0, 0), start=1):
        x = leaky(F.conv2d(x, state[f"conv{i}.weight"], state[f"conv{i}.bias"], stride=2, padding=padding))
    x = x.reshape(len(x), 16 * 5 * 5)
    for i in (1, 2):
        x = leaky(x @ state[f"fc{i}.weight"].T + state[f"fc{i}.bias"])
    return x @ state["fc3.weight"].T + state["fc3.bias"]


def run_vanillacnn(state: State, x: Tensor, io: ImageIO) -> Tensor:
    for i, (_, stride) in enumerate(VANILLACNN[io][0]):
        x = leaky(F.conv2d(x, state[f"layers.{i}.weight"], state[f"layers.{i}.bias"], stride=stride, padding=1))
    return x.flatten(1) @ state["layers.5.weight"].T + state["layers.5.bias"]


def run_resnet(state: State, x: Tensor, depth: int) -> Tensor:
    """With its norms, as it was trained."""

    def normed(x: Tensor, convolution: str, norm: str, stride: int) -> Tensor:
        weight = state[f"{convolution}.weight"]
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        g, b, m, v = (state[f"{norm}.{leaf}"] for leaf in ("weight", "bias", "running_mean", "running_var"))
        return F.batch_norm(x, m, v, g, b, training=False, eps=1e-5)

    x = leaky(normed(x, "conv1", "bn1", 1))
    for stage in (1, 2, 3):
        for b in range((depth - 2) // 6):
            block, stride = f"layer{stage}.{b}", 2 if stage > 1 and b == 0 else 1
            y = leaky(normed(x, f"{block}.conv1", f"{block}.bn1", stride))
            y = normed(y, f"{block}.conv2", f"{block}.bn2", 1)
            x = leaky(y + (normed(x, f"{block}.downsample.0", f"{block}.downsample.1", 2) if stride == 2 else x))
    return F.avg_pool2d(x, 8).flatten(1) @ state["fc.weight"].T + state["fc.bias"]


def run_prep(grid: Tensor, x: Tensor, depth: int, io: ImageIO) -> Tensor:
    """A folded ResNet read off its PRep by position alone."""
    values, start = grid.flatten(), 0

    def take(*shape: int) -> Tensor:
        nonlocal start
        start += torch.Size(shape).numel()
        return values[start - torch.Size(shape).numel() : start].view(shape)

    def layer(x: Tensor, *shape: int, stride: int = 1) -> Tensor:
        return F.conv2d(x, take(*shape), take(shape[0]), stride=stride, padding=shape[-1] // 2)

    x = leaky(layer(x, 16, 3, 3, 3))
    for stage, channels in ((1, 16), (2, 32), (3, 64)):
        for b in range((depth - 2) // 6):
            stride = 2 if stage > 1 and b == 0 else 1
            y = leaky(layer(x, channels, x.shape[1], 3, 3, stride=stride))
            y = layer(y, channels, channels, 3, 3)
            x = leaky(y + (layer(x, channels, x.shape[1], 1, 1, stride=2) if stride == 2 else x))
    x = F.avg_pool2d(x, 8).flatten(1)
    x = x @ take(io.classes, x.shape[1]).T + take(io.classes)
    assert not values[start:].any()
    return x


def prep_of(name: str, state: State, io: ImageIO, height: int) -> Tensor:
    return to_prep(build(name, io).to_weights(state), height=height, width=WIDTH)


def run_ours(name: str, grid: Tensor, io: ImageIO) -> Tensor:
    architecture = build(name, io)
    with torch.no_grad():
        return architecture.run(from_prep(grid, parameters=architecture.parameter_count), images(io))


def close(found: Tensor, expected: Tensor) -> bool:
    assert expected.std() > 1e-2
    return bool((found - expected).abs().max() <= 1e-5 * expected.abs().max())


@pytest.mark.parametrize("io", CIFAR_AND_TINY)
@pytest.mark.parametrize("name", ["lenetlike", "vanillacnn"])
def test_networks_without_norms_are_laid_out_bit_for_bit_and_compute_the_same(name: str, io: ImageIO) -> None:
    layers = LENETLIKE[io] if name == "lenetlike" else vanillacnn(io)
    state = biased(layers)
    height = published_height(architectures=1, size=io.size)
    grid = prep_of(name, state, io, height)
    assert torch.equal(grid, laid_out([(state[f"{n}.weight"], state[f"{n}.bias"]) for n in layers], height))
    assert grid.flatten().nonzero().max() + 1 == PARAMETERS[name, io]
    x = images(io)
    expected = run_lenetlike(state, x) if name == "lenetlike" else run_vanillacnn(state, x, io)
    assert close(run_ours(name, grid, io), expected)


@pytest.mark.parametrize(("name", "io"), [("resnet8", CIFAR), ("resnet8", TINY_IMAGENET), ("resnet32", CIFAR)])
def test_resnets_are_folded_and_laid_out_as_the_release_does(name: str, io: ImageIO) -> None:
    depth = int(name[6:])
    state = resnet(depth, io)
    grid = prep_of(name, state, io, 88)
    layers = folded_by_hand(state, depth)
    expected = laid_out(layers, 88)
    assert sum(t.numel() for layer in layers for t in layer) == PARAMETERS[name, io]
    assert not grid.flatten()[PARAMETERS[name, io] :].any()
    weights = laid_out([(torch.ones_like(w), torch.zeros_like(b)) for w, b in layers], 88).bool()
    assert torch.equal(grid[weights], expected[weights])
    # Biases of one convolution are sums of two terms, rounded in another order.
    assert (grid - expected).abs().max() <= 1e-6 * expected.abs().max()


@pytest.mark.parametrize(("name", "io"), [("resnet8", CIFAR), ("resnet8", TINY_IMAGENET), ("resnet32", CIFAR)])
def test_folded_resnets_compute_what_the_release_computes(name: str, io: ImageIO) -> None:
    depth = int(name[6:])
    state = resnet(depth, io)
    grid = prep_of(name, state, io, 88)
    expected = run_resnet(state, images(io), depth)
    assert close(run_ours(name, grid, io), expected)
    assert close(run_prep(grid, images(io), depth, io), expected)


@pytest.mark.parametrize("io", CIFAR_AND_TINY)
def test_checkpoints_older_than_the_counters_are_read_alike(io: ImageIO) -> None:
    state = resnet(8, io)
    old = {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}
    assert torch.equal(prep_of("resnet8", old, io, 88), prep_of("resnet8", state, io, 88))


def test_what_is_decoded_has_the_names_and_shapes_of_the_release() -> None:
    state = resnet(8, CIFAR)
    architecture = build("resnet8", CIFAR)
    decoded = architecture.to_state(architecture.to_weights(state))
    assert {n: t.shape for n, t in decoded.items()} == {n: t.shape for n, t in state.items()}
    assert close(run_resnet(decoded, images(CIFAR), 8), run_resnet(state, images(CIFAR), 8))
