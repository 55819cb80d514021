"""A space made on the members: an architecture of one's own goes through it, without labels, and leaves no file."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from netspace_models.architectures import build
from netspace_models.errors import ConfigError

from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.merging.merge import merge
from netspace_cli.core.merging.own_space import OwnSpace, space_of
from netspace_cli.core.merging.plan import MergePlan
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime.runner import Runner
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
