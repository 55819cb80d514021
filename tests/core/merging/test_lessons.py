"""What students are taught: batches in an order of their own, the later ones augmented, with the ensemble's answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from netspace_models.architectures import build
from netspace_models.training.losses import ensemble_logits
from torch import nn

from netspace_cli.core.data.tables import load_table
from netspace_cli.core.merging.lessons import VIEWS, batch_of, lessons_of, views_of
from netspace_cli.core.merging.plan import MergePlan
from netspace_cli.core.merging.students import fresh_student
from netspace_cli.core.networks.factories import resolve_architecture
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from tests.worlds import Tiny

PLAN = MergePlan(images=8)


@pytest.fixture
def teachers(tiny: Tiny) -> list[Network]:
    known = {a.name: a for a in tiny.single_zoo.architectures()}
    return [tiny.single_zoo.network(i, known[i.arch]) for i in tiny.single_zoo.instances[:2]]


def test_every_image_is_there_once_as_it_is_and_then_augmented(tiny: Tiny, teachers: list[Network]) -> None:
    data, runner = replace(tiny.data, padding=1, flip=True), Runner("cpu")
    size = len(data.splits["train"])
    lessons = lessons_of(teachers, data, PLAN, runner)
    assert len(lessons.index) == VIEWS * size // 8 and lessons.answers.shape == (*lessons.index.shape, 3)
    whole = size // 8
    first = lessons.index.flatten()[:size]
    assert sorted(first.tolist()) == list(range(size)) != first.tolist()
    for number in (0, whole - 1, whole + 1, len(lessons.index) - 1):
        images, labels = batch_of(data, lessons.index, number, runner)
        plain, wanted = data.batch("train", lessons.index[number])
        assert torch.equal(images, plain) == (number < whole) and torch.equal(labels, wanted)
        assert torch.equal(images, batch_of(data, lessons.index, number, runner)[0]), (
            "the same whenever it is asked for"
        )
        said = ensemble_logits([t.architecture.run(t.weights, images) for t in teachers])
        torch.testing.assert_close(lessons.answers[number], said, atol=1e-4, rtol=1e-4)


def test_a_pass_has_every_batch_once_and_each_pass_its_own_order(tiny: Tiny, teachers: list[Network]) -> None:
    runner = Runner("cpu")
    lessons = lessons_of(teachers, tiny.data, PLAN, runner, most=40)
    assert len(lessons.index) == 5
    student = fresh_student(build("lenetlike", tiny.data.io), 1e-3, runner)
    losses = [round(lessons.loss(student, step).item(), 5) for step in range(15)]
    passes = [losses[:5], losses[5:10], losses[10:]]
    assert len(set(losses)) == 5 and all(sorted(each) == sorted(passes[0]) for each in passes)
    assert not passes[0] == passes[1] == passes[2]


def test_more_images_a_step_than_there_are_repeat(tiny: Tiny, teachers: list[Network]) -> None:
    size = len(tiny.data.splits["train"])
    lessons = lessons_of(teachers, tiny.data, MergePlan(images=(VIEWS + 1) * size), Runner("cpu"))
    assert lessons.index.shape == (1, (VIEWS + 1) * size) and len(lessons.index.unique()) == size


def test_images_that_never_look_different_and_rows_are_asked_about_once(tiny: Tiny, tmp_path: Path) -> None:
    assert views_of(replace(tiny.data, padding=0, flip=False)) == 1 < views_of(replace(tiny.data, padding=0, flip=True))
    rows = {
        f"{s}_{w}": np.random.rand(40, *n)
        for s in ("train", "val", "test")
        for w, n in (("inputs", (3,)), ("targets", ()))
    }
    np.savez(tmp_path / "table.npz", **rows)  # type: ignore[arg-type]
    assert views_of(load_table(tmp_path / "table.npz")) == 1


def dropping() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(64, 3))


def test_what_a_student_drops_depends_on_the_step_alone(tiny: Tiny, teachers: list[Network]) -> None:
    runner = Runner("cpu")
    lessons = lessons_of(teachers, tiny.data, PLAN, runner, most=8)
    student = fresh_student(resolve_architecture(f"{__name__}:dropping", tiny.data.io), 1e-3, runner)
    first, second, again = (lessons.loss(student, step).item() for step in (0, 1, 0))
    assert first == again != second
