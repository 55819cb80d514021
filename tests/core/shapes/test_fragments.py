"""Fragments are removed, thin connections restored, and the rest stays; also of refined shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from netspace_models.second_order.gauss_newton import Solver
from torch import Tensor

from netspace_cli.core.data.points import COLOURS, DISTANCES, field_data
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.encoding.refine import refine
from netspace_cli.core.kinds import fields
from netspace_cli.core.networks.network import Network
from netspace_cli.core.paths.bent import bent
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes import fragments as fragments_module
from netspace_cli.core.shapes.components import fragments_of
from netspace_cli.core.shapes.fragments import VoxelTargets, even_and_near, remove_fragments, remove_only_fragments
from netspace_cli.core.shapes.voxels import Voxels, distances_at, refine_near_surface, scattered_points
from netspace_cli.core.spaces.solver import solver_of
from netspace_cli.core.spaces.space import Space
from tests.small_networks import seeded
from tests.worlds import Solids, with_values


def values(embedding: Tensor, voxels: Voxels, solver: Solver, runner: Runner) -> Tensor:
    with torch.no_grad():
        return distances_at(voxels.points, solver.architecture, solver.decode(embedding[None])[0], runner)


def fragment_voxels(found: Tensor, voxels: Voxels) -> int:
    """Number of voxels in fragments."""
    return int(fragments_of(voxels.inside(found)).sum())


@pytest.fixture
def fragmented(solids: Solids, linear: Space) -> Tensor:
    """An embedding whose network has fragments: that of a shape, moved a little."""
    network, solver = (
        solids.zoo.network(solids.zoo.select(split="test")[0], linear.architectures[0]),
        solver_of(linear, "siren-16x2"),
    )
    voxels = Voxels(scattered_points(3, seeded(3), sides=32))
    with Runner("cpu", seed=0) as runner:
        (start,) = encode([network], linear, runner, data=field_data(solids.zoo.data), refine_steps=0).vectors
        # How far it takes depends on the machine, whose rounding the space's training amplifies.
        moved = (
            start + size * torch.randn(len(start), generator=seeded(i)) for size in (0.05, 0.1, 0.2) for i in range(40)
        )
        return next(each for each in moved if fragment_voxels(values(each, voxels, solver, runner), voxels) > 100)


def test_points_lie_evenly_and_near_the_surface() -> None:
    distances = torch.linspace(-1, 1, 100_001)
    chosen = even_and_near(distances, seeded(0))
    evenly, near = distances[chosen].chunk(2)
    assert abs(float(evenly.mean())) < 0.05 and float(evenly.abs().max()) > 0.99
    assert float(near.abs().max()) < 0.05


def looks(whole: Voxels, network: Callable[[Voxels], Tensor]) -> tuple[VoxelTargets, list[VoxelTargets]]:
    """What a network has, without its fragments, in all voxels and in smaller and smaller ones near its surface."""
    found = network(whole)
    wanted, *fine = (
        VoxelTargets(
            voxels,
            torch.where(torch.from_numpy(voxels.at(fragments_of(voxels.inside(values)))), 0.02, values),
        )
        for voxels in (whole, refine_near_surface(whole, found), refine_near_surface(whole, found, 3))
        for values in (network(voxels),)
    )
    return wanted, fine


@pytest.mark.slow
def test_fragments_go_and_the_rest_stays(linear: Space, fragmented: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    voxels = Voxels(scattered_points(3, seeded(3), sides=32))
    solver = solver_of(linear, linear.architectures[0].name)
    with Runner("cpu", seed=0) as runner:
        wanted, fine = looks(voxels, lambda c: values(fragmented, c, solver, runner))
        found = remove_only_fragments(fragmented, wanted, fine, solver, runner)
        assert torch.equal(found, fragmented), "it would cost too much"
        monkeypatch.setattr(fragments_module, "COST", torch.inf)
        found = remove_only_fragments(fragmented, wanted, fine, solver, runner)
        assert torch.equal(found, remove_only_fragments(fragmented, wanted, fine, solver, runner))
        for each in (voxels, *(f.voxels for f in fine)):
            before, after = (values(e, each, solver, runner) for e in (fragmented, found))
            assert fragment_voxels(before, each) > 2 * fragment_voxels(after, each)
        before, after = (values(e, voxels, solver, runner) for e in (fragmented, found))
        assert float((after - before).abs().mean()) < 0.2 * float(before.abs().mean())
        found = remove_fragments(fragmented, wanted, fine, solver, runner)
        assert fragment_voxels(before, voxels) > 2 * fragment_voxels(values(found, voxels, solver, runner), voxels)


@pytest.mark.usefixtures("few_voxels")
def test_what_is_as_wanted_is_left_alone(linear: Space, fragmented: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fragments_module, "HOLD", 0)
    voxels = Voxels(scattered_points(3, seeded(3), sides=40))
    solver = solver_of(linear, linear.architectures[0].name)
    with Runner("cpu", seed=0) as runner:
        wanted = VoxelTargets(voxels, values(fragmented, voxels, solver, runner))
        small = refine_near_surface(voxels, wanted.values)
        fine = VoxelTargets(small, values(fragmented, small, solver, runner))
        assert fragment_voxels(wanted.values, voxels), "fragments that are wanted stay"
        for remove in (remove_fragments, remove_only_fragments):
            assert torch.equal(remove(fragmented, wanted, [fine], solver, runner), fragmented)


def test_voxels_are_wrong_that_fragments_came_off_from() -> None:
    voxels = Voxels(scattered_points(3, seeded(0), sides=20))
    places = torch.arange(8000).reshape(20, 20, 20)
    solid, found = torch.ones(20, 20, 20), torch.ones(20, 20, 20)
    solid[2:12, 2:12, 2:18] = -1
    found[2:12, 2:12, 2:12] = -1
    found[6, 6, 14:18] = -1  # a leg that has come off: 12 and 13 are missing
    found[17, 17, 2] = -1  # a fragment where nothing is
    wanted = VoxelTargets(voxels, solid.flatten())

    def wrong(margin: float = 0.1) -> set[int]:
        return set(fragments_module._wrong_voxels(found.flatten(), wanted, margin).tolist())

    assert {int(places[6, 6, 12]), int(places[6, 6, 13]), int(places[17, 17, 2])} <= wrong()
    assert int(places[2, 2, 17]) not in wrong(), "far from every fragment"
    assert int(places[6, 6, 16]) + 20 not in wrong(), "beside the leg, and far from what it came off from"
    assert not wrong() & set(places[6, 6, 14:18].tolist())
    found[6, 6, 12:14], found[17, 17, 2] = -0.05, 1
    assert not wrong(margin=0.01)
    assert {int(places[6, 6, 12]), int(places[6, 6, 13])} <= wrong(), "it hangs on too little"


def test_all_that_is_missing_around_a_fragment_is_wrong_where_nothing_near_could_hold_it() -> None:
    voxels = Voxels(scattered_points(3, seeded(0), sides=20))
    solid, found = torch.ones(20, 20, 20), torch.ones(20, 20, 20)
    solid[2:8, 2:8, 2:18] = found[2:8, 2:8, 2:8] = found[5, 5, 16] = -1
    wrong = fragments_module._wrong_voxels(found.flatten(), VoxelTargets(voxels, solid.flatten()), 0.1)
    places = torch.arange(8000).reshape(20, 20, 20)
    assert int(places[5, 5, 15]) in wrong and int(places[5, 5, 10]) not in wrong


@pytest.mark.slow
@pytest.mark.usefixtures("few_voxels")
def test_fragments_of_refined_shapes_are_removed_and_pictures_are_left(
    solids: Solids, linear: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    (architecture,) = solids.zoo.architectures()
    vectors = torch.stack(solids.zoo.weights(solids.zoo.select(split="test"), architecture))
    start = torch.zeros(len(vectors), linear.model.embedding_size)
    asked: list[list[VoxelTargets]] = []

    def spy(embedding: Tensor, wanted: VoxelTargets, fine: Sequence[VoxelTargets], *_: object) -> Tensor:
        asked.append([wanted, *fine])
        return embedding + 1

    recipe = linear.recipe.model_dump()
    recipe["refine"] |= {"method": "gauss-newton", "images": 256}
    space = Space(linear.model, {**linear.record, "recipe": recipe}, linear.embeddings)
    found = []
    for values_are in (DISTANCES, DISTANCES, COLOURS):
        with Runner("cpu", seed=0) as runner:
            own, data = with_values(space, values_are), field_data(solids.zoo.data)
            found.append(refine(start, vectors, architecture.name, own, data, runner, steps=2))
        monkeypatch.setattr(fields, "remove_only_fragments", spy)
    assert len(asked) == len(vectors)
    for vector, both in zip(vectors, asked, strict=True):
        for wanted in both:
            torch.testing.assert_close(wanted.values, architecture.run(vector, wanted.voxels.points)[:, 0])
        assert both[1].voxels.sides == (64, 64, 64)
    assert not torch.equal(found[0], found[1])


@pytest.mark.usefixtures("few_voxels")
def test_shapes_far_from_or_near_a_surface_everywhere_are_refined_and_walked_between(
    solids: Solids, linear: Space
) -> None:
    data, (architecture,) = field_data(solids.zoo.data), linear.architectures
    state = architecture.module.state_dict()
    last = state["layers.2.weight"]
    empty = {**state, "layers.2.weight": 0 * last, "layers.2.bias": torch.ones(1)}
    flat = {**state, "layers.2.weight": last / 1e3, "layers.2.bias": torch.zeros(1)}
    networks = [Network(architecture, architecture.to_weights(each)) for each in (empty, flat)]
    recipe = {**linear.record["recipe"], "refine": {**linear.record["recipe"]["refine"], "method": "gauss-newton"}}
    space = Space(linear.model, {**linear.record, "recipe": recipe}, linear.embeddings)
    with Runner("cpu", seed=0) as runner:
        start, end = encode(networks, space, runner, data=data, refine_steps=1).vectors
        path = bent(start, end, space, runner, steps=2)
    assert path.shape == (3, space.model.embedding_size) and torch.isfinite(path).all()
