"""Several starting points of an architecture: one embedding, as many networks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from netspace_models.architectures import ImageIO, build
from netspace_models.backbones import ArchitectureInit, Backbone, ConvBackbone, TokensBackbone
from netspace_models.backbones.conv.settings import ConvSettings
from netspace_models.backbones.tokens.settings import DirectSettings, ReaderSettings, TokensSettings, WriterSettings
from netspace_models.errors import ConfigError
from netspace_models.parameters.spec import NetworkSpec
from netspace_models.space_model import SpaceModel
from torch import Tensor, nn

from tests.small_networks import seeded

SPEC = NetworkSpec.of({"a.weight": (7, 5), "a.bias": (7,), "b.weight": (3, 7)})
SCALES = torch.tensor([0.1, 2.0])
STARTS = torch.randn(4, SPEC.size, generator=seeded(1))
ATTENTION, DIRECT = WriterSettings("attention"), WriterSettings("direct")
SMALL = TokensSettings(
    embedding_size=24, latents=4, chunk=8, width=16, depth=1, heads=2, reader=ReaderSettings(probes=0)
)
SKETCH, LEARNT = DirectSettings("sketch"), DirectSettings("learnt")


def backbone(count: int, *, direct: DirectSettings = SKETCH, writer: WriterSettings = ATTENTION) -> TokensBackbone:
    torch.manual_seed(0)
    further = STARTS[1:count] if count > 1 else None
    init = ArchitectureInit(SPEC, STARTS[0], SCALES, further=further, starts=count)
    return replace(SMALL, writer=writer, direct=direct).build({"mine": init}, ImageIO(1, 8, 3))


def test_start_0_is_what_it_is_without_others_to_the_last_bit() -> None:
    one, several, weights = backbone(1), backbone(4), torch.randn(2, SPEC.size, generator=seeded())
    assert torch.equal(one.encode("mine", weights), several.encode("mine", weights))
    embeddings = one.encode("mine", weights)
    assert torch.equal(one.decode("mine", embeddings), several.decode("mine", embeddings))
    assert {n for n, _ in several.named_parameters()} - {n for n, _ in one.named_parameters()} == {"heads.0.further"}
    assert (one.starts_of("mine"), several.starts_of("mine")) == (1, 4)


@pytest.mark.parametrize("direct", [SKETCH, LEARNT], ids=["sketch", "learnt"])
@pytest.mark.parametrize("writer", [ATTENTION, DIRECT], ids=["attention", "direct"])
def test_every_start_is_moved_by_the_embedding_as_start_0_is(direct: DirectSettings, writer: WriterSettings) -> None:
    model, embeddings = backbone(4, direct=direct, writer=writer), torch.randn(3, 24, generator=seeded())
    moved = model.decode("mine", embeddings) - STARTS[0]
    assert moved.abs().mean() > 0.01
    for start in range(1, 4):
        torch.testing.assert_close(model.decode("mine", embeddings, start) - STARTS[start], moved)


def test_a_network_teaches_its_own_start_alone() -> None:
    model = backbone(4)
    model.decode("mine", torch.randn(2, 24, generator=seeded()), 2).square().sum().backward()
    further = model.head("mine").further
    assert further is not None and further.grad is not None and model.head("mine").bias.grad is None
    assert further.grad.abs().sum(1).bool().tolist() == [False, True, False]


def test_starts_are_saved_and_loaded() -> None:
    torch.manual_seed(9)
    init = ArchitectureInit(SPEC, None, torch.ones(2), starts=4)
    model, loaded = backbone(4), SMALL.build({"mine": init}, ImageIO(1, 8, 3))
    loaded.load_state_dict(model.state_dict(), strict=True)
    embeddings = torch.randn(2, 24, generator=seeded())
    for start in range(4):
        assert torch.equal(loaded.decode("mine", embeddings, start), model.decode("mine", embeddings, start))


def test_further_starts_move_as_far_as_a_networks_own_weights() -> None:
    assert backbone(1).further_starts(["mine"]) == []
    ((values, pace),) = backbone(4).further_starts(["mine"])
    assert values.shape == (3, SPEC.size)
    mean = (42 * 0.1 + 21 * 2.0) / SPEC.size
    assert pace == pytest.approx(1 / mean)


def test_their_values_come_after_those_of_start_0_in_the_optimiser() -> None:
    several = backbone(4)
    names = {id(p): name for name, p in several.named_parameters()}
    ordered = [names[id(p)] for p in several.ordered_parameters()]
    assert ordered.index("heads.0.further") == ordered.index("heads.0.bias") + 1
    assert sorted(ordered) == sorted(names.values())


class Deaf(Backbone):
    """A backbone that knows nothing of starting points."""

    embedding_size, specs = 4, {"lenetlike": SPEC}

    def decode(self, arch: str, embeddings: Tensor, start: int = 0) -> Tensor:
        return embeddings


def conv() -> ConvBackbone:
    settings = ConvSettings(embedding_size=32, side=4, height=8, width=8)
    found = settings.build({"mine": ArchitectureInit(SPEC, STARTS[0], SCALES)}, ImageIO(1, 8, 3))
    assert isinstance(found, ConvBackbone)
    return found


@pytest.mark.parametrize(
    ("make", "start", "these"),
    [
        (lambda: backbone(4), 4, "4 starting points"),
        (lambda: backbone(4), -1, "4 starting points"),
        (lambda: backbone(1), 1, "one starting point"),
        (conv, 1, "one starting point"),
        (lambda: SpaceModel([build("lenetlike", ImageIO(1, 8, 3))], Deaf(), None), 1, "one starting point"),
    ],
    ids=["too many", "negative", "tokens", "conv", "space"],
)
def test_a_start_that_is_not_there_is_refused(make: object, start: int, these: str) -> None:
    assert callable(make)
    model: nn.Module = make()
    assert isinstance(model, Backbone | SpaceModel)
    arch = "lenetlike" if isinstance(model, SpaceModel) else "mine"
    with pytest.raises(ConfigError, match=f"there is no start {start}: this space has {these} for {arch}") as refused:
        model.decode(arch, torch.zeros(1, 24), start)
    assert "`space.starts = 10` in the recipe" in refused.value.hint
    assert ("or less" in refused.value.hint) == (these != "one starting point")
