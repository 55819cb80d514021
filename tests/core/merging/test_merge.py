"""Merging: every way beside the others, the same for the same seed, one network in the end."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from netspace_models.architectures import build
from netspace_models.errors import ConfigError, Interrupted, RunFailed, WrongSpace
from netspace_models.parameters.alignment import align_weights
from netspace_models.training.losses import ensemble_logits
from torch import Tensor

from netspace_cli.core.data.images import ImageData, Split
from netspace_cli.core.data.normalise import Normalisation
from netspace_cli.core.encoding.decode import decode_row
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.merging import budget as budgets
from netspace_cli.core.merging import judge as judging
from netspace_cli.core.merging import panel
from netspace_cli.core.merging import ways as module
from netspace_cli.core.merging.answers import on_split
from netspace_cli.core.merging.budget import Costs
from netspace_cli.core.merging.distil import Distilling, distil_by_halving, halvings, most_steps
from netspace_cli.core.merging.judge import Judge, Scores, judge_of
from netspace_cli.core.merging.lessons import lessons_of
from netspace_cli.core.merging.means import aligned, greedy_mean, mean_of
from netspace_cli.core.merging.merge import Merged, gain_kept, merge, target_of
from netspace_cli.core.merging.panel import seat
from netspace_cli.core.merging.plan import BEST_MEMBER, DISTILLING, ENSEMBLE, ON_SPACE, RATES, WAYS, MergePlan
from netspace_cli.core.merging.starts import Starts
from netspace_cli.core.merging.students import EmbeddingStudent, fresh_student
from netspace_cli.core.networks.network import Network
from netspace_cli.core.networks.scores import accuracy, agreement, labels_of, logits_of
from netspace_cli.core.runtime.progress import Silent
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.stop import StopRequest
from tests.small_networks import seeded
from tests.worlds import Tiny, Watcher

FEW = MergePlan(steps=4, images=8, choose_members=False)


def members_of(tiny: Tiny, *archs: str) -> list[Network]:
    known = {a.name: a for a in tiny.zoo.architectures()}
    return [tiny.zoo.network(i, known[i.arch]) for i in tiny.zoo.instances if not archs or i.arch in archs]


def names(found: Merged) -> set[str]:
    return {way.name for way in found.ways}


def same(a: Merged, b: Merged) -> bool:
    ways = [[replace(way, seconds=0.0) for way in each.ways] for each in (a, b)]
    return ways[0] == ways[1] and torch.equal(a.network.weights, b.network.weights)


def test_every_way_is_tried_and_the_best_kept(tiny: Tiny) -> None:
    members = members_of(tiny, "resnet8")
    found = merge(members, tiny.data, Runner("cpu"), space=tiny.space, plan=FEW)
    assert names(found) == {*WAYS, ENSEMBLE} and found.left_out == {}
    assert [way.name for way in found.ways if way.chosen] == [found.method]
    alone = {way.name: way.scores.choice for way in found.ways if not way.name.endswith(ENSEMBLE)}
    assert alone[found.method] == max(alone.values())
    logits = logits_of(found.network.architecture, found.network.weights, tiny.data, "test", Runner("cpu"))
    way = found.way(found.method)
    assert way is not None and way.scores.test == accuracy(logits, labels_of(tiny.data, "test"))
    together = ensemble_logits(logits_of(m.architecture, m.weights, tiny.data, "test", Runner("cpu")) for m in members)
    ensemble = found.way(ENSEMBLE)
    assert ensemble is not None and ensemble.scores.test == accuracy(together, labels_of(tiny.data, "test"))
    assert way.scores.agreement == agreement(logits, together) and ensemble.scores.agreement == 1
    assert {way.steps for way in found.ways if "from-" in way.name} == {4}
    assert {way.images for way in found.ways if "from-" in way.name} == {32}


def three(tiny: Tiny) -> list[Network]:
    """Networks that differ, since they are drawn."""
    architecture = build("lenetlike", tiny.data.io)
    size = architecture.parameter_count
    return [Network(architecture, 0.2 * torch.randn(size, generator=seeded(i)), source=f"{i}") for i in range(3)]


def labelled_by(data: ImageData, **answerers: Network) -> ImageData:
    """The images with a network's answers as labels, split by split."""
    splits = dict(data.splits)
    for name, network in answerers.items():
        logits = logits_of(network.architecture, network.weights, data, name, Runner("cpu"))
        splits[name] = Split(data.splits[name].images, logits.argmax(1))
    return replace(data, splits=splits)


def test_validation_alone_chooses(tiny: Tiny) -> None:
    members = three(tiny)
    data = labelled_by(tiny.data, val=members[1], test=members[2])
    found = merge(members, data, Runner("cpu"), plan=replace(FEW, lr=0.3))
    best = found.way("best")
    assert best is not None and best.note == "1" and best.scores.validation == 1.0 and found.method == "best"
    assert torch.equal(found.network.weights, members[1].weights) and found.accuracies[2] == 1.0
    assert found.teachers[0] == 1 and not found.gain


def test_without_labels_agreement_on_validation_images_chooses(tiny: Tiny) -> None:
    members = three(tiny)
    found = merge(members, tiny.data.without_labels(), Runner("cpu"), plan=replace(FEW, lr=0.3))
    said = [logits_of(m.architecture, m.weights, tiny.data, "val", Runner("cpu")) for m in members]
    wanted = ensemble_logits(said)
    best = found.way("best")
    assert best is not None and best.scores.choice == max(agreement(each, wanted) for each in said) < 1
    own = logits_of(found.network.architecture, found.network.weights, tiny.data, "val", Runner("cpu"))
    choices = {way.name: way.scores.choice for way in found.ways if way.name != ENSEMBLE}
    assert choices[found.method] == max(choices.values()) == agreement(own, wanted)


def test_the_best_member_of_another_architecture_is_shown_and_not_written(tiny: Tiny) -> None:
    members = three(tiny)
    data = labelled_by(tiny.data, val=members[1], test=members[2])
    plan = replace(FEW, method="from-fresh")
    found = merge(members, data, Runner("cpu"), architecture=build("resnet8", tiny.data.io), plan=plan)
    best = found.way(BEST_MEMBER)
    assert best is not None and best.note == "1" and best.scores.validation == 1.0 and found.method == "from-fresh"
    assert best.scores.test == found.accuracies[1] and found.way("best") is None
    ensemble, own = found.way(ENSEMBLE), found.way("from-fresh")
    assert ensemble is not None and own is not None
    assert found.gain == gain_kept(best.scores.test, ensemble.scores.test, own.scores.test)
    assert found.tests == (best.scores.test, ensemble.scores.test, own.scores.test)
    mixed = merge(
        [*members, *members_of(tiny, "resnet8")],
        data,
        Runner("cpu"),
        architecture=build("resnet8", tiny.data.io),
        plan=plan,
    )
    weaker = mixed.way("best")
    assert weaker is not None and weaker.scores.choice < best.scores.choice and mixed.tests[0] == best.scores.test
    alike = merge(members, data, Runner("cpu"), plan=plan)
    assert alike.way(BEST_MEMBER) is None and alike.way("best") is not None


def test_a_seed_gives_the_same_bits_and_another_seed_others(tiny: Tiny) -> None:
    members = members_of(tiny, "lenetlike")
    one, again, other = (merge(members, tiny.data, Runner("cpu", seed=s), plan=FEW) for s in (1, 1, 2))
    assert same(one, again) and not same(one, other)


def test_one_method_alone_is_what_it_is_among_all(tiny: Tiny) -> None:
    members = members_of(tiny, "lenetlike")
    every = merge(members, tiny.data, Runner("cpu"), plan=FEW)
    for method in ("aligned-mean", "from-best", "best"):
        alone = merge(members, tiny.data, Runner("cpu"), plan=replace(FEW, method=method))
        assert names(alone) == {"best", ENSEMBLE, method} and alone.method == method
        of_all, own = every.way(method), alone.way(method)
        assert of_all is not None and own is not None and of_all.scores == own.scores


def test_means_of_one_function_in_several_orders(tiny: Tiny) -> None:
    """Aligned they are that function; as they are they are another one."""
    architecture = build("lenetlike", tiny.data.io)
    own = 0.3 * torch.randn(architecture.parameter_count, generator=seeded())
    shuffled = [Network(architecture, architecture.shuffle(own, seeded(i))) for i in range(3)]
    members = [Network(architecture, own), *shuffled]
    assert all(torch.allclose(each, own, atol=1e-6) for each in aligned(members, Runner("cpu")))
    mean = mean_of([m.weights for m in members])
    assert torch.allclose(mean, torch.stack([m.weights for m in members]).mean(0), atol=1e-6)
    assert not torch.allclose(mean, own, atol=1e-2)
    unlike, draws = three(tiny), Runner("cpu")
    others = [
        align_weights(architecture, unlike[0].weights, m.weights[None], draws.generator("merge", "align"))[0]
        for m in unlike
    ]
    assert torch.allclose(torch.stack(aligned(unlike, draws)), torch.stack(others), atol=1e-6)
    assert not torch.allclose(mean_of([m.weights for m in unlike]), torch.stack(others).mean(0), atol=1e-2)


def test_a_greedy_mean_is_of_those_that_help() -> None:
    """On either side of what is wanted, and one far away."""
    wanted = torch.zeros(4)
    near, other_side, far, nearer = (torch.full((4,), x) for x in (1.0, -1.4, 9.0, 0.5))

    def score(weights: Tensor) -> float:
        return -float((weights - wanted).abs().sum())

    mean, count = greedy_mean([near, other_side, far, nearer], score)
    assert count == 3 and torch.allclose(mean, (near + other_side + nearer) / 3)
    assert score(mean) > max(score(each) for each in (near, other_side, nearer))
    alone, count = greedy_mean([near, far], score)
    assert count == 1 and torch.equal(alone, near)
    both, count = greedy_mean([near, near + 0], score)
    assert count == 2 and torch.equal(both, near), "one that makes it no worse is added"


def test_ways_begin_where_they_say(tiny: Tiny) -> None:
    runner, members = Runner("cpu"), members_of(tiny, "resnet8")
    architecture = tiny.space.model.architecture("resnet8")
    panel = seat(members, tiny.data, runner, choose=False)
    starts = Starts(panel, architecture, tiny.space, judge_of(panel, tiny.data, runner, None)[0])
    inputs, _ = tiny.data.batch("test", slice(None))

    def begins(way: str) -> Tensor:
        return architecture.run(starts.student(way, 1e-3)[0].weights(), inputs)

    best = members[panel.ranking[0]]
    assert torch.allclose(begins("from-best"), architecture.run(best.weights, inputs), atol=1e-3)
    assert starts.of("greedy-mean").members == 1, "these have no start in common"
    refreshed = starts.of("refreshed-mean").weights
    assert torch.allclose(begins("from-mean"), architecture.run(refreshed, inputs), atol=1e-3)
    assert not torch.allclose(begins("from-mean"), architecture.run(starts.of("mean").weights, inputs), atol=1e-2)
    vectors = encode([members[i] for i in panel.teachers], tiny.space, runner).vectors
    for way, start in {"space-from-best": vectors[0], "space-from-mean": vectors.mean(0)}.items():
        student, _ = starts.student(way, 1e-3)
        assert isinstance(student, EmbeddingStudent) and torch.equal(student.embedding.detach()[0], start)


def test_members_of_one_start_have_a_greedy_mean(tiny: Tiny) -> None:
    """Two that move one network to either side, and one that noise has spoilt: it is left out."""
    runner, network = Runner("cpu"), three(tiny)[0]
    architecture, away = network.architecture, torch.randn(network.weights.numel(), generator=seeded())
    members = [Network(architecture, network.weights + move * away) for move in (0.005, -0.005, 2.0)]
    data = labelled_by(tiny.data, val=network)
    found = merge(members, data, runner, plan=replace(FEW, method="greedy-mean"))
    way, best = found.way("greedy-mean"), found.way("best")
    assert way is not None and best is not None and way.note == "of 2"
    assert way.scores.choice == 1 >= best.scores.choice
    assert torch.allclose(found.network.weights, network.weights, atol=1e-6)
    panel = seat(members, data, runner, choose=False)
    starts = Starts(panel, architecture, None, judge_of(panel, data, runner, None)[0])
    assert starts.of("greedy-mean").members == 2
    begun = starts.student("from-mean", 1e-3)[0].weights()
    assert torch.allclose(begun, network.weights, atol=1e-6), "a mean of several that help is distilled into"


def test_where_hidden_units_are_not_known_networks_of_one_start_have_a_mean(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, runner = three(tiny)[0], Runner("cpu")
    architecture, away = network.architecture, torch.randn(network.weights.numel(), generator=seeded())
    near = [Network(architecture, network.weights + move * away) for move in (0.005, -0.005)]
    monkeypatch.setattr(type(architecture), "hidden_groups", ())
    monkeypatch.setattr(type(architecture), "why_no_groups", "they are mixed")
    data = labelled_by(tiny.data, val=network)
    found, apart = (merge(members, data, runner, plan=FEW) for members in (near, three(tiny)))
    assert {"mean", "greedy-mean", "from-mean"} <= names(found) and "from-mean" not in found.left_out
    assert "the hidden units of lenetlike are not known" in apart.left_out["from-mean"]
    assert "greedy-mean" in names(apart) and "aligned-mean" in apart.left_out


def test_the_rate_falls_to_zero_as_a_cosine(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, members = Runner("cpu"), members_of(tiny, "lenetlike")
    lessons = lessons_of(members, tiny.data, FEW, runner)
    way = Distilling("a", fresh_student(members[0].architecture, 0.01, runner), lessons, steps=40)
    rates: list[float] = []
    monkeypatch.setattr(way._optimiser, "step", lambda loss, rate: rates.append(rate))
    way.go_on(1.0, lambda n=1, **fields: None)
    assert len(rates) == 40 == way.taken and rates == sorted(rates, reverse=True)
    assert rates[0] == 0.01 and rates[20] == pytest.approx(0.005) and 0 < rates[-1] < 1e-4


def test_distilling_comes_nearer_to_the_ensemble(tiny: Tiny) -> None:
    architecture = build("lenetlike", tiny.data.io)
    weights = [0.2 * torch.randn(architecture.parameter_count, generator=seeded(i)) for i in range(3)]
    members = [Network(architecture, each) for each in weights]
    plan = MergePlan(method="from-fresh", images=20, alpha=1.0)
    gaps = []
    for steps in (1, 80):
        found = merge(members, tiny.data, Runner("cpu"), plan=replace(plan, steps=steps)).network
        own = logits_of(found.architecture, found.weights, tiny.data, "train", Runner("cpu"))
        wanted = ensemble_logits(
            logits_of(m.architecture, m.weights, tiny.data, "train", Runner("cpu")) for m in members
        )
        gaps.append(float((own.softmax(1) - wanted.softmax(1)).abs().mean()))
    assert gaps[1] < 0.5 * gaps[0]


def test_labels_count_by_alpha_alone(tiny: Tiny) -> None:
    """Without labels, and at alpha 1, distilling is the same; what is chosen by is not."""
    members, plan = members_of(tiny, "lenetlike"), replace(FEW, method="from-fresh")
    runs = {
        "none": merge(members, tiny.data.without_labels(), Runner("cpu"), plan=plan),
        "alpha 1": merge(members, tiny.data, Runner("cpu"), plan=replace(plan, alpha=1.0)),
        "alpha 0": merge(members, tiny.data, Runner("cpu"), plan=replace(plan, alpha=0.0)),
    }
    weights = {name: run.network.weights for name, run in runs.items()}
    assert torch.equal(weights["none"], weights["alpha 1"])
    assert not torch.allclose(weights["none"], weights["alpha 0"])
    scores = [way.scores for way in runs["none"].ways]
    assert all(each.validation is None and each.test is None for each in scores)
    assert all(0 <= each.choice <= 1 for each in scores) and runs["none"].gain is None


def test_labels_alone_are_a_way_of_their_own(tiny: Tiny) -> None:
    members = members_of(tiny, "lenetlike")
    plain = merge(members, tiny.data, Runner("cpu"), plan=replace(FEW, method="labels-from-best"))
    same_by_alpha = merge(members, tiny.data, Runner("cpu"), plan=replace(FEW, method="from-best", alpha=0.0))
    assert torch.equal(plain.network.weights, same_by_alpha.network.weights)
    with pytest.raises(ConfigError, match="labels-from-best cannot be done: no labels are used"):
        merge(members, tiny.data.without_labels(), Runner("cpu"), plan=replace(FEW, method="labels-from-best"))


def test_labels_that_are_not_used_only_score(tiny: Tiny) -> None:
    members, plan = members_of(tiny, "lenetlike"), replace(FEW, labels=False)
    blind = merge(members, tiny.data.without_labels(), Runner("cpu"), plan=FEW)
    found = merge(members, tiny.data, Runner("cpu"), plan=plan)
    assert found.method == blind.method and torch.equal(found.network.weights, blind.network.weights)
    assert all(way.scores.validation is None and way.scores.test is not None for way in found.ways)
    assert [way.scores.choice for way in found.ways] == [way.scores.choice for way in blind.ways]


def test_members_of_other_architectures_go_into_one(tiny: Tiny) -> None:
    members = members_of(tiny, "lenetlike", "vanillacnn")
    with pytest.raises(ConfigError, match="the members are of 2 architectures, lenetlike, vanillacnn"):
        target_of(members)
    assert target_of(members, tiny.space).name == tiny.space.architectures[-1].name
    wanted = build("resnet8", tiny.data.io)
    found = merge(members, tiny.data, Runner("cpu"), architecture=wanted, space=tiny.space, plan=FEW)
    assert found.network.architecture.name == "resnet8"
    assert names(found) == {"from-fresh", *ON_SPACE, BEST_MEMBER, ENSEMBLE}
    assert found.left_out["best"] == "no member is a resnet8"


def test_what_embeddings_decode_to_takes_no_step(tiny: Tiny) -> None:
    members = members_of(tiny, "lenetlike", "vanillacnn")
    vectors = encode(members, tiny.space, Runner("cpu")).vectors
    for method in ("space-mean", "space-best"):
        own: dict[str, Any] = {
            "architecture": build("resnet8", tiny.data.io),
            "space": tiny.space,
            "plan": replace(FEW, method=method),
        }
        found = merge(members, tiny.data, Runner("cpu"), **own)
        way, first = found.way(method), found.way(BEST_MEMBER)
        assert way is not None and first is not None and way.steps == way.images == 0
        best = next(i for i, member in enumerate(members) if member.source == first.note)
        row = vectors.mean(0) if method == "space-mean" else vectors[best]
        torch.testing.assert_close(found.network.weights, decode_row(row, tiny.space, arch="resnet8").weights)
        assert way.note == (f"of {len(members)}" if method == "space-mean" else first.note)


def test_a_budget_stops_those_that_lag_behind(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    # However slow the machine is, there is time for all ways.
    monkeypatch.setattr(budgets, "costs_of", lambda *rest: Costs(0.0, 0.0, 0.0, 0.0, 0.0))
    members = members_of(tiny, "lenetlike")
    found = merge(members, tiny.data, Runner("cpu"), space=tiny.space, plan=MergePlan(budget=2.0, images=8, lr=1e-3))
    distilled = [way for way in found.ways if "from-" in way.name]
    assert sorted(way.note for way in distilled) == ["", *["stopped early"] * 5]
    (last,) = (way for way in distilled if not way.note)
    # A step takes equally long on weights, and on embeddings.
    alike = [way for way in distilled if way is not last and ("space-" in way.name) == ("space-" in last.name)]
    assert all(1 <= way.steps < last.steps for way in alike) and alike
    assert halvings(5) == [5, 3, 2, 1] and halvings(1) == [1]
    assert sum(way.seconds for way in distilled) < 4.0


def shortly(students: Sequence[Distilling], *rest: Any, seconds: float) -> None:
    """Distil for less time than there is."""
    distil_by_halving(students, *rest, seconds=0.1)


def test_a_budget_keeps_back_what_it_takes_to_judge_a_slow_result(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    pace, given = 0.01, list[tuple[int, float]]()
    val, test = (len(tiny.data.splits[split]) for split in ("val", "test"))
    slow = Costs(asking=1.0, look=pace * val, choice=pace * val, judging=pace * (val + test), step=0.01)

    def distil(students: Sequence[Distilling], *rest: Any, seconds: float) -> None:
        given.append((len(students), seconds))
        shortly(students, *rest, seconds=seconds)

    monkeypatch.setattr(budgets, "costs_of", lambda *rest: slow)
    monkeypatch.setattr(module, "distil_by_halving", distil)
    budget = 30.0
    plan = MergePlan(budget=budget, images=8, lr=1e-3)
    found = merge(members_of(tiny, "lenetlike"), tiny.data, Runner("cpu"), space=tiny.space, plan=plan)
    ((students, seconds),) = given
    ways = sum("from-" in way.name for way in found.ways)
    assert 10 < seconds < budget - 2 * students * slow.look - ways * slow.judging and ways == 6


def test_a_budget_leaves_out_what_it_has_no_time_for(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    members, runner = members_of(tiny, "lenetlike"), Runner("cpu")
    costs = Costs(asking=0.0, look=0.0, choice=0.0, judging=45.0, step=0.1)
    monkeypatch.setattr(budgets, "costs_of", lambda *rest: costs)
    monkeypatch.setattr(module, "distil_by_halving", shortly)

    def gone(budget: float, **plan: Any) -> list[str]:
        found = merge(members, tiny.data, runner, space=tiny.space, plan=MergePlan(budget=budget, images=8, **plan))
        left = {name for name, reason in found.left_out.items() if reason.startswith("of the budget ")}
        tried = [way.name for way in found.ways if way.name in WAYS]
        known = {name for name, reason in found.left_out.items() if "batch norms" in reason}
        assert left | set(tried) | known == set(WAYS) or plan
        for name in left:
            judging, step = f"{costs.judging:g} s", f"{costs.step:g} s"
            told = rf"of the budget [0-9.]+ s were left .* takes about {judging}, .* 10 steps of about {step} each"
            assert re.fullmatch(told, found.left_out[name])
        return tried

    assert gone(1.0) == ["best"]
    assert gone(60.0) == ["best", "labels-from-best"] and gone(60.0, labels=False) == ["best", "from-best"]
    for name in ("mean", "space-from-best"):
        assert gone(1.0, method=name) == ["best", name]
    costs = replace(costs, choice=45.0, judging=0.0, step=0.0)
    assert set(WAYS) - set(gone(100.0)) == {"greedy-mean", "refreshed-mean", "from-mean"}
    # What steps have no time for is left to ways without any.
    costs = replace(costs, choice=0.0, judging=40.0, step=1000.0)
    assert set(gone(60.0)) == set(WAYS) - set(DISTILLING) - {"refreshed-mean"}


def test_all_that_takes_time_is_shown(tiny: Tiny) -> None:
    watcher, members = Watcher(), members_of(tiny, "lenetlike")
    found = merge(members, tiny.data, Runner("cpu", progress=watcher), plan=replace(FEW, labels=False))
    assert watcher.pieces[:2] == [
        (f"asking members about {split} images", len(members), len(members)) for split in ("validation", "test")
    ]
    plain, taught = (sum((way.name in DISTILLING) is which for way in found.ways) for which in (False, True))
    # The ensemble stands beside the ways.
    assert ("trying ways without steps", plain - 1, plain - 1) in watcher.pieces
    assert watcher.pieces[-1] == ("judging what was distilled", taught, taught)


class Signal(Silent):
    """Progress that sends the process SIGINT when so many steps have been distilled."""

    def __init__(self, after: int) -> None:
        self.after, self.what = after, ""

    def start(self, description: str, total: int | None = None, done: int = 0) -> None:
        self.what = description

    def advance(self, n: int = 1, **fields: object) -> None:
        if self.what != "distilling":
            return
        self.after -= n
        if self.after == 0:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("steps", [9, None])
def test_asked_to_stop_it_keeps_the_best_so_far(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, steps: int | None) -> None:
    """By steps the second way is under way then, the third has not begun."""
    monkeypatch.setattr(module, "STEPS_IN_ALL", 60)
    members, plan = members_of(tiny, "lenetlike"), replace(FEW, steps=steps, lr=1e-3, labels=False)
    after = 14 if steps else 8
    found = merge(members, tiny.data, Runner("cpu", progress=Signal(after)), plan=plan, stop=StopRequest())
    whole = merge(members, tiny.data, Runner("cpu"), plan=plan)
    assert found.stopped_by == 130 and whole.stopped_by is None
    taken = {way.name: way.steps for way in found.ways if "from-" in way.name}
    notes = {way.name: way.note for way in found.ways if "from-" in way.name}
    if steps is None:
        assert taken == {"from-fresh": 5, "from-best": 3} and set(notes.values()) == {"stopped early"}
    else:
        assert taken == {"from-fresh": 9, "from-best": 5} and notes == {"from-fresh": "", "from-best": "stopped early"}
        finished, same_of_whole = (each.way("from-fresh") for each in (found, whole))
        assert finished is not None and same_of_whole is not None and finished.scores == same_of_whole.scores
    assert found.left_out["from-mean"] == "the work was stopped before"
    best = max((way for way in found.ways if way.name != ENSEMBLE), key=lambda way: way.scores.choice)
    assert best.scores.choice == next(way for way in found.ways if way.chosen).scores.choice


def test_stopped_before_the_only_way_has_begun_it_keeps_nothing(tiny: Tiny) -> None:
    stop = StopRequest()
    stop.received = signal.SIGTERM
    with pytest.raises(Interrupted, match="stopped before its first step") as refusal:
        merge(members_of(tiny, "lenetlike"), tiny.data, Runner("cpu"), plan=replace(FEW, method="from-best"), stop=stop)
    assert refusal.value.exit_code == 143


def test_without_a_request_to_stop_a_signal_interrupts(tiny: Tiny) -> None:
    with pytest.raises(KeyboardInterrupt):
        merge(members_of(tiny, "lenetlike"), tiny.data, Runner("cpu", progress=Signal(3)), plan=FEW)


def test_halving_keeps_the_better_half(tiny: Tiny) -> None:
    runner, architecture = Runner("cpu"), build("lenetlike", tiny.data.io)
    lessons = lessons_of(members_of(tiny, "lenetlike"), tiny.data, FEW, runner)
    students = [Distilling(str(i), fresh_student(architecture, 1e-3, runner), lessons) for i in range(4)]
    distil_by_halving(students, lambda each: -float(each.name), runner, seconds=0.2)
    assert [each.stopped for each in students] == [True, True, True, False]
    assert students[3].taken > students[2].taken >= students[1].taken > 0 and students[3].share == 1.0
    assert [each.rounds for each in students] == [1, 1, 2, 3]


def test_steps_are_shared_out_as_they_are_counted(tiny: Tiny) -> None:
    runner, architecture = Runner("cpu"), build("lenetlike", tiny.data.io)
    lessons = lessons_of(members_of(tiny, "lenetlike"), tiny.data, FEW, runner)
    students = [Distilling(str(i), fresh_student(architecture, 1e-3, runner), lessons) for i in range(4)]
    marks = {"0": float("nan"), "1": 0.2, "2": 0.1, "3": 0.3}
    distil_by_halving(students, lambda each: marks[each.name], runner, steps=48)
    assert [each.taken for each in students] == [3, 9, most_steps(4, 48), 3] == [3, 9, 33, 3]


def test_of_several_rates_the_best_goes_on(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without steps or a time; the same again gives the same, since steps are counted."""
    monkeypatch.setattr(module, "STEPS_IN_ALL", 36)
    plan = MergePlan(method="from-fresh", images=8)
    found, again = (merge(three(tiny), tiny.data, Runner("cpu"), plan=plan) for _ in range(2))
    way = found.way("from-fresh")
    assert way is not None and way.lr in RATES and way.steps == most_steps(2, 36) and same(found, again)
    given = merge(three(tiny), tiny.data, Runner("cpu"), plan=replace(plan, lr=0.02)).way("from-fresh")
    assert given is not None and given.lr == 0.02 and given.steps == 36


def test_a_student_is_the_mean_of_its_last_steps(tiny: Tiny) -> None:
    runner, members = Runner("cpu"), members_of(tiny, "resnet8")
    way = Distilling(
        "a", fresh_student(members[0].architecture, 0.1, runner), lessons_of(members, tiny.data, FEW, runner), steps=30
    )
    seen = [value.clone() for value in way.student.values()]
    taken = 0

    def tick(n: int = 1, **fields: object) -> None:
        nonlocal taken
        taken += 1
        for mean, value in zip(seen, way.student.values(), strict=True):
            mean.lerp_(value, 1 / (1 + taken // 10))

    way.go_on(1.0, tick)
    own, found = way.student.weights(), way.weights()
    for value, mean in zip(way.student.values(), seen, strict=True):
        value.copy_(mean)
    assert torch.allclose(way.student.weights(), found) and not torch.allclose(own, found, atol=1e-3)


def test_weak_members_do_not_teach(tiny: Tiny) -> None:
    """Five that always say one class, and two that know better."""
    good = members_of(tiny, "resnet8")[:2]
    architecture = build("lenetlike", tiny.data.io)
    bad = []
    for i in range(5):
        state = architecture.spec.unflatten(0.01 * torch.randn(architecture.parameter_count, generator=seeded(i)))
        last = [name for name in state if name.endswith("bias")][-1]
        state[last] = state[last] + torch.eye(3)[0] * 50
        bad.append(Network(architecture, architecture.spec.flatten(state), source=f"bad {i}"))
    wanted = build("resnet8", tiny.data.io)
    plan = replace(FEW, method="from-fresh", choose_members=True)
    found = merge([*bad, *good], tiny.data, Runner("cpu"), architecture=wanted, plan=plan)
    assert set(found.teachers) <= {5, 6} and found.way(f"chosen {ENSEMBLE}") is not None
    every = merge(
        [*bad, *good], tiny.data, Runner("cpu"), architecture=wanted, plan=replace(plan, choose_members=False)
    )
    assert len(every.teachers) == 7 and every.way(f"chosen {ENSEMBLE}") is None


def test_members_teach_by_weights_on_request(tiny: Tiny) -> None:
    members, plan = three(tiny), replace(FEW, method="from-fresh", alpha=1.0)
    data = labelled_by(tiny.data, val=members[1])
    found = merge(members, data, Runner("cpu"), plan=replace(plan, weigh=True))
    assert found.weights is not None and found.teachers[0] == 1 and found.weights[0] == max(found.weights) > 0.5
    weighted = found.way(f"weighted {ENSEMBLE}")
    equal = merge(members, data, Runner("cpu"), plan=plan)
    assert weighted is not None and equal.weights is None and equal.way(f"weighted {ENSEMBLE}") is None
    assert not torch.allclose(found.network.weights, equal.network.weights, atol=1e-5)
    with pytest.raises(ConfigError, match="and no labels are used") as refusal:
        merge(members, data.without_labels(), Runner("cpu"), plan=replace(plan, weigh=True))
    assert "leave out `weigh`" in refusal.value.hint


def test_what_cannot_be_done_is_refused(tiny: Tiny) -> None:
    members, runner = members_of(tiny, "lenetlike"), Runner("cpu")
    for plan, words in {
        MergePlan(method="magic"): "unknown way to merge 'magic'",
        MergePlan(budget=3.0, steps=5): "both set how long to distil",
        MergePlan(lr=0.0): "lr 0 distils nothing",
        MergePlan(alpha=1.5): "`alpha=1.5` is not a share",
        MergePlan(method="space-from-mean"): "there is no space with the architectures",
        MergePlan(method="refreshed-mean"): "lenetlike has no batch norms",
    }.items():
        with pytest.raises(ConfigError, match=words):
            merge(members, tiny.data, runner, plan=plan)
    half = Normalisation("half").of(tiny.data)
    with pytest.raises(ConfigError, match=r"of space 'tiny' know inputs .*, the members by a mean of 0\.5 and a dev"):
        merge(members, half, runner, space=tiny.space)
    with pytest.raises(WrongSpace, match="this space has no resnet8"):
        merge(members_of(tiny, "resnet8"), tiny.data, runner, space=tiny.single_space)
    with pytest.raises(RunFailed, match="from-fresh: the loss is not finite at step"):
        merge(members, tiny.data, runner, plan=MergePlan(method="from-fresh", steps=50, lr=1e30))


@pytest.mark.parametrize("few", [False, True])
def test_nobody_is_asked_twice_about_held_out_images(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, few: bool) -> None:
    """But for a few, by which it is checked that answers are the same again; also where a part of the members teach."""
    asked = list[tuple[str, str]]()

    def counted(member: Network, data: ImageData, split: str, *rest: Any) -> Tensor:
        asked.append((member.source, split))
        return on_split(member, data, split, *rest)

    def judged(judge: Judge, network: Network) -> Scores:
        raise AssertionError("the best member's scores are known")

    members = members_of(tiny, "lenetlike")
    monkeypatch.setattr(panel, "on_split", counted)
    monkeypatch.setattr(judging, "on_split", counted)
    monkeypatch.setattr(Judge, "scores", judged)
    monkeypatch.setattr(panel, "choose_teachers", lambda answers, *_, **__: [1, 0] if few else [*range(len(answers))])
    found = merge(members, tiny.data, Runner("cpu"), plan=MergePlan(method="best"))
    assert sorted(asked) == sorted((m.source, split) for m in members for split in ("val", "test"))
    place = [member.source for member in members].index(found.ways[0].note)
    assert found.ways[0].scores.test == found.accuracies[place] and (found.way(f"chosen {ENSEMBLE}") is not None) == few
