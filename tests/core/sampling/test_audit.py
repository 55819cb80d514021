"""The table: copies are seen to be copies, and every row has what it is for."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch
from netspace_models.errors import ConfigError

from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.sampling.audit import Audit, audit
from netspace_cli.core.sampling.judge import AuditRow, Judge
from netspace_cli.core.sampling.methods import Kde, Noise, OneSeedKde
from netspace_cli.core.sampling.polish import polish
from netspace_cli.core.sampling.population import Population, population_of, with_predicted
from netspace_cli.core.sampling.sample import Sample, Samples, sample, sample_from
from tests.small_networks import seeded
from tests.worlds import Tiny


def rows_of(found: Audit) -> dict[str, AuditRow]:
    return {row.name: row for row in found.rows}


@pytest.fixture
def population(tiny: Tiny) -> Population:
    return population_of(tiny.single_space, zoo=tiny.single_zoo)


def test_reordered_copies_are_copies(tiny: Tiny, population: Population) -> None:
    assert population.weights is not None
    architecture = population.architecture
    copies = tuple(
        Sample(i, Network(architecture, architecture.shuffle(each, seeded(i))))
        for i, each in enumerate(population.weights)
    )
    found = rows_of(
        audit(Samples("copies", {}, 0, 1.0, population, copies), tiny.single_space, tiny.data, Runner("cpu"))
    )
    own, training = found["copies"], found["training instances"]
    assert own.overlap == 1 and own.distance < 1e-3
    assert training.overlap < 1 and training.distance > 0.1, "instances beside the others, not beside themselves"
    assert own.members == pytest.approx(training.members) and own.ensemble == pytest.approx(training.ensemble)


def test_noise_is_as_far_as_it_is_large(tiny: Tiny, population: Population) -> None:
    runner = Runner("cpu")
    space, found = tiny.single_space, {}
    for scale in (0.01, 0.3):
        drawn = sample_from(population, space, 3, Noise(scale), runner)
        found[scale] = rows_of(audit(drawn, space, tiny.data, runner, rivals="none"))["noise"]
        assert found[scale].distance == pytest.approx(scale, rel=0.1)
    assert found[0.01].overlap > 0.9


def test_the_rows_are_those_that_were_asked_for(tiny: Tiny) -> None:
    runner = Runner("cpu")
    found = sample(tiny.single_space, 3, "kde", runner, zoo=tiny.single_zoo, top=1.0)
    plain = ["kde", "training instances", "all learnt from", "predicted instances"]
    rivals = ["noise copies", "aligned mixes", "aligned soups"]
    quick = audit(found, tiny.single_space, tiny.data, runner)
    assert [row.name for row in quick.rows] == [*plain, *rivals] and not quick.notes
    assert [r.name for r in audit(found, tiny.single_space, tiny.data, runner, rivals="none").rows] == plain
    unpolished = audit(found, tiny.single_space, tiny.data, runner, rivals="all")
    assert [r.name for r in unpolished.rows] == [*plain, *rivals]
    assert unpolished.notes == ("Fresh networks are left out: they get as many images as polishing took, which is 0.",)
    polished = polish(found, tiny.single_space, tiny.data, runner, steps=2)
    fresh = rows_of(audit(polished, tiny.single_space, tiny.data, runner, rivals="all"))
    images = 2 * tiny.single_space.recipe.lso.images
    assert fresh["fresh networks"].images == fresh["kde"].images == images
    for row in quick.rows:
        assert row.networks == 3 and 0 <= row.overlap <= 1 and row.distance > 0
        assert json.loads(json.dumps(asdict(row)))["name"] == row.name
    with pytest.raises(ConfigError, match="unknown rivals 'some'. Give one of none, quick, all: `rivals`."):
        audit(found, tiny.single_space, tiny.data, runner, rivals="some")  # type: ignore[arg-type]


def test_stored_embeddings_are_found_without_a_zoo(tiny: Tiny) -> None:
    runner, space = Runner("cpu"), tiny.single_space
    population = with_predicted(population_of(space), space, runner)
    narrow = OneSeedKde(bandwidth=1e-6)
    found = audit(sample_from(population, space, 3, narrow, runner), space, tiny.data, runner)
    assert found.predicted and found.rows[0].distance < 1e-3 and found.rows[0].overlap > 0.99
    assert "training instances" not in rows_of(found), "these are not available"
    assert rows_of(found)["predicted instances"].apart == pytest.approx(1), "each beside the others"


def test_stored_embeddings_are_told_from_new_ones(tiny: Tiny, population: Population) -> None:
    runner, space = Runner("cpu"), tiny.single_space
    stored, new = (
        rows_of(audit(sample_from(population, space, 3, each, runner), space, tiny.data, runner, rivals="none"))
        for each in (OneSeedKde(bandwidth=1e-6), Kde(1e-6))
    )
    assert stored["kde-one-seed"].apart == pytest.approx(0, abs=1e-3)
    assert new["kde"].apart is not None and new["kde"].apart > 0.2
    assert stored["training instances"].apart == pytest.approx(1) and stored["predicted instances"].apart == 0


def test_members_are_compared_with_all_that_was_learnt_from(tiny: Tiny, population: Population) -> None:
    runner = Runner("cpu")
    drawn = sample_from(population, tiny.single_space, 2, Noise(), runner)
    found = rows_of(audit(drawn, tiny.single_space, tiny.data, runner, rivals="none"))
    whole, top = found["all learnt from"], found["training instances"]
    assert (whole.networks, top.networks) == (3, 2) and whole.spread == pytest.approx(1)
    by_validation = sorted(tiny.single_zoo.select(split="train"), key=lambda i: -i.accuracy["val"])
    tests = [i.accuracy["test"] for i in by_validation]
    assert whole.members == pytest.approx(sum(tests) / 3, abs=1e-5)
    assert top.members == pytest.approx(sum(tests[:2]) / 2, abs=1e-5)


def test_a_row_is_the_mean_of_what_is_told_of_each_network(tiny: Tiny, population: Population) -> None:
    runner = Runner("cpu")
    judge = Judge(population, None, tiny.data, runner)
    found = judge.row("noise", sample_from(population, tiny.single_space, 4, Noise(), runner).networks)
    assert len(found.accuracies) == len(found.overlaps) == 4 and found.row.spread is None
    assert found.row.members == pytest.approx(sum(found.accuracies) / 4)
    assert found.row.overlap == pytest.approx(sum(found.overlaps) / 4)


def test_a_judge_goes_from_space_to_space_of_the_same_instances(tiny: Tiny, population: Population) -> None:
    runner, space = Runner("cpu"), tiny.single_space
    shared = Judge(population, None, tiny.data, runner).in_space(population_of(space), space)
    drawn = sample_from(population, space, 3, Noise(), runner)
    own = Judge(population, space, tiny.data, runner).row("noise", drawn.networks)
    assert shared.row("noise", drawn.networks) == own and own.row.spread is not None
    with pytest.raises(ConfigError, match=r"trained on other instances \(2\) than .* compared with \(3\)"):
        shared.in_space(population.first(2), space)


def test_spread_is_of_the_embeddings_learnt_from(tiny: Tiny, population: Population) -> None:
    runner, space = Runner("cpu"), tiny.single_space
    training = rows_of(audit(sample_from(population, space, 3, Noise(0.0), runner), space, tiny.data, runner))
    assert training["training instances"].spread == pytest.approx(1)
    few = population.first(1)
    assert torch.equal(few.embeddings, population.embeddings[:1])
    with pytest.raises(ConfigError, match="samples learnt from 1 training instance cannot be judged"):
        audit(sample_from(few, space, 1, Noise(), runner), space, tiny.data, runner)
