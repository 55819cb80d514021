"""Gauss-Newton steps: derivatives against torch's own, the shortest change, and what is left out."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from netspace_models.architectures import Architecture, FieldSignal, build
from netspace_models.architectures.architecture import describe
from netspace_models.backbones import ArchitectureInit, TokensBackbone
from netspace_models.backbones.solving import Solving
from netspace_models.errors import ConfigError
from netspace_models.gauss_newton import (
    Solver,
    Tangent,
    Undoing,
    gauss_newton_change,
    tangent_of,
    value_factors,
    weights_by_distance,
)
from torch import Tensor, nn
from torch.func import jacrev

SHAPE, COLOURS = FieldSignal(3, 1), FieldSignal(2, 3)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(signal: FieldSignal, seed: int = 0) -> tuple[Architecture, Tensor, Tensor]:
    """An architecture, a network of it and points."""
    architecture = build("siren-6x2", signal)
    vector = 0.05 * torch.randn(architecture.parameters, generator=seeded(seed))
    return architecture, vector, 2 * torch.rand(9, signal.dimensions, generator=seeded(1)) - 1


def backbone(architecture: Architecture, **options: Any) -> TokensBackbone:
    """One whose embedding moves weights along directions, and by attention as well."""
    torch.manual_seed(0)
    start = 0.05 * torch.randn(architecture.parameters)
    scale = torch.linspace(0.1, 0.2, len(architecture.spec.layers))
    init = ArchitectureInit(architecture.spec, start, scale, architecture.run, architecture=architecture)
    sizes: dict[str, Any] = {
        "embedding_size": 48,
        "latents": 4,
        "chunk": 32,
        "width": 16,
        "heads": 2,
        "depth": 1,
        "gain": 0.7,
    }
    about = {"probe_shape": architecture.signal.input_shape, "outputs": architecture.signal.outputs, "values": True}
    given = {**sizes, **about, "path": "learnt", "read": "answers", "probes": 16, **options}
    return TokensBackbone({architecture.name: init}, **given)


@pytest.mark.parametrize("signal", [SHAPE, COLOURS])
def test_factors_are_the_derivatives_of_values_by_parameters(signal: FieldSignal) -> None:
    architecture, vector, points = network(signal)
    values, factors = value_factors(architecture, vector, points)
    torch.testing.assert_close(values, architecture.run(vector, points).flatten())
    wanted = architecture.spec.unflatten(jacrev(lambda v: architecture.run(v, points).flatten())(vector))
    assert factors.keys() == wanted.keys()
    for name, (gradients, inputs) in factors.items():
        found = gradients[:, :, None] * inputs[:, None, :]
        torch.testing.assert_close(found.reshape(wanted[name].shape), wanted[name], rtol=1e-4, atol=1e-5)


def test_a_layer_that_sees_several_rows_a_point_is_left_out() -> None:
    class Folded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.middle, self.last = nn.Linear(3, 4), nn.Linear(2, 2), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.last(self.middle(self.first(x).sin().unflatten(1, (2, 2))).flatten(1).sin())
            return found

    architecture = describe("folded", Folded(), SHAPE)
    vector = torch.randn(architecture.parameters, generator=seeded(0))
    _, factors = value_factors(architecture, vector, torch.rand(5, 3))
    assert sorted(factors) == ["first.bias", "first.weight", "last.bias", "last.weight"]
    assert not any(layer._forward_hooks for layer in architecture.fused.modules()), "no hook is left behind"


@pytest.mark.parametrize("signal", [SHAPE, COLOURS])
def test_a_tangent_is_the_jacobian_of_the_directions_part(signal: FieldSignal) -> None:
    architecture, _, points = network(signal)
    model = backbone(architecture)
    codec, directions = model.codec(architecture.name), model.directions(architecture.name)
    assert directions is not None
    embedding = 0.1 * torch.randn(48, generator=seeded(3))

    def values(moved: Tensor) -> Tensor:
        vector = (codec.bias + model.gain * codec.direct(moved[None])[0]) * codec.sigma()
        return architecture.run(vector, points).flatten()

    with torch.no_grad():
        vector = ((codec.bias + model.gain * codec.direct(embedding[None])[0]) * codec.sigma()).detach()
        tangent = tangent_of(directions, value_factors(architecture, vector, points)[1], 48)
        jacobian = jacrev(values)(embedding)
        change = torch.randn(48, generator=seeded(5))
        torch.testing.assert_close(tangent.push(change), jacobian @ change, rtol=1e-3, atol=1e-4)
        assert tangent.mean_square() == pytest.approx(float(jacobian.square().sum(dim=1).mean()), rel=1e-3)
        weights = torch.randn(len(jacobian), generator=seeded(4))
        torch.testing.assert_close(tangent.pull(weights), jacobian.T @ weights, rtol=1e-3, atol=1e-4)


def test_networks_without_plain_linear_layers_are_refused() -> None:
    directions = backbone(build("siren-6x2", SHAPE)).directions("siren-6x2")
    assert directions is not None
    with pytest.raises(ConfigError, match="have no linear layer that sees each point once"):
        tangent_of(directions, {}, 48)


def drawn_tangent(rows: int) -> Tangent:
    """Of 15 values, two parts of which are moved along and the last one is not; outputs of very different strength."""
    strength = torch.logspace(0, -2, 3)
    left, right = torch.randn(rows, 3, generator=seeded(5)) * strength, torch.randn(rows, 4, generator=seeded(6))
    bias = torch.randn(rows, 2, generator=seeded(7))
    return Tangent(((left, right, torch.arange(12).flip(0)), (bias, torch.ones(rows, 1), torch.tensor([12, 13]))), 15)


def test_a_change_solves_the_damped_equations() -> None:
    for rows in (7, 40):
        tangent, residuals = drawn_tangent(rows), torch.randn(rows, generator=seeded(8))
        jacobian = torch.stack([tangent.pull(row) for row in torch.eye(rows)]).double()
        damping = 0.01 * jacobian.square().sum(dim=1).mean()
        matrix = jacobian.T @ jacobian + damping * torch.eye(15, dtype=torch.float64)
        wanted = torch.linalg.solve(matrix, jacobian.T @ residuals.double()).float()
        change = gauss_newton_change(tangent, residuals, 0.01, iterations=40)
        torch.testing.assert_close(change, wanted, rtol=1e-3, atol=1e-4)
        assert change[14] == 0, "what moves nothing is not moved"
        assert not gauss_newton_change(tangent, torch.zeros(rows), 0.01).any()


def test_undoing_is_exact_where_outputs_and_inputs_are_independent() -> None:
    outputs, inputs = torch.randn(6, 3, generator=seeded(0)), torch.randn(8, 4, generator=seeded(1))
    left, right = outputs.repeat_interleave(8, dim=0), inputs.repeat(6, 1)  # each output with each input
    tangent = Tangent(((left, right, torch.arange(12)),), 12)
    change = torch.randn(12, generator=seeded(2))
    given = tangent.pull(tangent.push(change)) + 0.3 * change
    torch.testing.assert_close(Undoing(tangent, 0.3)(given), change, rtol=1e-4, atol=1e-5)


def test_few_iterations_do_where_strengths_differ() -> None:
    rows, strength = 2000, torch.logspace(0, -3, 10)
    left, right = torch.randn(rows, 10, generator=seeded(0)) * strength, torch.randn(rows, 12, generator=seeded(1))
    tangent = Tangent(((left, right, torch.arange(120)),), 120)
    wanted = torch.randn(120, generator=seeded(2)) / strength.repeat_interleave(12)
    change = gauss_newton_change(tangent, tangent.push(wanted), 1e-9, iterations=6)
    assert (change - wanted).norm() < 0.01 * wanted.norm()


def test_a_step_brings_right_what_weighs_most() -> None:
    architecture, target, points = network(SHAPE, seed=8)
    model, name = backbone(architecture, embedding_size=8, write="direct"), architecture.name
    directions = model.directions(name)
    assert directions is not None
    solver, wanted = (
        Solver(architecture, partial(model.decode, name), directions, 1e-4),
        architecture.run(target, points),
    )
    heavy = torch.where(torch.arange(9) < 3, 1e4, 1e-4)
    off = {}
    for which, weights in (("plain", None), ("heavy", heavy)):
        embedding = torch.zeros(8)
        for _ in range(10):
            embedding, _ = solver.step(embedding, wanted.flatten(), points, weights)
        found = architecture.run(model.decode(name, embedding[None]).detach()[0], points)
        off[which] = (found - wanted)[:3].square().mean()
    assert off["heavy"] < 0.2 * off["plain"]


def test_the_nearer_to_a_surface_the_more_a_distance_weighs() -> None:
    weights = weights_by_distance(torch.tensor([0.0, -0.1, 0.1, 0.9]))
    torch.testing.assert_close(weights / weights[0], torch.tensor([1.0, 0.5, 0.5, 0.1]))
    assert weights.mean() == pytest.approx(1)


def test_an_embedding_without_values_is_left_as_it_is() -> None:
    architecture, target, points = network(SHAPE)
    model, name = backbone(architecture), architecture.name
    directions = model.directions(name)
    assert directions is not None
    solver = Solver(architecture, partial(model.decode, name), directions, 1e-4)
    lost = torch.full((48,), torch.nan)
    found, loss = solver.step(lost, architecture.run(target, points).flatten(), points)
    assert found is lost and loss == torch.inf


def test_steps_come_nearer_and_never_go_away() -> None:
    architecture, target, points = network(SHAPE, seed=8)
    model = backbone(architecture)
    name, directions = architecture.name, model.directions(architecture.name)
    assert directions is not None
    solver = Solver(architecture, partial(model.decode, name), directions, 1e-4)
    wanted, embedding = architecture.run(target, points).flatten(), torch.zeros(48)
    with torch.no_grad():
        before = [(architecture.run(model.decode(name, embedding[None])[0], points).flatten() - wanted).square().mean()]
    losses = []
    for _ in range(8):
        embedding, loss = solver.step(embedding, wanted, points)
        losses.append(loss)
    assert losses == sorted(losses, reverse=True) and losses[-1] < 1e-3 * float(before[0])


def solving(architecture: Architecture, vectors: Tensor, **options: object) -> tuple[TokensBackbone, Tensor, Tensor]:
    """A backbone, its embeddings, and how far their networks' values are from those of the networks."""
    model = backbone(architecture, **options).eval()
    embeddings = model.encode(architecture.name, vectors).detach()
    points = architecture.signal.example(500, seeded(4))
    found = architecture.run_each(model.decode(architecture.name, embeddings), points)
    return model, embeddings, (found - architecture.run_each(vectors, points)).detach().square().mean()


@pytest.mark.parametrize("near", [0.0, 0.5])
def test_an_encoder_that_solves_answers_as_the_network_does(near: float) -> None:
    architecture, name = build("siren-6x2", SHAPE), "siren-6x2"
    within_reach = 0.2 * torch.randn(2, 48, generator=seeded(8))
    vectors = backbone(architecture, write="direct").decode(name, within_reach).detach()
    _, _, before = solving(architecture, vectors, write="direct")
    model, embeddings, after = solving(
        architecture, vectors, write="direct", solve=8, solve_points=1000, solve_near=near
    )
    assert after < 0.3 * before
    alone = torch.cat([model.encode(name, v[None]) for v in vectors])
    torch.testing.assert_close(alone, embeddings, rtol=1e-3, atol=1e-3)


def test_training_goes_without_solving() -> None:
    architecture, vector, _ = network(SHAPE)
    model, name = backbone(architecture, solve=4), architecture.name
    plain = backbone(architecture).encode(name, vector[None])
    found = model.train().encode(name, vector[None])
    assert torch.equal(found, plain) and found.requires_grad
    assert not torch.equal(model.eval().encode(name, vector[None]), plain)


def test_points_are_asked_evenly_and_where_values_are_near_zero() -> None:
    architecture, vector, _ = network(SHAPE)
    even, both = (Solving(1, 400, near).asked(architecture, vector) for near in (0.0, 0.5))
    assert even.shape == both.shape == (400, 3) and even.abs().max() <= 1
    assert torch.equal(even[:200], both[:200])
    octants = ((even > 0) * torch.tensor([1, 2, 4])).sum(dim=1).bincount(minlength=8)
    assert octants.min() >= 45, "400 points, 50 an octant"
    close, far = (architecture.run(vector, points).abs().max() for points in (both[200:], even))
    assert close < 0.5 * far
    assert torch.equal(both, Solving(1, 400, 0.5).asked(architecture, vector))


@pytest.mark.parametrize("option", [{"path": "sketch"}, {"values": False}, {"gain": 0.0}])
def test_what_cannot_be_solved_for_is_refused(option: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="only networks that are signals can be solved for, by decoders") as raised:
        backbone(build("siren-6x2", SHAPE), solve=1, **option)
    assert raised.value.hint == "Set backbone.solve to 0; or backbone.path to 'learnt'."


def test_a_direct_decoder_is_linear_and_has_nothing_else_to_learn() -> None:
    architecture = build("siren-6x2", SHAPE)
    model, name = backbone(architecture, write="direct"), architecture.name
    one, other = torch.randn(2, 1, 48, generator=seeded(2))
    with torch.no_grad():
        middle = model.decode(name, torch.lerp(one, other, 0.3))
        wanted = torch.lerp(model.decode(name, one), model.decode(name, other), 0.3)
    torch.testing.assert_close(middle, wanted)
    model.decode(name, model.encode(name, torch.randn(2, architecture.parameters))).square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_an_encoder_that_reads_nothing_goes_by_feedback_alone() -> None:
    architecture = build("siren-6x2", SHAPE)
    vectors = torch.stack([0.05 * torch.randn(architecture.parameters, generator=seeded(s)) for s in (8, 9)])
    model, name = backbone(architecture, read="none", write="direct", feedback=2, second_order=True), architecture.name
    assert model.probes is not None
    embeddings = model.encode(name, vectors)
    assert not torch.equal(*embeddings)

    def apart(rows: Tensor) -> Tensor:
        assert model.probes is not None
        found = architecture.run_each(model.decode(name, rows), model.probes)
        return (found - architecture.run_each(vectors, model.probes)).square().mean(dim=(1, 2))

    with torch.no_grad():
        assert (apart(embeddings) < apart(model.first.expand(2, -1))).all()
    embeddings.square().sum().backward()
    learnt = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert {"first", "corrections.0.share", "corrections.1.share", "codecs.0.bias"} <= learnt


def test_an_encoder_that_reads_nothing_and_asks_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="reads nothing gives all networks the same embedding") as raised:
        backbone(build("siren-6x2", SHAPE), read="none")
    assert raised.value.hint.startswith("Let it ask: backbone.feedback = 3;")


def test_a_sketch_has_no_directions() -> None:
    architecture = build("siren-6x2", SHAPE)
    assert backbone(architecture, path="sketch").directions(architecture.name) is None
    assert backbone(architecture, gain=0.0).directions(architecture.name) is None
