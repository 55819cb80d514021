"""Few labels: what is drawn, what chooses, and that four methods do the same work on the same images."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.errors import ConfigError, RunFailed

from netspace_cli.core.data.images import ImageData, Split
from netspace_cli.core.experiments.few_labels import methods as few_labels_methods
from netspace_cli.core.experiments.few_labels import runs as few_labels_runs
from netspace_cli.core.experiments.few_labels.experiment import best_instance, few_labels
from netspace_cli.core.experiments.few_labels.methods import (
    LADDER,
    METHODS,
    RATES,
    Start,
    adapt,
    instance_module,
    train_module,
)
from netspace_cli.core.experiments.few_labels.runs import (
    Bench,
    FewLabels,
    Shifted,
    all_runs,
    balanced,
    best_run,
    next_rate,
)
from netspace_cli.core.experiments.run_log import run_log
from netspace_cli.core.runtime.minimise import AdamSchedule
from netspace_cli.core.runtime.progress import Silent
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.search.baselines import all_weights
from netspace_cli.core.search.lso import image_objective
from netspace_cli.core.search.search import search
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo
from tests.worlds import Tiny

PLAN = FewLabels(per_class=(2,), seeds=2, shifts=("invert",), steps=4, images=8, val_images=10, refine_steps=0)
OUTCOMES = ("rate", "step", "val_accuracy", "val_loss", "used", "averaged")


@pytest.fixture
def runner() -> Iterator[Runner]:
    with Runner("cpu") as found:
        yield found


@pytest.fixture
def two_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as show a choice."""
    few = dict.fromkeys(METHODS, (0.003, 0.01))
    for module in (few_labels_methods, few_labels_runs):
        monkeypatch.setattr(module, "RATES", few)
    monkeypatch.setattr(few_labels_runs, "LADDER", (0.003, 0.01))


def bench_of(zoo: Zoo, space: Space, data: ImageData, runner: Runner, arch: str, plan: FewLabels = PLAN) -> Bench:
    return Bench(zoo, best_instance(zoo, arch), space.model.architecture(arch), space, data, runner, plan)


def with_labels(data: ImageData, split: str, labels: torch.Tensor) -> ImageData:
    return replace(data, splits={**data.splits, split: Split(data.splits[split].images, labels)})


def test_as_many_images_of_each_class_and_fewer_are_among_more() -> None:
    labels = torch.tensor([0] * 50 + [1] * 5 + [2] * 20)
    few, more = (balanced(labels, 3, k, torch.Generator().manual_seed(1)) for k in (2, 5))
    assert labels[more].bincount().tolist() == [5, 5, 5] and len(set(more.tolist())) == 15
    assert set(few.tolist()) < set(more.tolist())
    assert not torch.equal(more, balanced(labels, 3, 5, torch.Generator().manual_seed(2)))


def test_what_adapts_holds_labelled_training_images_and_never_the_test_images(tiny: Tiny, runner: Runner) -> None:
    images = Shifted(bench_of(tiny.zoo, tiny.space, tiny.data, runner, "lenetlike"), "invert")
    held = images.labelled(2, runner)
    assert held.splits["train"].labels.bincount().tolist() == [2, 2, 2]
    own = {image.numpy().tobytes() for image in 255 - tiny.data.splits["train"].images}
    assert {image.numpy().tobytes() for image in held.splits["train"].images} < own
    assert len(held.splits["val"]) == len(held.splits["test"]) == PLAN.val_images
    test = {image.numpy().tobytes() for image in images.data.splits["test"].images}
    assert not test & {image.numpy().tobytes() for split in held.splits.values() for image in split.images}


def test_the_best_by_validation_of_the_training_instances_is_taken(tiny: Tiny) -> None:
    rows = tiny.single_zoo.select(split="train")
    assert best_instance(tiny.single_zoo, "lenetlike").accuracy["val"] == max(i.accuracy["val"] for i in rows)
    lowest = replace(tiny.single_zoo, instances=tuple(replace(i, accuracy={"val": 0.5}) for i in rows[:2]))
    scored = replace(lowest, instances=(replace(rows[0], accuracy={"val": 0.9, "test": 0.0}), *lowest.instances[1:]))
    assert best_instance(scored, "lenetlike").id == rows[0].id
    unscored = replace(lowest, instances=(*lowest.instances[:1], replace(rows[1], accuracy={})))
    with pytest.raises(ConfigError, match=f"no validation accuracy of {rows[1].id}. Index it"):
        best_instance(unscored, "lenetlike")
    with pytest.raises(ConfigError, match="no training instance of resnet8. Train one"):
        best_instance(tiny.single_zoo, "resnet8")


def test_fine_tuning_is_the_search_of_all_weights_where_there_are_no_batch_norms(tiny: Tiny, runner: Runner) -> None:
    bench = bench_of(tiny.zoo, tiny.space, tiny.data, runner, "lenetlike")
    module = instance_module(tiny.zoo, bench.instance, bench.architecture)
    found = train_module(
        module, bench.architecture, tiny.data, runner, AdamSchedule(20, 8, 0.003, 0.003 / 20), Silent().advance
    )
    objective = image_objective(tiny.space, tiny.data, runner, None)
    wanted = search(all_weights(bench.start.network), objective, steps=20, lr=0.003, images=8)
    assert (found.step, found.accuracy) == (wanted.step, wanted.validation.accuracy)
    assert torch.allclose(found.weights, wanted.weights, atol=1e-5)
    assert found.step > 0 and not torch.allclose(found.weights, bench.start.network.weights, atol=1e-4)


def test_batch_norms_are_trained_with_the_rest(tiny: Tiny, runner: Runner) -> None:
    bench = bench_of(tiny.zoo, tiny.space, tiny.data, runner, "resnet8")
    module = instance_module(tiny.zoo, bench.instance, bench.architecture)
    assert torch.allclose(bench.architecture.to_weights(module.state_dict()), bench.start.network.weights)
    before = {n: t.clone() for n, t in module.state_dict().items() if n.endswith("running_mean")}
    train_module(module, bench.architecture, tiny.data, runner, AdamSchedule(2, 8, 0.003, 0.003), Silent().advance)
    assert before and all(not torch.equal(module.state_dict()[n], t) for n, t in before.items())


@pytest.mark.parametrize("method", METHODS)
def test_a_method_depends_on_the_runner_s_seed_alone(tiny: Tiny, runner: Runner, method: str) -> None:
    bench = bench_of(tiny.zoo, tiny.space, tiny.data, runner, "resnet8")
    images = Shifted(bench, "none")
    start: Start = bench.start
    kept = {n: t.clone() for n, t in start.module.state_dict().items()}

    def outcome(seed: int) -> tuple[torch.Tensor, int, float, float]:
        torch.manual_seed(torch.seed() % 1000)  # whatever the process has drawn before
        with Runner("cpu", seed=seed) as own:
            data = images.labelled(2, own)
            found = adapt(method, start, data, own, lr=0.01, steps=3, images=8)
        return found.weights, found.step, found.accuracy, found.loss

    first, again, other = outcome(0), outcome(0), outcome(1)
    assert torch.equal(first[0], again[0]) and first[1:] == again[1:]
    assert first[3] != other[3]
    assert all(torch.equal(t, kept[n]) for n, t in start.module.state_dict().items()), "the start is left alone"


def run_of(rate: float, accuracy: float | None, loss: float = 1.0, step: int | None = 5) -> dict[str, Any]:
    return {"method": "space", "rate": rate, "step": step, "val_accuracy": accuracy, "val_loss": loss, "error": "why"}


def test_rates_are_tried_until_the_best_is_neither_lowest_nor_highest() -> None:
    assert next_rate([run_of(0.01, 0.3), run_of(0.03, 0.5), run_of(0.1, 0.4)]) is None
    assert next_rate([run_of(0.01, 0.3), run_of(0.03, 0.5), run_of(0.1, 0.6)]) == 0.3
    assert next_rate([run_of(0.01, 0.9), run_of(0.03, 0.5), run_of(0.1, 0.6)]) == 0.003
    assert next_rate([run_of(0.3, 0.1), run_of(1.0, 0.5)]) is None, "the ladder ends"
    assert next_rate([run_of(LADDER[0], 0.5), run_of(LADDER[1], 0.1)]) is None
    assert next_rate([run_of(0.01, 0.5, step=0), run_of(0.03, 0.5, step=0)]) is None, "the start is the best"
    assert next_rate([run_of(0.01, 0.3), run_of(0.03, None)]) == 0.003, "one that failed ends the way up"
    assert all(rate in LADDER for rates in RATES.values() for rate in rates)


def test_the_first_seed_climbs_the_ladder_and_the_others_take_its_rate(
    tiny: Tiny, runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the rate of 0.3 is the best of the first seed, and the lowest the best of the others."""

    def adapted(self: Shifted, method: str, per_class: int, seed: int, rate: float) -> dict[str, Any]:
        return {"step": 1, "val_accuracy": -abs(rate - 0.3) if seed == 0 else -rate, "val_loss": 0, "test_accuracy": 0}

    monkeypatch.setattr(Shifted, "adapted", adapted)
    monkeypatch.setattr(Shifted, "standing", lambda self, what: {"val_accuracy": 0.0, "test_accuracy": 0.0})
    bench = bench_of(tiny.zoo, tiny.space, tiny.data, runner, "lenetlike")
    with run_log(tmp_path / "runs.jsonl", {}) as log:
        runs = all_runs(bench, log)
    for method in METHODS:
        own = [(r["seed"], r["rate"], r["used"]) for r in runs if r["method"] == method]
        tried = [rate for rate in LADDER if rate >= RATES[method][0]]
        assert own == [*((0, rate, rate == 0.3) for rate in tried), (1, 0.3, True)]


def test_the_best_run_is_by_validation_accuracy_then_loss_and_must_be_finished() -> None:
    runs = [run_of(0.01, 0.5, 2.0), run_of(0.03, 0.5, 1.0), run_of(0.1, 0.4, 0.1), run_of(0.3, None)]
    assert best_run(runs)["rate"] == 0.03
    with pytest.raises(RunFailed, match="space: none of the rates 0.1, 0.3 works: why"):
        best_run([run_of(0.1, None), run_of(0.3, None)])


def test_a_run_that_diverges_keeps_its_place(tiny: Tiny, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    images = Shifted(bench_of(tiny.zoo, tiny.space, tiny.data, runner, "lenetlike"), "none")

    def fail(*given: Any, **named: Any) -> None:
        raise RunFailed("the loss is not finite at step 2 of 4.")

    def run_out(*given: Any, **named: Any) -> None:
        raise RunFailed("out of memory on cpu.") from MemoryError()

    monkeypatch.setattr(few_labels_runs, "adapt", fail)
    found = images.adapted("space", 2, 0, 0.01)
    assert found["error"] == "the loss is not finite at step 2 of 4." and found["test_accuracy"] is None
    monkeypatch.setattr(few_labels_runs, "adapt", run_out)
    with pytest.raises(RunFailed, match="out of memory"):
        images.adapted("space", 2, 0, 0.01)


def test_the_test_split_chooses_nothing(tiny: Tiny, runner: Runner, tmp_path: Path, two_rates: None) -> None:
    def runs(data: ImageData, name: str) -> list[dict[str, Any]]:
        report = few_labels(tiny.single_zoo, tiny.single_space, data, runner, tmp_path / name, plan=PLAN)
        assert {len(t.rows) for t in report.tables} == {2, 1, 4, 12}
        return [json.loads(line) for line in (tmp_path / name / "runs.jsonl").read_text().splitlines()[1:]]

    labels = tiny.data.splits["test"].labels
    clean, poisoned = runs(tiny.data, "a"), runs(with_labels(tiny.data, "test", (labels + 1) % 3), "b")
    assert len(clean) == len(poisoned) == 2 + 4 * (2 + 1)
    assert [{k: run.get(k) for k in OUTCOMES} for run in clean] == [
        {k: run.get(k) for k in OUTCOMES} for run in poisoned
    ]
    assert [r["test_accuracy"] for r in clean] != [r["test_accuracy"] for r in poisoned]
    losses = {(r["method"], r["rate"], r["seed"]): r["val_loss"] for r in clean[2:]}
    assert all(losses[m, rate, 0] != loss for (m, rate, seed), loss in losses.items() if seed), "seeds differ"
    chosen = runs(with_labels(tiny.data, "val", (tiny.data.splits["val"].labels + 1) % 3), "c")
    assert [r.get("val_loss") for r in chosen] != [r.get("val_loss") for r in clean], "validation does choose"


def test_more_than_a_class_has_is_refused_before_any_work(tiny: Tiny, runner: Runner, tmp_path: Path) -> None:
    plan = replace(PLAN, per_class=(5, 21))
    told = "npz:tiny.npz has 20 training images of the class '0'; 21 labelled images a class were asked for. Ask for"
    with pytest.raises(ConfigError, match=told):
        few_labels(tiny.zoo, tiny.space, tiny.data, runner, tmp_path / "out", plan=plan)
    for odd in ((), (0,), (5, 5)):
        with pytest.raises(ConfigError, match="labelled images a class cannot be drawn. Give numbers above zero"):
            replace(PLAN, per_class=odd).check(tiny.data)
    assert list(tmp_path.iterdir()) == []
