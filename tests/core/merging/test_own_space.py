"""A space made on the members: an architecture of one's own goes through it, without labels, and leaves no file."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.architectures import build
from netspace_models.errors import ConfigError

from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.merging import own_space
from netspace_cli.core.merging.merge import merge
from netspace_cli.core.merging.own_space import TRIALS, OwnSpace, space_of, steps_within
from netspace_cli.core.merging.plan import MergePlan
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.space import Space
from netspace_cli.core.zoos.zoo import Zoo
from tests.small_networks import seeded
from tests.worlds import Tiny

SMALL = OwnSpace(steps=2, recombined=2, embedding_size=64, width=16, images=8)


def three(tiny: Tiny) -> list[Network]:
    architecture = build("lenetlike", tiny.data.io)
    size = architecture.parameter_count
    return [Network(architecture, 0.2 * torch.randn(size, generator=seeded(i)), source=f"{i}") for i in range(3)]


def test_members_go_through_a_space_of_their_own(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    members, data = three(tiny), tiny.data.without_labels()
    with Runner("cpu") as runner:
        space, again = (space_of(members, members[0].architecture, data, runner, plan=SMALL) for _ in range(2))
        vectors = [encode(members, each, runner).vectors for each in (space, again)]
        assert torch.equal(*vectors) and vectors[0].shape == (3, 64)
        splits = [row["split"] for row in space.record["zoo"]]
        assert (splits.count("train"), splits.count("val")) == (3 + SMALL.recombined, 2)
        plan = MergePlan(method="space-from-mean", steps=2, images=8)
        found = merge(members, data, runner, space=space, plan=plan)
    assert found.method == "space-from-mean" and found.network.architecture.name == "lenetlike"
    assert list(tmp_path.iterdir()) == []


def test_one_member_makes_no_space(tiny: Tiny) -> None:
    members = three(tiny)[:1]
    with pytest.raises(ConfigError, match="takes two of a lenetlike; 1 of these members are one") as refusal:
        space_of(members, members[0].architecture, tiny.data, Runner("cpu"), plan=replace(SMALL))
    assert "Leave out `space`" in refusal.value.hint


def test_a_space_has_the_steps_that_there_is_time_for(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    # Half a second to prepare, and a tenth for each step.
    assert [steps_within(seconds, (2.0, 0.6, 1.4), 300) for seconds in (0.1, 0.65, 1.65, 5.65, 100.0)] == [
        1,
        1,
        11,
        51,
        300,
    ]
    assert steps_within(5.0, (2.0, 0.9, 0.9), 300) == 1 + int(4.1 / 0.02), "trials that took as long"
    made, real = list[int](), own_space.train

    def noted(zoo: Zoo, path: Path, recipe: Recipe, *rest: Any) -> Space:
        made.append(recipe.train.steps)
        return real(zoo, path, recipe, *rest)

    monkeypatch.setattr(own_space, "train", noted)
    monkeypatch.setattr(own_space, "steps_within", lambda left, taken, most: len(taken) + 9 if 0 < left < 60 else most)
    members = three(tiny)
    plan = replace(SMALL, steps=14)
    with Runner("cpu") as runner:
        spaces = [
            space_of(members, members[0].architecture, tiny.data, runner, plan=plan, seconds=seconds)
            for seconds in (60.0, None, 1e-6)
        ]
    assert made == [*TRIALS, 12, 14, 1] and [each.recipe.train.steps for each in spaces] == [12, 14, 1]
