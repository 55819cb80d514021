"""Samples beside trained networks: every run is kept, the criteria are what they say, what cannot be drawn is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from netspace_models.errors import ConfigError, RunFailed

from netspace_cli.core.experiments.report import Report
from netspace_cli.core.experiments.sampling import runs as module
from netspace_cli.core.experiments.sampling.experiment import sampling
from netspace_cli.core.experiments.sampling.runs import VARIANTS, Sampling
from netspace_cli.core.experiments.sampling.sampling_figure import accuracy_and_novelty, look_of
from netspace_cli.core.experiments.sampling.tables import (
    Group,
    criteria_of,
    criteria_table,
    grouped,
    points_of,
    sampling_table,
)
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.sampling.methods import Method
from netspace_cli.core.sampling.population import Population
from netspace_cli.core.sampling.sample import Samples
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.spaces.space import Space
from tests.worlds import Stopper, Tiny

PLAN = Sampling(count=2, draws=2, methods=("kde", "kde-one-seed", "starts"), top=1.0)
RIVALS = ["noise copies", "aligned mixes", "aligned soups"]


@pytest.fixture
def runner() -> Iterator[Runner]:
    with Runner("cpu") as runner:
        yield runner


def run(tiny: Tiny, folder: Path, runner: Runner, plan: Sampling = PLAN, **sources: Any) -> Report:
    return sampling(tiny.single_zoo, folder, sources or {"one": tiny.single_space}, tiny.data, runner, plan=plan)


def rows_of(report: Report, name: str) -> list[dict[str, Any]]:
    (table,) = (t for t in report.tables if t.name == name)
    return [dict(zip((c.name for c in table.columns), row, strict=True)) for row in table.rows]


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()[1:]]


@pytest.fixture(scope="module")
def drawn(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    folder = tmp_path_factory.mktemp("drawn")
    with Runner("cpu") as runner:
        return folder, run(tiny, folder, runner)


def test_each_method_has_a_row_and_each_network_a_point(drawn: tuple[Path, Report]) -> None:
    folder, report = drawn
    rows = rows_of(report, "sampling")
    assert [(r["space"], r["networks"], r["draws"], r["n"]) for r in rows] == [
        *(("", "training instances", 1, 2), ("", "all learnt from", 1, 3)),
        *(("", name, 2, 2) for name in RIVALS),
        *(("one", "kde", 2, 2), ("one", "kde-one-seed", 2, 2)),
    ]
    lines = [line for line in log_of(folder) if line.get("method") == "kde"]
    assert [line["draw"] for line in lines] == [0, 1] and lines[0]["row"]["spread"] != lines[1]["row"]["spread"]
    members = [mean(line["accuracies"]) for line in lines]
    (row,) = (r for r in rows if r["networks"] == "kde")
    assert row["members"] == pytest.approx(mean(members)) and row["sd of members"] == pytest.approx(stdev(members))
    assert len(list(points_of(Group("one", "kde", tuple(lines))))) == 4
    assert len(report.figures["figure"]().axes) == 1
    (remark,) = report.facts["remarks"]
    assert remark.startswith("starts is left out: space")


def test_what_embeddings_decode_to_is_beside_the_instances(tiny: Tiny, drawn: tuple[Path, Report]) -> None:
    training, unseen = rows_of(drawn[1], "reconstruction")
    assert (training["instances"], training["n"], unseen["instances"], unseen["n"]) == ("training", 3, "unseen", 3)
    known = mean(i.accuracy["test"] for i in tiny.single_zoo.select(split="test"))
    assert unseen["instances' accuracy"] == pytest.approx(known) and 0 < unseen["decoded"] < 1


def test_what_is_finished_is_not_done_again(
    tiny: Tiny, drawn: tuple[Path, Report], runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, first = drawn
    made = (folder / "runs.jsonl").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(module, "Judge", None)
        patch.setattr(module, "test_logits", None)
        assert run(tiny, folder, runner).tables == first.tables
    assert (folder / "runs.jsonl").read_bytes() == made
    with pytest.raises(ConfigError, match=r"runs with other settings: count \(2, now 3\)"):
        run(tiny, folder, runner, Sampling(3, 2, ("kde",), 1.0))


def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    tiny: Tiny, drawn: tuple[Path, Report], tmp_path: Path, stopper: type[Stopper]
) -> None:
    # Of 3 + 3 that are decoded, 3 that are judged beside, and 4 of each draw.
    with pytest.raises(KeyboardInterrupt), Runner("cpu", progress=stopper(18)) as runner:
        run(tiny, tmp_path, runner)
    done = log_of(tmp_path)
    assert 0 < len(done) < len(log_of(drawn[0]))
    with Runner("cpu") as runner:
        assert run(tiny, tmp_path, runner).tables == drawn[1].tables
    assert log_of(tmp_path)[: len(done)] == done


def test_several_starts_are_drawn_and_polished_beside_fresh_networks(
    tiny: Tiny, tmp_path: Path, runner: Runner
) -> None:
    table = tiny.recipe.model_dump()
    table["space"] |= {"starts": 2}
    table["train"] |= {"steps": 2, "validate_every": 2}
    plan = Sampling(2, 1, ("starts",), 1.0, polish=2)
    report = run(tiny, tmp_path, runner, plan, mine=recipe_from(table), other=tiny.single_space)
    assert (tmp_path / "spaces/mine/space.safetensors").is_file()
    rows = {(r["space"], r["networks"]): r for r in rows_of(report, "sampling")}
    images = 2 * tiny.single_space.recipe.lso.images
    assert rows["mine", "starts"]["images"] == 0
    assert rows["mine", "starts-polished"]["images"] == rows["", "fresh networks"]["images"] == images
    assert ("other", "starts") not in rows and len(report.facts["remarks"]) == 1


def test_a_draw_that_fails_keeps_its_place(
    tiny: Tiny, tmp_path: Path, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.sample_from

    def failing(
        population: Population, space: Space, count: int, method: Method, runner: Runner, *, top: float = 1.0
    ) -> Samples:
        if method.name == "kde-one-seed":
            raise RunFailed("nothing came of it.")
        return real(population, space, count, method, runner, top=top)

    monkeypatch.setattr(module, "sample_from", failing)
    report = run(tiny, tmp_path, runner)
    failed = rows_of(report, "criteria")[1]
    assert (failed["method"], failed["members"], failed["passed"]) == ("kde-one-seed", None, "nothing came of it.")
    assert failed["all four"] == "no" and "one, kde-one-seed, draw 1: nothing came of it." in report.facts["remarks"]


def planted(name: str, *draws: tuple[float, float, float, float | None]) -> Group:
    """A group of draws: members, ensemble, overlap, spread."""
    names = ("members", "ensemble", "overlap", "spread")
    rest = {"networks": 10, "agreement": 0.5, "distance": 1.0, "images": 0}
    rows = [{**dict(zip(names, values, strict=True)), **rest} for values in draws]
    return grouped("s", [{"method": name, "draw": i, "row": row} for i, row in enumerate(rows)])[0]


TOP, ALL = planted("top", (0.95, 0.97, 0.5, None)), planted("all", (0.9, 0.96, 0.4, None))


@pytest.mark.parametrize(
    ("values", "passed"),
    [
        ((0.896, 0.968, 0.449, 0.81), {"members", "ensemble", "overlap", "spread"}),
        ((0.894, 0.968, 0.449, 1.19), {"ensemble", "overlap", "spread"}),
        ((0.896, 0.966, 0.449, 1.0), {"members", "overlap", "spread"}),
        ((0.896, 0.968, 0.451, 1.0), {"members", "ensemble", "spread"}),
        ((0.896, 0.968, 0.449, 0.79), {"members", "ensemble", "overlap"}),
        ((0.896, 0.968, 0.449, 1.21), {"members", "ensemble", "overlap"}),
        ((0.896, 0.968, 0.449, None), {"members", "ensemble", "overlap"}),
    ],
)
def test_criteria_are_of_all_learnt_from_and_of_the_top_ensemble(
    values: tuple[float, float, float, float | None], passed: set[str]
) -> None:
    group = planted("kde", values)
    found = criteria_of(group, TOP, ALL)
    assert found is not None and {name for name, yes in found.passed().items() if yes} == passed
    row = criteria_table([group], TOP, ALL).rows[0]
    assert row[-1] == ("yes" if len(passed) == 4 else "no")
    assert row[2:4] == pytest.approx((values[0] - 0.9, values[1] - 0.97))


def test_criteria_go_by_the_mean_over_draws() -> None:
    uneven = planted("kde", (0.88, 0.97, 0.3, 0.6), (0.92, 0.97, 0.5, 1.4))
    assert criteria_table([uneven], TOP, ALL).rows[0][-1] == "yes"
    (row,) = sampling_table([uneven]).rows
    assert row[:4] == ("s", "kde", 2, 10) and row[4:6] == pytest.approx((0.9, stdev((0.88, 0.92))))
    assert criteria_of(Group("s", "kde", (), ("failed",)), TOP, ALL) is None


def test_no_two_methods_look_alike() -> None:
    looks = [look_of(k) for k in range(len(VARIANTS) + 1)]
    assert len(set(looks)) == len(looks)


def test_every_point_is_inside_its_panel() -> None:
    pairs = {"good": [(0.3, 0.9), (0.4, 0.95)], "chance": [(0.05, 0.1), (0.1, 0.12)]}
    spaces = {
        name: [Group(name, "kde", ({"overlaps": [o for o, _ in found], "accuracies": [a for _, a in found]},))]
        for name, found in pairs.items()
    }
    figure = accuracy_and_novelty("title", spaces, spaces["good"])
    (low, high), (left, right) = figure.axes[1].get_ylim(), figure.axes[1].get_xlim()
    assert low < 10 and high > 95 and left < 0.6 and right > 0.95
    assert figure.axes[0].get_ylim() == (low, high)
    assert figure.axes[0].get_ylabel() == "test accuracy (%)" and "novelty" in figure.axes[1].get_xlabel()


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (Sampling(methods=("kdee",)), "unknown method 'kdee'. Did you mean kde?"),
        (Sampling(methods=("zzz",)), "unknown method 'zzz'. Known: kde, kde-narrow, kde-one-seed,"),
        (Sampling(count=1), "cannot compare 8 methods with 3 draws of 1 networks and 0 steps of polishing"),
        (Sampling(draws=0), "0 draws of 10"),
        (Sampling(methods=()), "0 methods"),
    ],
)
def test_what_compares_nothing_is_refused(
    tiny: Tiny, tmp_path: Path, runner: Runner, plan: Sampling, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        run(tiny, tmp_path / "out", runner, plan)
    with pytest.raises(ConfigError, match="there is no space to draw from"):
        sampling(tiny.single_zoo, tmp_path / "out", {}, tiny.data, runner, plan=PLAN)
    assert not (tmp_path / "out").exists()
