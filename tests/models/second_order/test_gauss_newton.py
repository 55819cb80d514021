"""Gauss-Newton steps: derivatives against torch's own, the shortest change, and what is left out."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from netspace_models.architectures import FieldIO, build
from netspace_models.architectures.architecture import describe
from netspace_models.backbones.tokens.settings import WriterSettings
from netspace_models.errors import ConfigError
from netspace_models.second_order.conjugate_gradients import conjugate_gradients
from netspace_models.second_order.gauss_newton import Solver, gauss_newton_change, weights_by_distance
from netspace_models.second_order.jacobian import FactoredJacobian, factored_jacobian, value_factors
from netspace_models.second_order.preconditioner import KroneckerPreconditioner
from torch import Tensor, nn
from torch.func import jacrev

from tests.small_networks import seeded, small_field, solvable_backbone

SHAPE, COLOURS = FieldIO(3, 1), FieldIO(2, 3)


@pytest.mark.parametrize("io", [SHAPE, COLOURS])
def test_factors_are_the_derivatives_of_values_by_parameters(io: FieldIO) -> None:
    architecture, vector, points = small_field(io)
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
    vector = torch.randn(architecture.parameter_count, generator=seeded(0))
    _, factors = value_factors(architecture, vector, torch.rand(5, 3))
    assert sorted(factors) == ["first.bias", "first.weight", "last.bias", "last.weight"]
    assert not any(layer._forward_hooks for layer in architecture.fused.modules()), "no hook is left behind"


@pytest.mark.parametrize("io", [SHAPE, COLOURS])
def test_the_factored_jacobian_is_the_jacobian_of_the_direct_path(io: FieldIO) -> None:
    architecture, _, points = small_field(io)
    model = solvable_backbone(architecture)
    head, directions = model.head(architecture.name), model.directions(architecture.name)
    assert directions is not None
    embedding = 0.1 * torch.randn(48, generator=seeded(3))

    def values(moved: Tensor) -> Tensor:
        return architecture.run(head.write(moved[None])[0] * head.sigma(), points).flatten()

    with torch.no_grad():
        vector = (head.write(embedding[None])[0] * head.sigma()).detach()
        factored = factored_jacobian(directions, value_factors(architecture, vector, points)[1], 48)
        jacobian = jacrev(values)(embedding)
        change = torch.randn(48, generator=seeded(5))
        torch.testing.assert_close(factored.jvp(change), jacobian @ change, rtol=1e-3, atol=1e-4)
        assert factored.mean_square() == pytest.approx(float(jacobian.square().sum(dim=1).mean()), rel=1e-3)
        weights = torch.randn(len(jacobian), generator=seeded(4))
        torch.testing.assert_close(factored.vjp(weights), jacobian.T @ weights, rtol=1e-3, atol=1e-4)


def test_networks_without_plain_linear_layers_are_refused() -> None:
    directions = solvable_backbone(build("siren-6x2", SHAPE)).directions("siren-6x2")
    assert directions is not None
    with pytest.raises(ConfigError, match="have no linear layer that sees each point once"):
        factored_jacobian(directions, {}, 48)


def drawn_jacobian(rows: int) -> FactoredJacobian:
    """Of 15 values, two parts of which are moved along and the last one is not; outputs of very different strength."""
    strength = torch.logspace(0, -2, 3)
    left, right = torch.randn(rows, 3, generator=seeded(5)) * strength, torch.randn(rows, 4, generator=seeded(6))
    bias = torch.randn(rows, 2, generator=seeded(7))
    return FactoredJacobian(
        ((left, right, torch.arange(12).flip(0)), (bias, torch.ones(rows, 1), torch.tensor([12, 13]))), 15
    )


def test_a_change_solves_the_damped_equations() -> None:
    for rows in (7, 40):
        factored, residuals = drawn_jacobian(rows), torch.randn(rows, generator=seeded(8))
        jacobian = torch.stack([factored.vjp(row) for row in torch.eye(rows)]).double()
        damping = 0.01 * jacobian.square().sum(dim=1).mean()
        matrix = jacobian.T @ jacobian + damping * torch.eye(15, dtype=torch.float64)
        wanted = torch.linalg.solve(matrix, jacobian.T @ residuals.double()).float()
        change = gauss_newton_change(factored, residuals, 0.01, iterations=40)
        torch.testing.assert_close(change, wanted, rtol=1e-3, atol=1e-4)
        assert change[14] == 0, "what moves nothing is not moved"
        assert not gauss_newton_change(factored, torch.zeros(rows), 0.01).any()


def test_conjugate_gradients_solve_in_as_many_iterations_as_there_are_different_eigenvalues() -> None:
    rotation = torch.linalg.qr(torch.randn(9, 9, dtype=torch.float64, generator=seeded(0)))[0]
    matrix = rotation @ torch.diag(torch.tensor([1.0, 5.0, 30.0], dtype=torch.float64).repeat(3)) @ rotation.T
    solution = torch.randn(9, dtype=torch.float64, generator=seeded(1))
    found = conjugate_gradients(lambda p: matrix @ p, matrix @ solution, lambda r: r, iterations=3)
    torch.testing.assert_close(found, solution)
    known = conjugate_gradients(
        lambda p: matrix @ p, matrix @ solution, lambda r: torch.linalg.solve(matrix, r), iterations=1
    )
    torch.testing.assert_close(known, solution)


def test_the_preconditioner_is_exact_where_outputs_and_inputs_are_independent() -> None:
    outputs, inputs = torch.randn(6, 3, generator=seeded(0)), torch.randn(8, 4, generator=seeded(1))
    left, right = outputs.repeat_interleave(8, dim=0), inputs.repeat(6, 1)  # each output with each input
    factored = FactoredJacobian(((left, right, torch.arange(12)),), 12)
    change = torch.randn(12, generator=seeded(2))
    product = factored.vjp(factored.jvp(change)) + 0.3 * change
    torch.testing.assert_close(KroneckerPreconditioner(factored, 0.3)(product), change, rtol=1e-4, atol=1e-5)


def test_few_iterations_do_where_strengths_differ() -> None:
    rows, strength = 2000, torch.logspace(0, -3, 10)
    left, right = torch.randn(rows, 10, generator=seeded(0)) * strength, torch.randn(rows, 12, generator=seeded(1))
    factored = FactoredJacobian(((left, right, torch.arange(120)),), 120)
    wanted = torch.randn(120, generator=seeded(2)) / strength.repeat_interleave(12)
    change = gauss_newton_change(factored, factored.jvp(wanted), 1e-9, iterations=6)
    assert (change - wanted).norm() < 0.01 * wanted.norm()


def test_a_step_brings_right_what_weighs_most() -> None:
    architecture, target, points = small_field(SHAPE, seed=8)
    model, name = solvable_backbone(architecture, embedding_size=8, writer=WriterSettings("direct")), architecture.name
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
    architecture, target, points = small_field(SHAPE)
    model, name = solvable_backbone(architecture), architecture.name
    directions = model.directions(name)
    assert directions is not None
    solver = Solver(architecture, partial(model.decode, name), directions, 1e-4)
    lost = torch.full((48,), torch.nan)
    found, loss = solver.step(lost, architecture.run(target, points).flatten(), points)
    assert found is lost and loss == torch.inf


def test_steps_come_nearer_and_never_go_away() -> None:
    architecture, target, points = small_field(SHAPE, seed=8)
    model = solvable_backbone(architecture)
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
