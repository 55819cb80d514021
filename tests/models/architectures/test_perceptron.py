"""Perceptrons: sizes by name, many at once, and recognition."""

from __future__ import annotations

import pytest
import torch
from netspace_models.architectures import FieldIO, ImageIO, NetworkIO, TableIO, build
from netspace_models.architectures.registry import factory, guesses
from netspace_models.errors import UnknownArchitecture

from tests.small_networks import seeded

IO = TableIO(5, 2)


@pytest.mark.parametrize(
    ("name", "count"), [("perceptron", 5 * 64 + 64 + 64 * 64 + 64 + 64 * 2 + 2), ("perceptron-8x1", 66)]
)
def test_the_name_gives_the_size(name: str, count: int) -> None:
    assert build(name, IO).parameter_count == count


@pytest.mark.parametrize("name", ["perceptron-8x1", "perceptron-8x3"])
def test_many_at_once_are_each_alone_and_reordered_units_change_nothing(name: str) -> None:
    architecture = build(name, IO)
    weights = torch.randn(3, architecture.parameter_count, generator=seeded()) * 0.3
    rows = IO.example(6, seeded(1))
    alone = torch.stack([architecture.run(w, rows) for w in weights])
    torch.testing.assert_close(architecture.run_each(weights, rows), alone)
    shuffled = architecture.shuffle(weights[0], seeded(2))
    assert not torch.equal(shuffled, weights[0])
    torch.testing.assert_close(architecture.run(shuffled, rows), alone[0])


@pytest.mark.parametrize("name", ["perceptron", "perceptron-7x1", "perceptron-7x3"])
def test_it_is_recognised_by_names_and_shapes(name: str) -> None:
    shapes = {n: tuple(t.shape) for n, t in factory(name)(IO).state_dict().items()}
    (guess,) = guesses(shapes)
    assert guess.names == (name,) and guess.io == IO
    assert not [g for g in guesses({**shapes, "conv.weight": (3, 3, 3, 3)}) if g.io == IO]


@pytest.mark.parametrize("io", [ImageIO(1, 8, 3), FieldIO(3, 1)])
def test_it_is_for_tables_and_others_are_not(io: NetworkIO) -> None:
    with pytest.raises(UnknownArchitecture, match="perceptron is for rows of a table, not for") as refused:
        build("perceptron", io)
    assert refused.value.hint
    for name in ("lenetlike", "siren"):
        with pytest.raises(UnknownArchitecture, match="not for rows of 5 features, 2 targets") as refused:
            build(name, IO)
        assert refused.value.hint == "For rows of a table: perceptron."


def test_sizes_that_would_fill_the_memory_are_refused() -> None:
    with pytest.raises(UnknownArchitecture, match="perceptron-9999x9 would have more than 799,840,008 parameters"):
        factory("perceptron-9999x9")
