"""Merging groups in worker processes: what is finished is kept, in the order of the groups where nothing fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from netspace_models.errors import ConfigError, InputFileError, RunFailed

from netspace_cli.core.merging import groups
from netspace_cli.core.merging.groups import MergeInputs, merge_groups
from netspace_cli.core.merging.merge import Merged
from netspace_cli.core.merging.plan import MergePlan
from netspace_cli.core.networks.network import Network
from netspace_cli.core.runtime import workers
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.runtime.workers import Workers
from netspace_cli.core.zoos.zoo import open_zoo
from tests.core.runtime.test_workers import Backwards
from tests.worlds import Tiny

FEW = MergePlan(steps=2, images=8)
ORDER = ["lenetlike-0000", "vanillacnn-0001", "resnet8-0002"]


@dataclass(frozen=True)
class Opened:
    """A source of inputs that are open already; tests have no other process."""

    key: int
    inputs: MergeInputs

    def open(self) -> MergeInputs:
        return self.inputs

    def __hash__(self) -> int:
        return self.key


@pytest.fixture
def shared(tiny: Tiny, runner: Runner) -> Iterator[Workers[MergeInputs]]:
    yield Workers(Opened(0, MergeInputs(tiny.zoo, tiny.data, None)), runner, Backwards())
    workers.opened.cache_clear()
    workers._runner.cache_clear()


@pytest.fixture
def runner() -> Runner:
    return Runner("cpu", threads=1)


@pytest.mark.slow
def test_groups_that_are_finished_are_kept_where_another_fails(
    tiny: Tiny, tmp_path: Path, runner: Runner, shared: Workers[MergeInputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = groups.merge

    def failing(members: Sequence[Network], *rest: Any, **options: Any) -> Merged:
        if members[0].architecture.name == "lenetlike":
            raise RunFailed("no way that distils has a finite loss.", "Lower lr.")
        return plain(members, *rest, **options)

    monkeypatch.setattr(groups, "merge", failing)
    with pytest.raises(RunFailed, match="no way that distils"):
        merge_groups(tiny.zoo, tmp_path / "merged", tiny.data, runner, plan=FEW, workers=shared)
    assert [i.id for i in open_zoo(tmp_path / "merged").instances] == ORDER[1:]
    monkeypatch.setattr(groups, "merge", plain)
    whole = merge_groups(tiny.zoo, tmp_path / "merged", tiny.data, runner, plan=FEW)
    assert [i.id for i in whole] == [*ORDER[1:], ORDER[0]]
    again = merge_groups(tiny.zoo, tmp_path / "again", tiny.data, runner, plan=FEW, workers=shared)
    assert [i.id for i in again] == ORDER and sorted(again, key=lambda i: i.id) == sorted(whole, key=lambda i: i.id)


def test_what_a_kill_kept_from_the_manifest_is_not_merged_again(
    tiny: Tiny, tmp_path: Path, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first group was not finished, the others were, and nobody has listed them."""
    path, plan = tmp_path / "merged", MergePlan(method="mean")
    whole = merge_groups(tiny.zoo, path, tiny.data, runner, plan=plan)
    assert [i.id for i in whole] == ORDER
    manifest = path / "instances.jsonl"
    lines = manifest.read_text()
    manifest.write_text("")
    (path / "runs" / f"{ORDER[0]}.json").unlink()
    real, begun = groups.merge, []

    def merged(members: Sequence[Network], *rest: Any, **options: Any) -> Merged:
        begun.append(members[0].architecture.name)
        return real(members, *rest, **options)

    monkeypatch.setattr(groups, "merge", merged)
    assert merge_groups(tiny.zoo, path, tiny.data, runner, plan=plan) == whole
    assert begun == ["lenetlike"] and manifest.read_text() == lines
    manifest.write_text("")
    with pytest.raises(ConfigError, match="has lenetlike-0000 already, merged from other instances or by other"):
        merge_groups(tiny.zoo, path, tiny.data, runner, plan=MergePlan(method="best"))
    (path / whole[0].file).unlink()
    with pytest.raises(InputFileError, match="the network that was made is missing or changed"):
        merge_groups(tiny.zoo, path, tiny.data, runner, plan=plan)
