"""Draws of members: each is kept, a stop costs nothing, and the share of the gain is what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from netspace_models.errors import ConfigError, WrongSpace

from netspace_cli.core.experiments.merging import runs as module
from netspace_cli.core.experiments.merging.experiment import merging
from netspace_cli.core.experiments.merging.merging_figure import gain_by_way, has_points
from netspace_cli.core.experiments.merging.runs import Merging, pool_of
from netspace_cli.core.experiments.merging.tables import merging_table, remarks_on, share_of
from netspace_cli.core.experiments.report import Report
from netspace_cli.core.merging import answers
from netspace_cli.core.merging.merge import merge
from netspace_cli.core.runtime.runner import Runner
from tests.worlds import Tiny

PLAN = Merging(count=2, draws=2, top=1.0, steps=2)


@pytest.fixture
def runner() -> Iterator[Runner]:
    with Runner("cpu") as runner:
        yield runner


def run(tiny: Tiny, folder: Path, runner: Runner, plan: Merging = PLAN) -> Report:
    return merging(tiny.single_zoo, folder, tiny.data, runner, plan=plan)


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()[1:]]


def a_run(best: float, ensemble: float, own: float, labels: bool = True, draw: int = 0) -> dict[str, Any]:
    tests = {"best": best, "ensemble": ensemble, "from-best": own}
    ways = {name: {"test": test, "images": 8, "seconds": 1.0} for name, test in tests.items()}
    return {"labels": labels, "draw": draw, "written": "from-best", "ways": ways}


def test_shares_are_of_the_gain_over_the_best_member() -> None:
    runs = [a_run(0.5, 0.6, 0.55), a_run(0.5, 0.7, 0.7), a_run(0.5, 0.5, 0.6)]
    assert [share_of(each, "written") for each in runs] == [pytest.approx(0.5), pytest.approx(1.0), None]
    assert share_of(runs[0], "best") == 0 and share_of(runs[0], "ensemble") == 1
    assert share_of(runs[0], "from-fresh") is None
    rows = [dict(zip((c.name for c in merging_table(runs).columns), r, strict=True)) for r in merging_table(runs).rows]
    written = rows[-1]
    assert (written["way"], written["draws"], written["gain kept"]) == ("written", 3, pytest.approx(0.75))
    assert written["test"] == pytest.approx(1.85 / 3) and written["gaining"] == 2
    assert [row["written"] for row in rows] == [0, 0, 3, 3]
    figure = gain_by_way("a", [*runs, a_run(0.5, 0.6, 0.55, labels=False)])
    assert [axes.get_title() for axes in figure.axes] == ["with labels", "without labels"]


def test_another_best_member_without_labels_is_told() -> None:
    runs = [a_run(0.5, 0.6, 0.55, labels, draw) for draw in range(3) for labels in (True, False)]
    assert remarks_on(runs) == []
    others = [*runs[:4], a_run(0.5, 0.6, 0.55, draw=2), a_run(0.4, 0.6, 0.55, labels=False, draw=2)]
    (said,) = remarks_on(others)
    assert said.startswith("In 1 of 3 draws the best member with labels is another one than without")
    assert said.endswith("compare accuracies between the two, not gains kept.")
    assert remarks_on(others[:-1]) == [], "nothing to compare"


def test_what_gains_little_or_nothing_is_told_and_drawn_at_the_edge() -> None:
    nothing, little, far = a_run(0.5, 0.5, 0.6), a_run(0.5, 0.505, 0.1), a_run(0.5, 0.6, 0.55)
    assert remarks_on([far]) == []
    first, second = remarks_on([nothing, little, far])
    assert first == "In 1 of 3 merges the ensemble gains nothing; they have no gain kept."
    assert second.startswith("In 1 of 3 merges the ensemble gains less than 1 %")
    assert not has_points([nothing]) and has_points([nothing, little])
    (axes,) = gain_by_way("a", [nothing, little, far]).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["from-best", "written"]
    assert axes.get_xlabel() == "gain kept (%), arrows: -100 or less"
    assert gain_by_way("a", [far]).axes[0].get_xlabel() == "gain kept (%)"
    drawn = [np.asarray(points.get_offsets())[:, 0] for points in axes.collections]
    assert [each.tolist() for each in drawn] == [[pytest.approx(50)], [-100], [pytest.approx(50)], [-100]]


def test_draws_are_kept_and_do_not_depend_on_how_many_there_are(tiny: Tiny, tmp_path: Path, runner: Runner) -> None:
    run(tiny, tmp_path / "a", runner, replace(PLAN, draws=1, labels="yes"))
    report = run(tiny, tmp_path / "a", runner)
    run(tiny, tmp_path / "b", runner)
    key = ("draw", "labels", "members", "written", "accuracies")
    found, other = ([[line[k] for k in key] for line in log_of(tmp_path / name)] for name in "ab")
    assert len(found) == 4 and found == other and all(len(set(line[2])) == 2 for line in found)
    (table,) = report.tables
    assert {row[0] for row in table.rows} == {"yes", "no"}


def test_a_stopped_experiment_goes_on(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Runner("cpu") as runner:
        plan = replace(PLAN, method="mean", labels="yes")
        run(tiny, tmp_path, runner, replace(plan, draws=1))
        asked = Mock(wraps=merge)
        monkeypatch.setattr(module, "merge", asked)
        run(tiny, tmp_path, runner, plan)
        assert asked.call_count == 1, "the first draw was there"


def test_a_member_of_several_draws_is_asked_once(
    tiny: Tiny, tmp_path: Path, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Mock(wraps=answers.logits_of)
    monkeypatch.setattr(answers, "logits_of", asked)
    run(tiny, tmp_path, runner, replace(PLAN, method="mean", draws=3))
    drawn = {name for line in log_of(tmp_path) for name in line["members"]}
    assert asked.call_count == 2 * len(drawn) < 2 * 6 * PLAN.count


def test_draws_become_another_architecture_beside_their_own(tiny: Tiny, tmp_path: Path, runner: Runner) -> None:
    plan = replace(PLAN, draws=1, labels="yes", method="from-fresh")
    run(tiny, tmp_path, runner, plan)
    report = run(tiny, tmp_path, runner, replace(plan, into="vanillacnn"))
    own, other = log_of(tmp_path)
    assert own["members"] == other["members"] and [own["into"], other["into"]] == [None, "vanillacnn"]
    assert "to vanillacnn: zoo" in report.name
    (table,) = report.tables
    ways = [row[1] for row in table.rows if row[1] != "chosen ensemble"]
    assert ways == ["best member", "ensemble", "from-fresh", "written"]
    assert share_of(other, "best member") in (0, None) and share_of(own, "best") == share_of(other, "best member")
    assert own["ways"]["best"]["test"] == other["ways"]["best member"]["test"]
    run(tiny, tmp_path, runner, replace(plan, into="lenetlike"))
    assert len(log_of(tmp_path)) == 2, "the members' own is what they become anyway"


def test_what_no_draw_could_do_is_refused_before_the_folder_is_taken(
    tiny: Tiny, tmp_path: Path, runner: Runner
) -> None:
    for into, method, space in (("vanillacnn", "from-best", None), ("resnet20", None, tiny.space)):
        with pytest.raises((ConfigError, WrongSpace)) as refusal:
            plan = replace(PLAN, into=into, method=method)
            merging(tiny.single_zoo, tmp_path / "out", tiny.data, runner, plan=plan, space=space)
        assert into in str(refusal.value) and not (tmp_path / "out").exists()


def test_members_are_drawn_from_the_best(tiny: Tiny) -> None:
    zoo = tiny.single_zoo
    ranked = sorted(zoo.instances, key=lambda i: -i.accuracy["val"])
    assert {i.id for i in pool_of(zoo, replace(PLAN, top=0.5))} == {i.id for i in ranked[: round(len(ranked) / 2)]}
    with pytest.raises(ConfigError, match="a draw has 9") as refusal:
        pool_of(zoo, replace(PLAN, count=9))
    assert "Draw fewer" in refusal.value.hint
    with pytest.raises(ConfigError, match="has 3 architectures"):
        pool_of(tiny.zoo, PLAN)
    with pytest.raises(ConfigError, match="1 draws of 1 members are nothing to merge"):
        Merging(count=1, draws=1).check()
