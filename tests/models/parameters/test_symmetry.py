"""Reordering hidden units leaves a network's outputs; reordering half of a group does not."""

from __future__ import annotations

import pytest
import torch
from netspace_models.architectures import Architecture, ImageIO, build
from netspace_models.parameters.symmetry import HiddenGroup, Member, chain, draw_orders, reorder, reorder_each, units_of
from torch import Tensor, nn

from tests.small_networks import seeded

FOUR = ("lenetlike", "vanillacnn", "resnet8", "resnet32")
# Two by two positions are left to flatten in the first two and by the pooling in none.
IO = ImageIO(1, 16, 3)


def parameters(architecture: Architecture) -> Tensor:
    """Values for which every parameter shows in the outputs."""
    generator = seeded(0)
    values = []
    for p in architecture.spec.parameters:
        fan_in = p.size // p.shape[0] if len(p.shape) > 1 else 1
        values.append(torch.randn(p.size, generator=generator) / fan_in**0.5)
    return torch.cat(values)


def outputs(architecture: Architecture, state: dict[str, Tensor]) -> Tensor:
    x = torch.randn(2, 1, 16, 16, generator=seeded(1))
    with torch.no_grad():
        found = architecture.run(architecture.spec.flatten(state), x)
    return found


@pytest.mark.parametrize("name", FOUR)
def test_reordering_hidden_units_leaves_the_outputs(name: str) -> None:
    architecture = build(name, IO)
    vector = parameters(architecture)
    expected = outputs(architecture, architecture.spec.unflatten(vector))
    shuffled = architecture.shuffle(vector, seeded(2))
    found = outputs(architecture, architecture.spec.unflatten(shuffled))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
    assert (shuffled != vector).float().mean() > 0.8
    assert torch.equal(shuffled.sort().values, vector.sort().values)


@pytest.mark.parametrize("name", FOUR)
def test_reordering_one_member_of_a_group_alone_changes_the_outputs(name: str) -> None:
    architecture = build(name, IO)
    state = architecture.spec.unflatten(parameters(architecture))
    expected = outputs(architecture, state)
    for group in architecture.hidden_groups:
        order = torch.arange(group.size).roll(1)
        for member in group.members:
            found = outputs(architecture, reorder(state, [HiddenGroup(group.size, (member,))], [order]))
            assert (found - expected).abs().max() > 1e-4 * expected.abs().max(), member
        whole = outputs(architecture, reorder(state, [group], [order]))
        torch.testing.assert_close(whole, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("lenetlike", [6, 16, 120, 84]),
        ("vanillacnn", [8, 8, 32, 64, 64]),
        ("resnet8", [16, 16, 32, 32, 64, 64]),
        ("resnet32", sorted([16, 32, 64] * 6)),
    ],
)
def test_every_hidden_unit_is_in_a_group(name: str, sizes: list[int]) -> None:
    architecture = build(name, IO)
    assert sorted(g.size for g in architecture.hidden_groups) == sorted(sizes)
    # Every output axis but the classifier's follows an order, and every input axis but the images'.
    moved = {(m.name, m.axis) for g in architecture.hidden_groups for m in g.members}
    axes = {(p.name, axis) for p in architecture.spec.parameters for axis in range(min(2, len(p.shape)))}
    first, last = architecture.spec.parameters[0].name, [p.name for p in architecture.spec.parameters[-2:]]
    assert axes - moved == {(first, 1), *((n, 0) for n in last)}


def test_unit_i_of_the_result_is_unit_order_i() -> None:
    group = HiddenGroup(3, (Member("w", 0), Member("v", 1, block=2)))
    state = {
        "w": torch.tensor([[1.0], [2.0], [3.0]]),
        "v": torch.tensor([[10.0, 11, 20, 21, 30, 31]]),
        "u": torch.ones(1),
    }
    found = reorder(state, [group], [torch.tensor([2, 0, 1])])
    assert found["w"].flatten().tolist() == [3, 1, 2]
    assert found["v"].flatten().tolist() == [30, 31, 10, 11, 20, 21]
    assert found["u"] is state["u"]
    assert state["w"].flatten().tolist() == [1, 2, 3]


def test_units_that_are_part_of_an_axis_move_among_their_own_places() -> None:
    group = HiddenGroup(3, (Member("w", 0, places=(4, 0, 2)), Member("v", 1, block=2, places=(1, 2, 3))))
    state = {"w": torch.arange(5.0), "v": torch.tensor([[0.0, 1, 10, 11, 20, 21, 30, 31]])}
    found = reorder(state, [group], [torch.tensor([2, 0, 1])])
    assert found["w"].tolist() == [4, 1, 0, 3, 2]
    assert found["v"].flatten().tolist() == [0, 1, 30, 31, 10, 11, 20, 21]


@pytest.mark.parametrize(
    "member",
    [Member("w", 0), Member("w", 1, block=2), Member("w", 0, places=(3, 1)), Member("w", 1, block=2, places=(2, 0))],
)
def test_units_follow_the_order(member: Member) -> None:
    tensor = torch.arange(4 * 6 * 2.0).view(4, 6, 2)
    units = units_of(tensor, member)
    size = len(member.places) if member.places else tensor.shape[member.axis] // member.block
    assert units.shape == (size, member.block * tensor.numel() // tensor.shape[member.axis])
    order = torch.arange(size).roll(1)
    moved = reorder({"w": tensor}, [HiddenGroup(size, (member,))], [order])["w"]
    assert torch.equal(units_of(moved, member), units[order])
    assert moved.sum() == tensor.sum()


def test_a_unit_is_all_that_belongs_to_it() -> None:
    tensor = torch.tensor([[0.0, 1, 10, 11, 20, 21], [2, 3, 12, 13, 22, 23]])
    assert units_of(tensor, Member("v", 1, block=2, places=(2, 1))).tolist() == [[20, 22, 21, 23], [10, 12, 11, 13]]


def test_a_chain_has_a_group_between_each_layer_and_the_next() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 3, 3), nn.Linear(12, 4))
    assert chain(module, ["0", "1", "2"]) == (
        HiddenGroup(2, (Member("0.weight", 0), Member("0.bias", 0), Member("1.weight", 1, block=1))),
        HiddenGroup(3, (Member("1.weight", 0), Member("1.bias", 0), Member("2.weight", 1, block=4))),
    )


def test_orders_follow_the_generator_alone() -> None:
    groups = build("lenetlike", IO).hidden_groups
    one, same, other = (draw_orders(groups, seeded(s)) for s in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert all(torch.equal(o.sort().values, torch.arange(g.size)) for o, g in zip(one, groups, strict=True))


def test_an_order_too_few_is_refused() -> None:
    groups = build("lenetlike", IO).hidden_groups
    with pytest.raises(ValueError, match="shorter"):
        reorder({}, groups, [])


@pytest.mark.parametrize("name", FOUR)
def test_networks_are_shuffled_together_as_one_after_the_other(name: str) -> None:
    architecture = build(name, IO)
    vectors = torch.stack([parameters(architecture) * factor for factor in (1, 2, 3)])
    generator, wanted = seeded(4), []
    for vector in vectors:
        orders = draw_orders(architecture.hidden_groups, generator)
        state = reorder(architecture.spec.unflatten(vector), architecture.hidden_groups, orders)
        wanted.append(architecture.spec.flatten(state))
    assert torch.equal(architecture.shuffle_each(vectors, seeded(4)), torch.stack(wanted))


def test_places_and_blocks_move_in_each_network_by_its_own_order() -> None:
    member, beside = Member("w", 1, block=2, places=(0, 2, 3)), Member("w", 0)
    groups = [HiddenGroup(3, (member,)), HiddenGroup(4, (beside,))]
    state = {"w": torch.arange(64.0).view(2, 4, 8), "other": torch.ones(2, 3)}
    orders = [torch.tensor([[2, 0, 1], [1, 0, 2]]), torch.tensor([[3, 2, 1, 0], [1, 2, 3, 0]])]
    found = reorder_each(state, groups, orders)
    for i in range(2):
        alone = reorder({"w": state["w"][i]}, groups, [order[i] for order in orders])
        assert torch.equal(found["w"][i], alone["w"])
    assert found["other"] is state["other"]
