"""Target against predicted instances: the summary by hand, and what there is to compare with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from netspace_models.errors import ConfigError, InputFileError, WrongSpace

from netspace_cli.core.encoding.decode import decode
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.evaluation.evaluate import evaluate
from netspace_cli.core.kinds.images import Evaluated, unrelated_agreements
from netspace_cli.core.kinds.images import ImageEvaluation as Evaluation
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.networks.scores import accuracy, agreement
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo
from tests.worlds import Tiny


def run(tiny: Tiny, *, zoo: Zoo | None = None, space: Space | None = None, **options: Any) -> Evaluation:
    with Runner("cpu") as runner:
        return evaluate(zoo or tiny.single_zoo, space or tiny.single_space, tiny.data, runner, **options)


Row = tuple[str, str, float, float, float, float | None]


def rows(*values: Row) -> Evaluation:
    return Evaluation(tuple(Evaluated(str(i), *v) for i, v in enumerate(values)))


def test_the_summary_by_hand() -> None:
    found = rows(
        ("a", "a", 0.1, 0.2, 0.5, None), ("a", "b", 0.4, 0.3, 0.6, 0.4), ("b", "b", 0.9, 0.7, 0.7, 0.6)
    ).summary()
    x, y = np.array([0.1, 0.4, 0.9]), np.array([0.2, 0.3, 0.7])
    pearson = ((x - x.mean()) * (y - y.mean())).mean() / (x.std() * y.std())
    assert found["n"] == 3
    assert found["pearson"] == pytest.approx(pearson)
    assert found["mae"] == pytest.approx((0.1 + 0.1 + 0.2) / 3)
    assert found["arch_accuracy"] == pytest.approx(2 / 3)
    assert found["agreement"] == pytest.approx(0.6)
    assert found["unrelated_agreement"] == pytest.approx(0.5)
    assert found["n_paired"] == 2
    assert found["agreement_paired"] == pytest.approx(0.65), "over the two that have an unrelated partner"
    assert found["target_accuracy"] == pytest.approx(x.mean())
    assert found["predicted_accuracy"] == pytest.approx(y.mean())


def test_the_summary_of_one_architecture() -> None:
    found = rows(("a", "a", 0.1, 0.2, 0.5, None), ("b", "a", 0.4, 0.3, 0.6, None))
    assert found.architectures() == ["a", "b"]
    assert found.summary("a")["mae"] == pytest.approx(0.1)
    assert found.summary("b")["arch_accuracy"] == 0.0


@pytest.mark.parametrize(
    "values",
    [
        [("a", "a", 0.1, 0.2, 0.5, None)] * 1,
        [("a", "a", 0.1, 0.2, 0.5, None), ("a", "a", 0.2, 0.3, 0.5, None)],
        [("a", "a", 0.5, 0.1 * i, 0.5, None) for i in range(4)],
        [("a", "a", 0.1 * i, 0.5, 0.5, None) for i in range(4)],
    ],
)
def test_where_nothing_correlates_there_is_no_correlation(values: list[Row]) -> None:
    found = rows(*values).summary()
    assert found["pearson"] is None
    assert found["unrelated_agreement"] is None
    assert (found["n_paired"], found["agreement_paired"]) == (0, None)


def test_the_summary_counts_the_instances_seen() -> None:
    first = Evaluated("0", "a", "a", 0.1, 0.2, 0.5, None, True)
    found = [first, replace(first, arch="b", seen=False), replace(first, seen=None)]
    assert Evaluation(tuple(found[:2])).summary()["seen"] == 1
    assert Evaluation(tuple(found[:2])).summary("b")["seen"] == 0
    assert Evaluation(tuple(found)).summary()["seen"] is None, "of one it is not known"


def test_each_row_is_the_instance_beside_what_it_decodes_to(tiny: Tiny) -> None:
    found = run(tiny, zoo=tiny.zoo, space=tiny.space)
    assert [e.id for e in found.instances] == ["lenetlike-0002", "vanillacnn-0001", "resnet8-0003"]
    images, labels = tiny.data.batch("test", slice(None))
    for row in found.instances:
        network = read_network(tiny.networks[row.arch], candidates=tiny.space.architectures)
        with Runner("cpu") as runner:
            embeddings = encode([network], tiny.space, runner)
            (built,) = decode(embeddings, tiny.space, runner)
            (recognised,) = decode(embeddings, tiny.space, runner, recognised=True)
        target = network.architecture.run(network.weights, images)
        predicted = built.architecture.run(built.weights, images)
        assert row.predicted_arch == recognised.architecture.name
        assert built.architecture.name == row.arch
        assert row.target_accuracy == pytest.approx(accuracy(target, labels))
        assert row.predicted_accuracy == pytest.approx(accuracy(predicted, labels))
        assert row.agreement == pytest.approx(agreement(target, predicted))


def test_an_instance_that_is_recognised_as_another_is_told_and_scored_as_what_it_is(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = run(tiny, zoo=tiny.zoo, space=tiny.space).instances
    (always,) = (a for a in tiny.space.architectures if a.name == "resnet8")
    monkeypatch.setattr(type(tiny.space.model), "recognise", lambda self, embeddings: [always] * len(embeddings))
    wrong = run(tiny, zoo=tiny.zoo, space=tiny.space).instances
    assert wrong == tuple(replace(e, predicted_arch="resnet8") for e in right)


def test_alone_there_is_nothing_unrelated_to_agree_with(tiny: Tiny) -> None:
    assert all(e.unrelated_agreement is None for e in run(tiny, zoo=tiny.zoo, space=tiny.space).instances)


def test_unrelated_instances_are_others_of_equal_accuracy(tiny: Tiny) -> None:
    found = run(tiny, split="train").instances
    images, labels = tiny.data.batch("test", slice(None))
    logits = {
        e.id: (lambda n: n.architecture.run(n.weights, images))(
            read_network(tiny.single_zoo.file_of(i), candidates=tiny.space.architectures)
        )
        for e, i in zip(found, tiny.single_zoo.select(split="train"), strict=True)
    }
    for row in found:
        others = [
            agreement(logits[row.id], t)
            for name, t in logits.items()
            if name != row.id and abs(accuracy(t, labels) - row.target_accuracy) <= 0.02
        ]
        assert row.unrelated_agreement == (pytest.approx(np.mean(others)) if others else None)


@pytest.mark.parametrize("within", [0.0, 0.02, 0.3, 1.0])
def test_agreements_are_those_of_all_pairs(within: float) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (50,), generator=generator)
    right = torch.rand(12, 50, generator=generator) < torch.linspace(0.2, 0.9, 12)[:, None]
    answers = torch.where(right, labels, torch.randint(3, (12, 50), generator=generator)).int()
    answers[5] = answers[3].flip(0)
    accuracies = [(own == labels).double().mean().item() for own in answers]
    found = unrelated_agreements(list(answers), accuracies, 3, within=within)
    for i, own in enumerate(answers):
        near = [j for j in range(12) if j != i and abs(accuracies[j] - accuracies[i]) <= within]
        pairs = [(own == answers[j]).double().mean().item() for j in near]
        assert found[i] == (pytest.approx(np.mean(pairs)) if pairs else None)
    assert unrelated_agreements([], [], 3) == []


def test_an_instance_counted_twice_agrees_with_itself(tiny: Tiny) -> None:
    one = tiny.single_zoo.select(split="test")[0]
    zoo = replace(tiny.single_zoo, instances=(one, replace(one, id="twin")))
    assert [e.unrelated_agreement for e in run(tiny, zoo=zoo).instances] == [1.0, 1.0]


@pytest.mark.parametrize(("split", "seen"), [("train", True), ("val", True), ("test", False)])
def test_an_instance_is_seen_where_its_file_took_part_in_the_training(tiny: Tiny, split: str, seen: bool) -> None:
    renamed = replace(tiny.single_zoo, instances=tuple(replace(i, split="test") for i in tiny.single_zoo.instances))
    own = {i.id for i in tiny.single_zoo.select(split=split)}
    found = [e for e in run(tiny, zoo=renamed).instances if e.id in own]
    assert len(found) == len(own)
    assert {e.seen for e in found} == {seen}, "its file counts, not what its zoo says of it"


def test_a_space_that_does_not_record_its_files_cannot_say_what_it_has_seen(tiny: Tiny) -> None:
    rows = [{k: v for k, v in row.items() if k != "sha256"} for row in tiny.single_space.record["zoo"]]
    older = replace(tiny.single_space, record={**tiny.single_space.record, "zoo": rows})
    assert {e.seen for e in run(tiny, space=older).instances} == {None}


def test_a_zoo_of_other_images_is_refused(tiny: Tiny) -> None:
    splits = {**tiny.zoo.data["splits"], "test": {"n": 31, "sha256": "0" * 64}}
    other = replace(tiny.single_zoo, data={**tiny.zoo.data, "name": "npz:other.npz", "splits": splits})
    with pytest.raises(WrongSpace, match=r"npz:other\.npz .* 31 test images\); space 'tiny' is of npz:tiny\.npz"):
        run(tiny, zoo=other)


def test_refining_is_passed_on(tiny: Tiny) -> None:
    plain, refined = run(tiny), run(tiny, refine_steps=2)
    assert [e.id for e in plain.instances] == [e.id for e in refined.instances]
    assert len(plain.instances) == 3


def test_a_split_without_instances_is_told(tiny: Tiny) -> None:
    zoo = replace(tiny.single_zoo, instances=tiny.single_zoo.select(split="train"))
    with pytest.raises(ConfigError, match="has no test instances"):
        run(tiny, zoo=zoo)


def test_a_space_without_an_architecture_is_told(tiny: Tiny) -> None:
    with pytest.raises(WrongSpace, match="this space has no"):
        run(tiny, zoo=tiny.zoo)


def test_a_changed_instance_is_told(tiny: Tiny) -> None:
    one = replace(tiny.single_zoo.select(split="test")[0], sha256="0" * 64)
    with pytest.raises(InputFileError, match="the manifest says 000000000000"):
        run(tiny, zoo=replace(tiny.single_zoo, instances=(one,)))


def test_the_same_seed_gives_the_same_rows(tiny: Tiny) -> None:
    first = run(tiny, refine_steps=2)
    torch.manual_seed(4)
    assert run(tiny, refine_steps=2) == first
