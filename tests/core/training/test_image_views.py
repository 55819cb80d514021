"""Fixed views of training images: each is shown in turn, and the teacher is asked about each once."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.errors import ConfigError, Interrupted
from torch import Tensor

from netspace_cli.core.networks.network import Network, read_network
from netspace_cli.core.runtime.progress import Silent
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.training import memory
from netspace_cli.core.training import step as train_step
from netspace_cli.core.training.first_model import new_state
from netspace_cli.core.training.image_views import ImageViews
from netspace_cli.core.training.loop import prepare, train
from netspace_cli.core.training.memory import footprint
from netspace_cli.core.training.step import Task, take_step
from netspace_cli.core.training.teacher_answers import with_answers
from tests.worlds import Tiny

VIEWS, IMAGES = 2, 7


def recipe_of(tiny: Tiny, **train: Any) -> Recipe:
    table = tiny.recipe.model_dump()
    brief = {"steps": 6, "images": IMAGES, "validate_every": 3, "checkpoint_every": 3, "image_views": VIEWS}
    table["train"] |= {**brief, **train}
    return recipe_from(table)


def teacher_of(tiny: Tiny) -> Network:
    return read_network(tiny.teacher, io=tiny.data.io)


def task_of(tiny: Tiny, runner: Runner, **train: Any) -> Task:
    return prepare(tiny.zoo, recipe_of(tiny, **train), tiny.data, runner, teacher=teacher_of(tiny))


def views_of(tiny: Tiny, *, seed: int = 0, **train: Any) -> ImageViews:
    with Runner("cpu", seed=seed) as runner:
        views = task_of(tiny, runner, **train).views
    assert views is not None
    return views


def shown_by(views: ImageViews, steps: int) -> Tensor:
    return torch.cat([views.places(step) for step in range(steps)])


def test_every_pass_shows_each_image_once_and_the_next_view_of_it(tiny: Tiny) -> None:
    size = len(tiny.data.splits["train"])
    places = shown_by(views_of(tiny), 3 * size)[: 3 * size].view(3, size)
    for number, row in enumerate(places):
        assert row.sort().values.tolist() == [number % VIEWS * size + i for i in range(size)]
    assert not torch.equal(places[0], places[2])


def test_the_first_view_is_the_image_and_each_view_stays_as_it_is(tiny: Tiny) -> None:
    views, size = views_of(tiny, image_views=3), len(tiny.data.splits["train"])
    index = torch.arange(size)
    as_they_are, labels = tiny.data.batch("train", index)
    pictures = [views.batch(index + view * size) for view in range(3)]
    assert torch.equal(pictures[0][0], as_they_are)
    for (one, own), (other, _) in pairwise(pictures):
        assert torch.equal(own, labels) and not torch.equal(one, other)
    some = torch.tensor([2 * size + 5, 1, size + 5])
    assert torch.equal(views.batch(some)[0], torch.stack([pictures[2][0][5], pictures[0][0][1], pictures[1][0][5]]))


def test_which_view_of_which_image_is_shown_depends_on_the_seed_and_the_step_alone(tiny: Tiny) -> None:
    views, again, other = views_of(tiny), views_of(tiny), views_of(tiny, seed=1)
    assert torch.equal(again.places(9), shown_by(views, 10)[-IMAGES:])
    assert not torch.equal(other.places(9), again.places(9))
    places = torch.arange(VIEWS * len(tiny.data.splits["train"]))
    assert torch.equal(views.batch(places)[0], again.batch(places)[0])
    assert not torch.equal(views.batch(places)[0], other.batch(places)[0])


def losses_of(task: Task, steps: int) -> list[float]:
    state = new_state(task)
    return [take_step(task, state)["loss"] for _ in range(steps)]


def test_losses_are_those_of_a_teacher_that_is_asked_in_each_step(tiny: Tiny) -> None:
    once_each = VIEWS * len(tiny.data.splits["train"]) // IMAGES
    steps = once_each + 5
    with Runner("cpu", threads=1) as runner:
        each_time = task_of(tiny, runner, steps=steps)
        asked = with_answers(each_time, lambda: False)
        assert asked is not None
        wanted, found = losses_of(each_time, steps), losses_of(asked, steps)
    assert found[:once_each] == wanted[:once_each]  # of the very batches that it was asked about
    assert found == pytest.approx(wanted, rel=1e-4)


def test_the_teacher_is_asked_once_about_what_the_steps_show(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    ask = train_step.teacher_logits

    def counted(task: Task, inputs: Tensor) -> Tensor | None:
        asked.append(len(inputs))
        return ask(task, inputs)

    for module in ("step", "teacher_answers"):
        monkeypatch.setattr(f"netspace_cli.core.training.{module}.teacher_logits", counted)
    size = len(tiny.data.splits["train"])
    for steps, wanted in ((2, 2 * IMAGES), (VIEWS * size, VIEWS * size)):
        asked.clear()
        with Runner("cpu") as runner:
            task = with_answers(task_of(tiny, runner, steps=steps), lambda: False)
            assert task is not None and sum(asked) == wanted
            losses_of(task, 2)
        assert sum(asked) == wanted


class Signal(Silent):
    """Progress that asks the process to stop after some units of a piece of work."""

    def __init__(self, description: str, after: int) -> None:
        self.wanted, self.left, self.on = description, after, False

    def start(self, description: str, total: int | None, done: int = 0) -> None:
        self.on = description == self.wanted

    def advance(self, n: int = 1, **fields: object) -> None:
        if self.on and n:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("work", "after", "message"),
    [
        ("training the space", 4, "stopped after step 4 of 6"),
        ("asking the teacher", 2, "stopped while asking the teacher, before step 1"),
    ],
)
def test_a_resumed_run_ends_with_the_same_bits(tiny: Tiny, tmp_path: Path, work: str, after: int, message: str) -> None:
    def learn(name: str, progress: Silent | None = None, **options: Any) -> None:
        with Runner("cpu", threads=1, progress=progress) as runner:
            teacher = teacher_of(tiny)
            recipe = recipe_of(tiny, steps=6, images=20)
            train(tiny.zoo, tmp_path / name, recipe, tiny.data, runner, teacher=teacher, **options)

    learn("whole.safetensors")
    with pytest.raises(Interrupted, match=message) as stopped:
        learn("parts.safetensors", Signal(work, after))
    assert stopped.value.exit_code == 143 and "`resume=True`" in stopped.value.hint
    learn("parts.safetensors", resume=True)
    whole, parts = (tmp_path / f"{name}.run" / "metrics.jsonl" for name in ("whole", "parts"))
    assert parts.read_text() == whole.read_text()


def test_without_a_teacher_there_is_nobody_to_ask(tiny: Tiny) -> None:
    with Runner("cpu") as runner, pytest.raises(ConfigError) as refused:
        prepare(tiny.single_zoo, recipe_of(tiny), tiny.data, runner)
    assert "train.image_views = 2 keeps what a teacher says of images, and there is no teacher" in refused.value.message
    assert (
        "`train.image_views = 0` in the recipe" in refused.value.hint
        and "`teacher=read_network(FILE)`" in refused.value.hint
    )


def test_images_that_are_not_augmented_have_one_view(tiny: Tiny) -> None:
    data, teacher = replace(tiny.data, padding=0, flip=False), teacher_of(tiny)
    with Runner("cpu") as runner:
        with pytest.raises(ConfigError) as refused:
            prepare(tiny.zoo, recipe_of(tiny, image_views=3), data, runner, teacher=teacher)
        one = prepare(tiny.zoo, recipe_of(tiny, image_views=1), data, runner, teacher=teacher).views
    assert "are neither shifted nor mirrored, so that all 3 views would be the same" in refused.value.message
    assert "`train.image_views = 1` in the recipe" in refused.value.hint
    assert one is not None and torch.equal(one.batch(torch.tensor([4]))[0], data.batch("train", torch.tensor([4]))[0])


def test_memory_for_answers_is_told(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "bytes_in_use", lambda: 0)
    none, some = (footprint(recipe_of(tiny, image_views=count), tiny.zoo, 1000) for count in (0, 5))
    assert (none.answers_bytes, some.answers_bytes) == (0, 4 * 5 * 1000 * 3)
    assert some.total_bytes - none.total_bytes == some.answers_bytes
