"""A space as a module: ClassIds, refusals, and a whole step from parameters to parameters."""

from __future__ import annotations

import pytest
import torch
from netspace_models.architectures import ImageIO, build
from netspace_models.backbones import ArchitectureInit
from netspace_models.backbones.tokens.settings import ReaderSettings, TokensSettings
from netspace_models.errors import ConfigError, WrongSpace
from netspace_models.heads import MLPHead
from netspace_models.space_model import SpaceModel
from netspace_models.training.objectives import Batch, LossConstants, several_objective

IO = ImageIO(1, 8, 3)
NAMES = ("lenetlike", "vanillacnn", "resnet8")


def space(*names: str, head: bool = True) -> SpaceModel:
    torch.manual_seed(0)
    architectures = [build(n, IO) for n in names]
    inits = {a.name: ArchitectureInit(a.spec, None, torch.full((len(a.spec.layers),), 0.1)) for a in architectures}
    settings = TokensSettings(
        embedding_size=32, latents=4, chunk=512, width=16, depth=1, heads=2, reader=ReaderSettings(probes=0)
    )
    backbone = settings.build(inits, IO)
    return SpaceModel(architectures, backbone, MLPHead(32, len(names)) if head else None)


@pytest.fixture(scope="module")
def model() -> SpaceModel:
    return space(*NAMES)


def test_class_ids_are_places_by_size(model: SpaceModel) -> None:
    assert [model.class_id(n) for n in NAMES] == [0, 1, 2]
    sizes = [a.parameter_count for a in model.architectures]
    assert sizes == sorted(sizes)
    assert model.architecture("resnet8") is build("resnet8", IO)
    assert model.embedding_size == 32


def test_architectures_out_of_order_are_refused() -> None:
    with pytest.raises(ConfigError) as raised:
        space("resnet8", "lenetlike")
    assert "architectures out of order: resnet8 (76,963), lenetlike (20,791)" in str(raised.value)
    assert "smallest first" in raised.value.hint


def test_several_architectures_need_a_head() -> None:
    with pytest.raises(ConfigError, match="a space of several architectures needs a head: lenetlike"):
        space("lenetlike", "resnet8", head=False)


@pytest.mark.parametrize("ask", ["class_id", "architecture", "encode", "decode"])
def test_an_architecture_the_space_lacks_is_refused_with_those_it_has(model: SpaceModel, ask: str) -> None:
    arguments = ("resnet32",) if ask in ("class_id", "architecture") else ("resnet32", torch.zeros(1, 32))
    with pytest.raises(WrongSpace) as raised:
        getattr(model, ask)(*arguments)
    assert "this space has no resnet32; it has lenetlike, vanillacnn, resnet8." in str(raised.value)
    assert "netspace spaces" in raised.value.hint


def test_one_architecture_needs_no_head() -> None:
    alone = space("lenetlike", head=False)
    embeddings = torch.randn(3, 32, dtype=torch.float64)
    logits = alone.classify(embeddings)
    assert (logits.shape, logits.dtype) == ((3, 1), torch.float64)
    assert [a.name for a in alone.recognise(embeddings)] == ["lenetlike"] * 3


def test_the_classifiers_argmax_names_the_architecture(model: SpaceModel) -> None:
    embeddings = torch.randn(64, 32)
    wanted = [NAMES[i] for i in model.classify(embeddings).argmax(dim=1)]
    assert [a.name for a in model.recognise(embeddings)] == wanted
    assert len(set(wanted)) > 1


def test_each_architecture_goes_through_in_its_own_size(model: SpaceModel) -> None:
    for a in model.architectures:
        embeddings = model.encode(a.name, 0.1 * torch.randn(2, a.parameter_count))
        assert embeddings.shape == (2, 32)
        assert model.decode(a.name, embeddings).shape == (2, a.parameter_count)


def test_a_few_steps_lower_the_loss_and_reach_every_parameter() -> None:
    model = space(*NAMES)
    generator = torch.Generator().manual_seed(0)
    batch = Batch(torch.randn(8, 1, 8, 8, generator=generator), torch.arange(8) % 3)
    instances = {a.name: 0.1 * torch.randn(1, a.parameter_count, generator=generator) for a in model.architectures}
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(4):
        optimiser.zero_grad()
        loss = sum(several_objective(model, instances, instances, batch, LossConstants()).values(), torch.zeros(()))
        loss.backward()
        losses.append(loss.item())
        for name, p in model.named_parameters():
            assert p.grad is not None and p.grad.abs().sum() > 0, name
        optimiser.step()
    assert losses[-1] < losses[0]
