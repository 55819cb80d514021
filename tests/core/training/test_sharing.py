"""Several processes share each step, and learn what one learns."""

from __future__ import annotations

import json
import sys
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.errors import ConfigError
from netspace_models.training.objectives import Batch
from torch import Tensor, nn

from netspace_cli.core.networks.network import read_network
from netspace_cli.core.runtime.launch import launch
from netspace_cli.core.runtime.places import Place
from netspace_cli.core.runtime.processes import Processes
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.spaces.space import load_space
from netspace_cli.core.training.loop import prepare
from netspace_cli.core.training.sharing import Share, Summed, add_up
from tests.core.training.shared_runs import STEPS, Made, train_all
from tests.worlds import Solids, Tiny, space_file

KINDS = ("single", "contrast", "several", "views", "fields", "starts")


@pytest.fixture(scope="module")
def made(tiny: Tiny, solids: Solids) -> Made:
    zoos = (str(tiny.single_zoo.path), str(tiny.zoo.path))
    return Made(str(tiny.npz), *zoos, str(tiny.teacher), str(space_file(tiny.space)), str(solids.zoo.path))


@pytest.fixture(scope="module")
def by_one(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trainings of one process."""
    folder = tmp_path_factory.mktemp("one")
    train_all(made, folder, Processes())
    return folder


@pytest.fixture(scope="module")
def by_two(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same trainings of two processes."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "tests.core.training.shared_runs", str(folder), *astuple(made)]
    assert launch(command, 2) == 0
    return folder


def metrics_of(folder: Path, kind: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / f"{kind}.run" / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_have_the_losses_of_one(by_one: Path, by_two: Path, kind: str) -> None:
    alone, together = metrics_of(by_one, kind), metrics_of(by_two, kind)
    assert len(alone) == STEPS and [set(line) for line in together] == [set(line) for line in alone]
    # Two networks that begin at one starting point move its norms' statistics one after the other, or at once.
    least = 1e-5 if kind == "starts" else None
    for line, wanted in zip(together, alone, strict=True):
        assert line == pytest.approx(wanted, rel=1e-3, abs=least)
    one, two = (load_space(folder / f"{kind}.safetensors") for folder in (by_one, by_two))
    assert two.record["processes"] == 2 and "processes" not in one.record
    assert torch.allclose(one.embeddings, two.embeddings, rtol=1e-2, atol=1e-4)


class Recorded(Processes):
    """Two processes, one after the other: the first notes what it gives, the second gets the sum."""

    def __init__(self, number: int, given: list[Tensor]) -> None:
        super().__init__(Place(number, 2, number, 2))
        self.given = given

    def add_up(self, values: Tensor) -> Tensor:
        if self.number == 0:
            self.given.append(values.clone())
            return values
        return values.add_(self.given.pop(0))


def batch_of(total: int, **more: Any) -> Batch:
    return Batch(torch.randn(total, 3), torch.arange(total), **more)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_every_network_is_one_processs_and_weights_add_up(count: int) -> None:
    networks = torch.arange(7.0)[:, None]
    starts = {"a": list(range(7))}
    parts = [
        Share(Processes(Place(i, count)), "networks").part(
            [{"a": networks}], {"a": networks}, batch_of(4, starts=starts)
        )
        for i in range(count)
    ]
    assert sorted(torch.cat([p.targets["a"] for p in parts]).flatten().tolist()) == list(range(7))
    assert all(torch.equal(p.views[0]["a"], p.targets["a"]) for p in parts)
    assert all(p.batch.starts["a"] == p.targets["a"].flatten().int().tolist() for p in parts)
    assert sum(p.weight for p in parts) == pytest.approx(1)
    assert all(len(p.batch.inputs) == 4 for p in parts)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_every_input_is_one_processs_and_weights_add_up(count: int) -> None:
    networks, batch = {"a": torch.randn(2, 6), "b": torch.randn(2, 9)}, batch_of(11)
    parts = [Share(Processes(Place(i, count)), "inputs").part([networks], networks, batch) for i in range(count)]
    labels = [p.batch.labels for p in parts if p.batch.labels is not None]
    assert sorted(torch.cat(labels).tolist()) == list(range(11))
    assert sum(p.weight for p in parts) == pytest.approx(1)
    assert all(torch.equal(p.batch.inputs, batch.inputs[own]) for p, own in zip(parts, labels, strict=True))
    assert all(p.targets is networks for p in parts)


def test_points_of_paths_keep_their_parity() -> None:
    # A path's loss takes one network's points at even places, and the next one's at odd places.
    points = torch.arange(12.0).repeat(2, 1)[..., None]
    batch = Batch(points, gammas=torch.rand(2))
    for number in (0, 1):
        part = Share(Processes(Place(number, 2)), "inputs").part([{"a": points}], {"a": points}, batch)
        assert part.batch.inputs.shape == (2, 6, 1)
        assert (part.batch.inputs[0, ::2] % 2 == 0).all() and (part.batch.inputs[0, 1::2] % 2 == 1).all()


def test_rows_of_several_architectures_are_dealt_on_from_one_to_the_next() -> None:
    drawn = {"a": torch.tensor([4]), "b": torch.tensor([7, 8])}
    batch = batch_of(2, starts={"a": [1], "b": [2, 3]})
    shares = [Share(Processes(Place(i, 2)), "networks").rows(drawn, batch) for i in (0, 1)]
    assert [{name: rows.tolist() for name, rows in own.items()} for own, _, _ in shares] == [
        {"a": [4], "b": [8]},
        {"b": [7]},
    ]
    assert [own.starts for _, own, _ in shares] == [{"a": [1], "b": [3]}, {"b": [2]}]
    assert [weight for _, _, weight in shares] == pytest.approx([2 / 3, 1 / 3])


def test_gradients_and_terms_are_added_up_and_what_nobody_has_stays_away() -> None:
    given: list[Tensor] = []
    for number in (0, 1):
        used, half, never = (nn.Parameter(torch.zeros(2)) for _ in range(3))
        used.grad = torch.tensor([1.0, 10.0 * number])
        if number == 0:
            half.grad = torch.tensor([5.0, 6.0])
        terms = add_up(Recorded(number, given), [used, half, never], {"pred": torch.tensor(3.0 + number)})
    assert terms["pred"] == 7.0
    assert used.grad is not None and used.grad.tolist() == [2.0, 10.0]
    assert half.grad is not None and half.grad.tolist() == [5.0, 6.0]
    assert never.grad is None


def test_changes_of_several_processes_are_added_up() -> None:
    given: list[Tensor] = []
    for number, change in enumerate((1.0, 10.0)):
        values = [torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])]
        summed = Summed(Recorded(number, given), values)
        values[0][number] += change
        values[1] += change
        summed.add_up()
    assert values[0].tolist() == [2.0, 12.0] and values[1].tolist() == [[14.0]]


def refused(tiny: Tiny, several: bool, count: int, **train_settings: Any) -> str:
    table = tiny.recipe.model_dump()
    table["train"] |= train_settings
    table["space"] |= {"starts": 3, "parents": 1} if "level_loss" in train_settings else {}
    runner = Runner("cpu", processes=Processes(Place(0, count, 0, count)))
    zoo = tiny.zoo if several else tiny.single_zoo
    taught = several and table["train"]["objective"] == "imitate"
    teacher = read_network(tiny.teacher, io=tiny.data.io) if taught else None
    with pytest.raises(ConfigError) as failure:
        prepare(zoo, recipe_from(table), tiny.data, runner, teacher=teacher)
    return str(failure.value)


def test_more_processes_than_networks_are_refused(tiny: Tiny) -> None:
    said = refused(tiny, False, 4, instances=8)
    assert "a step has 3 networks (`train.instances = 8` in the recipe), and there are 4 processes" in said
    assert "`devices=3`" in said and "at least 4" in said


def test_more_processes_than_images_are_refused(tiny: Tiny) -> None:
    said = refused(tiny, True, 3, images=2)
    assert "a step has 2 inputs" in said and "for 3 processes" in said and "`train.images = 48`" in said


def test_what_cannot_be_shared_exactly_is_refused(tiny: Tiny) -> None:
    assert "are learnt without inputs (train.objective = 'reconstruct')" in refused(
        tiny, True, 2, objective="reconstruct"
    )
    said = refused(tiny, True, 2, level_loss="labels")
    assert "further starting points of resnet8 learn with batch norms, whose statistics are of all images" in said
    assert "which 2 processes cannot share. Add starting points afterwards (`extend`)" in said
    without_norms = replace(tiny.zoo, instances=tuple(i for i in tiny.zoo.instances if i.arch != "resnet8"))
    said = refused(replace(tiny, zoo=without_norms), True, 2, level_loss="matched")
    assert "a mean over all images of a step" in said and '`train.level_loss = "labels"`' in said
