"""The tokens backbone: chunks, start, batches, gradients, the sketch's gain, probes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from netspace_models.backbones import ArchitectureInit, TokensBackbone
from netspace_models.backbones.tokens.chunks import SAMPLED, STATISTICS, Chunks
from netspace_models.backbones.tokens.settings import (
    DirectSettings,
    FeedbackSettings,
    ReaderSettings,
    TokensSettings,
)
from netspace_models.backbones.tokens.sketch import sketch_plan
from netspace_models.errors import ConfigError
from netspace_models.network_io import NetworkIO
from netspace_models.parameters.spec import NetworkSpec
from torch import Tensor

SPEC = NetworkSpec.of({"a.weight": (7, 5), "a.bias": (7,), "b.weight": (3, 7), "b.bias": (3,), "scale": ()})
OTHER = NetworkSpec.of({"c.weight": (4, 3), "c.bias": (4,)})
SCALES = torch.tensor([0.1, 2.0, 0.5])
SIZES = {"embedding_size": 24, "latents": 4, "chunk": 8, "width": 16, "heads": 2, "depth": 2}
READ_ALONE = ReaderSettings(probes=0)


@dataclass(frozen=True)
class FiveValues:
    """What `probing` runs networks on: inputs of five values, three answers."""

    input_shape: tuple[int, ...] = (5,)
    outputs: int = 3
    logits: bool = True


def made(inits: dict[str, ArchitectureInit], **options: Any) -> TokensBackbone:
    settings = TokensSettings(**{**SIZES, "reader": READ_ALONE, **options})
    return settings.build(inits, cast(NetworkIO, FiveValues()))


def starting_point() -> Tensor:
    return torch.randn(SPEC.size, generator=torch.Generator().manual_seed(3))


def backbone(*, seed: int = 0, start: bool = True, **options: Any) -> TokensBackbone:
    torch.manual_seed(seed)
    inits = {
        "my.net:mine": ArchitectureInit(SPEC, starting_point() if start else None, SCALES),
        "other": ArchitectureInit(OTHER, None, torch.ones(1)),
    }
    return made(inits, **options)


MINE = "my.net:mine"


@given(st.lists(st.integers(1, 23), min_size=1, max_size=5), st.integers(1, 12))
def test_cutting_is_undone_and_chunks_cross_no_layers_end(layers: list[int], size: int) -> None:
    spec = NetworkSpec.of({f"layer{i}.weight": (n,) for i, n in enumerate(layers)})
    chunks = Chunks(spec, size)
    vectors = torch.randn(2, spec.size)
    cut = chunks.cut(vectors)
    assert cut.shape == (2, sum(-(-n // size) for n in layers), size)
    assert torch.equal(chunks.join(cut), vectors)
    assert len(chunks) == cut.shape[1]
    # Numbers from 1 on show where each weight has gone, and 0 where there is padding.
    places = chunks.cut(torch.arange(1.0, spec.size + 1)[None])[0].long()
    for row in places:
        assert len({int(chunks.layer_of_weight[i - 1]) for i in row[row > 0]}) == 1
    assert sorted(places[places > 0].tolist()) == list(range(1, spec.size + 1))
    assert not cut[:, places == 0].any()


def test_what_stands_in_padding_is_read_by_nobody() -> None:
    chunks = Chunks(SPEC, 8)
    cut = chunks.cut(torch.randn(2, SPEC.size))
    spoilt = cut.clone()
    padding = chunks.cut(torch.ones(1, SPEC.size))[0] == 0
    spoilt[:, padding] = float("nan")
    assert padding.any()
    assert torch.equal(chunks.join(spoilt), chunks.join(cut))


def test_a_change_in_one_layer_shows_in_its_own_tokens_alone() -> None:
    chunks = Chunks(SPEC, 8)
    vectors = torch.randn(1, SPEC.size)
    changed = vectors.clone()
    layer = SPEC.layers[1]
    changed[:, layer.start : layer.stop] += 1
    tokens = (chunks.cut(changed) != chunks.cut(vectors)).any(-1)[0]
    owners = chunks.cut(chunks.layer_of_weight[None].float())[0, :, 0]
    assert torch.equal(tokens, owners == 1)
    statistics = (chunks.statistics(changed) != chunks.statistics(vectors)).any(-1)[0]
    assert statistics.tolist() == [False, True, False]


def test_statistics_are_those_of_the_layer() -> None:
    spec = NetworkSpec.of({"a.weight": (SAMPLED,), "b.weight": (1,)})
    vectors = torch.randn(2, spec.size)
    found = Chunks(spec, 64).statistics(vectors)
    values = vectors[:, :SAMPLED]
    assert found.shape == (2, 2, STATISTICS)
    torch.testing.assert_close(found[:, 0, 0], values.mean(1))
    torch.testing.assert_close(found[:, 0, 1], values.std(1))
    torch.testing.assert_close(found[:, 0, 3], values.min(1).values)
    torch.testing.assert_close(found[:, 0, 9], values.max(1).values)
    torch.testing.assert_close(found[:, 0, 6], values.quantile(0.5, dim=1))
    torch.testing.assert_close(found[:, 1, 3:], vectors[:, -1:].expand(2, 7))


@pytest.mark.parametrize("size", [1, 5, SAMPLED - 1, SAMPLED, 3 * SAMPLED + 1])
def test_values_for_statistics_are_spread_over_the_whole_layer(size: int) -> None:
    spec = NetworkSpec.of({"a.weight": (9,), "b.weight": (size,), "c.weight": (9,)})
    sampled = Chunks(spec, 64).sampled[1]
    assert (int(sampled[0]), int(sampled[-1])) == (9, 8 + size)
    assert len(sampled.unique()) == min(size, SAMPLED)
    assert int(sampled.diff().max()) <= -(-size // SAMPLED)


def test_before_training_every_network_decodes_near_the_start() -> None:
    model = backbone()
    sigma = SCALES[model.head(MINE).chunks.layer_of_weight]
    embeddings = model.encode(MINE, 3 * torch.randn(6, SPEC.size))
    off = (model.decode(MINE, embeddings) - starting_point()) / sigma
    assert embeddings.square().mean().sqrt() < 0.15
    assert off.square().mean().sqrt() < 0.3
    assert off.abs().max() < 1


def test_a_start_at_random_has_each_layers_size() -> None:
    spec = NetworkSpec.of({"a.weight": (4000,), "b.weight": (4000,)})
    torch.manual_seed(0)
    model = made({"x": ArchitectureInit(spec, None, torch.tensor([0.1, 2.0]))})
    decoded = model.decode("x", torch.zeros(1, 24))[0]
    assert decoded[:4000].std().item() == pytest.approx(0.1, rel=0.1)
    assert decoded[4000:].std().item() == pytest.approx(2.0, rel=0.1)


def test_the_start_is_copied() -> None:
    start = starting_point()
    torch.manual_seed(0)
    model = made({"x": ArchitectureInit(SPEC, start, torch.ones(3))})
    with torch.no_grad():
        model.head("x").bias.add_(1)
    assert torch.equal(start, starting_point())


@pytest.mark.parametrize("probes", [0, 3])
def test_a_batch_is_encoded_and_decoded_as_its_members_alone(probes: int) -> None:
    model = probing() if probes else backbone()
    vectors = torch.randn(5, SPEC.size)
    embeddings = model.encode(MINE, vectors)
    alone = torch.cat([model.encode(MINE, v[None]) for v in vectors])
    torch.testing.assert_close(embeddings, alone, rtol=0, atol=1e-5)
    decoded = torch.cat([model.decode(MINE, e[None]) for e in embeddings])
    torch.testing.assert_close(model.decode(MINE, embeddings), decoded, rtol=0, atol=1e-5)


def test_different_networks_have_different_embeddings() -> None:
    first, second = backbone().encode(MINE, torch.randn(2, SPEC.size))
    assert (first - second).abs().max() > 1e-4


def probing(kind: str = "weights", probes: int = 3, **options: Any) -> TokensBackbone:
    """A backbone that runs networks of a linear kind: three answers to inputs of five values."""

    def run(vectors: Tensor, inputs: Tensor) -> Tensor:
        hidden = torch.tanh(inputs.flatten(1) @ vectors[:, :35].reshape(-1, 7, 5).mT)
        return hidden @ vectors[:, 42:63].reshape(-1, 3, 7).mT

    torch.manual_seed(0)
    inits = {MINE: ArchitectureInit(SPEC, starting_point(), SCALES, run=run)}
    return made(inits, reader=ReaderSettings(cast(Any, kind), probes), **options)


@pytest.mark.parametrize("make", [backbone, probing, lambda: probing("answers"), lambda: corrected()])
def test_gradients_reach_every_parameter_and_the_embedding(make: Callable[[], TokensBackbone]) -> None:
    model = make()
    loss = torch.zeros(())
    for arch, spec in model.specs.items():
        embeddings = model.encode(arch, torch.randn(3, spec.size))
        embeddings.retain_grad()
        loss = loss + model.decode(arch, embeddings).square().sum()
    loss.backward()
    assert embeddings.grad is not None
    assert (embeddings.grad != 0).float().mean() > 0.9
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.abs().sum() > 0, name


def test_one_architectures_gradient_leaves_the_others_own_values() -> None:
    model = backbone()
    model.decode(MINE, model.encode(MINE, torch.randn(2, SPEC.size))).square().sum().backward()
    assert all(p.grad is None for p in model.head("other").parameters())


def test_the_decoder_is_the_sum_that_it_is_said_to_be() -> None:
    with_sketch, without = backbone(direct=DirectSettings(gain=2.0)), backbone(direct=DirectSettings(gain=0.0))
    embeddings = torch.randn(3, 24)
    places, signs = sketch_plan(MINE, SPEC.size, 24)
    sigma = SCALES[with_sketch.head(MINE).chunks.layer_of_weight]
    expected = 2.0 * sigma * signs * embeddings[:, places]
    found = with_sketch.decode(MINE, embeddings) - without.decode(MINE, embeddings)
    torch.testing.assert_close(found, expected)


def test_the_sketch_carries_the_gradient_back_to_every_value() -> None:
    model = backbone(direct=DirectSettings(gain=2.0))
    with torch.no_grad():
        model.writer.get_parameter("write_chunk.weight").zero_()
    embeddings = torch.randn(1, 24, requires_grad=True)
    wanted = torch.randn(SPEC.size)
    (model.decode(MINE, embeddings) * wanted).sum().backward()
    places, signs = sketch_plan(MINE, SPEC.size, 24)
    sigma = SCALES[model.head(MINE).chunks.layer_of_weight]
    expected = torch.zeros(24).index_add_(0, places, 2.0 * sigma * signs * wanted)
    assert embeddings.grad is not None
    torch.testing.assert_close(embeddings.grad[0], expected)


def test_without_gain_the_sketch_is_off() -> None:
    model = backbone(direct=DirectSettings(gain=0.0))
    with torch.no_grad():
        model.writer.get_parameter("write_chunk.weight").zero_()
    decoded = model.decode(MINE, torch.randn(3, 24))
    torch.testing.assert_close(decoded, starting_point().expand(3, -1))


def test_a_saved_model_is_whole_and_plans_are_not_saved() -> None:
    model, fresh = backbone(), backbone(seed=9, start=False)
    state = model.state_dict()
    assert not {n.rpartition(".")[2] for n in state} & {"source", "signs", "places", "inverse", "sampled"}
    fresh.load_state_dict(state, strict=True)
    vectors = torch.randn(2, SPEC.size)
    embeddings = model.encode(MINE, vectors)
    assert torch.equal(fresh.encode(MINE, vectors), embeddings)
    assert torch.equal(fresh.decode(MINE, embeddings), model.decode(MINE, embeddings))


def test_scales_of_layers_are_divided_out_before_reading() -> None:
    vectors = torch.randn(2, SPEC.size)
    torch.manual_seed(0)
    unscaled = made(
        {MINE: ArchitectureInit(SPEC, None, torch.ones(3)), "other": ArchitectureInit(OTHER, None, torch.ones(1))}
    )
    model = backbone(start=False)
    scaled = vectors * SCALES[model.head(MINE).chunks.layer_of_weight]
    torch.testing.assert_close(model.encode(MINE, scaled), unscaled.encode(MINE, vectors), rtol=0, atol=1e-5)


def test_probes_tell_apart_what_networks_compute() -> None:
    model = probing()
    vectors = torch.randn(2, SPEC.size)
    with_answers = model.encode(MINE, vectors)
    model.head(MINE).run = None
    assert not torch.allclose(model.encode(MINE, vectors), with_answers, atol=1e-5)


def corrected() -> TokensBackbone:
    """One with feedback that has begun to say something."""
    model = probing(feedback=FeedbackSettings(2))
    with torch.no_grad():
        for correction in model.feedback.corrections:
            correction.get_parameter("write.weight").normal_(generator=torch.Generator().manual_seed(4))
    return model


def test_feedback_begins_as_if_it_were_not_there() -> None:
    vectors, model = torch.randn(2, SPEC.size), probing(feedback=FeedbackSettings(2))
    plain = probing()
    plain.load_state_dict({n: t for n, t in model.state_dict().items() if not n.startswith("feedback.")})
    assert torch.equal(model.encode(MINE, vectors), plain.encode(MINE, vectors))


def test_each_round_of_feedback_can_follow_the_gradient_towards_the_networks_own_answers() -> None:
    vectors, model = torch.randn(2, SPEC.size), probing(feedback=FeedbackSettings(3))
    wanted = model.answers(MINE, vectors)

    def apart() -> Tensor:
        found = model.answers(MINE, model.decode(MINE, model.encode(MINE, vectors)))
        assert wanted is not None and found is not None
        return (found - wanted).square().mean(dim=(1, 2)).detach()

    before = apart()
    for count, correction in enumerate(model.feedback.corrections, 1):
        with torch.no_grad():
            correction.get_parameter("share").fill_(0.3)
        assert (apart() < before).all(), count
        before = apart()


def test_an_embedding_is_told_its_descent_alone_or_in_company_and_under_no_grad() -> None:
    vectors, model = torch.randn(3, SPEC.size), corrected()
    with torch.no_grad():
        one_by_one = torch.cat([model.encode(MINE, v[None]) for v in vectors])
        torch.testing.assert_close(model.encode(MINE, vectors), one_by_one, rtol=1e-5, atol=1e-5)
    assert not one_by_one.requires_grad
    torch.testing.assert_close(model.encode(MINE, vectors).detach(), one_by_one, rtol=1e-5, atol=1e-5)


def test_feedback_learns_how_far_to_follow() -> None:
    vectors, model = torch.randn(2, SPEC.size), corrected()
    model.encode(MINE, vectors).square().sum().backward()
    for correction in model.feedback.corrections:
        share = correction.get_parameter("share").grad
        assert share is not None and share.abs().max() > 0


def test_at_the_second_order_the_decoder_learns_to_be_followed() -> None:
    vectors = torch.randn(2, SPEC.size)
    first, second = (probing(feedback=FeedbackSettings(2, second_order=order)) for order in (False, True))
    second.load_state_dict(first.state_dict())
    for model in (first, second):
        with torch.no_grad():
            for correction in model.feedback.corrections:
                correction.get_parameter("share").fill_(0.3)
    embeddings = [model.encode(MINE, vectors) for model in (first, second)]
    torch.testing.assert_close(*embeddings)
    for embedding in embeddings:
        embedding.square().sum().backward()
    bias = [model.head(MINE).bias.grad for model in (first, second)]
    assert bias[0] is None
    assert bias[1] is not None and bias[1].abs().max() > 0
    with torch.no_grad():
        assert not second.encode(MINE, vectors).requires_grad


def test_a_negative_number_of_rounds_is_refused() -> None:
    with pytest.raises(ConfigError, match="feedback cannot have -1 rounds"):
        probing(feedback=FeedbackSettings(-1))


def test_feedback_is_told_how_the_first_embedding_s_network_answers() -> None:
    vectors, model = torch.randn(2, SPEC.size), corrected()
    before = model.encode(MINE, vectors)
    with torch.no_grad():
        model.head(MINE).bias.add_(1)  # the decoder's alone: only the second look knows of it
    assert (model.encode(MINE, vectors) - before).abs().max() > 1e-3


def test_an_encoder_of_answers_alone_sees_nothing_else() -> None:
    model, vectors = probing("answers"), torch.randn(2, SPEC.size)
    other = vectors.clone()
    other[:, 35:42] += 1  # a.bias, which the networks' answers leave out
    assert torch.equal(model.encode(MINE, vectors), model.encode(MINE, other))
    assert not torch.equal(probing().encode(MINE, vectors), probing().encode(MINE, other))


@pytest.mark.parametrize("option", [{"reader": ReaderSettings("answers", 0)}, {"feedback": FeedbackSettings(1)}])
def test_without_probes_there_are_no_answers_to_go_by(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="needs? probes, not 0") as raised:
        backbone(**option)
    assert raised.value.hint == "Give some: backbone.reader.probes = 64."


@pytest.mark.parametrize(("probes", "tokens"), [(3, 3), (256, 256), (512, 256), (300, 150), (257, 1)])
def test_many_answers_share_a_token(probes: int, tokens: int) -> None:
    model = probing(probes=probes)
    assert model.reader.get_parameter("sources.answers.positions").shape[0] == tokens
    assert model.encode(MINE, torch.randn(2, SPEC.size)).shape == (2, 24)


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"embedding_size": 25}, "an embedding of 25 values cannot be cut into 4 latents"),
        ({"width": 15}, "or a width of 15 into 2 heads"),
        ({"latents": 0}, "must be 1 or more, not embedding_size 24, latents 0"),
        ({"heads": 0}, "heads 0"),
        ({"chunk": 0}, "chunk 0"),
        ({"embedding_size": 0}, "embedding_size 0"),
    ],
)
def test_sizes_that_cannot_be_are_refused(sizes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text) as raised:
        backbone(**sizes)
    assert raised.value.hint


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan")])
def test_layers_without_a_scale_are_refused(bad: float) -> None:
    scale = torch.tensor([1.0, bad, 1.0])
    with pytest.raises(ConfigError, match="the layer 'b' of mine has a scale that is not above zero"):
        made({"mine": ArchitectureInit(SPEC, None, scale)})
