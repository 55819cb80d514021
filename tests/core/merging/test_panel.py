"""Members: who may be merged, whose classes are in another order, who teaches."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from netspace_models.architectures import ImageIO, build
from netspace_models.architectures.architecture import describe
from netspace_models.errors import ConfigError
from netspace_models.problems import CLASSIFICATION
from netspace_models.training.losses import ensemble_logits, mixture_weights
from torch import Tensor

from netspace_cli.core.data.images import Split
from netspace_cli.core.merging import panel
from netspace_cli.core.merging.panel import check_class_orders, check_members, choose_teachers, ranked, seat, weights_of
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from tests.small_networks import seeded
from tests.worlds import Tiny

K, N = 5, 400
LABELS = torch.arange(N) % K


def answers(share: float, seed: int, sure: float = 4.0) -> Tensor:
    """Logits that are right on about this share of the images, sure of themselves either way."""
    generator = seeded(seed)
    right = torch.rand(N, generator=generator) < share
    other = (LABELS + torch.randint(1, K, (N,), generator=generator)) % K
    said = torch.where(right, LABELS, other)
    return sure * torch.nn.functional.one_hot(said, K).float() + 0.1 * torch.randn(N, K, generator=generator)


def networks(count: int) -> list[Network]:
    architecture = build("lenetlike", ImageIO(1, 8, 3))
    return [Network(architecture, torch.zeros(1), source=f"{i}.pt") for i in range(count)]


def test_members_are_ranked_by_accuracy_or_by_agreement() -> None:
    found = [answers(share, seed) for seed, share in enumerate((0.5, 0.9, 0.7))]
    assert ranked(found, LABELS, CLASSIFICATION) == [1, 2, 0] == ranked(found, None, CLASSIFICATION)


def test_weak_members_do_not_teach_and_equal_ones_all_do() -> None:
    strong = [answers(0.8, seed) for seed in range(3)]
    weak = [answers(0.1, seed, sure=12.0) for seed in range(3, 6)]
    assert sorted(choose_teachers([*weak, *strong], LABELS)) == [3, 4, 5]
    assert sorted(choose_teachers(strong, LABELS)) == [0, 1, 2]
    assert choose_teachers([weak[0], strong[0]], LABELS) == [1]
    assert sorted(choose_teachers([weak[0], strong[0]], LABELS, choose=False)) == [0, 1]
    assert sorted(choose_teachers(strong[:2], LABELS)) == [0, 1]
    assert choose_teachers(strong[:1], LABELS) == [0]
    assert sorted(choose_teachers([*weak, *strong], None)) == [0, 1, 2, 3, 4, 5], "nothing to choose by"


def test_weights_fit_the_labels_best() -> None:
    found = [answers(share, seed) for seed, share in enumerate((0.9, 0.6, 0.6))]
    weights = weights_of(found, LABELS)
    assert weights is not None
    assert sum(weights) == pytest.approx(1) and weights[0] == max(weights) and min(weights) > 0

    def loss(given: tuple[float, ...] | None) -> float:
        return float(torch.nn.functional.nll_loss(ensemble_logits(found, given), LABELS))

    assert loss(weights) < loss(None) == pytest.approx(loss((1.0, 1.0, 1.0)))
    for shifted in ((0.05, -0.05, 0), (-0.05, 0.05, 0), (0, -0.04, 0.04), (0, 0.04, -0.04)):
        others = tuple(max(w + d, 1e-4) for w, d in zip(weights, shifted, strict=True))
        assert loss(weights) < loss(others)


def test_weights_that_make_an_ensemble_worse_are_not_used() -> None:
    """One is never sure of a wrong class, so that likelihood asks for much of it: more than answers bear."""
    label, next_one, last = (torch.nn.functional.one_hot((LABELS + i) % K, K).float() for i in range(3))
    known = (torch.arange(N) % 5 > 0)[:, None]
    sure = torch.where(known, 0.6 * label + 0.4 * next_one, 1e-6 * label + last).log()
    unsure = (0.34 * label + 0.66 * next_one).log()

    def right(weights: tuple[float, ...] | None) -> float:
        return float((ensemble_logits([sure, sure, unsure], weights).argmax(1) == LABELS).float().mean())

    given = torch.stack([each.softmax(1).gather(1, LABELS[:, None])[:, 0] for each in (sure, sure, unsure)])
    fitted = tuple(mixture_weights(given).tolist())
    assert right(None) == pytest.approx(0.8, abs=0.01) and right(fitted) < 0.1
    assert weights_of([sure, sure, unsure], LABELS) is None


def test_who_is_weak_may_teach_with_little_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    members, said = networks(2), [answers(0.7, 0, sure=3.0), answers(0.45, 1, sure=12.0)]
    monkeypatch.setattr(panel, "on_split", lambda member, *_: said[int(member.source[0])])
    monkeypatch.setattr(panel, "logits_of", lambda *_, most: said[0][:most])
    monkeypatch.setattr(panel, "UNSTEADY", 100)
    monkeypatch.setattr(panel, "labels_of", lambda *_: LABELS)
    data = SimpleNamespace(labelled=True, io=SimpleNamespace(problem=CLASSIFICATION, one="image"))
    for weigh, all_of in ((False, [0]), (True, [0, 1])):
        found = seat(members, data, Runner("cpu"), choose=True, weigh=weigh)
        assert sorted(found.teachers) == all_of
    assert found.weights is not None and found.weights[0] > found.weights[1] > 0


def test_weights_come_as_near_the_best_as_is_said() -> None:
    """One network is right a little more often than the others, which takes many rounds to be found."""
    found = [answers(share, seed, sure=1.0) for seed, share in enumerate((0.62, 0.6, 0.6, 0.6))]
    given = torch.stack([each.softmax(1).gather(1, LABELS[:, None])[:, 0] for each in found]).double()
    weights = torch.tensor(weights_of(found, LABELS) or (), dtype=torch.float64)
    factors = (given / (weights @ given)).mean(1)
    assert float(factors.max()) < 1 + 1e-3
    assert float((factors * weights).sum()) == pytest.approx(1)


def test_a_class_order_of_its_own_is_noticed() -> None:
    found = [answers(0.8, seed) for seed in range(3)]
    check_class_orders(networks(3), found)
    turned = [*found[:2], found[2].roll(1, dims=1)]
    with pytest.raises(ConfigError, match="2.pt agrees with the other members on .*, below the chance of") as refusal:
        check_class_orders(networks(3), turned)
    assert "with its classes in another order" in str(refusal.value) and "Leave it out" in refusal.value.hint
    swapped = [*found[:2], found[2][:, [1, 0, 2, 3, 4]]]
    with pytest.raises(ConfigError, match="2.pt agrees with the other members on [4-6].% of the validation images and"):
        check_class_orders(networks(3), swapped)


def test_a_bad_member_is_not_taken_for_one_with_another_order() -> None:
    check_class_orders(networks(3), [answers(0.8, 0), answers(0.8, 1), answers(0.2, 2)])
    lacking = answers(0.8, 2)
    lacking[:, 3:] -= 20  # it was never shown two of the classes
    check_class_orders(networks(3), [answers(0.8, 0), answers(0.8, 1), lacking])


def test_a_class_that_one_never_says_is_no_other_order() -> None:
    """The first says 3 for 4 as well, the others 4 for 3."""
    found = [answers(0.9, seed) for seed in range(3)]
    found[0][:, 3], found[0][:, 4] = found[0][:, 3:].amax(1), -20
    for each in found[1:]:
        each[:, 4], each[:, 3] = each[:, 3:].amax(1), -20
    check_class_orders(networks(3), found)
    check_class_orders(networks(3), found, LABELS)


@pytest.mark.parametrize(
    "shown", [((0, 1), (2, 3, 4)), ((0, 1, 2), (3, 4)), ((0, 2, 4), (1, 3)), ((0, 1), (2, 3), (4, 0))]
)
def test_members_of_sites_with_other_classes_have_no_other_order(shown: tuple[tuple[int, ...], ...]) -> None:
    found = [answers(0.9, seed, sure=6.0) for seed in range(len(shown))]
    for each, classes in zip(found, shown, strict=True):
        each[:, [i for i in range(K) if i not in classes]] -= 20
        for unknown in set(range(K)) - set(classes):
            each[unknown == LABELS, classes[unknown % len(classes)]] += 6  # the class that it looks like
    check_class_orders(networks(len(found)), found)
    check_class_orders(networks(len(found) + 1), [*found, answers(0.9, 9)])
    check_class_orders(networks(len(found)), found, LABELS)


def test_a_site_that_counts_its_own_classes_from_zero_is_refused_where_labels_are_known() -> None:
    counted = answers(0.9, 0, sure=6.0)
    counted[:, :2] -= 20
    counted = counted.roll(-2, dims=1)  # the last three classes, called 0 to 2
    with pytest.raises(ConfigError, match="0.pt is right on .* with its classes in another order"):
        check_class_orders(networks(2), [counted, answers(0.9, 1)], LABELS)


def test_of_members_that_disagree_the_one_with_another_order_is_named() -> None:
    found = [answers(0.7, 0), answers(0.7, 1), answers(0.9, 2, sure=6.0).roll(2, dims=1)]
    with pytest.raises(ConfigError, match="2.pt agrees with the other members on"):
        check_class_orders(networks(3), found)
    with pytest.raises(ConfigError, match="2.pt is right on .*, below the chance of 20%, and would be on") as told:
        check_class_orders(networks(3), found, LABELS)
    assert "with their classes in the order of the labels" in told.value.hint
    assert "hardly" not in told.value.message
    hardly = [*found[:2], answers(0.5, 2).roll(2, dims=1)]
    with pytest.raises(ConfigError, match=r"2.pt is right on .* order\. It may have hardly been trained\."):
        check_class_orders(networks(3), hardly, LABELS)
    weak = [answers(0.4, seed) for seed in range(3)]
    check_class_orders(networks(3), weak, LABELS)


def test_networks_with_one_answer_each_say_nothing_of_orders() -> None:
    constant = [12.0 * torch.eye(K)[i] + 0.1 * torch.randn(N, K, generator=seeded(i)) for i in range(2)]
    check_class_orders(networks(2), constant)


def test_what_is_no_set_of_members_is_refused(tiny: Tiny) -> None:
    architecture = build("lenetlike", tiny.data.io)
    one, two = (
        Network(architecture, 0.1 * torch.randn(architecture.parameter_count, generator=seeded(i)), source=f"{i}.pt")
        for i in range(2)
    )
    check_members([one, two], tiny.data)
    with pytest.raises(ConfigError, match="one network is nothing to merge"):
        check_members([one], tiny.data)
    with pytest.raises(ConfigError, match="0.pt and 0.pt are the same network") as refusal:
        check_members([one, two, one], tiny.data)
    assert "Leave one of them out" in refusal.value.hint
    for io in (ImageIO(3, 8, 3), ImageIO(1, 8, 4), ImageIO(1, 16, 3)):
        other = build("lenetlike", io)
        stranger = Network(other, torch.zeros(other.parameter_count), source="s.pt")
        with pytest.raises(ConfigError, match=f"the member s.pt is for {io.describe()}; these images are 1x8x8"):
            check_members([one, two, stranger], tiny.data)


def test_a_reordered_copy_is_noticed(tiny: Tiny) -> None:
    architecture = build("lenetlike", tiny.data.io)
    one = Network(architecture, 0.1 * torch.randn(architecture.parameter_count, generator=seeded()), source="a.pt")
    other = replace(one, weights=architecture.shuffle(one.weights, seeded(1)), source="b.pt")
    assert not torch.equal(one.weights, other.weights)
    half = replace(one, weights=one.weights.half().float(), source="b.pt")
    last = one.architecture.to_state(one.weights)
    bias = [name for name in last if name.endswith("bias")][-1]
    shifted = replace(one, weights=architecture.to_weights({**last, bias: last[bias] + 5}), source="b.pt")
    layer = bias.removesuffix("bias")
    larger = {name: 3 * value if name.startswith(layer) else value for name, value in last.items()}
    scaled = replace(one, weights=architecture.to_weights(larger), source="b.pt")
    for copy in (other, half, shifted, scaled):
        with pytest.raises(ConfigError, match="a.pt and b.pt are the same network"):
            seat([one, copy], tiny.data, Runner("cpu"), choose=True)


def test_a_checkpoint_that_is_nearly_another_is_no_copy(tiny: Tiny) -> None:
    """They differ by as much as a copy in half precision does, but neither is in half precision."""
    architecture = build("lenetlike", tiny.data.io)
    one = Network(architecture, 0.1 * torch.randn(architecture.parameter_count, generator=seeded()), source="a.pt")
    noise = torch.randn(architecture.parameter_count, generator=seeded(1))
    later = replace(one, weights=one.weights * (1 + 3e-4 * noise), source="b.pt")
    assert len(seat([one, later], tiny.data, Runner("cpu"), choose=True).answers) == 2


def test_one_validation_image_is_refused(tiny: Tiny) -> None:
    one, other = networks(2)
    splits = {**tiny.data.splits, "val": Split(*(part[:1] for part in vars(tiny.data.splits["val"]).values()))}
    with pytest.raises(ConfigError, match="has one validation image, by which nothing can be chosen") as told:
        given = [replace(each, weights=torch.randn(each.architecture.parameter_count)) for each in (one, other)]
        data = replace(tiny.data, splits=splits)
        seat(given, data, Runner("cpu"), choose=True)
    assert told.value.hint == "Give two or more."


def test_members_that_answer_all_images_alike_are_no_copies(tiny: Tiny) -> None:
    architecture = build("lenetlike", tiny.data.io)
    fresh = []
    for i in range(3):
        weights = 0.1 * torch.randn(architecture.parameter_count, generator=seeded(i))
        last = {n: 0 * w if n.startswith("fc3") and i else w for n, w in architecture.to_state(weights).items()}
        fresh.append(Network(architecture, architecture.to_weights(last), source=f"{i}.pt"))
    with pytest.raises(
        ConfigError, match=r"1.pt and 2.pt give the same outputs for all \d+ images: they were not"
    ) as told:
        seat(fresh, tiny.data, Runner("cpu"), choose=True)
    assert told.value.hint == "Leave them out."
    unlabelled = tiny.data.without_labels()
    for data, choose in ((unlabelled, True), (tiny.data, False)):
        with pytest.raises(ConfigError, match=r"1.pt gives the same outputs for all \d+ images: it was not") as told:
            seat(fresh[:2], data, Runner("cpu"), choose=choose)
        assert told.value.hint == "Leave it out."


@pytest.mark.parametrize("weigh", [False, True])
def test_who_says_the_same_of_every_image_does_not_teach(tiny: Tiny, weigh: bool) -> None:
    architecture = build("lenetlike", tiny.data.io)
    state = architecture.to_state(0.1 * torch.randn(architecture.parameter_count, generator=seeded()))
    last = [name for name in state if name.startswith("fc3")]

    def constant(source: str, klass: int) -> Network:
        zero = {name: torch.zeros_like(state[name]) for name in last}
        zero[last[-1]][klass] = 1.0
        return Network(architecture, architecture.to_weights({**state, **zero}), source=source)

    speaking = [
        Network(architecture, 0.1 * torch.randn(architecture.parameter_count, generator=seeded(i)), source=f"{i}.pt")
        for i in range(2)
    ]
    given = [constant("no.pt", 0), *speaking]
    found = seat(given, tiny.data, Runner("cpu"), choose=True, weigh=weigh)
    alone = seat(speaking, tiny.data, Runner("cpu"), choose=True, weigh=weigh)
    assert found.silent == (0,) and found.teachers == tuple(i + 1 for i in alone.teachers)
    assert found.weights == alone.weights and alone.silent == ()
    with pytest.raises(ConfigError, match=r"no.pt and never.pt give the same outputs for all \d+ images"):
        seat([constant("no.pt", 0), constant("never.pt", 1)], tiny.data, Runner("cpu"), choose=True)


def test_who_gives_probabilities_is_refused(tiny: Tiny) -> None:
    layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3), torch.nn.Softmax(1))
    architecture = describe("soft", layers, tiny.data.io)
    given = (torch.randn(architecture.parameter_count, generator=seeded(i)) for i in range(2))
    members = [Network(architecture, weights, source=f"{i}.pt") for i, weights in enumerate(given)]
    with pytest.raises(ConfigError, match="0.pt gives probabilities, and logits are needed") as told:
        seat(members, tiny.data, Runner("cpu"), choose=True)
    assert "leave out the softmax" in told.value.hint


class Unsteady(torch.nn.Module):
    """Adds to images what depends on `how`: on chance, or on the images beside."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.layer = how, torch.nn.Linear(64, 3)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3)."""
        values = images.flatten(1)
        beside = {
            "noise": 0.1 * torch.randn_like(values),
            "batch": -20 * values.mean(),
            "alone": -values.mean(1, keepdim=True),
        }
        outputs: Tensor = self.layer(values + beside[self.how])
        return outputs


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("noise", "b.pt gives other outputs when it is asked again about the same images"),
        ("batch", "b.pt gives other outputs for the same images where there are others beside them"),
        ("alone", None),
    ],
)
def test_answers_that_depend_on_chance_or_on_the_images_beside_are_refused(
    tiny: Tiny, how: str, told: str | None
) -> None:
    plain = describe("plain", Unsteady("alone"), tiny.data.io)
    architecture = replace(plain, module=Unsteady(how), fused=Unsteady(how))
    one, other = (0.3 * torch.randn(plain.parameter_count, generator=seeded(i)) for i in range(2))
    members = [Network(plain, one, source="a.pt"), Network(architecture, other, source="b.pt")]
    if told is None:
        assert len(seat(members, tiny.data, Runner("cpu"), choose=False).answers) == 2
        return
    with pytest.raises(ConfigError, match=told):
        seat(members, tiny.data, Runner("cpu"), choose=False)
