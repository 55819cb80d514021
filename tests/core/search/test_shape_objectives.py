"""What an embedding of a shape is brought to: a whole shape or points of its surface."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import torch
from netspace_models.architectures import Architecture, FieldIO, build
from scipy.spatial import KDTree
from torch import Tensor

from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.search.shape_objectives import (
    ASIDE,
    BANDS,
    DEEP,
    MOVED,
    SLOPE_WEIGHT,
    THIN,
    ScanObjective,
    objective_of_scan,
    objective_of_shape,
)
from netspace_cli.core.shapes.samples import Shape
from netspace_cli.core.shapes.scans import Scan

NOTHING = torch.zeros(0)


class Known:
    """Stands for an architecture: the function that it is given, whatever the parameters."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def run(self, vector: Tensor, inputs: Tensor) -> Tensor:
        return self.function(inputs)


def known(function: Callable[[Tensor], Tensor]) -> Architecture:
    return cast(Architecture, Known(function))


def to_ball(radius: float, slope: float = 1.0) -> Architecture:
    """The signed distance to a ball, enlarged."""
    return known(lambda x: slope * (x.norm(dim=1, keepdim=True) - radius))


def constant(value: float) -> Architecture:
    return known(lambda x: 0 * x[:, :1] + value)


def on_ball(count: int, radius: float, *, normals: float | None = None) -> Scan:
    """Points of a ball; with normals of this length if one is given, less than zero to the inside."""
    points = torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    points = points / points.norm(dim=1, keepdim=True)
    return Scan(radius * points, None if normals is None else normals * points)


def small_shape() -> Shape:
    """Six samples, and four held out."""
    points = torch.linspace(-0.9, 0.9, 30).reshape(10, 3)
    values = torch.arange(10.0)[:, None] / 10
    return Shape("it", Path("it.npz"), points[:6], values[:6], points[6:], values[6:])


def test_the_loss_of_a_shape_is_the_mean_squared_error_at_the_samples_drawn() -> None:
    shape, runner = small_shape(), Runner("cpu", seed=3)
    architecture = build("siren-4x1", FieldIO(3, 1))
    vector = 0.1 * torch.randn(architecture.parameter_count, generator=torch.Generator().manual_seed(0))
    objective = objective_of_shape(shape, runner)
    for step in (0, 7):
        index = torch.randint(6, (5,), generator=runner.generator("lso", step)).tolist()
        found = [architecture.run(vector, shape.points[i : i + 1]).item() - shape.values[i].item() for i in index]
        expected = sum(off * off for off in found) / 5
        assert objective.loss(architecture, vector, step, 5).item() == pytest.approx(expected, rel=1e-5)
        assert torch.equal(objective.loss(architecture, vector, step, 5), objective.loss(architecture, vector, step, 5))
    assert not torch.equal(objective.loss(architecture, vector, 0, 5), objective.loss(architecture, vector, 7, 5))


def test_the_loss_of_a_shape_has_a_gradient_in_the_parameters() -> None:
    architecture = build("siren-4x1", FieldIO(3, 1))
    vector = torch.full((architecture.parameter_count,), 0.01, requires_grad=True)
    objective_of_shape(small_shape(), Runner("cpu")).loss(architecture, vector, 0, 5).backward()
    assert vector.grad is not None and vector.grad.any()


def test_held_out_samples_are_halved_into_what_chooses_and_what_is_scored() -> None:
    shape = small_shape()
    objective = objective_of_shape(shape, Runner("cpu"))
    assert set(objective.held) == {"val", "test"}
    for split, at in (("val", slice(0, 2)), ("test", slice(2, 4))):
        points, values = objective.held[split]
        assert torch.equal(points, shape.held_points[at]) and torch.equal(values, shape.held_values[at])
    # Values of "val" are 0.6 and 0.7, of "test" 0.8 and 0.9.
    assert objective.score(constant(0.705), NOTHING, "val") == pytest.approx((0.5, (0.105**2 + 0.005**2) / 2), rel=1e-4)
    assert objective.score(constant(0.9), NOTHING, "test") == pytest.approx((0.5, 0.005), rel=1e-4)


def test_the_loss_of_a_scan_is_nothing_for_the_distance_to_it() -> None:
    objective = objective_of_scan(on_ball(200, 0.6), Runner("cpu"))
    assert objective.loss(to_ball(0.6), NOTHING, 0, 64).item() == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        (constant(0), SLOPE_WEIGHT),  # on the surface everywhere, without a slope
        (constant(0.5), 0.25 + SLOPE_WEIGHT),
        (to_ball(0.4), 0.04),  # a fifth away, of the right slope
        (to_ball(0.6, slope=3), 4 * SLOPE_WEIGHT),
        (to_ball(0.4, slope=-2), 0.16 + SLOPE_WEIGHT),
    ],
)
def test_the_loss_of_a_scan_is_the_squared_distance_and_how_far_the_slope_is_from_one(
    architecture: Architecture, expected: float
) -> None:
    objective = objective_of_scan(on_ball(200, 0.6), Runner("cpu"))
    assert objective.loss(architecture, NOTHING, 0, 64).item() == pytest.approx(expected, rel=1e-4)


def test_slopes_are_looked_at_all_over_the_box_and_points_drawn_anew_each_step() -> None:
    # Of x² the slope is 2 |x|: (2 |x| - 1)² is 1/3 in the mean over the box; the scan lies where x is zero.
    parabola = known(lambda x: x[:, :1].square())
    points = torch.cat([torch.zeros(100, 1), torch.rand(100, 2)], dim=1)
    objective = objective_of_scan(Scan(points), Runner("cpu"))
    losses = [objective.loss(parabola, NOTHING, step, 64).item() / SLOPE_WEIGHT for step in range(20)]
    assert sum(losses) / 20 == pytest.approx(1 / 3, abs=0.02)
    assert len(set(losses)) == 20
    assert objective.loss(parabola, NOTHING, 3, 64).item() / SLOPE_WEIGHT == losses[3]


def test_the_loss_of_a_scan_has_a_gradient_in_the_parameters() -> None:
    architecture = build("siren-4x1", FieldIO(3, 1))
    vector = torch.full((architecture.parameter_count,), 0.01, requires_grad=True)
    objective = objective_of_scan(on_ball(50, 0.5), Runner("cpu"))
    with_slope = torch.autograd.grad(objective.loss(architecture, vector, 0, 20), vector)[0]
    index = torch.randint(len(objective.scan.points), (20,), generator=objective.runner.generator("lso", 0))
    alone = torch.autograd.grad(architecture.run(vector, objective.scan.points[index]).square().mean(), vector)[0]
    assert with_slope.isfinite().all() and (with_slope - alone).abs().max() > 1e-4


@pytest.mark.parametrize(("count", "held"), [(20, 2), (57, 5), (300, 30)])
def test_a_tenth_of_a_scan_chooses_and_a_tenth_is_scored(count: int, held: int) -> None:
    scan = on_ball(count, 0.5, normals=1)
    objective = objective_of_scan(scan, Runner("cpu"))
    parts = (objective.scan, objective.held["val"], objective.held["test"])
    assert [len(part.points) for part in parts] == [count - 2 * held, held, held]
    shared = torch.cat([part.points for part in parts])
    assert sorted(map(tuple, shared.tolist())) == sorted(map(tuple, scan.points.tolist()))
    assert not torch.equal(shared, scan.points)
    for part in parts:
        assert part.normals is not None, "each normal stays with its point"
        torch.testing.assert_close(0.5 * part.normals, part.points)
    assert torch.equal(objective.scan.points, objective_of_scan(scan, Runner("cpu")).scan.points)
    assert not torch.equal(objective.scan.points, objective_of_scan(scan, Runner("cpu", seed=1)).scan.points)


def test_a_scan_scores_the_share_of_points_that_the_surface_is_near_to() -> None:
    points = torch.tensor([[0.5, 0, 0], [0, 0.505, 0], [0, 0, 0.52], [0.4, 0, 0]])
    objective = ScanObjective(
        Runner("cpu"), Scan(points), {"val": Scan(points), "test": Scan(points[:2])}, KDTree(points.numpy())
    )
    expected = (0.005**2 + 0.02**2 + 0.1**2) / 4
    assert objective.score(to_ball(0.5), NOTHING, "val") == pytest.approx((0.5, expected), rel=1e-3)
    assert objective.score(to_ball(0.5), NOTHING, "test") == pytest.approx((1.0, 0.005**2 / 2), rel=1e-3)


def test_where_there_are_normals_a_scan_is_scored_on_both_sides_of_the_surface_too() -> None:
    goals = [objective_of_scan(on_ball(100, 0.5, normals=length), Runner("cpu")) for length in (1, -1)]
    right, inside_out = (objective.score(to_ball(0.5), NOTHING, "val") for objective in goals)
    assert right == pytest.approx((1, 0), abs=1e-9)
    assert inside_out == pytest.approx((1, 2 / 3 * (2 * ASIDE) ** 2), rel=1e-4), "all there, and turned inside out"


def test_a_solved_step_wants_the_samples_drawn_and_distances_near_the_surface_weigh_more() -> None:
    shape, runner = small_shape(), Runner("cpu", seed=3)
    for distances in (True, False):
        points, wanted, weights = objective_of_shape(shape, runner, distances=distances).targets(
            constant(0), NOTHING, 2, 50
        )
        index = torch.randint(6, (50,), generator=runner.generator("lso", 2))
        assert torch.equal(points, shape.points[index]) and torch.equal(wanted, shape.values[index, 0])
        if distances:
            assert weights is not None and weights.mean().item() == pytest.approx(1)
            assert weights[wanted == 0].min() > weights[wanted > 0.05].max()
        else:
            assert weights is None


@pytest.mark.parametrize(("radius", "moves"), [(0.6, False), (0.3, True), (1.5, True)])
def test_a_solved_step_wants_zero_at_a_scan_and_no_more_than_its_distance_elsewhere(radius: float, moves: bool) -> None:
    objective = objective_of_scan(on_ball(4000, 0.6), Runner("cpu"))
    points, wanted, weights = objective.targets(to_ball(radius), NOTHING, 0, 400)
    assert weights is None and points.shape == (400, 3) and wanted.shape == (400,)
    scanned, anywhere = points[:200], points[200:]
    assert scanned.norm(dim=1).allclose(torch.tensor(0.6), atol=1e-5) and not wanted[:200].any()
    nearest = torch.cdist(anywhere, objective.scan.points).amin(dim=1)
    now = anywhere.norm(dim=1) - radius
    assert (wanted[200:].abs() <= nearest + 1e-5).all()
    kept = now.abs() <= nearest
    assert torch.equal(wanted[200:][kept], now[kept]), "what may be is kept"
    assert (wanted[200:] * now >= 0).all(), "inside stays inside"
    changed = ((wanted[200:] - now).abs() > 1e-5).double().mean().item()
    assert changed > 0.25 if moves else changed < 0.01, "a ball the size of the scan wants nothing"


def test_where_there_are_normals_a_loss_asks_for_slopes_along_them() -> None:
    for length, expected in ((1, 0), (-1, 4 * SLOPE_WEIGHT)):
        objective = objective_of_scan(on_ball(200, 0.6, normals=length), Runner("cpu"))
        assert objective.loss(to_ball(0.6), NOTHING, 0, 64).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("length", [1, -1])
def test_where_there_are_normals_a_solved_step_wants_distances_on_the_side_that_they_say(length: int) -> None:
    objective = objective_of_scan(on_ball(20000, 0.6, normals=length), Runner("cpu"))
    places, wanted, weights = objective.targets(to_ball(0.3), NOTHING, 0, 4000)
    assert places.shape == (4000, 3) and float(places.abs().max()) <= 1
    off = length * (places.norm(dim=1) - 0.6)  # how far out, as the normals have it
    distances = torch.cdist(places, objective.scan.points).amin(dim=1)
    moved = int(MOVED * 2000)
    spread = [off[:moved][part].std().item() for part in (slice(moved // 2), slice(moved // 2, moved))]
    assert spread == pytest.approx(BANDS, rel=0.1)
    assert float(off[moved:2000].abs().max()) < 1e-6 and not wanted[moved:2000].any()
    # Nearer than the points lie to each other, the nearest one is not below or above a place.
    outside, inside = off > 0.05, off < -0.05
    torch.testing.assert_close(wanted[outside], distances[outside])
    below = (off < -0.025) & (distances < THIN - 1e-4)
    assert below.sum() > 100
    torch.testing.assert_close(wanted[below], -distances[below])
    assert inside.sum() > 100, "of what is further in nothing is known"
    now = (places.norm(dim=1) - 0.3).clamp(min=-distances, max=distances)
    torch.testing.assert_close(wanted[inside], now[inside])
    assert weights is not None and weights.min() == 0, "nothing is asked for"
    unsaid = inside & (distances < DEEP) & (now > 0)
    clear = inside & ((distances - DEEP).abs() > 1e-4) & (now.abs() > 1e-4)
    assert torch.equal(weights[clear] == 0, unsaid[clear])
    assert weights[wanted.abs() < 0.01].min() > weights[wanted.abs() > 0.2].max()


def test_where_the_nearest_normal_points_past_a_place_nothing_is_said_of_its_side() -> None:
    edge = Scan(torch.zeros(20, 3), torch.tensor([[0.0, 0, 1]]).expand(20, 3))
    objective = objective_of_scan(edge, Runner("cpu"))
    places, wanted, _ = objective.targets(constant(-0.01), NOTHING, 0, 4000)
    far = places.norm(dim=1) > 0.1
    up = places[:, 2] > 0.7 * places.norm(dim=1)
    torch.testing.assert_close(wanted[far & up], places.norm(dim=1)[far & up])
    assert (wanted[far & ~up] == -0.01).all()
