"""Encoders that solve for the embedding, and decoders that can be solved for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from netspace_models.architectures import Architecture, FieldIO, ImageIO, build
from netspace_models.backbones import TokensBackbone
from netspace_models.backbones.tokens.settings import (
    DirectSettings,
    FeedbackSettings,
    ReaderSettings,
    SolveSettings,
    WriterSettings,
)
from netspace_models.backbones.tokens.solving import Solving
from netspace_models.errors import ConfigError
from torch import Tensor

from tests.small_networks import seeded, small_field, solvable_backbone

DIRECT = WriterSettings("direct")
SHAPE = FieldIO(3, 1)


def solving(architecture: Architecture, vectors: Tensor, **options: Any) -> tuple[TokensBackbone, Tensor, Tensor]:
    """A backbone, its embeddings, and how far their networks' values are from those of the networks."""
    model = solvable_backbone(architecture, **options).eval()
    embeddings = model.encode(architecture.name, vectors).detach()
    points = architecture.io.example(500, seeded(4))
    found = architecture.run_each(model.decode(architecture.name, embeddings), points)
    return model, embeddings, (found - architecture.run_each(vectors, points)).detach().square().mean()


@pytest.mark.parametrize("near", [0.0, 0.5])
def test_an_encoder_that_solves_answers_as_the_network_does(near: float) -> None:
    architecture, name = build("siren-6x2", SHAPE), "siren-6x2"
    within_reach = 0.2 * torch.randn(2, 48, generator=seeded(8))
    vectors = solvable_backbone(architecture, writer=DIRECT).decode(name, within_reach).detach()
    _, _, before = solving(architecture, vectors, writer=DIRECT)
    solve = SolveSettings(8, points=1000, near_surface_share=near)
    model, embeddings, after = solving(architecture, vectors, writer=DIRECT, solve=solve)
    assert after < 0.3 * before
    alone = torch.cat([model.encode(name, v[None]) for v in vectors])
    torch.testing.assert_close(alone, embeddings, rtol=1e-3, atol=1e-3)


def test_training_goes_without_solving() -> None:
    architecture, vector, _ = small_field(SHAPE)
    model, name = solvable_backbone(architecture, solve=SolveSettings(4)), architecture.name
    plain = solvable_backbone(architecture).encode(name, vector[None])
    found = model.train().encode(name, vector[None])
    assert torch.equal(found, plain) and found.requires_grad
    assert not torch.equal(model.eval().encode(name, vector[None]), plain)


def test_target_points_lie_evenly_and_where_values_are_near_zero() -> None:
    architecture, vector, _ = small_field(SHAPE)
    even, both = (Solving(1, 400, near).target_points(architecture, vector) for near in (0.0, 0.5))
    assert even.shape == both.shape == (400, 3) and even.abs().max() <= 1
    assert torch.equal(even[:200], both[:200])
    octants = ((even > 0) * torch.tensor([1, 2, 4])).sum(dim=1).bincount(minlength=8)
    assert octants.min() >= 45, "400 points, 50 an octant"
    close, far = (architecture.run(vector, points).abs().max() for points in (both[200:], even))
    assert close < 0.5 * far
    assert torch.equal(both, Solving(1, 400, 0.5).target_points(architecture, vector))


@pytest.mark.parametrize("direct", [DirectSettings("sketch"), DirectSettings("learnt", 0.0)])
def test_what_cannot_be_solved_for_is_refused(direct: DirectSettings) -> None:
    with pytest.raises(ConfigError, match="solving needs neural fields, and a decoder") as raised:
        solvable_backbone(build("siren-6x2", SHAPE), solve=SolveSettings(1), direct=direct)
    assert raised.value.hint == "Set backbone.solve.steps to 0; or backbone.direct.kind to 'learnt'."


def test_classifiers_cannot_be_solved_for() -> None:
    with pytest.raises(ConfigError, match="solving needs neural fields, and a decoder"):
        solvable_backbone(build("lenetlike", ImageIO(1, 8, 3)), solve=SolveSettings(1))


def test_a_direct_decoder_is_linear_and_has_nothing_else_to_learn() -> None:
    architecture = build("siren-6x2", SHAPE)
    model, name = solvable_backbone(architecture, writer=DIRECT), architecture.name
    one, other = torch.randn(2, 1, 48, generator=seeded(2))
    with torch.no_grad():
        middle = model.decode(name, torch.lerp(one, other, 0.3))
        wanted = torch.lerp(model.decode(name, one), model.decode(name, other), 0.3)
    torch.testing.assert_close(middle, wanted)
    model.decode(name, model.encode(name, torch.randn(2, architecture.parameter_count))).square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_an_encoder_that_reads_nothing_goes_by_feedback_alone() -> None:
    architecture = build("siren-6x2", SHAPE)
    vectors = torch.stack([0.05 * torch.randn(architecture.parameter_count, generator=seeded(s)) for s in (8, 9)])
    feedback = FeedbackSettings(2, second_order=True)
    model = solvable_backbone(architecture, reader=ReaderSettings("constant", 16), writer=DIRECT, feedback=feedback)
    name = architecture.name
    assert model.probes is not None
    embeddings = model.encode(name, vectors)
    assert not torch.equal(*embeddings)

    def apart(rows: Tensor) -> Tensor:
        assert model.probes is not None
        probes = model.probes.inputs
        found = architecture.run_each(model.decode(name, rows), probes)
        return (found - architecture.run_each(vectors, probes)).square().mean(dim=(1, 2))

    with torch.no_grad():
        assert (apart(embeddings) < apart(model.reader.get_parameter("first").expand(2, -1))).all()
    embeddings.square().sum().backward()
    learnt = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    shares = {"feedback.corrections.0.share", "feedback.corrections.1.share"}
    assert {"reader.first", "heads.0.bias"} | shares <= learnt


def test_an_encoder_that_reads_nothing_and_asks_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="reads nothing gives all networks the same embedding") as raised:
        solvable_backbone(build("siren-6x2", SHAPE), reader=ReaderSettings("constant", 16))
    assert raised.value.hint.startswith("Add feedback (backbone.feedback.rounds = 3),")


def test_a_sketch_has_no_directions() -> None:
    architecture = build("siren-6x2", SHAPE)
    assert solvable_backbone(architecture, direct=DirectSettings("sketch")).directions(architecture.name) is None
    assert solvable_backbone(architecture, direct=DirectSettings("learnt", 0.0)).directions(architecture.name) is None
