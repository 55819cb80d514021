"""IO of networks: its description, the inputs it draws, how it is recorded; and imitation of points' values."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch
from netspace_models.architectures import FieldIO, ImageIO, NetworkIO, build, io_from
from netspace_models.training.objectives import imitation
from torch import Tensor

from tests.small_networks import seeded

IMAGES, SHAPE, COLOURS = ImageIO(3, 8, 10), FieldIO(3, 1), FieldIO(2, 3)


@pytest.mark.parametrize(
    ("io", "words"),
    [
        (IMAGES, "3x8x8, 10 classes"),
        (SHAPE, "points of 3 coordinates, 1 value"),
        (COLOURS, "points of 2 coordinates, 3 values"),
    ],
)
def test_io_describes_itself(io: NetworkIO, words: str) -> None:
    assert io.describe() == words


@pytest.mark.parametrize(("io", "shape", "outputs"), [(IMAGES, (3, 8, 8), 10), (SHAPE, (3,), 1), (COLOURS, (2,), 3)])
def test_io_knows_the_shape_of_inputs_and_outputs(io: NetworkIO, shape: tuple[int, ...], outputs: int) -> None:
    assert (io.input_shape, io.outputs) == (shape, outputs)
    assert io.example(5, seeded(0)).shape == (5, *shape)


@pytest.mark.parametrize(("io", "low"), [(IMAGES, 0), (SHAPE, -1)])
def test_examples_fill_their_range_and_follow_the_generator(io: NetworkIO, low: float) -> None:
    found = io.example(2000, seeded(0))
    assert low <= found.min() < low + 0.01 and 0.99 < found.max() <= 1
    assert torch.equal(found, io.example(2000, seeded(0)))
    assert not torch.equal(found, io.example(2000, seeded(1)))


@pytest.mark.parametrize("io", [IMAGES, SHAPE, COLOURS])
def test_a_record_gives_the_io_again(io: NetworkIO) -> None:
    assert io_from(asdict(io)) == io


@pytest.mark.parametrize("record", [{}, {"channels": 3}, {"dimensions": 3}, {"dimensions": 3, "values": 1, "size": 8}])
def test_records_of_neither_kind_are_refused(record: dict[str, int]) -> None:
    with pytest.raises(TypeError, match="argument"):
        io_from(record)


def networks(count: int, seed: int) -> Tensor:
    architecture = build("siren-8x1", COLOURS)
    return 0.1 * torch.randn(count, architecture.parameter_count, generator=seeded(seed))


def test_imitation_of_values_is_the_mean_squared_difference_of_each_instance() -> None:
    architecture = build("siren-8x1", COLOURS)
    predicted, targets, points = networks(2, 0), networks(2, 1), COLOURS.example(7, seeded(2))
    found = imitation(architecture, predicted, targets, points, temperature=4.0)
    for loss, one, other in zip(found, predicted, targets, strict=True):
        differences = architecture.run(one, points) - architecture.run(other, points)
        assert float(loss) == pytest.approx(sum(d * d for d in differences.flatten().tolist()) / 21, rel=1e-4)
    assert torch.equal(found, imitation(architecture, predicted, targets, points, temperature=1.0))
    assert not imitation(architecture, targets, targets, points, temperature=4.0).any()


def test_imitation_takes_points_of_each_instance_s_own() -> None:
    architecture = build("siren-8x1", COLOURS)
    predicted, targets = networks(2, 0), networks(2, 1)
    points = COLOURS.example(14, seeded(2)).reshape(2, 7, 2)
    found = imitation(architecture, predicted, targets, points, temperature=4.0)
    alone = [
        imitation(architecture, predicted[i : i + 1], targets[i : i + 1], points[i], temperature=4.0)[0]
        for i in range(2)
    ]
    torch.testing.assert_close(found, torch.stack(alone))


def test_imitation_has_gradients_in_the_predicted_alone() -> None:
    predicted, targets = networks(2, 0).requires_grad_(), networks(2, 1).requires_grad_()
    points = COLOURS.example(7, seeded(2))
    imitation(build("siren-8x1", COLOURS), predicted, targets, points, temperature=4.0)[0].backward()
    assert predicted.grad is not None and predicted.grad[0].any() and not predicted.grad[1].any()
    assert targets.grad is None
