"""What members have answered is remembered: the same result, and nobody asked twice."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import pytest
import torch

from netspace_cli.core.merging import answers as module
from netspace_cli.core.merging.answers import Answers
from netspace_cli.core.merging.lessons import lessons_of
from netspace_cli.core.merging.merge import merge
from netspace_cli.core.merging.plan import MergePlan
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from tests.worlds import Tiny


def members_of(tiny: Tiny) -> list[Network]:
    known = {a.name: a for a in tiny.single_zoo.architectures()}
    return [tiny.single_zoo.network(i, known[i.arch]) for i in tiny.single_zoo.instances[:3]]


def test_the_result_is_the_same_and_nobody_is_asked_twice(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    data, plan, members = replace(tiny.data, padding=1), MergePlan(steps=3, images=8), members_of(tiny)
    with Runner("cpu") as runner:
        alone = merge(members[1:], data, runner, plan=plan)
        known = Answers()
        merge(members[:2], data, runner, plan=plan, known=known)
        asked = Mock(wraps=module.logits_of)
        monkeypatch.setattr(module, "logits_of", asked)
        after = merge(members[1:], data, runner, plan=plan, known=known)
        assert asked.call_count == 2, "only the new one, on two splits"
    assert torch.equal(alone.network.weights, after.network.weights)
    assert [way.scores for way in alone.ways] == [way.scores for way in after.ways]


def test_training_images_are_not_asked_about_again(tiny: Tiny) -> None:
    members, plan = members_of(tiny), MergePlan(images=8)
    with Runner("cpu") as runner:
        known = Answers()
        first = lessons_of(members, tiny.data, plan, runner, most=40, known=known)
        strangers = [replace(m, weights=torch.full_like(m.weights, torch.nan)) for m in members]
        again = lessons_of(strangers, tiny.data, plan, runner, most=40, known=known)
        assert torch.equal(first.answers, again.answers)
        assert lessons_of(strangers, tiny.data, plan, runner, most=40).answers.isnan().all(), "who is asked says so"


def test_what_has_no_file_or_no_room_is_asked_again(tiny: Tiny) -> None:
    member, ask = members_of(tiny)[0], Mock(side_effect=lambda: torch.zeros(4, 3))
    known = Answers(most_bytes=2 * 48)
    for split in ("val", "test", "train"):
        for _ in range(2):
            assert torch.equal(known.of(member, (split,), ask), torch.zeros(4, 3))
    assert ask.call_count == 4, "the third split has no room"
    for _ in range(2):
        known.of(replace(member, sha256=""), ("val",), ask)
    assert ask.call_count == 6


def test_many_small_answers_share_a_block_as_they_are() -> None:
    """Kept one by one they would keep the memory around them from being used again."""
    network = Mock(sha256="of a file")
    known = Answers()
    wanted = [torch.full((4, 3), i, dtype=kind) for kind in (torch.bfloat16, torch.float32) for i in range(5)]
    for i, each in enumerate(wanted):
        known.of(network, ("train", i), each.clone)
    kept = [known.of(network, ("train", i), Mock(side_effect=AssertionError)) for i in range(10)]
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(kept, wanted, strict=True))
    assert len({each.untyped_storage().data_ptr() for each in kept}) == 2, "one of each format"
    large = torch.randn(module.BLOCK + 1)
    assert torch.equal(known.of(network, ("train", "large"), large.clone), large)
    assert torch.equal(known.of(network, ("train", "large"), Mock(side_effect=AssertionError)), large)
