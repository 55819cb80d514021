"""Target against predicted shapes of a zoo: row by row as each alone, against the nearest training instance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from netspace_models.errors import ConfigError, WrongSpace

from netspace_cli.core.data.points import FieldData, field_data, grid_points
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.encoding.fidelity import fidelity
from netspace_cli.core.evaluation.evaluate import evaluate
from netspace_cli.core.kinds.fields import EvaluatedField, FieldEvaluation
from netspace_cli.core.runtime.progress import Silent
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import load_space
from netspace_cli.core.zoos.zoo import Instance
from tests.worlds import Solids, with_values


class Told(Silent):
    """Progress that remembers what was begun and how many units were done."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int | None]] = []
        self.done = 0

    def start(self, description: str, total: int | None, done: int = 0) -> None:
        self.begun.append((description, total))

    def advance(self, n: int = 1, **fields: object) -> None:
        self.done += n


@pytest.fixture(scope="module")
def data(solids: Solids) -> FieldData:
    return field_data(solids.zoo.data)


@pytest.fixture(scope="module")
def found(solids: Solids, data: FieldData) -> FieldEvaluation:
    """The test instances, as the encoder embeds them."""
    whole = evaluate(solids.zoo, solids.space, data, Runner("cpu"))
    assert isinstance(whole, FieldEvaluation)
    return whole


def test_every_instance_is_scored_as_it_is_alone(solids: Solids, data: FieldData, found: FieldEvaluation) -> None:
    chosen = solids.zoo.select(split="test")
    assert [(e.id, e.arch) for e in found.instances] == [(i.id, "siren-16x2") for i in chosen]
    (architecture,), runner = solids.zoo.architectures(), Runner("cpu")
    for instance, row in zip(chosen, found.instances, strict=True):
        network = solids.zoo.network(instance, architecture)
        (embedding,) = encode([network], solids.space, runner).vectors
        alone = fidelity(network, embedding, solids.space, data, runner)
        # A batch of two and one alone differ by float noise.
        assert row.within == pytest.approx(alone.within, abs=1e-3)
        assert row.error == pytest.approx(alone.error, abs=1e-4)
        assert row.iou == pytest.approx(alone.iou, abs=1e-3)


def test_the_nearest_training_instance_is_the_best_of_all(solids: Solids, found: FieldEvaluation) -> None:
    (architecture,), points = solids.zoo.architectures(), grid_points(3, 32)

    def inside(instance: Instance) -> torch.Tensor:
        with torch.no_grad():
            return architecture.run(solids.zoo.network(instance, architecture).weights, points)[:, 0] < 0

    known = [inside(i) for i in solids.zoo.select(split="train")]
    for instance, row in zip(solids.zoo.select(split="test"), found.instances, strict=True):
        target = inside(instance)
        overlaps = [float((target & k).sum() / (target | k).sum()) for k in known]
        assert max(overlaps) > min(overlaps)
        assert row.nearest_iou == pytest.approx(max(overlaps), abs=2e-3)


def test_colours_have_no_solid_that_could_overlap(solids: Solids, data: FieldData, found: FieldEvaluation) -> None:
    colours, runner = with_values(solids.space, "colours"), Runner("cpu")
    rows = evaluate(solids.zoo, colours, data, runner).instances
    assert [(e.iou, e.nearest_iou) for e in rows] == [(None, None)] * 2
    assert [(e.within, e.error) for e in rows] == [(e.within, e.error) for e in found.instances]
    (instance, _), (architecture,) = solids.zoo.select(split="test"), solids.zoo.architectures()
    network = solids.zoo.network(instance, architecture)
    (embedding,) = encode([network], solids.space, runner).vectors
    of_shape, of_colours = (fidelity(network, embedding, s, data, runner) for s in (solids.space, colours))
    assert of_shape.iou is not None
    assert of_colours == replace(of_shape, iou=None, inside=None)


def test_training_instances_have_no_nearest_and_were_seen(solids: Solids, data: FieldData) -> None:
    train, test = (evaluate(solids.zoo, solids.space, data, Runner("cpu"), split=s) for s in ("train", "test"))
    assert [e.nearest_iou for e in train.instances] == [None] * 5
    assert [e.seen for e in train.instances] == [True] * 5
    assert [e.seen for e in test.instances] == [False] * 2
    assert (train.summary()["seen"], train.summary()["nearest_iou"], test.summary()["seen"]) == (5, None, 0)


def test_refining_brings_predicted_shapes_nearer(solids: Solids, data: FieldData, found: FieldEvaluation) -> None:
    refined = evaluate(solids.zoo, solids.space, data, Runner("cpu"), refine_steps=20)
    assert refined.summary()["error"] < found.summary()["error"]


def test_progress_counts_the_instances(solids: Solids, data: FieldData) -> None:
    told = Told()
    evaluate(solids.zoo, solids.space, data, Runner("cpu", progress=told), split="val")
    assert ("scoring", 1) in told.begun and told.done == 1


def row(**values: Any) -> EvaluatedField:
    return EvaluatedField(**{"id": "a", "arch": "siren", "within": 0.5, "iou": 0.5, "error": 0.1, **values})


def test_means_leave_out_what_is_not_known() -> None:
    rows = (row(iou=None, nearest_iou=None, seen=True), row(iou=0.25, within=1.0, nearest_iou=0.75, seen=False))
    assert FieldEvaluation(rows).summary() == {
        "n": 2,
        "seen": 1,
        "within": 0.75,
        "iou": 0.25,
        "error": 0.1,
        "nearest_iou": 0.75,
    }
    unknown = FieldEvaluation((row(iou=None, nearest_iou=None), rows[0])).summary()
    assert (unknown["seen"], unknown["iou"], unknown["nearest_iou"]) == (None, None, None)


def test_a_zoo_of_other_io_and_a_split_without_instances_are_refused(solids: Solids, data: FieldData) -> None:
    with pytest.raises(WrongSpace, match=r"is a zoo of points \(points of 3 .*They differ in: inputs or outputs"):
        evaluate(solids.zoo, load_space("digits"), data, Runner("cpu"))
    with pytest.raises(ConfigError, match="hold"):
        evaluate(solids.zoo, solids.space, data, Runner("cpu"), split="holdout")
