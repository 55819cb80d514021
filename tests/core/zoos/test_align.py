"""A zoo in one order: the same functions, nearer to each other, begun again without a difference."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from netspace_models.errors import ConfigError, InputFileError

from netspace_cli.core.networks.trust import trusting
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.zoos import align
from netspace_cli.core.zoos.align import Aligned, AlignPlan, align_zoo, references_of
from netspace_cli.core.zoos.train import ZooPlan, train_zoo
from netspace_cli.core.zoos.zoo import Zoo, open_zoo, verify
from tests.worlds import Solids, Stopper, Tiny


def aligned(zoo: Zoo, path: Path, **plan: object) -> tuple[Zoo, tuple[Aligned, ...]]:
    with Runner("cpu") as runner:
        rows = align_zoo(zoo, path, AlignPlan(**plan), runner)  # type: ignore[arg-type]
    return open_zoo(path), rows


def files(folder: Path) -> dict[Path, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_aligned_zoo_has_the_same_functions_and_all_that_was_known_of_them(tiny: Tiny, tmp_path: Path) -> None:
    found, _ = aligned(tiny.zoo, tmp_path / "out")
    assert (found.data, found.about) == (tiny.zoo.data, tiny.zoo.about)
    assert {state for _, state in verify(found)} == {"ok"}
    architectures = {a.name: a for a in tiny.zoo.architectures()}
    assert {i.id for i in found.instances} == {i.id for i in tiny.zoo.instances}
    moved = 0
    for old in tiny.zoo.instances:
        new = next(i for i in found.instances if i.id == old.id)
        assert replace(new, sha256=old.sha256, file=old.file, training=old.training) == old
        assert new.training.items() >= old.training.items()
        assert new.training["aligned_from"] == old.sha256
        architecture = architectures[old.arch]
        one, other = tiny.zoo.network(old, architecture), found.network(new, architecture)
        assert one.form == other.form
        images = torch.rand(8, 1, 8, 8)
        torch.testing.assert_close(
            architecture.run(other.weights, images), architecture.run(one.weights, images), rtol=1e-4, atol=1e-4
        )
        moved += not torch.equal(one.weights, other.weights)
    assert moved >= len(tiny.zoo.instances) - 3 - 1


def test_distances_are_told_and_shrink(tiny: Tiny, tmp_path: Path) -> None:
    found, rows = aligned(tiny.zoo, tmp_path / "out")
    for row, architecture in zip(rows, tiny.zoo.architectures(), strict=True):
        assert row.arch == architecture.name
        for zoo, to_reference, nearest in (
            (tiny.zoo, row.before, row.nearest_before),
            (found, row.after, row.nearest_after),
        ):
            own = {i.id: zoo.network(i, architecture).weights for i in zoo.select(arch=row.arch)}
            reference = own[row.reference]
            distances = [float((w - reference).norm()) for name, w in own.items() if name != row.reference]
            assert to_reference == pytest.approx(sum(distances) / len(distances), rel=1e-5)
            near = [min(float((w - v).norm()) for m, v in own.items() if m != n) for n, w in own.items()]
            assert nearest == pytest.approx(sum(near) / len(near), rel=1e-5)
        assert row.after is not None and row.before is not None
        assert row.after < row.before
        assert row.instances == 4


def test_the_best_training_instance_by_validation_is_the_reference(tiny: Tiny) -> None:
    accuracies = {"lenetlike-0000": 0.2, "lenetlike-0001": 0.9}
    train = [i for i in tiny.single_zoo.instances if i.split == "train"][:2]
    other = next(i for i in tiny.single_zoo.instances if i.split == "test")
    marked = [replace(i, accuracy={"val": a, "test": 1 - a}) for i, a in zip(train, accuracies.values(), strict=True)]
    zoo = replace(tiny.single_zoo, instances=(*marked, replace(other, accuracy={"val": 1.0})))
    assert references_of(zoo, AlignPlan())["lenetlike"].id == train[1].id
    assert references_of(zoo, AlignPlan((train[0].id,)))["lenetlike"].id == train[0].id
    assert references_of(zoo, AlignPlan((other.id,)))["lenetlike"].id == other.id


def test_the_reference_stays_as_it_is_and_is_named(tiny: Tiny, tmp_path: Path) -> None:
    asked = tiny.zoo.select(split="test", arch="resnet8")[0]
    found, rows = aligned(tiny.zoo, tmp_path / "out", references=(asked.id,))
    architecture = next(a for a in tiny.zoo.architectures() if a.name == "resnet8")
    new = next(i for i in found.instances if i.id == asked.id)
    assert torch.equal(found.network(new, architecture).weights, tiny.zoo.network(asked, architecture).weights)
    assert {i.training["aligned_to"] for i in found.select(arch="resnet8")} == {asked.id}
    assert [row.reference for row in rows if row.arch == "resnet8"] == [asked.id]


def test_fields_are_aligned_too(solids: Solids, tmp_path: Path) -> None:
    found, (row,) = aligned(solids.zoo, tmp_path / "out")
    assert row.reference == solids.zoo.select(split="train")[0].id
    assert row.after is not None and row.before is not None
    assert row.after < row.before
    (architecture,) = found.architectures()
    points = torch.rand(20, 3) * 2 - 1
    for old, new in zip(solids.zoo.instances, found.instances, strict=True):
        values = (z.network(i, architecture).weights for z, i in ((solids.zoo, old), (found, new)))
        one, other = (architecture.run(w, points) for w in values)
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("stop", [1, 6])
def test_what_was_stopped_goes_on_to_the_same_zoo(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    monkeypatch.setattr(align, "AT_ONCE", 2)
    with pytest.raises(KeyboardInterrupt), Runner("cpu", progress=Stopper(stop)) as runner:
        align_zoo(tiny.zoo, tmp_path / "out", AlignPlan(), runner)
    assert len(open_zoo(tmp_path / "out").instances) == stop
    found, rows = aligned(tiny.zoo, tmp_path / "out")
    monkeypatch.setattr(align, "AT_ONCE", 16)
    expected, all_rows = aligned(tiny.zoo, tmp_path / "whole")
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert rows == all_rows
    assert found.instances == expected.instances


@pytest.mark.parametrize(
    ("references", "message"),
    [
        (("lenetlik-0001",), "has no instance 'lenetlik-0001'. Did you mean lenetlike-0001?"),
        (
            ("lenetlike-0000", "lenetlike-0001"),
            "two references of one architecture: lenetlike-0000 and lenetlike-0001 are both lenetlike. "
            "Give at most one for each of lenetlike, vanillacnn, resnet8.",
        ),
    ],
)
def test_references_that_there_are_not_are_refused(
    tiny: Tiny, tmp_path: Path, references: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        aligned(tiny.zoo, tmp_path / "out", references=references)
    assert str(refused.value).endswith(message)
    assert list(tmp_path.iterdir()) == []


def test_a_zoo_is_not_aligned_into_itself_or_into_another(tiny: Tiny, tmp_path: Path) -> None:
    shutil.copytree(tiny.single_zoo.path, tmp_path / "zoo")
    with pytest.raises(ConfigError, match="is the zoo that is to be aligned"):
        aligned(open_zoo(tmp_path / "zoo"), tmp_path / "zoo")
    with pytest.raises(
        ConfigError, match=r"-0000 already, aligned otherwise: align_seed \(None, now 0\);.*Use the settings"
    ):
        aligned(tiny.single_zoo, tmp_path / "zoo")
    aligned(tiny.single_zoo, tmp_path / "out")
    with pytest.raises(ConfigError, match=r"aligned otherwise: align_tries \(1, now 2\)\."):
        aligned(tiny.single_zoo, tmp_path / "out", tries=2)
    with pytest.raises(ConfigError, match=r"cannot align with 0 tries. Give at least one: `tries=1`"):
        aligned(tiny.single_zoo, tmp_path / "more", tries=0)
    with pytest.raises(ConfigError, match=r"has no instances. Train some"):
        aligned(replace(tiny.single_zoo, instances=()), tmp_path / "more")
    assert not (tmp_path / "more").exists()


def test_a_changed_instance_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    shutil.copytree(tiny.single_zoo.path, tmp_path / "zoo")
    zoo = open_zoo(tmp_path / "zoo")
    zoo.file_of(zoo.instances[1]).write_bytes(b"other")
    with pytest.raises(InputFileError, match="the manifest says"):
        aligned(zoo, tmp_path / "out")


FACTORIES = """
from torch import nn

class Soft(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(64, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.b(self.a(x.flatten(1)).softmax(1))

def plain():
    return nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))
"""


def test_networks_of_ones_own_are_traced_or_refused_with_the_reason(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_for_align_tests.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(tmp_path)
    names = [f"own_for_align_tests:{name}" for name in ("plain", "Soft")]
    with trusting(*names), Runner("cpu") as runner:
        plain, soft = (
            train_zoo(tmp_path / name[-4:], ZooPlan((name,), (2, 1, 0), (1, 1), batch=20), tiny.data, runner)
            for name in names
        )
        _, (row,) = aligned(plain, tmp_path / "out")
        with pytest.raises(ConfigError) as refused:
            aligned(soft, tmp_path / "none")
    assert row.after is not None and row.before is not None
    assert row.after < row.before
    assert refused.value.message == (
        "own_for_align_tests:Soft cannot be aligned: its hidden units are not known, as "
        "netspace does not follow units through _softmax."
    )
    assert "hidden_groups()" in refused.value.hint
    sys.modules.pop("own_for_align_tests")
