"""Scores of fields by hand: shares, overlaps, differences, the voxels they are taken on; and of predicted shapes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from netspace_models.architectures import FieldIO, build
from torch import Tensor

from netspace_cli.core.data.points import FieldData, field_data, grid_points
from netspace_cli.core.encoding.decode import decode_row
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.encoding.fidelity import fidelity
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes.values import UNITS, iou, mean_error, scoring_points, values_of, within
from tests.worlds import Solids


def column(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


def test_values_that_differ_by_less_than_a_hundredth_count_as_equal() -> None:
    target = torch.zeros(5, 2)
    predicted = torch.tensor([[0.0, 0.0099], [-0.0099, 0.0101], [0.5, -0.0101], [0.0, 0.0], [float("nan"), 1.0]])
    assert within(target, predicted) == 5 / 10
    assert within(predicted[:4], predicted[:4]) == 1


def test_the_error_is_the_mean_absolute_difference() -> None:
    assert mean_error(torch.zeros(2, 2), torch.tensor([[1.0, -2.0], [0.0, 5.0]])) == 2.0


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((-1, -1, 1, 1), (-1, 1, -1, 1), 1 / 3),
        ((-1, -1, 1, 1), (-2, -3, 4, 0), 1.0),
        ((-1, 1, 1, 1), (1, -1, 1, 1), 0.0),
        ((-1, 1, 1, 1), (0, 0, 0, 0), 0.0),
        ((1, 1, 0, 1), (1, 0, 1, 1), None),
    ],
)
def test_intersection_over_union_of_what_is_below_zero(
    one: tuple[float, ...], other: tuple[float, ...], expected: float | None
) -> None:
    assert iou(column(*one), column(*other)) == expected
    assert iou(column(*other), column(*one)) == expected


def test_inside_is_told_by_the_first_value() -> None:
    assert iou(torch.tensor([[-1.0, 1.0], [1.0, -1.0]]), torch.tensor([[-1.0, 1.0], [1.0, 1.0]])) == 1


def test_points_stand_at_the_centres_of_cells_the_last_axis_fastest() -> None:
    assert grid_points(1, 4)[:, 0].tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert grid_points(2, 2).tolist() == [[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]]
    assert grid_points(3, 3)[5].tolist() == pytest.approx([-2 / 3, 0, 2 / 3])


@pytest.mark.parametrize(("dimensions", "count"), [(1, 4096), (2, 192**2), (3, 32**3), (4, 8**4)])
def test_fields_of_any_dimensions_are_compared_at_about_as_many_points(dimensions: int, count: int) -> None:
    found = scoring_points(dimensions)
    assert found.shape == (count, dimensions)
    assert float(found.max()) < 1 and float(found.mean().abs()) < 1e-5


def test_data_of_points_draw_evenly_and_follow_the_generator() -> None:
    data = FieldData(FieldIO(2, 3), {"values": "colours"})
    points, labels = data.draw("train", 4000, torch.Generator().manual_seed(0))
    assert points.shape == (4000, 2) and labels is None
    assert points.abs().max() <= 1 and points.mean(dim=0).abs().max() < 0.05
    assert points.square().mean() == pytest.approx(1 / 3, abs=0.02)
    assert torch.equal(points, data.sample("val", 4000, torch.Generator().manual_seed(0))[0])
    again = field_data(data.record())
    assert (again.io, again.about, again.record()) == (data.io, data.about, data.record())


def test_values_do_not_depend_on_the_size_of_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = build("siren-8x1", FieldIO(3, 1))
    vector = torch.randn(architecture.parameter_count, generator=torch.Generator().manual_seed(0))
    points = grid_points(3, 8)
    whole = values_of(architecture, vector, points, Runner("cpu"))
    monkeypatch.setattr("netspace_cli.core.runtime.runner.CACHED_VALUES", 100 * UNITS)
    torch.testing.assert_close(values_of(architecture, vector, points, Runner("cpu")), whole)
    assert whole.shape == (512, 1) and not whole.requires_grad


def test_the_fidelity_of_a_shape_is_that_of_what_its_embedding_decodes_to(solids: Solids) -> None:
    network = read_network(solids.networks[0], candidates=solids.space.architectures)
    data, runner = field_data(solids.zoo.data), Runner("cpu")
    points = grid_points(3, 32)
    for seed in range(2):
        embedding = torch.randn(solids.space.model.embedding_size, generator=torch.Generator().manual_seed(seed))
        found = fidelity(network, embedding, solids.space, data, runner)
        with torch.no_grad():
            target = network.architecture.run(network.weights, points)[:, 0]
            predicted = network.architecture.run(decode_row(embedding, solids.space).weights, points)[:, 0]
        a, b = target < 0, predicted < 0
        assert found.iou == pytest.approx(float((a & b).sum() / (a | b).sum()), abs=1e-4)
        assert found.error == pytest.approx(float((target - predicted).abs().mean()), rel=1e-4)
        assert found.within == pytest.approx(float(((target - predicted).abs() < 0.01).float().mean()), abs=1e-3)
        assert found.predicted_arch == "siren-16x2"


def test_a_target_without_a_solid_overlaps_with_nothing(solids: Solids) -> None:
    network = read_network(solids.networks[0], candidates=solids.space.architectures)
    state = network.architecture.to_state(network.weights)
    state["layers.2.bias"] += 100
    empty = replace(network, weights=network.architecture.to_weights(state))
    data, runner = field_data(solids.zoo.data), Runner("cpu")
    (embedding,) = encode([network], solids.space, runner, data=data, refine_steps=0).vectors
    found = fidelity(empty, embedding, solids.space, data, runner)
    assert (found.iou, found.within, found.inside) == (0, 0, 0) and 90 < found.error < 110
