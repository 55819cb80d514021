"""Directions of curvature: moments by hand, bases that use the embedding up, and changes that show most."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from netspace_models.architectures import Architecture, ImageSignal, build
from netspace_models.backbones import ArchitectureInit, TokensBackbone
from netspace_models.backbones.bases import LayerBases, cuts_of
from netspace_models.curvature import curvature_moments
from netspace_models.spec import NetworkSpec
from torch import Tensor, nn

SIGNAL = ImageSignal(1, 8, 3)


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def started(name: str = "lenetlike") -> tuple[Architecture, dict[str, Tensor], Tensor]:
    """An architecture, parameters in which something is alive, and images."""
    architecture = build(name, SIGNAL)
    torch.manual_seed(0)
    vector = 0.2 * torch.randn(architecture.parameters)
    return architecture, architecture.spec.unflatten(vector), torch.rand(16, 1, 8, 8, generator=draw())


def test_moments_of_a_linear_layer_are_sums_of_outer_products() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    state = {n: torch.randn_like(t) for n, t in module.state_dict().items()}
    images = torch.rand(6, 1, 2, 2, generator=draw())
    inputs, gradients = curvature_moments(module, state, images, generator=draw(1))["1.weight"]
    flat = images.flatten(1)
    logits = flat @ state["1.weight"].T + state["1.bias"]
    labels = torch.multinomial(logits.softmax(1), 1, generator=draw(1))[:, 0]
    slopes = logits.softmax(1) - F.one_hot(labels, 3)
    assert torch.allclose(inputs.float(), flat.T @ flat, atol=1e-5)
    assert torch.allclose(gradients.float(), slopes.T @ slopes, atol=1e-5)


def test_moments_of_a_convolution_are_those_of_its_patches() -> None:
    module = nn.Sequential(nn.Conv2d(2, 5, 3, stride=2, padding=1), nn.Flatten())
    state = {n: torch.randn_like(t) for n, t in module.state_dict().items()}
    images = torch.rand(4, 2, 6, 6, generator=draw())
    inputs, gradients = curvature_moments(module, state, images, generator=draw())["0.weight"]
    padded = F.pad(images, (1, 1, 1, 1))
    patches = [padded[:, :, r : r + 3, c : c + 3].flatten(1) for r in (0, 2, 4) for c in (0, 2, 4)]
    rows = torch.cat(patches)
    assert torch.allclose(inputs.float(), rows.T @ rows, atol=1e-4)
    assert gradients.shape == (5, 5) and inputs.shape == (18, 18)


def test_the_module_is_left_as_it_was() -> None:
    architecture, state, images = started("resnet8")
    before = {n: t.clone() for n, t in architecture.fused.state_dict().items()}
    moments = curvature_moments(architecture.fused, state, images, generator=draw())
    assert set(moments) == {p.name for p in architecture.spec.parameters if len(p.shape) > 1}
    assert all(torch.equal(t, before[n]) for n, t in architecture.fused.state_dict().items())
    assert not any(module._forward_hooks for module in architecture.fused.modules())
    assert all(p.grad is None for p in architecture.fused.parameters())


@pytest.mark.parametrize("size", [1, 30, 64, 300, 4096, 10**6])
@pytest.mark.parametrize("name", ["lenetlike", "resnet8"])
def test_an_embedding_is_used_up_and_no_side_gets_more_than_it_has(name: str, size: int) -> None:
    spec = build(name, SIGNAL).spec
    cuts = cuts_of(spec, size)
    assert [c.name for c in cuts] == [p.name for p in spec.parameters]
    assert all(
        1 <= c.a <= c.n and 1 <= c.b <= c.m and c.n * c.m == p.size for c, p in zip(cuts, spec.parameters, strict=True)
    )
    total = sum(c.size for c in cuts)
    assert total == spec.size if size >= spec.size else total <= max(size, len(cuts))
    if len(cuts) < size < spec.size:
        assert total > 0.7 * size


def test_whole_sides_reach_every_weight_exactly() -> None:
    spec = NetworkSpec.of({"a.weight": (3, 4), "a.bias": (3,)})
    bases = LayerBases(spec, spec.size, generator=draw())
    wanted = torch.randn(spec.size, generator=draw(1))
    matrix = bases(torch.eye(spec.size)).T
    found = torch.linalg.solve(matrix.double(), wanted.double())
    assert torch.allclose(bases(found[None].float())[0], wanted, atol=1e-4)


@pytest.mark.parametrize("size", [5, 300, 4096])
def test_values_of_unit_variance_give_weights_of_unit_mean_square(size: int) -> None:
    spec = build("vanillacnn", SIGNAL).spec
    bases = LayerBases(spec, size, generator=draw())
    written = bases(torch.randn(64, size, generator=draw(1)))
    assert written.shape == (64, spec.size)
    assert written.square().mean().item() == pytest.approx(1, abs=0.15)


def test_leading_directions_show_more_than_random_ones() -> None:
    architecture, state, images = started()
    vector = architecture.spec.flatten(state)
    moments = curvature_moments(architecture.fused, state, images, generator=draw())
    scale = torch.cat([t.std().expand(t.numel()) for t in state.values()])

    def shown(bases: LayerBases) -> float:
        with torch.no_grad():
            moved = 0.05 * scale * bases(torch.randn(8, 200, generator=draw(2)))
            plain = architecture.run(vector, images)
            return sum(float((architecture.run(vector + m, images) - plain).square().mean()) for m in moved)

    spec = architecture.spec
    assert shown(LayerBases(spec, 200, moments)) > 1.5 * shown(LayerBases(spec, 200, generator=draw()))


def test_the_same_moments_give_the_same_directions() -> None:
    architecture, state, images = started()
    moments = curvature_moments(architecture.fused, state, images, generator=draw())
    first, again = (LayerBases(architecture.spec, 64, moments) for _ in range(2))
    known = [i for i, cut in enumerate(first.cuts) if cut.name in moments]
    assert len(known) == len(moments)
    for i in known:
        for side in ("left", "right"):
            assert torch.equal(first.get_buffer(f"{side}{i}"), again.get_buffer(f"{side}{i}"))
    for buffer in dict(first.named_buffers()).values():
        if buffer.is_floating_point():
            assert (buffer.gather(0, buffer.abs().argmax(0, keepdim=True)) > 0).all()


def test_a_backbone_keeps_its_directions_with_its_values() -> None:
    architecture, state, images = started()
    moments = curvature_moments(architecture.fused, state, images, generator=draw())
    layers = torch.ones(len(architecture.spec.layers))
    sizes: dict[str, Any] = {"embedding_size": 64, "latents": 4, "chunk": 64, "width": 16, "heads": 2}
    known = ArchitectureInit(architecture.spec, architecture.spec.flatten(state), layers, moments=moments)
    blank = ArchitectureInit(architecture.spec, None, layers)
    trained = TokensBackbone({"lenetlike": known}, path="curvature", **sizes)
    loaded = TokensBackbone({"lenetlike": blank}, path="curvature", **sizes)
    loaded.load_state_dict(trained.state_dict())
    rows = torch.randn(3, 64, generator=draw())
    with torch.no_grad():
        assert torch.equal(loaded.decode("lenetlike", rows), trained.decode("lenetlike", rows))
        assert not trained.codec("lenetlike").direct(torch.zeros(1, 64)).any()
        assert trained.codec("lenetlike").direct(rows).any()


def test_learnt_directions_begin_as_the_curvatures_and_take_part_in_learning() -> None:
    architecture, state, images = started()
    moments = curvature_moments(architecture.fused, state, images, generator=draw())
    fixed, learnt = (LayerBases(architecture.spec, 64, moments, draw(1), learnt=learnt) for learnt in (False, True))
    embeddings = torch.randn(2, 64, generator=draw(2))
    torch.testing.assert_close(fixed(embeddings), learnt(embeddings).detach())
    assert not list(fixed.parameters())
    learnt(embeddings).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in learnt.parameters())
    assert set(fixed.state_dict()) == set(learnt.state_dict())
