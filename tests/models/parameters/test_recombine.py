"""Networks put together from aligned ones: each unit is one parent's, and whole."""

from __future__ import annotations

import pytest
import torch
from netspace_models.architectures import Architecture, FieldIO, ImageIO, build
from netspace_models.errors import ConfigError
from netspace_models.parameters.recombine import recombine, recombine_weights, units_of_rows
from netspace_models.parameters.symmetry import HiddenGroup, Member
from torch import Tensor

from tests.small_networks import seeded

IMAGES, POINTS = ImageIO(1, 16, 3), FieldIO(2, 1)
ALL = ("lenetlike", "vanillacnn", "resnet8", "resnet20-a", "siren-6x2")


def named(name: str) -> Architecture:
    return build(name, POINTS if name.startswith("siren") else IMAGES)


def constant_parents(architecture: Architecture, count: int) -> list[dict[str, Tensor]]:
    """Parent i has the value i everywhere, so that a child's values tell where they come from."""
    return [architecture.spec.unflatten(torch.full((architecture.parameter_count,), float(i))) for i in range(count)]


def parent_of_rows(tensor: Tensor) -> Tensor:
    """(rows,) parents of a child of constant parents; every row is of one parent."""
    rows = tensor.reshape(len(tensor), -1)
    assert torch.equal(rows, rows[:, :1].expand_as(rows))
    return rows[:, 0]


@pytest.mark.parametrize("name", ALL)
def test_equal_parents_make_the_same_network(name: str) -> None:
    architecture = named(name)
    weights = torch.randn(architecture.parameter_count, generator=seeded())
    state = architecture.spec.unflatten(weights)
    child = recombine([state] * 3, architecture.hidden_groups, seeded(1))
    assert list(child) == list(state)
    assert torch.equal(architecture.spec.flatten(child), weights)


@pytest.mark.parametrize("name", ALL)
def test_a_unit_is_of_one_parent_wherever_it_is_made(name: str) -> None:
    architecture = named(name)
    child = recombine(constant_parents(architecture, 4), architecture.hidden_groups, seeded(2))
    for group in architecture.hidden_groups:
        made = [
            parent_of_rows(child[m.name])[list(m.places) if m.places else slice(None)]
            for m in group.members
            if m.axis == 0
        ]
        assert len(made) >= 2
        assert all(torch.equal(one, made[0]) for one in made)
    for layer in architecture.spec.layers:
        weight, bias = child[f"{layer.name}.weight"], child[f"{layer.name}.bias"]
        assert torch.equal(parent_of_rows(weight), bias)


def test_a_class_is_of_one_parent_and_classes_of_several() -> None:
    architecture = build("lenetlike", ImageIO(1, 16, 40))
    child = recombine(constant_parents(architecture, 3), architecture.hidden_groups, seeded(3))
    assert child["fc3.bias"].unique().tolist() == [0, 1, 2]


def test_parents_are_drawn_uniformly_and_independently_for_each_unit() -> None:
    group = HiddenGroup(3000, (Member("a.weight", 0), Member("a.bias", 0), Member("b.weight", 1)))
    shapes = {"a.weight": (3000, 2), "a.bias": (3000,), "b.weight": (2, 3000), "b.bias": (2,)}
    parents = [{n: torch.full(s, float(i)) for n, s in shapes.items()} for i in range(3)]
    drawn = recombine(parents, [group], seeded(4))["a.bias"]
    counts = torch.bincount(drawn.long(), minlength=3)
    assert (counts - 1000).abs().max() < 120
    assert ((drawn[1:] == drawn[:-1]).float().mean() - 1 / 3).abs() < 0.04


def test_units_at_places_and_of_several_rows_are_found() -> None:
    groups = (HiddenGroup(2, (Member("a.w", 0, block=2, places=(2, 0)),)), HiddenGroup(1, (Member("a.w", 1),)))
    units, count = units_of_rows({"a.w": (6, 1), "a.other": (6,), "scale": ()}, groups)
    assert units["a.w"].tolist() == [1, 1, 5, 6, 0, 0]
    assert units["a.other"].tolist() == [3, 4, 5, 6, 7, 8]
    assert units["scale"].tolist() == [9]
    assert count == 10


def test_recombining_follows_the_generator_and_leaves_the_parents() -> None:
    architecture = named("lenetlike")
    parents = constant_parents(architecture, 2)
    one, same, other = (recombine(parents, architecture.hidden_groups, seeded(s)) for s in (5, 5, 6))
    assert all(torch.equal(one[n], same[n]) for n in one)
    assert not all(torch.equal(one[n], other[n]) for n in one)
    one["conv1.weight"] += 9
    assert parents[0]["conv1.weight"].unique().tolist() == [0]


@pytest.mark.parametrize("name", ALL)
def test_many_at_once_are_what_one_at_a_time_would_be(name: str) -> None:
    architecture = named(name)
    weights = torch.randn(5, architecture.parameter_count, generator=seeded())
    children = recombine_weights(architecture, weights, 2, 3, seeded(7))
    assert children.shape == (3, architecture.parameter_count)
    assert torch.equal(children[:2], recombine_weights(architecture, weights, 2, 2, seeded(7)))
    random = seeded(7)
    for child in children:
        parents = weights[torch.randperm(5, generator=random)[:2]]
        state = recombine([architecture.spec.unflatten(p) for p in parents], architecture.hidden_groups, random)
        assert torch.equal(child, architecture.spec.flatten(state))


def test_each_of_many_has_distinct_parents_of_its_own() -> None:
    architecture = named("lenetlike")
    weights = torch.arange(6.0)[:, None].expand(-1, architecture.parameter_count)
    children = recombine_weights(architecture, weights, 3, 8, seeded(8))
    found = {tuple(child.unique().tolist()) for child in children}
    assert {len(parents) for parents in found} == {3}
    assert len(found) > 3
    assert recombine_weights(architecture, weights, 3, 0, seeded()).shape == (0, architecture.parameter_count)


@pytest.mark.parametrize("parents", [0, 6])
def test_parents_that_cannot_be_drawn_are_refused(parents: int) -> None:
    architecture = named("lenetlike")
    message = f"{parents} parents of a lenetlike cannot be drawn from 5 instances"
    with pytest.raises(ConfigError, match=message):
        recombine_weights(architecture, torch.zeros(5, architecture.parameter_count), parents, 1, seeded())


def test_parents_of_two_architectures_are_refused() -> None:
    one, other = ({"a.weight": torch.zeros(n, 2)} for n in (3, 4))
    with pytest.raises(ConfigError, match=r"parent 2 is of another architecture .* a.weight has shape \(4, 2\), not"):
        recombine([one, other], (), seeded())
    with pytest.raises(ConfigError, match="no parents to recombine"):
        recombine([], (), seeded())
