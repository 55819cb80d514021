"""Networks told in few values: the learnt space and the random subspace get the same, and no test split chooses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from netspace_models.backbones.conv.settings import ConvSettings
from netspace_models.backbones.tokens.settings import TokensSettings
from netspace_models.errors import ConfigError, RunFailed
from netspace_models.training.losses import distillation

from netspace_cli.core.data.images import ImageData, Split
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.evaluation.evaluate import evaluate
from netspace_cli.core.experiments import rate as module
from netspace_cli.core.experiments import subspace_fit
from netspace_cli.core.experiments.curves import Point, fidelity_over_size
from netspace_cli.core.experiments.held_out import Scale, by_validation
from netspace_cli.core.experiments.rate import METHODS, adapted, rate, recipe_of_size
from netspace_cli.core.experiments.rates import MOST_RATES, best_rate
from netspace_cli.core.experiments.report import Report
from netspace_cli.core.experiments.subspace_fit import at_rate, evaluate_fits, fit, fit_held_out
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.minimise import AdamSchedule
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.search.baselines import random_subspace
from netspace_cli.core.search.search import Parametrisation
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.spaces.space import Space, load_space
from netspace_cli.core.zoos.zoo import Zoo
from tests.worlds import Tiny

SCALE = Scale(search_steps=2, search_images=8, teacher_images=20)


@pytest.fixture
def runner() -> Iterator[Runner]:
    with Runner("cpu") as runner:
        yield runner


@pytest.fixture(scope="session")
def recipe(tiny: Tiny) -> Recipe:
    table = tiny.recipe.model_dump()
    table["train"] |= {"steps": 3, "validate_every": 3}
    table["backbone"]["reader"] = {"probes": 2}
    return recipe_from(table)


@pytest.fixture(scope="module")
def told(tiny: Tiny, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """Two sizes, with all that is measured of each."""
    folder = tmp_path_factory.mktemp("told")
    with Runner("cpu") as runner:
        return folder, rate(tiny.single_zoo, folder, recipe, tiny.data, runner, sizes=(6, 64), scale=SCALE)


def rows_of(report: Report) -> list[dict[str, Any]]:
    (table,) = report.tables
    return [dict(zip((c.name for c in table.columns), row, strict=True)) for row in table.rows]


def subspace(tiny: Tiny, size: int) -> Parametrisation:
    architecture = tiny.single_space.architectures[0]
    best = by_validation(tiny.single_zoo, architecture.name, "train")[-1]
    return random_subspace(tiny.single_zoo.network(best, architecture), size)


def test_a_row_for_each_size_and_method(tiny: Tiny, told: tuple[Path, Report]) -> None:
    rows = rows_of(told[1])
    parameters = tiny.single_space.architectures[0].parameter_count
    assert [(r["size"], r["method"]) for r in rows] == [(size, m) for size in (6, 64) for m in METHODS]
    assert [r["bytes"] for r in rows] == [24] * 3 + [256] * 3
    assert {r["compression"] for r in rows} == {parameters / 6, parameters / 64}
    assert [r["refining steps"] for r in rows] == [0, 2, 2] * 2
    assert {r["n"] for r in rows} == {3} and len({r["target"] for r in rows}) == 1
    for encoded, *others in (rows[:3], rows[3:]):
        assert encoded["refining rate"] is None
        assert all(r["gain"] == pytest.approx(r["after"] - r["before"]) for r in (encoded, *others))
    assert told[1].facts["adapted"] == {6: "latents 3, not 4"}


def test_the_table_says_what_evaluating_the_spaces_says(tiny: Tiny, told: tuple[Path, Report], runner: Runner) -> None:
    encoded, refined = rows_of(told[1])[3:5]
    space = load_space(told[0] / "64/space.safetensors")
    assert told[1].facts["space_sha256"][64] == space.sha256
    for row, steps in ((encoded, 0), (refined, 2)):
        found = evaluate(tiny.single_zoo, space, tiny.data, runner, refine_steps=steps).summary()
        assert (row["MAE"], row["agreement"]) == (found["mae"], found["agreement"])


def test_what_is_finished_is_not_done_again(
    tiny: Tiny, recipe: Recipe, told: tuple[Path, Report], runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    real = module._measured

    def noted(zoo: Zoo, space: Space, *rest: Any) -> object:
        measured.append(space.name)
        return real(zoo, space, *rest)

    monkeypatch.setattr(module, "_measured", noted)
    folder, first = told
    again = rate(tiny.single_zoo, folder, recipe, tiny.data, runner, sizes=(64, 6), scale=SCALE)
    assert not measured
    assert rows_of(again) == rows_of(first)[3:] + rows_of(first)[:3]
    with pytest.raises(ConfigError, match="runs with other settings: search"):
        rate(tiny.single_zoo, folder, recipe, tiny.data, runner, sizes=(6,), scale=replace(SCALE, search_steps=9))


def test_without_searching_the_rest_is_the_same(
    tiny: Tiny, recipe: Recipe, told: tuple[Path, Report], runner: Runner, tmp_path: Path
) -> None:
    report = rate(
        tiny.single_zoo, tmp_path, recipe, tiny.data, runner, sizes=(6,), scale=replace(SCALE, search_steps=0)
    )
    searching = ("search rate", "best step", "before", "after", "gain")
    for bare, full in zip(rows_of(report), rows_of(told[1])[:3], strict=True):
        assert all(bare[name] is None for name in searching)
        same = [name for name in bare if name not in (*searching, "seconds a network")]
        assert [bare[name] for name in same] == [full[name] for name in same]
    assert len(report.figures["figure"]().axes) == 2, "nothing was gained, and none is drawn"


def test_the_figure_has_a_line_for_each_method_and_one_for_strangers(told: tuple[Path, Report]) -> None:
    mae, agreement, gain = told[1].figures["figure"]().axes
    assert mae.get_xscale() == "log"
    rows = rows_of(told[1])
    for axis, column in ((mae, "MAE"), (agreement, "agreement"), (gain, "gain")):
        assert len(axis.get_lines()) >= len(METHODS)
        for line, method in zip(axis.get_lines(), METHODS, strict=False):
            wanted = [100 * r[column] for r in rows if r["method"] == method]
            assert np.asarray(line.get_xdata()).tolist() == [6, 64] and np.asarray(line.get_ydata()).tolist() == wanted
    peers = rows[0]["peers' agreement"]
    assert [np.asarray(line.get_ydata())[0] for line in agreement.get_lines()[3:]] == (
        [] if peers is None else [100 * peers]
    )


def test_a_size_is_cut_as_it_divides(recipe: Recipe) -> None:
    tokens = recipe_from({"backbone": {"latents": 32}})
    cut = {size: recipe_of_size(tokens, size).backbone for size in (4096, 64, 48, 67, 5)}
    assert {size: b.latents for size, b in cut.items() if isinstance(b, TokensSettings)} == {
        4096: 32,
        64: 32,
        48: 24,
        67: 1,
        5: 5,
    }
    conv = recipe_from({"backbone": {"kind": "conv"}})
    cut = {size: recipe_of_size(conv, size).backbone for size in (16384, 4096, 1024, 64, 96)}
    assert {size: b.side for size, b in cut.items() if isinstance(b, ConvSettings)} == {
        16384: 64,
        4096: 64,
        1024: 32,
        64: 8,
        96: 4,
    }
    assert recipe_of_size(conv, 1024).backbone.embedding_size == 1024
    assert adapted(conv, {size: recipe_of_size(conv, size) for size in (4096, 64)}) == {64: "side 8, not 64"}
    with pytest.raises(ConfigError, match="cannot read 100 values as pictures: 100 is not a multiple of 4 x 4"):
        recipe_of_size(conv, 100)


def test_what_measures_nothing_is_refused(tiny: Tiny, recipe: Recipe, runner: Runner, tmp_path: Path) -> None:
    def refused(
        match: str, zoo: Zoo = tiny.single_zoo, given: Recipe = recipe, sizes: tuple[int, ...] = (6, 64)
    ) -> None:
        with pytest.raises(ConfigError, match=match):
            rate(zoo, tmp_path / "out", given, tiny.data, runner, sizes=sizes, scale=SCALE)
        assert not list(tmp_path.iterdir()), "nothing is written"

    refused("has lenetlike, vanillacnn, resnet8; this experiment is for one", zoo=tiny.zoo)
    refused("sizes 6, 6: each must be above zero and given once", sizes=(6, 6))
    refused(r"sizes \(none\)", sizes=())
    table = recipe.model_dump()
    refused("the recipe refines by 0 steps", given=recipe_from({**table, "refine": {"steps": 0}}))
    conv = {"kind": "conv", "height": 16, "width": 2800}
    refused("cannot make embeddings of 48 values", given=recipe_from({**table, "backbone": conv}), sizes=(64, 48))
    untested = replace(tiny.single_zoo, instances=tiny.single_zoo.select(split="train"))
    refused("0 validation and 0 test instances", zoo=untested)


def test_the_start_is_where_it_is_to_be(tiny: Tiny, runner: Runner) -> None:
    """The best training instance has nothing to go for: it stays at zero, and agrees with itself."""
    parametrisation = subspace(tiny, 16)
    own = parametrisation.build(parametrisation.start)[None]
    found = fit(parametrisation, own, tiny.data, runner, AdamSchedule(3, 8, lr=1e-3), temperature=1.0)
    # Adam makes steps of its rate even from rounding errors.
    assert found.abs().max() <= 3e-3
    assert subspace_fit.agreements(parametrisation, parametrisation.start, own, tiny.data, "val", runner) == [1.0]


def test_fitting_brings_each_network_nearer(tiny: Tiny, runner: Runner) -> None:
    zoo, parametrisation = tiny.single_zoo, subspace(tiny, 4096)
    targets = torch.stack(zoo.weights(zoo.select(split="test"), parametrisation.architecture))
    found = fit(parametrisation, targets, tiny.data, runner, AdamSchedule(30, 20, lr=0.03), temperature=1.0)
    images, _ = tiny.data.batch("val", slice(None))

    def far(target: torch.Tensor, variables: torch.Tensor) -> float:
        with torch.no_grad():
            answers = (
                parametrisation.architecture.run(v, images) for v in (parametrisation.build(variables[None]), target)
            )
            return distillation(*answers, temperature=1.0).item()

    for target, variables in zip(targets, found, strict=True):
        assert far(target, variables) < 0.7 * far(target, parametrisation.start[0])
    alone = fit(parametrisation, targets[1:2], tiny.data, runner, AdamSchedule(30, 20, lr=0.03), temperature=1.0)
    torch.testing.assert_close(alone[0], found[1], rtol=1e-3, atol=1e-4)


def test_the_images_are_those_of_refining(tiny: Tiny, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[torch.Tensor] = []
    real = ImageData.augmented

    def noted(self: ImageData, *args: Any, **given: Any) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = real(self, *args, **given)
        drawn.append(images)
        return images, labels

    monkeypatch.setattr(ImageData, "augmented", noted)
    zoo, parametrisation = tiny.single_zoo, subspace(tiny, 16)
    network = zoo.network(zoo.select(split="test")[0], parametrisation.architecture)
    encode([network], tiny.single_space, runner, data=tiny.data, refine_steps=2)
    refining = drawn[:]
    drawn.clear()
    schedule = tiny.single_space.recipe.refine.adam_schedule()
    fit(parametrisation, network.weights[None], tiny.data, runner, schedule, temperature=1.0)
    assert len(drawn) == len(refining) == 2
    assert all(torch.equal(a, b) for a, b in zip(drawn, refining, strict=True))


def test_no_test_split_chooses(tiny: Tiny, recipe: Recipe, runner: Runner) -> None:
    """Other test images and other test instances: the same rate."""
    zoo, architecture = tiny.single_zoo, tiny.single_space.architectures[0]
    before = fit_held_out(zoo, architecture, 16, recipe, tiny.data, runner)
    dark = Split(torch.zeros_like(tiny.data.splits["test"].images), tiny.data.splits["test"].labels)
    data = replace(tiny.data, splits={**tiny.data.splits, "test": dark})
    fewer = replace(zoo, instances=tuple(i for i in zoo.instances if i != zoo.select(split="test")[0]))
    after = fit_held_out(fewer, architecture, 16, recipe, data, runner)
    assert after.lr == before.lr
    torch.testing.assert_close(after.embeddings, before.embeddings[1:], rtol=1e-3, atol=1e-4)


def test_the_subspace_is_around_the_best_by_validation(tiny: Tiny, recipe: Recipe, runner: Runner) -> None:
    zoo, architecture = tiny.single_zoo, tiny.single_space.architectures[0]
    best = max(zoo.select(split="train"), key=lambda i: i.accuracy["val"])
    worst = min(zoo.select(split="train"), key=lambda i: i.accuracy["val"])
    assert best.accuracy["val"] > worst.accuracy["val"]
    fitted = fit_held_out(zoo, architecture, 16, recipe, tiny.data, runner)
    assert fitted.parametrisation.start.shape == (1, 16) and fitted.embeddings.shape == (3, 16)
    (wanted,) = zoo.weights([best], architecture)
    assert torch.equal(fitted.parametrisation.build(fitted.parametrisation.start), wanted)


def test_another_rate_falls_as_far() -> None:
    assert astuple(at_rate(AdamSchedule(3, 8, 0.02, 0.001), 0.2)) == (3, 8, 0.2, pytest.approx(0.01))


def test_fits_are_scored_on_the_test_images(tiny: Tiny, recipe: Recipe, runner: Runner) -> None:
    zoo, architecture = tiny.single_zoo, tiny.single_space.architectures[0]
    known = evaluate(zoo, tiny.single_space, tiny.data, runner).instances
    fitted = fit_held_out(zoo, architecture, 16, recipe, tiny.data, runner)
    targets = torch.stack(zoo.weights(zoo.select(split="test"), architecture))
    found = evaluate_fits(fitted, known, targets, tiny.data, runner).instances
    assert [(e.id, e.target_accuracy, e.unrelated_agreement) for e in found] == [
        (e.id, e.target_accuracy, e.unrelated_agreement) for e in known
    ]
    exact = replace(fitted, parametrisation=replace(fitted.parametrisation, build=lambda z: targets[int(z[0, 0])]))
    exact = replace(exact, embeddings=torch.arange(3.0)[:, None])
    for e in evaluate_fits(exact, known, targets, tiny.data, runner).instances:
        assert (e.agreement, e.predicted_accuracy) == (1.0, e.target_accuracy)


def test_the_rate_is_sought_past_the_end_of_what_was_tried() -> None:
    def seek(best: float) -> tuple[float, list[float]]:
        asked: list[float] = []

        def nearness(lr: float) -> tuple[float, ...]:
            asked.append(lr)
            return (-abs(lr - best),)

        return best_rate(nearness, 1.0), asked

    assert seek(1.0) == (1.0, [1 / 3, 1.0, 3.0])
    chosen, asked = seek(9.0)
    assert chosen == pytest.approx(9) and max(asked) == pytest.approx(27)
    chosen, asked = seek(0.0)
    assert len(asked) == MOST_RATES and chosen == min(asked)


def test_a_rate_that_diverges_is_not_chosen(
    tiny: Tiny, recipe: Recipe, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = subspace_fit.fit

    def fragile(
        parametrisation: Parametrisation,
        targets: torch.Tensor,
        data: ImageData,
        runner: Runner,
        schedule: AdamSchedule,
        **given: Any,
    ) -> object:
        if schedule.lr > 0.01:
            raise RunFailed("the loss is not finite.")
        return real(parametrisation, targets, data, runner, schedule, **given)

    monkeypatch.setattr(subspace_fit, "fit", fragile)
    found = fit_held_out(tiny.single_zoo, tiny.single_space.architectures[0], 16, recipe, tiny.data, runner)
    assert found.lr <= 0.01


def test_searching_starts_where_the_network_is_told(
    tiny: Tiny, recipe: Recipe, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[tuple[str, Parametrisation]] = []
    real = module.tuned

    def noted(kind: str, parametrisation: Parametrisation, *args: Any, **given: Any) -> object:
        starts.append((kind, parametrisation))
        return real(kind, parametrisation, *args, **given)

    monkeypatch.setattr(module, "tuned", noted)
    space, zoo = tiny.single_space, tiny.single_zoo
    architecture = space.architectures[0]
    fitted = fit_held_out(zoo, architecture, 64, recipe, tiny.data, runner)
    scale = replace(SCALE, refine_steps=2)
    found = module._searches(zoo, space, fitted, tiny.data, runner, scale, None)
    assert tuple(found) == METHODS
    median = by_validation(zoo, architecture.name, "test")[1]
    network: Network = zoo.network(median, architecture)
    assert [kind for kind, _ in starts] == ["space", "space", "random subspace"]
    for (_, parametrisation), steps in zip(starts, (0, 2), strict=False):
        told = encode([network], space, runner, data=tiny.data, refine_steps=steps).vectors
        assert torch.equal(parametrisation.start, told)
    row = [i.id for i in zoo.select(split="test")].index(median.id)
    assert torch.equal(starts[2][1].start[0], fitted.embeddings[row])


def test_strangers_are_a_line_and_what_is_not_known_a_gap() -> None:
    curves = {"learnt": [Point(16, 0.1, 0.7), Point(64, None, None)]}
    mae, agreement = fidelity_over_size(curves, 0.5).axes
    line, strangers = agreement.get_lines()
    assert set(np.asarray(strangers.get_ydata())) == {50.0}
    assert np.asarray(line.get_ydata()).tolist() == pytest.approx([70, float("nan")], nan_ok=True)
    assert len(mae.get_lines()) == 1 and [t.get_text() for t in mae.get_xticklabels()] == ["16", "64"]
