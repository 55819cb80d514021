"""Low-rank directions: they use the embedding up, and changes along them show most."""

from __future__ import annotations

import pytest
import torch
from netspace_models.architectures import ImageIO, build
from netspace_models.backbones import ArchitectureInit
from netspace_models.backbones.tokens.directions import LowRankDirections, choose_ranks
from netspace_models.backbones.tokens.settings import DirectSettings, ReaderSettings, TokensSettings
from netspace_models.parameters.spec import NetworkSpec
from netspace_models.second_order.curvature import curvature_moments

from tests.small_networks import seeded, small_classifier

CURVATURE = DirectSettings("curvature")
IO = ImageIO(1, 8, 3)


@pytest.mark.parametrize("size", [1, 30, 64, 300, 4096, 10**6])
@pytest.mark.parametrize("name", ["lenetlike", "resnet8"])
def test_an_embedding_is_used_up_and_no_side_gets_more_than_it_has(name: str, size: int) -> None:
    spec = build(name, IO).spec
    blocks = choose_ranks(spec, size)
    assert [b.name for b in blocks] == [p.name for p in spec.parameters]
    assert all(
        1 <= b.a <= b.n and 1 <= b.b <= b.m and b.n * b.m == p.size
        for b, p in zip(blocks, spec.parameters, strict=True)
    )
    total = sum(b.size for b in blocks)
    assert total == spec.size if size >= spec.size else total <= max(size, len(blocks))
    if len(blocks) < size < spec.size:
        assert total > 0.7 * size


def test_each_parameter_receives_its_own_product() -> None:
    spec = NetworkSpec.of({"a.weight": (4, 6), "b.weight": (5, 3), "c.weight": (4, 6), "a.bias": (4,), "c.bias": (4,)})
    directions = LowRankDirections(spec, 40, generator=seeded())
    embeddings = torch.randn(3, 40, generator=seeded(1))
    written = spec.unflatten(directions(embeddings))
    for name, (left, right, places) in directions.directions().items():
        middle = embeddings[:, places].unflatten(1, (left.shape[1], right.shape[1]))
        matrix = torch.einsum("na,kab,mb->knm", left, middle, right)
        torch.testing.assert_close(written[name].flatten(1), matrix.flatten(1))


def test_whole_sides_reach_every_weight_exactly() -> None:
    spec = NetworkSpec.of({"a.weight": (3, 4), "a.bias": (3,)})
    directions = LowRankDirections(spec, spec.size, generator=seeded())
    wanted = torch.randn(spec.size, generator=seeded(1))
    matrix = directions(torch.eye(spec.size)).T
    found = torch.linalg.solve(matrix.double(), wanted.double())
    assert torch.allclose(directions(found[None].float())[0], wanted, atol=1e-4)


@pytest.mark.parametrize("size", [5, 300, 4096])
def test_values_of_unit_variance_give_weights_of_unit_mean_square(size: int) -> None:
    spec = build("vanillacnn", IO).spec
    directions = LowRankDirections(spec, size, generator=seeded())
    written = directions(torch.randn(64, size, generator=seeded(1)))
    assert written.shape == (64, spec.size)
    assert written.square().mean().item() == pytest.approx(1, abs=0.15)


def test_leading_directions_show_more_than_random_ones() -> None:
    architecture, state, images = small_classifier()
    vector = architecture.spec.flatten(state)
    moments = curvature_moments(architecture.fused, state, images, generator=seeded())
    scale = torch.cat([t.std().expand(t.numel()) for t in state.values()])

    def shown(directions: LowRankDirections) -> float:
        with torch.no_grad():
            moved = 0.05 * scale * directions(torch.randn(8, 200, generator=seeded(2)))
            plain = architecture.run(vector, images)
            return sum(float((architecture.run(vector + m, images) - plain).square().mean()) for m in moved)

    spec = architecture.spec
    assert shown(LowRankDirections(spec, 200, moments)) > 1.5 * shown(LowRankDirections(spec, 200, generator=seeded()))


def test_the_same_moments_give_the_same_directions() -> None:
    architecture, state, images = small_classifier()
    moments = curvature_moments(architecture.fused, state, images, generator=seeded())
    first, again = (LowRankDirections(architecture.spec, 64, moments) for _ in range(2))
    known = [i for i, block in enumerate(first.blocks) if block.name in moments]
    assert len(known) == len(moments)
    for i in known:
        for side in ("left", "right"):
            assert torch.equal(first.get_buffer(f"{side}{i}"), again.get_buffer(f"{side}{i}"))
    for buffer in dict(first.named_buffers()).values():
        if buffer.is_floating_point():
            assert (buffer.gather(0, buffer.abs().argmax(0, keepdim=True)) > 0).all()


def test_a_backbone_keeps_its_directions_with_its_values() -> None:
    architecture, state, images = small_classifier()
    moments = curvature_moments(architecture.fused, state, images, generator=seeded())
    layers = torch.ones(len(architecture.spec.layers))
    settings = TokensSettings(
        embedding_size=64, latents=4, chunk=64, width=16, heads=2, reader=ReaderSettings(probes=0), direct=CURVATURE
    )
    known = ArchitectureInit(architecture.spec, architecture.spec.flatten(state), layers, moments=moments)
    blank = ArchitectureInit(architecture.spec, None, layers)
    trained = settings.build({"lenetlike": known}, IO)
    loaded = settings.build({"lenetlike": blank}, IO)
    loaded.load_state_dict(trained.state_dict())
    rows = torch.randn(3, 64, generator=seeded())
    with torch.no_grad():
        assert torch.equal(loaded.decode("lenetlike", rows), trained.decode("lenetlike", rows))
        assert not trained.head("lenetlike").direct(torch.zeros(1, 64)).any()
        assert trained.head("lenetlike").direct(rows).any()


def test_learnt_directions_begin_as_the_curvatures_and_take_part_in_learning() -> None:
    architecture, state, images = small_classifier()
    moments = curvature_moments(architecture.fused, state, images, generator=seeded())
    fixed, learnt = (
        LowRankDirections(architecture.spec, 64, moments, seeded(1), learnt=learnt) for learnt in (False, True)
    )
    embeddings = torch.randn(2, 64, generator=seeded(2))
    torch.testing.assert_close(fixed(embeddings), learnt(embeddings).detach())
    assert not list(fixed.parameters())
    learnt(embeddings).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in learnt.parameters())
    assert set(fixed.state_dict()) == set(learnt.state_dict())
