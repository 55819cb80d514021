"""Mending: crumbs go, broken holds come back, and the rest stays; refined shapes are mended."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from netspace_models.gauss_newton import Solver
from torch import Tensor

from netspace_cli.core.encode import encode
from netspace_cli.core.fields import gauss_newton
from netspace_cli.core.fields import mend as mend_module
from netspace_cli.core.fields.bend import bent
from netspace_cli.core.fields.cells import Cells, distances_at, scattered
from netspace_cli.core.fields.data import COLOURS, DISTANCES, field_data
from netspace_cli.core.fields.mend import even_and_near, mended
from netspace_cli.core.fields.pieces import crumbs_of
from netspace_cli.core.fields.solver import solver_of
from netspace_cli.core.refine import refine
from netspace_cli.core.runner import Runner
from netspace_cli.core.space import Space


def values(embedding: Tensor, cells: Cells, solver: Solver, runner: Runner) -> Tensor:
    with torch.no_grad():
        return distances_at(cells.points, solver.architecture, solver.decode(embedding[None])[0], runner)


def crumbs(found: Tensor, cells: Cells) -> Tensor:
    return torch.from_numpy(crumbs_of(found.reshape(cells.sides).numpy() < 0)).flatten()


@pytest.fixture
def crumbled(solids: Any, linear: Space, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """An embedding whose network has crumbs: halfway along a bent path that is not mended."""
    networks = [solids.zoo.network(i, linear.architectures[0]) for i in solids.zoo.select(split="test")]
    with monkeypatch.context() as patch, Runner("cpu", seed=0) as runner:
        patch.setattr(mend_module, "MENDS", 0)
        start, end = encode(networks, linear, runner, data=field_data(solids.zoo.data)).vectors
        return bent(start, end, linear, field_data(solids.zoo.data), runner, steps=4)[2]


def test_points_lie_evenly_and_near_the_surface() -> None:
    distances = torch.linspace(-1, 1, 100_001)
    chosen = even_and_near(distances, torch.Generator().manual_seed(0))
    evenly, near = distances[chosen].chunk(2)
    assert abs(float(evenly.mean())) < 0.05 and float(evenly.abs().max()) > 0.99
    assert float(near.abs().max()) < 0.05


def test_crumbs_go_and_the_rest_stays(linear: Space, crumbled: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = Cells(scattered(3, torch.Generator().manual_seed(3), sides=40))
    solver = solver_of(linear, linear.architectures[0].name)
    with Runner("cpu", seed=0) as runner:
        before = values(crumbled, cells, solver, runner)
        wanted = torch.where(crumbs(before, cells), 0.02, before)
        assert torch.equal(mended(crumbled, wanted, cells, solver, runner, keep=True), crumbled), (
            "it would cost too much"
        )
        monkeypatch.setattr(mend_module, "COST", torch.inf)
        found = mended(crumbled, wanted, cells, solver, runner, keep=True)
        after = values(found, cells, solver, runner)
        assert torch.equal(found, mended(crumbled, wanted, cells, solver, runner, keep=True))
    assert int(crumbs(before, cells).sum()) > 2 * int(crumbs(after, cells).sum())
    assert float((after - before).abs().mean()) < 0.2 * float(before.abs().mean())


def test_what_is_as_wanted_is_left_alone(linear: Space, crumbled: Tensor) -> None:
    cells = Cells(scattered(3, torch.Generator().manual_seed(3), sides=40))
    solver = solver_of(linear, linear.architectures[0].name)
    with Runner("cpu", seed=0) as runner:
        wanted = values(crumbled, cells, solver, runner)
        assert crumbs(wanted, cells).any(), "crumbs that are wanted are none"
        for keep in (True, False):
            assert torch.equal(mended(crumbled, wanted, cells, solver, runner, keep=keep), crumbled)


def test_cells_are_asked_for_that_crumbs_came_off_from() -> None:
    cells = Cells(scattered(3, torch.Generator().manual_seed(0), sides=20))
    places = torch.arange(8000).reshape(20, 20, 20)
    wanted, found = torch.ones(20, 20, 20), torch.ones(20, 20, 20)
    wanted[2:12, 2:12, 2:18] = -1
    found[2:12, 2:12, 2:12] = -1
    found[6, 6, 14:18] = -1  # a leg that has come off: 12 and 13 are missing
    found[17, 17, 2] = -1  # a crumb where nothing is
    wrong = mend_module._crumbled(found.flatten(), wanted.flatten(), cells)
    assert {int(places[6, 6, 12]), int(places[6, 6, 13]), int(places[17, 17, 2])} <= set(wrong.tolist())
    assert int(places[2, 2, 17]) not in wrong, "far from every crumb"
    assert not set(wrong.tolist()) & set(places[6, 6, 14:18].tolist())
    found[6, 6, 12:14], found[17, 17, 2] = -1, 1
    assert not len(mend_module._crumbled(found.flatten(), wanted.flatten(), cells))


def test_refined_shapes_are_mended_to_their_own_and_pictures_are_not(
    solids: Any, linear: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    (architecture,) = solids.zoo.architectures()
    vectors = torch.stack(solids.zoo.vectors(solids.zoo.select(split="test"), architecture))
    start, asked = torch.zeros(len(vectors), linear.model.embedding_size), []

    def spy(embedding: Tensor, wanted: Tensor, cells: Cells, *_: Any, keep: bool) -> Tensor:
        asked.append((wanted, cells.points, keep))
        return embedding + 1

    recipe = linear.recipe.model_dump()
    recipe["refine"] |= {"method": "gauss-newton", "images": 256}
    space = Space(linear.model, {**linear.record, "recipe": recipe}, linear.embeddings)
    found = []
    for values_are in (DISTANCES, DISTANCES, COLOURS):
        with Runner("cpu", seed=0) as runner:
            data = field_data({**solids.zoo.data, "values": values_are})
            found.append(refine(start, vectors, architecture.name, space, data, runner, steps=2))
        monkeypatch.setattr(gauss_newton, "mended", spy)
    assert len(asked) == len(vectors) and all(keep for *_, keep in asked)
    for vector, (wanted, points, _) in zip(vectors, asked, strict=True):
        torch.testing.assert_close(wanted, architecture.run(vector, points)[:, 0])
    assert not torch.equal(found[0], found[1])
