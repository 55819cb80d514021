"""A budget: what there is time for, and what it is measured by."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import pytest

from netspace_cli.core.merging import starts
from netspace_cli.core.merging.budget import BY_PROMISE, FIRST_STEPS, STEP_COST, Budget, Costs, costs_of
from netspace_cli.core.merging.judge import Judge, judge_of
from netspace_cli.core.merging.lessons import views_of
from netspace_cli.core.merging.panel import seat
from netspace_cli.core.merging.plan import WAYS
from netspace_cli.core.runtime.runner import Runner
from tests.worlds import Tiny

SIX = ["labels-from-best", "from-best", "from-mean", "space-from-mean", "from-fresh", "space-from-best"]
FREE = Costs(asking=0.0, look=0.0, choice=0.0, judging=0.0, step=0.0)


def budget(seconds: float | None, costs: Costs | None) -> Budget:
    return Budget(seconds, perf_counter(), costs)


def test_every_way_has_its_turn() -> None:
    assert sorted(BY_PROMISE) == sorted(WAYS)


def test_without_a_limit_there_is_time_for_everything() -> None:
    endless = budget(None, None)
    assert endless.begins(1000, 0.9) and endless.enough_for(SIX) == 6 and endless.left > 1e9


def test_a_way_without_steps_is_begun_while_enough_is_left() -> None:
    costs = replace(FREE, choice=1.0, judging=10.0)
    assert budget(50.0, costs).begins(14, 0.5) and not budget(50.0, costs).begins(16, 0.5)
    assert budget(50.0, costs).begins(39, 0.0) and not budget(50.0, costs).begins(41, 0.0)
    assert not Budget(50.0, perf_counter() - 20.0, costs).begins(0, 0.5)


def test_fewer_ways_are_taught_where_each_costs_more() -> None:
    def taught(**costs: float) -> int:
        return budget(100.0, replace(FREE, **{"asking": 1000.0, **costs})).enough_for(SIX)

    # A quarter of the time is for asking, where asking takes longer.
    assert taught() == 6 and taught(judging=14.0, asking=1.0) == 6
    assert [taught(judging=each) for each in (12.0, 14.0, 30.0, 74.0, 76.0)] == [6, 5, 2, 1, 0]
    assert [taught(look=each) for each in (6.0, 6.5, 37.0, 38.0)] == [6, 5, 1, 0]
    assert [taught(step=each / FIRST_STEPS) for each in (2.0, 2.2, 18.0, 74.0, 370.0, 380.0)] == [6, 5, 2, 1, 1, 0]


def test_two_rates_of_a_way_are_judged_once() -> None:
    short = budget(100.0, replace(FREE, judging=40.0))
    assert short.enough_for(["from-best", "from-best"]) == 2 and short.enough_for(SIX[:3]) == 2
    assert 19 < short.for_steps(2, 2) < 20 and 59 < short.for_steps(2, 1) < 60


def test_costs_are_measured_on_the_result(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call takes 20 ms and each image 1 ms: the former does not count for every image."""
    members = [tiny.single_zoo.network(i, tiny.single_zoo.architectures()[0]) for i in tiny.single_zoo.instances[:2]]
    runner = Runner("cpu")
    judge, _ = judge_of(seat(members, tiny.data, runner, choose=False), tiny.data, runner, None)
    train, held_out, test = (len(tiny.data.splits[split]) for split in ("train", "val", "test"))

    def slow(judge: Judge, network: object, most: int) -> None:
        now[0] += 0.02 + 0.001 * most

    now = [0.0]
    monkeypatch.setattr(Judge, "answers_in_training", slow)
    monkeypatch.setattr(starts, "perf_counter", lambda: now[0])
    found = costs_of(members[0].architecture, judge, 8)
    assert found.look == found.choice == pytest.approx(0.02 + 0.001 * held_out)
    assert found.asking == pytest.approx(judge.pace * train * views_of(tiny.data) * 2)
    assert found.judging == pytest.approx(found.choice + 0.02 + 0.001 * test)
    assert found.step == pytest.approx(STEP_COST * 0.028)
