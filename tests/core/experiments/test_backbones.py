"""Recipes against the clock: every one gets the same time, its rate falls within it, and slow ones are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from netspace_models.errors import ConfigError, RunFailed

from netspace_cli.core.evaluation.evaluate import evaluate
from netspace_cli.core.experiments import backbones as module
from netspace_cli.core.experiments.backbones import Clock, TimedTraining, backbones, begin, end_table, mark_table, paced
from netspace_cli.core.experiments.report import Report
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.spaces.space import load_space
from netspace_cli.core.training.loop import prepare
from netspace_cli.core.training.step import Task, TrainState, rate_at
from tests.worlds import Tiny

TRAIN = {"instances": 2, "images": 8, "lr": 5e-3, "warmup": 50, "steps": 7}
TOKENS = recipe_from(
    {
        "backbone": {"embedding_size": 64, "latents": 4, "chunk": 64, "width": 16, "heads": 2, "reader": {"probes": 2}},
        "train": TRAIN,
        "refine": {"steps": 2, "images": 8},
    }
)
CONV = recipe_from(
    {
        "backbone": {"kind": "conv", "embedding_size": 64, "side": 8, "height": 16, "width": 2800},
        "train": TRAIN,
        "refine": {"steps": 0},
    }
)


class FakeTime:
    """A clock on which each step takes so many seconds, and measuring none that is seen."""

    def __init__(self, step: float = 1.0) -> None:
        self.now, self.step, self.reads = 0.0, step, count()

    def __call__(self) -> float:
        # Read before and after each step; between steps the clock stands still.
        if next(self.reads) % 2:
            self.now += self.step
        return self.now


StepsTake = Callable[[float], FakeTime]


@pytest.fixture
def runner() -> Iterator[Runner]:
    with Runner("cpu") as runner:
        yield runner


@pytest.fixture
def steps_take(monkeypatch: pytest.MonkeyPatch) -> StepsTake:
    def set_to(seconds: float) -> FakeTime:
        clock = FakeTime(seconds)
        monkeypatch.setattr(module, "perf_counter", clock)
        return clock

    return set_to


def run(tiny: Tiny, folder: Path, recipes: dict[str, Recipe], runner: Runner, **given: Any) -> Report:
    return backbones(tiny.single_zoo, folder, recipes, tiny.data, runner, **given)


def rows_of(report: Report, name: str) -> list[dict[str, Any]]:
    (table,) = (t for t in report.tables if t.name == name)
    return [dict(zip((c.name for c in table.columns), row, strict=True)) for row in table.rows]


@pytest.fixture(scope="module")
def compared(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """Two recipes of four steps each, measured at two marks."""
    folder = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch, Runner("cpu") as runner:
        patch.setattr(module, "perf_counter", FakeTime(1.0))
        return folder, run(tiny, folder, {"tokens": TOKENS, "conv": CONV}, runner, seconds=4, marks=2)


def test_each_recipe_has_a_row_at_each_mark(compared: tuple[Path, Report]) -> None:
    marks = rows_of(compared[1], "marks")
    assert [(r["recipe"], r["mark (s)"], r["trained (s)"], r["steps"]) for r in marks] == [
        (name, at, at, at) for name in ("tokens", "conv") for at in (2, 4)
    ]
    ends = rows_of(compared[1], "end")
    assert [(r["recipe"], r["backbone"], r["embedding"], r["refining steps"]) for r in ends] == [
        ("tokens", "tokens", "encoded", 0),
        ("tokens", "tokens", "refined", 2),
        ("conv", "conv", "encoded", 0),
    ]
    assert {r["n"] for r in ends} == {3} and {r["remark"] for r in ends} == {""}
    assert all(r["seconds a step"] == 1 and r["steps"] == 4 for r in ends)


def test_what_is_reported_is_the_space_that_is_written(
    tiny: Tiny, compared: tuple[Path, Report], runner: Runner
) -> None:
    folder, report = compared
    space = load_space(folder / "tokens/space.safetensors")
    assert space.name == "tokens" and space.recipe.train.steps == 4
    encoded, refined, _ = rows_of(report, "end")
    for row, steps in ((encoded, 0), (refined, 2)):
        found = evaluate(tiny.single_zoo, space, tiny.data, runner, refine_steps=steps).summary()
        assert (row["MAE"], row["agreement"]) == (found["mae"], found["agreement"])
    assert encoded["best step"] == space.record["best"]["step"]
    mark = next(m for m in rows_of(report, "marks") if m["steps"] == encoded["best step"])
    found = evaluate(tiny.single_zoo, space, tiny.data, runner, split="val").summary()
    assert (mark["MAE"], mark["agreement"]) == (found["mae"], found["agreement"])


def test_what_is_finished_is_not_done_again(
    tiny: Tiny, compared: tuple[Path, Report], runner: Runner, steps_take: StepsTake, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, first = compared
    begun = []

    def noted(task: Task, **given: Any) -> TimedTraining:
        begun.append(task.recipe.space.name)
        return begin(task, **given)

    monkeypatch.setattr(module, "begin", noted)
    steps_take(1.0)
    recipes = {"tokens": TOKENS, "conv": CONV, "more": TOKENS}
    again = run(tiny, folder, recipes, runner, seconds=4, marks=2)
    assert begun == ["more"]
    assert rows_of(again, "end")[:3] == rows_of(first, "end")
    assert rows_of(again, "marks")[:4] == rows_of(first, "marks")
    with pytest.raises(ConfigError, match=r"runs with other settings: seconds \(4, now 5\)"):
        run(tiny, folder, recipes, runner, seconds=5, marks=2)


@pytest.mark.parametrize("pace", [0.1, 1.0])
def test_the_rate_falls_to_the_end_whatever_a_step_takes(
    tiny: Tiny, tmp_path: Path, runner: Runner, steps_take: StepsTake, monkeypatch: pytest.MonkeyPatch, pace: float
) -> None:
    rates = []

    def only_look(task: Task, state: TrainState) -> None:
        rates.append(rate_at(state.step, task.recipe.train))
        state.step += 1

    monkeypatch.setattr(module, "take_step", only_look)
    steps_take(pace)
    run(tiny, tmp_path, {"tokens": TOKENS}, runner, seconds=30, marks=1)
    timed = rates[2:]  # the two before the clock was started are thrown away
    assert len(timed) == pytest.approx(30 / pace, abs=1)
    assert max(timed) == pytest.approx(TRAIN["lr"], rel=0.02)
    assert timed[-1] < 0.02 * TRAIN["lr"]
    assert timed.index(max(timed)) <= 0.1 * len(timed), "the warm-up of 50 steps is cut to what fits"


def test_a_recipe_without_time_for_a_step_is_reported(
    tiny: Tiny, tmp_path: Path, runner: Runner, steps_take: StepsTake
) -> None:
    steps_take(12.0)
    report = run(tiny, tmp_path, {"tokens": TOKENS}, runner, seconds=8, marks=2)
    first, second = rows_of(report, "marks")
    assert (first["steps"], first["trained (s)"]) == (0, 0) and first["agreement"] is not None
    assert {**second, "mark (s)": 4} == first
    encoded, _ = rows_of(report, "end")
    assert encoded["remark"] == "no step in 8 s: one takes 12 s" and encoded["steps"] == 0
    assert report.facts["remarks"] == {"tokens": encoded["remark"]}


def test_a_step_that_would_end_after_a_mark_does_not_count_for_it(
    tiny: Tiny, tmp_path: Path, runner: Runner, steps_take: StepsTake
) -> None:
    steps_take(3.0)
    marks = rows_of(run(tiny, tmp_path, {"tokens": TOKENS}, runner, seconds=8, marks=4), "marks")
    assert [(m["mark (s)"], m["trained (s)"], m["steps"]) for m in marks] == [
        (2, 0, 0),
        (4, 3, 1),
        (6, 6, 2),
        (8, 6, 2),
    ]


def test_a_training_that_diverges_keeps_its_place(
    tiny: Tiny, tmp_path: Path, runner: Runner, steps_take: StepsTake, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.take_step

    def diverging(task: Task, state: TrainState) -> dict[str, float]:
        if state.step == 3:
            raise RunFailed("the loss is not finite at step 4.")
        return real(task, state)

    monkeypatch.setattr(module, "take_step", diverging)
    steps_take(1.0)
    report = run(tiny, tmp_path, {"tokens": TOKENS}, runner, seconds=4, marks=2)
    first, second = rows_of(report, "marks")
    assert first["agreement"] is not None and (second["steps"], second["agreement"]) == (3, None)
    encoded, _ = rows_of(report, "end")
    assert encoded["remark"] == "the loss is not finite at step 4." and encoded["best step"] == 2
    drawn = np.asarray(report.figures["figure"]().axes[1].get_lines()[0].get_ydata()).tolist()
    assert drawn == pytest.approx([100 * first["agreement"], float("nan")], nan_ok=True)


def test_the_clock_stands_still_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 12.0, 100.0, 101.5])
    monkeypatch.setattr(module, "perf_counter", lambda: next(times))
    clock = Clock()
    for _ in range(2):
        with clock.running():
            pass
    assert clock.seconds == 3.5


def test_a_warm_up_takes_a_tenth_at_most(tiny: Tiny, runner: Runner) -> None:
    task = prepare(tiny.single_zoo, TOKENS, tiny.data, runner)
    warmups = {steps: paced(task, steps).recipe.train.warmup for steps in (5, 100, 500, 5000)}
    assert warmups == {5: 0, 100: 10, 500: 50, 5000: 50}


def test_a_first_step_of_all_the_time_is_enough_to_know(tiny: Tiny, runner: Runner, steps_take: StepsTake) -> None:
    task = prepare(tiny.single_zoo, TOKENS, tiny.data, runner)
    clock = steps_take(9.0)
    course = begin(task, seconds=9)
    assert (course.warm, course.state.step, next(clock.reads)) == (9.0, 0, 2)


def test_what_compares_nothing_is_refused(tiny: Tiny, tmp_path: Path, runner: Runner) -> None:
    with pytest.raises(ConfigError, match="cannot compare 0 recipes in 5 s with 8 marks"):
        run(tiny, tmp_path, {}, runner, seconds=5)
    untested = replace(tiny.single_zoo, instances=tiny.single_zoo.select(split="train"))
    with pytest.raises(ConfigError, match="has 0 validation and 0 test instances; this experiment needs both"):
        backbones(untested, tmp_path, {"tokens": TOKENS}, tiny.data, runner, seconds=5)
    small = recipe_from({**CONV.model_dump(), "backbone": {**CONV.model_dump()["backbone"], "height": 4}})
    with pytest.raises(Exception, match="lenetlike has"):
        run(tiny, tmp_path, {"tokens": TOKENS, "conv": small}, runner, seconds=5)
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_tables_of_a_recipe_that_failed_at_once() -> None:
    ran = module.Ran("a", "conv", 7, 1.0, 0, (module.Mark(1.0, 0.0, 0),), {}, "the loss is not finite.")
    assert end_table([ran]).rows == (("a", "conv", 7, 1.0, 0, 0, *(None,) * 10, "the loss is not finite."),)
    assert mark_table([ran]).rows == (("a", 1.0, 0.0, 0, None, None, None),)
