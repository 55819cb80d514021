"""The published backbone: its sizes, its views, and smaller ones of the same make."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from netspace_models.backbones import ArchitectureInit, ConvBackbone
from netspace_models.backbones.conv import PRepDecoder, PRepEncoder
from netspace_models.errors import ConfigError, DoesNotFit
from netspace_models.heads import ConvHead
from netspace_models.parameters.spec import NetworkSpec
from torch import Tensor, nn

SPEC = NetworkSpec.of({"a.weight": (7, 5), "a.bias": (7,), "b.weight": (3, 7), "b.bias": (3,)})


def init(spec: NetworkSpec = SPEC) -> ArchitectureInit:
    return ArchitectureInit(spec, None, torch.ones(len(spec.layers)))


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def seen(module: nn.Module, inputs: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Input and output of each convolution, in order of use."""
    found: list[tuple[Tensor, Tensor]] = []
    handles = [
        m.register_forward_hook(lambda _, x, y: found.append((x[0], y)))
        for m in module.modules()
        if isinstance(m, nn.Conv2d)
    ]
    module(inputs)
    for handle in handles:
        handle.remove()
    return found


def test_the_encoder_has_the_published_size() -> None:
    with torch.device("meta"):
        assert count(PRepEncoder(4096)) == 6_788_352


@pytest.mark.parametrize(("height", "parameters"), [(8, 2_875_394), (16, 3_055_874), (88, 4_680_194)])
def test_the_decoders_have_the_published_sizes(height: int, parameters: int) -> None:
    with torch.device("meta"):
        assert count(PRepDecoder(4096, height=height, width=10_000)) == parameters


def test_the_decoder_for_several_architectures_has_the_published_size_with_its_head() -> None:
    with torch.device("meta"):
        assert count(PRepDecoder(4096, height=88, width=10_000)) + count(ConvHead(4096, 4)) == 4_721_258


def test_the_backbone_at_its_defaults_is_the_published_one() -> None:
    with torch.device("meta"):
        backbone = ConvBackbone({"mine": init()})
    assert (backbone.embedding_size, backbone.height, backbone.width) == (4096, 8, 10_000)
    assert count(backbone) == 6_788_352 + 2_875_394


@pytest.mark.parametrize("height", [8, 16, 88])
def test_the_decoders_views_are_the_published_ones(height: int) -> None:
    H, W = height, 10_000
    with torch.device("meta"):
        shapes = [
            (x.shape[1:], y.shape[1:]) for x, y in seen(PRepDecoder(4096, height=H, width=W), torch.empty(2, 4096))
        ]
    assert shapes == [
        ((1, 64, 64), (256 * H, 32, 32)),
        ((128, H, 2048), (W // 8, H // 2, 1024)),
        ((512, H // 2, W // 4), (256, H // 4, W // 8)),
        ((256, H // 4, W // 8), (32, H // 4, W // 8)),
    ]


def test_an_embedding_of_several_pictures_is_read_as_channels() -> None:
    with torch.device("meta"):
        first = seen(PRepDecoder(8192, height=4, width=8), torch.empty(2, 8192))[0][0]
    assert first.shape == (2, 2, 64, 64)


def test_the_encoders_convolutions_are_the_published_ones() -> None:
    with torch.device("meta"):
        encoder = PRepEncoder(4096)
        shapes = [y.shape[1:] for _, y in seen(encoder, torch.empty(2, 1, 88, 10_000))]
    assert shapes == [(128, 88, 5000), (256, 88, 2500), (512, 88, 1), (4096, 88, 1)]
    made = [(c.kernel_size, c.stride, c.padding) for c in encoder.children()]
    assert made == [((1, 3), (1, 2), (0, 1))] * 2 + [((3, 1), (1, 1), (1, 0))] * 2


def test_the_encoder_takes_maxima_after_leaky_relu() -> None:
    encoder = PRepEncoder(64)
    prep = torch.randn(2, 1, 5, 12)
    steps = seen(encoder, prep)
    assert torch.equal(steps[0][0], prep)
    assert torch.equal(steps[1][0], F.leaky_relu(steps[0][1], 0.01))
    assert torch.equal(steps[2][0], F.leaky_relu(steps[1][1], 0.01).max(dim=3, keepdim=True).values)
    assert torch.equal(steps[3][0], F.leaky_relu(steps[2][1], 0.01))
    assert torch.equal(encoder(prep), F.leaky_relu(steps[3][1], 0.01).max(dim=2).values.squeeze(2))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 7), (8, 16), (5, 40)])
def test_the_encoder_takes_grids_of_any_size(height: int, width: int) -> None:
    assert PRepEncoder(64)(torch.randn(2, 1, height, width)).shape == (2, 64)


def test_the_decoder_only_views_between_its_convolutions() -> None:
    decoder = PRepDecoder(128, height=8, width=16, side=8)
    embeddings = torch.randn(3, 128)
    steps = seen(decoder, embeddings)
    assert torch.equal(steps[0][0].flatten(1), embeddings)
    for (_, before), (after, _) in pairwise(steps):
        assert torch.equal(after.flatten(1), F.leaky_relu(before, 0.01).flatten(1))
    # The last has no LeakyReLU; each element has its own scale and bias.
    plain = steps[3][1].reshape(3, 1, 8, 16)
    torch.testing.assert_close(decoder(embeddings), plain * decoder.scale + decoder.bias)
    assert decoder.scale.shape == decoder.bias.shape == (1, 1, 8, 16)


def test_scale_and_bias_start_as_published() -> None:
    decoder = PRepDecoder(32, height=40, width=80, side=4)
    assert decoder.scale.std().item() == pytest.approx(0.001, rel=0.1)
    assert abs(decoder.scale.mean().item()) < 1e-4
    assert 0 <= decoder.bias.min() < 0.001 < 0.009 < decoder.bias.max() <= 0.01


@pytest.mark.parametrize(
    ("embedding_size", "side", "height", "width"),
    [(1024, 32, 4, 24), (64, 8, 8, 16), (128, 8, 8, 16), (32, 4, 12, 8), (4096, 64, 4, 24), (288, 12, 4, 24)],
)
def test_smaller_sizes_encode_and_decode(embedding_size: int, side: int, height: int, width: int) -> None:
    backbone = ConvBackbone({"mine": init()}, embedding_size=embedding_size, height=height, width=width, side=side)
    vectors = torch.randn(2, SPEC.size)
    embeddings = backbone.encode("mine", vectors)
    assert embeddings.shape == (2, embedding_size)
    assert backbone.decode("mine", embeddings).shape == (2, SPEC.size)


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"height": 6}, "to a PRep of 6 x 16. The height must be a multiple of 4"),
        ({"width": 20}, "to a PRep of 8 x 20. The height must be a multiple of 4, the width of 8"),
        ({"embedding_size": 96}, "decode 96 values to a PRep of 8 x 16.*the embedding size of 64"),
        ({"embedding_size": 1024, "side": 64}, "decode 1024 values.*the embedding size of 4096"),
        ({"embedding_size": 144, "side": 12}, "embeddings of 144 values. Choose a multiple of 32"),
        ({"embedding_size": 16, "side": 4}, "embeddings of 16 values. Choose a multiple of 32"),
        ({"embedding_size": 0}, "embeddings of 0 values"),
        ({"embedding_size": 288, "side": 6}, "picture of side 6. The side must be a multiple of 4"),
        ({"embedding_size": 64, "side": 2}, "picture of side 2"),
        ({"side": 0}, "picture of side 0"),
    ],
)
def test_sizes_that_cannot_be_are_refused(sizes: dict[str, int], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        ConvBackbone({"mine": init()}, **{"embedding_size": 64, "height": 8, "width": 16, "side": 8, **sizes})


def test_an_empty_grid_is_refused() -> None:
    with pytest.raises(ConfigError, match="to a PRep of 0 x 16"):
        PRepDecoder(64, height=0, width=16, side=8)


def test_an_architecture_too_large_is_refused_with_a_height_that_would_do() -> None:
    large = NetworkSpec.of({"a.weight": (13, 5)})
    with pytest.raises(
        DoesNotFit, match="large has 65 parameters; a PRep of 4 x 8 holds 32. A height of 12 is enough"
    ) as raised:
        ConvBackbone({"large": init(large)}, embedding_size=64, height=4, width=8, side=8)
    ConvBackbone({"large": init(large)}, embedding_size=64, height=12, width=8, side=8)
    assert raised.value.hint.endswith("(`backbone.height = 12` in the recipe).")


@pytest.fixture
def small() -> ConvBackbone:
    torch.manual_seed(0)
    other = NetworkSpec.of({"c.weight": (4, 3), "c.bias": (4,)})
    return ConvBackbone({"mine": init(), "other": init(other)}, embedding_size=64, height=8, width=16, side=8)


def test_a_batch_is_encoded_and_decoded_as_its_members_alone(small: ConvBackbone) -> None:
    vectors = torch.randn(5, SPEC.size)
    embeddings = small.encode("mine", vectors)
    alone = torch.cat([small.encode("mine", v[None]) for v in vectors])
    torch.testing.assert_close(embeddings, alone, rtol=0, atol=1e-5)
    decoded = torch.cat([small.decode("mine", e[None]) for e in embeddings])
    torch.testing.assert_close(small.decode("mine", embeddings), decoded, rtol=0, atol=1e-5)


def test_all_architectures_are_read_off_one_grid(small: ConvBackbone) -> None:
    embeddings = torch.randn(2, 64)
    assert torch.equal(small.decode("other", embeddings), small.decode("mine", embeddings)[:, :16])


def test_gradients_reach_every_parameter_and_the_embedding(small: ConvBackbone) -> None:
    embeddings = small.encode("mine", torch.randn(3, SPEC.size))
    embeddings.retain_grad()
    small.decode("mine", embeddings).square().sum().backward()
    assert embeddings.grad is not None
    assert embeddings.grad.abs().sum() > 0
    for name, p in small.named_parameters():
        assert p.grad is not None and p.grad.abs().sum() > 0, name
