"""Gauss-Newton steps: derivatives against torch's own, the shortest change, and what is left out."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from netspace_models.architectures import Architecture, FieldSignal, build
from netspace_models.architectures.architecture import describe
from netspace_models.backbones import ArchitectureInit, TokensBackbone
from netspace_models.errors import ConfigError
from netspace_models.gauss_newton import Solver, Tangent, gauss_newton_change, tangent_of, value_factors
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


def backbone(architecture: Architecture, **options: object) -> TokensBackbone:
    """One whose embedding moves weights along directions, and by attention as well."""
    torch.manual_seed(0)
    start = 0.05 * torch.randn(architecture.parameters)
    scale = torch.linspace(0.1, 0.2, len(architecture.spec.layers))
    init = ArchitectureInit(architecture.spec, start, scale, architecture.run, architecture=architecture)
    sizes = {"embedding_size": 48, "latents": 4, "chunk": 32, "width": 16, "heads": 2, "depth": 1, "gain": 0.7}
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
        torch.testing.assert_close(tangent.gram(), jacobian @ jacobian.T, rtol=1e-3, atol=1e-4)
        weights = torch.randn(len(jacobian), generator=seeded(4))
        torch.testing.assert_close(tangent.pull(weights), jacobian.T @ weights, rtol=1e-3, atol=1e-4)


def test_networks_without_plain_linear_layers_are_refused() -> None:
    directions = backbone(build("siren-6x2", SHAPE)).directions("siren-6x2")
    assert directions is not None
    with pytest.raises(ConfigError, match="have no linear layer that sees each point once"):
        tangent_of(directions, {}, 48)


def drawn_tangent(rows: int, *, copies: int = 1) -> Tangent:
    left, right = torch.randn(rows, 3, generator=seeded(5)), torch.randn(rows, 4, generator=seeded(6))
    return Tangent(((left.repeat(copies, 1), right.repeat(copies, 1), torch.arange(12).flip(0)),), 15)


def test_a_change_is_the_shortest_that_reaches_the_values() -> None:
    tangent, residuals = drawn_tangent(7), torch.randn(7, generator=seeded(7))
    jacobian = torch.stack([tangent.pull(row) for row in torch.eye(7)])
    change = gauss_newton_change(tangent, residuals, 1e-7)
    torch.testing.assert_close(change, torch.linalg.pinv(jacobian) @ residuals, rtol=1e-3, atol=1e-3)


def test_damping_is_raised_where_equations_cannot_be_solved() -> None:
    tangent, residuals = drawn_tangent(7, copies=3), torch.randn(7, generator=seeded(7)).repeat(3)
    assert torch.linalg.cholesky_ex(tangent.gram())[1] > 0
    change = gauss_newton_change(tangent, residuals, 1e-30)
    once = gauss_newton_change(drawn_tangent(7), residuals[:7], 1e-7)
    torch.testing.assert_close(change, once, rtol=1e-2, atol=1e-2)


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


def test_an_encoder_that_solves_answers_as_the_network_does() -> None:
    architecture, _, _ = network(SHAPE)
    vectors = torch.stack([0.05 * torch.randn(architecture.parameters, generator=seeded(s)) for s in (8, 9)])
    apart = {}
    for solve in (0, 4):
        model = backbone(architecture, solve=solve)
        assert model.probes is not None
        embeddings = model.encode(architecture.name, vectors)
        assert embeddings.requires_grad, "what stands before the solution is learnt"
        found = architecture.run_each(model.decode(architecture.name, embeddings), model.probes)
        apart[solve] = float((found - architecture.run_each(vectors, model.probes)).detach().square().mean())
        alone = torch.cat([model.encode(architecture.name, v[None]) for v in vectors])
        torch.testing.assert_close(alone, embeddings, rtol=1e-3, atol=1e-4)
    assert apart[4] < 0.05 * apart[0]


@pytest.mark.parametrize("option", [{"path": "sketch"}, {"probes": 0, "read": "all"}, {"values": False}, {"gain": 0.0}])
def test_what_cannot_be_solved_for_is_refused(option: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="only networks that are signals can be solved for, at probes") as raised:
        backbone(build("siren-6x2", SHAPE), solve=1, **option)
    assert raised.value.hint == "Set backbone.solve to 0; or backbone.probes = 1024 and backbone.path = 'learnt'."


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
    assert raised.value.hint.startswith("Let it ask: backbone.feedback = 3, or backbone.solve = 3")


def test_a_sketch_has_no_directions() -> None:
    architecture = build("siren-6x2", SHAPE)
    assert backbone(architecture, path="sketch").directions(architecture.name) is None
    assert backbone(architecture, gain=0.0).directions(architecture.name) is None
