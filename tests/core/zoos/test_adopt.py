"""Adopting other people's checkpoints: recognised, scored, left as they are; the rest is reported."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.architectures import FieldIO, ImageIO, build
from netspace_models.errors import (
    ConfigError,
    InputFileError,
    Interrupted,
    OutputExists,
    RunFailed,
    UnknownArchitecture,
)

from netspace_cli.core.data.datasets import load_images
from netspace_cli.core.data.normalise import Normalisation
from netspace_cli.core.files.checkpoint import read_checkpoint, write_checkpoint
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.zoos import adopt as zoo_index
from netspace_cli.core.zoos import found as found_files
from netspace_cli.core.zoos import manifest as zoo_manifest
from netspace_cli.core.zoos.adopt import Adopted, IndexPlan, index_folder
from netspace_cli.core.zoos.export import export_instance
from netspace_cli.core.zoos.zoo import open_zoo, verify
from tests.worlds import Tiny


def index(folder: Path, tiny: Tiny, *, force: bool = False, dry_run: bool = False, **planned: Any) -> Adopted:
    with Runner("cpu") as runner:
        return index_folder(folder, tiny.data, runner, IndexPlan(**planned), force=force, dry_run=dry_run)


def states(tiny: Tiny, count: int) -> list[dict[str, torch.Tensor]]:
    """So many different lenetlikes."""
    state = read_checkpoint(tiny.networks["lenetlike"]).state
    return [{name: tensor * (1 + n / 64) for name, tensor in state.items()} for n in range(count)]


def fill(folder: Path, tiny: Tiny, count: int) -> None:
    """00.pt, 01.pt, ...: different lenetlikes."""
    for n, state in enumerate(states(tiny, count)):
        write_checkpoint(folder / f"{n:02d}.pt", state)


def splits(adopted: Adopted, arch: str = "lenetlike") -> dict[str, int]:
    return dict(Counter(i.split for i in adopted.zoo.select(arch=arch)))


@pytest.fixture
def folder(tiny: Tiny, tmp_path: Path) -> Path:
    """Checkpoints as they come: three formats, nested, prefixed, in folders; and things that are none."""
    root = tmp_path / "theirs"
    (root / "deep" / "er").mkdir(parents=True)
    lenet, second, third = states(tiny, 3)
    resnet = read_checkpoint(tiny.networks["resnet8"]).state
    write_checkpoint(root / "a.safetensors", lenet)
    write_checkpoint(root / "deep" / "b.pth", second)
    torch.save({"epoch": 3, "model": {"state_dict": third}}, root / "deep" / "er" / "nested.PT")
    torch.save({f"module.{n}": t for n, t in resnet.items()}, root / "prefixed.th")
    (root / "broken.pt").write_bytes(b"<html>not found</html>" * 10)
    (root / "notes.txt").write_text("mine")
    (root / "log.jsonl").write_text("mine, too")
    torch.save({n: t * float("nan") for n, t in lenet.items()}, root / "diverged.pt")
    other = build("lenetlike", ImageIO(3, 32, 10)).module.state_dict()
    write_checkpoint(root / "cifar.safetensors", other)
    return root


def test_checkpoints_of_all_kinds_are_adopted_and_the_rest_reported(tiny: Tiny, folder: Path) -> None:
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    adopted = index(folder, tiny, licence="MIT")
    found = {i.id: i for i in adopted.zoo.instances}
    assert {n: i.arch for n, i in found.items()} == {
        "a": "lenetlike",
        "deep/b": "lenetlike",
        "deep/er/nested": "lenetlike",
        "prefixed": "resnet8",
    }
    assert (adopted.added, adopted.already) == (adopted.zoo.instances, 0)
    original = {i.arch: i.accuracy for i in tiny.zoo.select(split="test")}
    for name in ("a", "prefixed"):
        assert found[name].accuracy == original[found[name].arch]
    for instance in found.values():
        assert (instance.licence, instance.epochs, instance.seed) == ("MIT", None, None)
    refused = {left.path.relative_to(folder).as_posix(): left for left in adopted.refused}
    assert set(refused) == {"broken.pt", "diverged.pt", "cifar.safetensors"}
    assert refused["broken.pt"].reason == "this is an HTML page, not a checkpoint."
    assert "download the file itself" in refused["broken.pt"].hint
    assert "NaN" in refused["diverged.pt"].reason
    assert "Nearest is lenetlike (1x8x8, 3 classes)" in refused["cifar.safetensors"].reason
    assert not any(str(folder) in left.reason for left in adopted.refused), "the path is said once"
    assert {p: p.read_bytes() for p in before} == before


def test_an_adopted_zoo_is_a_zoo(tiny: Tiny, folder: Path) -> None:
    zoo = index(folder, tiny).zoo
    assert [word for _, word in verify(zoo)] == ["ok"] * 4
    for architecture in zoo.architectures():
        assert zoo.weights(zoo.select(arch=architecture.name), architecture)


def test_the_same_file_is_taken_once(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    fill(tmp_path, tiny, 2)
    for copy in ("000.pt", "b/copy.pt"):
        (tmp_path / copy).write_bytes((tmp_path / "00.pt").read_bytes())
    adopted = index(tmp_path, tiny)
    assert [i.file for i in adopted.zoo.instances] == ["00.pt", "01.pt"]
    said = f"the same file as {tmp_path / '00.pt'}."
    assert [(left.path, left.reason) for left in adopted.refused] == [
        (tmp_path / "000.pt", said),
        (tmp_path / "b" / "copy.pt", said),
    ]


def test_a_network_is_taken_once_whatever_file_it_is_in(tiny: Tiny, tmp_path: Path) -> None:
    (state,) = states(tiny, 1)
    write_checkpoint(tmp_path / "a.pt", state)
    write_checkpoint(tmp_path / "b.safetensors", state)
    torch.save({"model": {f"module.{n}": t.double() for n, t in state.items()}}, tmp_path / "c.pth")
    adopted = index(tmp_path, tiny)
    assert [i.file for i in adopted.zoo.instances] == ["a.pt"]
    said = f"the same network as {tmp_path / 'a.pt'}, in another file."
    assert [(left.path.name, left.reason) for left in adopted.refused] == [("b.safetensors", said), ("c.pth", said)]


def test_folded_and_unfolded_files_of_a_network_are_one(tiny: Tiny, tmp_path: Path) -> None:
    network = read_network(tiny.networks["resnet8"], io=tiny.data.io)
    write_checkpoint(tmp_path / "a.pt", read_checkpoint(tiny.networks["resnet8"]).state)
    write_checkpoint(tmp_path / "b.pt", network.architecture.to_state(network.weights, "fused"))
    adopted = index(tmp_path, tiny)
    assert [i.file for i in adopted.zoo.instances] == ["a.pt"]
    assert "the same network as" in adopted.refused[0].reason


def test_what_is_indexed_already_is_not_taken_again(tiny: Tiny, tmp_path: Path) -> None:
    first, second = states(tiny, 2)
    write_checkpoint(tmp_path / "b.pt", first)
    index(tmp_path, tiny)
    (tmp_path / "a.pt").write_bytes((tmp_path / "b.pt").read_bytes())
    write_checkpoint(tmp_path / "a.safetensors", first)
    write_checkpoint(tmp_path / "c.pt", second)
    adopted = index(tmp_path, tiny)
    assert [i.file for i in adopted.zoo.instances] == ["b.pt", "c.pt"]
    assert [i.file for i in adopted.added] == ["c.pt"] and adopted.already == 1
    assert [left.reason for left in adopted.refused] == [
        f"the same file as {tmp_path / 'b.pt'}.",
        f"the same network as {tmp_path / 'b.pt'}, in another file.",
    ]


def test_a_network_that_is_listed_twice_already_is_told(tiny: Tiny, tmp_path: Path) -> None:
    fill(tmp_path, tiny, 1)
    index(tmp_path, tiny)
    (tmp_path / "copy.pt").write_bytes((tmp_path / "00.pt").read_bytes())
    line = (tmp_path / "instances.jsonl").read_text()
    # The names alone: a checksum may begin with 00 as well.
    (tmp_path / "instances.jsonl").write_text(line + line.replace('"00"', '"copy"').replace('"00.pt"', '"copy.pt"'))
    adopted = index(tmp_path, tiny)
    files = f"{tmp_path / 'copy.pt'}: the same file as {tmp_path / '00.pt'}"
    assert f"{files}, and both are listed. `force=True` indexes again from scratch." in adopted.notes
    (tmp_path / "00.pt").unlink()
    gone = "1 of 2 listed instances do not match the manifest: see `netspace zoo verify`."
    assert gone in index(tmp_path, tiny).notes


def test_run_again_it_adds_what_is_new_and_nothing_else(tiny: Tiny, folder: Path) -> None:
    first = index(folder, tiny).zoo
    manifest = (folder / "instances.jsonl").read_bytes()
    assert index(folder, tiny).zoo.instances == first.instances
    assert (folder / "instances.jsonl").read_bytes() == manifest
    write_checkpoint(folder / "new.pt", read_checkpoint(tiny.networks["vanillacnn"]).state)
    third = index(folder, tiny).zoo
    assert third.instances[:-1] == first.instances
    assert (third.instances[-1].id, third.instances[-1].arch) == ("new", "vanillacnn")


def test_one_name_with_two_extensions_is_two_instances(tiny: Tiny, tmp_path: Path) -> None:
    names = ("a.pt", "a.pt.pt", "a.pth", "a.safetensors")
    for name, state in zip(names, states(tiny, 4), strict=True):
        write_checkpoint(tmp_path / name, state)
    zoo = index(tmp_path, tiny).zoo
    assert [i.file for i in zoo.instances] == list(names)
    assert [i.id for i in zoo.instances] == ["a", "a.pt", "a.pth", "a.safetensors"]
    assert len(index(tmp_path, tiny).zoo.instances) == len(open_zoo(tmp_path).instances) == 4


def test_splits_are_in_the_proportions_asked_for(tiny: Tiny, tmp_path: Path) -> None:
    fill(tmp_path, tiny, 10)
    adopted = index(tmp_path, tiny, shares=(6, 1, 3))
    assert splits(adopted) == {"train": 6, "val": 1, "test": 3}
    assert adopted.notes == ()


def test_splits_are_drawn_from_the_seed(tiny: Tiny, tmp_path: Path) -> None:
    fill(tmp_path, tiny, 10)

    def drawn(seed: int) -> list[str]:
        with Runner("cpu", seed=seed) as runner:
            return [i.split for i in index_folder(tmp_path, tiny.data, runner, dry_run=True).added]

    assert drawn(0) == drawn(0)
    assert len({tuple(drawn(seed)) for seed in range(5)}) > 1


def test_each_split_of_each_architecture_gets_an_instance(tiny: Tiny, tmp_path: Path) -> None:
    fill(tmp_path, tiny, 4)
    for n in range(3):
        state = {name: t * (1 + n / 64) for name, t in read_checkpoint(tiny.networks["vanillacnn"]).state.items()}
        write_checkpoint(tmp_path / f"v{n}.pt", state)
    write_checkpoint(tmp_path / "r.pt", read_checkpoint(tiny.networks["resnet8"]).state)
    adopted = index(tmp_path, tiny)
    assert splits(adopted) == {"train": 2, "val": 1, "test": 1}
    assert splits(adopted, "vanillacnn") == {"train": 1, "val": 1, "test": 1}
    assert splits(adopted, "resnet8") == {"train": 1}
    assert adopted.notes == ("resnet8: 1 instance is too few for train, val and test; none is in val or test.",)


def test_what_is_added_fills_the_splits_up(tiny: Tiny, tmp_path: Path) -> None:
    for n, state in enumerate(states(tiny, 10)):
        write_checkpoint(tmp_path / f"{n}.pt", state)
        adopted = index(tmp_path, tiny, shares=(6, 1, 3))
    assert splits(adopted) == {"train": 6, "val": 1, "test": 3}


@pytest.mark.parametrize("shares", [(0, 0, 0), (-1, 2, 2), (1, 2)])
def test_shares_that_make_no_splits_are_refused(tiny: Tiny, tmp_path: Path, shares: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="invalid shares"):
        index(tmp_path, tiny, shares=shares)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_nothing_that_fits_stays_as_it_was(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no checkpoint files.") as refused:
        index(tmp_path, tiny)
    assert refused.value.hint.startswith("Files ending in .safetensors, .pt, .pth, .th are looked for")
    (tmp_path / "a.pt").write_bytes(b"<html></html>" * 10)
    for options in ({}, {"force": True}, {"dry_run": True}):
        with pytest.raises(ConfigError, match="none of 1 checkpoint files could be adopted") as refused:
            index(tmp_path, tiny, **options)
        assert f"{tmp_path / 'a.pt'}: this is an HTML page" in refused.value.hint
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_no_folder_is_told_and_none_is_made(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere is not a folder"):
        index(tmp_path / "nowhere", tiny)
    assert list(tmp_path.iterdir()) == []


def test_an_architecture_can_be_named(tiny: Tiny, folder: Path) -> None:
    adopted = index(folder, tiny, arch="resnet8")
    assert [i.id for i in adopted.zoo.instances] == ["prefixed"]
    assert "do not fit resnet8" in adopted.refused[0].reason
    assert "leave out `arch`" in adopted.refused[0].hint
    assert len(adopted.refused) == 6


def test_an_architecture_that_nobody_knows_is_refused_once(tiny: Tiny, folder: Path) -> None:
    with pytest.raises(UnknownArchitecture, match="unknown architecture 'lenetlik'. Did you mean lenetlike?"):
        index(folder, tiny, arch="lenetlik")


def test_a_zoo_that_was_trained_can_be_added_to(tiny: Tiny, tmp_path: Path) -> None:
    shutil.copytree(tiny.single_zoo.path, tmp_path / "zoo")
    shutil.copy(tiny.networks["resnet8"], tmp_path / "zoo" / "found.safetensors")
    adopted = index(tmp_path / "zoo", tiny)
    assert adopted.zoo.instances[:-1] == tiny.single_zoo.instances
    assert adopted.zoo.instances[-1].id == "found"
    assert (adopted.refused, adopted.already) == ((), len(tiny.single_zoo.instances))


def test_a_zoo_that_was_trained_is_not_indexed_anew(tiny: Tiny, tmp_path: Path) -> None:
    shutil.copytree(tiny.single_zoo.path, tmp_path / "zoo")
    manifest = (tmp_path / "zoo" / "instances.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="7 of 7 instances in .*zoo were trained by netspace") as refused:
        index(tmp_path / "zoo", tiny, force=True)
    assert "Leave out `force=True`" in refused.value.hint
    assert (tmp_path / "zoo" / "instances.jsonl").read_bytes() == manifest


def test_indexed_anew_it_is_as_if_never_indexed(tiny: Tiny, tmp_path: Path) -> None:
    fill(tmp_path, tiny, 6)
    index(tmp_path, tiny, shares=(1, 0, 0))
    (tmp_path / "00.pt").unlink()
    again = index(tmp_path, tiny, shares=(1, 1, 1), licence="MIT", force=True)
    assert (again.already, len(again.added)) == (6, 5)
    assert open_zoo(tmp_path).instances == again.zoo.instances == again.added
    assert {i.id for i in again.added} == {"01", "02", "03", "04", "05"}
    assert splits(again) == {"train": 2, "val": 2, "test": 1} and again.zoo.about == {"licence": "MIT"}
    for path in (tmp_path / "zoo.json", tmp_path / "instances.jsonl"):
        path.rename(tmp_path / f"again-{path.name}")
    fresh = index(tmp_path, tiny, shares=(1, 1, 1), licence="MIT")
    assert fresh.zoo.instances == again.zoo.instances
    for name in ("zoo.json", "instances.jsonl"):
        assert (tmp_path / name).read_bytes() == (tmp_path / f"again-{name}").read_bytes()


def test_indexing_anew_takes_other_images_and_mends_what_is_broken(tiny: Tiny, tmp_path: Path) -> None:
    fill(tmp_path, tiny, 3)
    index(tmp_path, tiny)
    record = json.loads((tmp_path / "zoo.json").read_text())
    record["data"]["name"] = "other"
    (tmp_path / "zoo.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="is a zoo of other") as refused:
        index(tmp_path, tiny)
    assert "`force=True`" in refused.value.hint
    assert index(tmp_path, tiny, force=True).zoo.data == tiny.data.record()
    (tmp_path / "instances.jsonl").write_text("no line\n")
    with pytest.raises(InputFileError, match="line 1 is not an instance"):
        index(tmp_path, tiny)
    assert len(index(tmp_path, tiny, force=True).zoo.instances) == 3
    (tmp_path / "zoo.json").unlink()
    for dry_run in (True, False):
        with pytest.raises(OutputExists, match=r"instances\.jsonl exists already"):
            index(tmp_path, tiny, dry_run=dry_run)
    assert len(index(tmp_path, tiny, force=True).zoo.instances) == 3


@pytest.mark.parametrize("fails", ["scores", "instances.jsonl", "zoo.json"])
def test_what_fails_while_indexing_anew_leaves_what_was_listed(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    fill(tmp_path, tiny, 4)
    index(tmp_path, tiny, licence="old")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    calls = []

    def failing(work: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object, **options: object) -> object:
            calls.append(arguments)
            if (fails == "scores" and len(calls) == 3) or getattr(arguments[0], "name", "") == fails:
                raise RunFailed("out of memory")
            return work(*arguments, **options)

        return run

    if fails == "scores":
        monkeypatch.setattr(zoo_index, "scores", failing(zoo_index.scores))
    elif fails == "instances.jsonl":
        monkeypatch.setattr(zoo_manifest, "atomic_write", failing(zoo_manifest.atomic_write))
    else:
        (tmp_path / "zoo.json").unlink()
        (tmp_path / "zoo.json").mkdir()
        del before["zoo.json"]
    with pytest.raises(RunFailed if fails != "zoo.json" else ConfigError):
        index(tmp_path, tiny, shares=(1, 0, 0), licence="new", force=True)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


def test_what_was_scored_before_a_failure_is_kept_and_the_rest_added_later(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, tiny, 6)
    real, calls = zoo_index.scores, []

    def interrupted(*arguments: Any, **named: Any) -> dict[str, float]:
        calls.append(arguments)
        if len(calls) == 4:
            raise Interrupted("terminated.", exit_code=143)
        return real(*arguments, **named)

    monkeypatch.setattr(zoo_index, "scores", interrupted)
    with pytest.raises(Interrupted):
        index(tmp_path, tiny, shares=(2, 2, 2))
    assert len(open_zoo(tmp_path).instances) == 3
    adopted = index(tmp_path, tiny, shares=(2, 2, 2))
    assert (adopted.already, len(adopted.added)) == (3, 3)
    assert splits(adopted) == {"train": 2, "val": 2, "test": 2}


@pytest.mark.parametrize("scored", [1, 2, 4, 5])
def test_indexing_that_was_broken_off_goes_on_with_the_splits_that_it_drew(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scored: int
) -> None:
    for name in ("whole", "new"):
        (tmp_path / name).mkdir()
        fill(tmp_path / name, tiny, 6)
    whole, real, calls = index(tmp_path / "whole", tiny).zoo, zoo_index.scores, []

    def interrupted(*arguments: Any, **named: Any) -> dict[str, float]:
        calls.append(arguments)
        if len(calls) == scored:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    monkeypatch.setattr(zoo_index, "scores", interrupted)
    with pytest.raises(KeyboardInterrupt):
        index(tmp_path / "new", tiny)
    assert index(tmp_path / "new", tiny).zoo.instances == whole.instances
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(p.name for p in whole.path.iterdir())


@pytest.mark.parametrize("content", ["", "[]", '{"splits": 5}', '{"splits": {"00.pt": "nosuch"}}', '{"splits": {'])
def test_splits_that_cannot_be_read_are_drawn_again(tiny: Tiny, tmp_path: Path, content: str) -> None:
    fill(tmp_path, tiny, 3)
    (tmp_path / ".netspace-splits.json").write_text(content)
    assert splits(index(tmp_path, tiny)) == {"train": 1, "val": 1, "test": 1}
    assert not (tmp_path / ".netspace-splits.json").exists()


def test_a_dry_run_says_what_would_be_and_writes_nothing(tiny: Tiny, folder: Path) -> None:
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    would = index(folder, tiny, dry_run=True, licence="MIT")
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    done = index(folder, tiny, licence="MIT")
    assert [replace(i, accuracy={}) for i in done.added] == list(would.added) == list(would.zoo.instances)
    assert (would.refused, would.notes) == (done.refused, done.notes)
    manifest = (folder / "instances.jsonl").read_bytes()
    assert len(index(folder, tiny, dry_run=True, force=True).added) == 4
    assert (folder / "instances.jsonl").read_bytes() == manifest


def test_the_entry_of_a_nested_checkpoint_can_be_named(tiny: Tiny, tmp_path: Path) -> None:
    first, second = states(tiny, 2)
    torch.save({"model": first, "ema": second}, tmp_path / "a.pt")
    with pytest.raises(ConfigError, match="none of 1") as refused:
        index(tmp_path, tiny)
    assert "there are 2 state dicts in it: 'model', 'ema'" in refused.value.hint
    with pytest.raises(ConfigError, match="none of 1") as refused:
        index(tmp_path, tiny, key="swa", dry_run=True)
    assert "there is no key 'swa' in it." in refused.value.hint
    (instance,) = index(tmp_path, tiny, key="ema").added
    assert instance.training == {"key": "ema"}
    zoo = open_zoo(tmp_path)
    (architecture,) = zoo.architectures()
    assert torch.equal(zoo.network(zoo.instances[0], architecture).weights, architecture.to_weights(second))
    export_instance(zoo, "a", tmp_path / "out.safetensors")
    exported = read_checkpoint(tmp_path / "out.safetensors").state
    assert all(torch.equal(exported[name], second[name]) for name in second)


def test_a_folder_whose_indexing_was_killed_at_once_is_indexed(tiny: Tiny, tmp_path: Path) -> None:
    fill(tmp_path, tiny, 2)
    (tmp_path / "instances.jsonl").touch()
    assert len(index(tmp_path, tiny).zoo.instances) == 2


def test_a_network_of_points_is_left_out_among_networks_of_images(tiny: Tiny, tmp_path: Path) -> None:
    fill(tmp_path, tiny, 1)
    torch.save(build("siren-1x1", FieldIO(1, 1)).module.state_dict(), tmp_path / "field.pt")
    adopted = index(tmp_path, tiny)
    assert [i.file for i in adopted.added] == ["00.pt"]
    assert [left.reason for left in adopted.refused] == [
        "it is a siren-1x1 for points of 1 coordinate, 1 value, not for images of 1x8x8, 3 classes."
    ]


def test_checkpoints_of_any_extension_are_adopted_and_the_rest_is_told(tiny: Tiny, tmp_path: Path) -> None:
    names = ("best.pth.tar", "epoch=1.ckpt", "last")
    for name, state in zip(names, states(tiny, 3), strict=True):
        torch.save({"state_dict": {f"model.{n}": t for n, t in state.items()}}, tmp_path / name)
    (tmp_path / "notes.txt").write_text("mine")
    adopted = index(tmp_path, tiny)
    assert [(i.id, i.file) for i in adopted.added] == list(zip(("best", "epoch=1", "last"), names, strict=True))
    assert "1 file was passed over, not checkpoints by their content (text: notes.txt)." in adopted.notes
    assert len(index(tmp_path, tiny).added) == 0


def test_a_network_whose_outputs_are_not_finite_is_left_out(tiny: Tiny, tmp_path: Path) -> None:
    good, other = states(tiny, 2)
    write_checkpoint(tmp_path / "good.pt", good)
    torch.save({name: 1e25 * tensor for name, tensor in other.items()}, tmp_path / "diverged.pt")
    adopted = index(tmp_path, tiny)
    assert [i.file for i in adopted.zoo.instances] == ["good.pt"]
    (left,) = adopted.refused
    assert left.path.name == "diverged.pt"
    assert "inputs are NaN or infinite" in left.reason
    assert "probably diverged" in left.hint


def test_a_network_of_which_a_late_output_is_not_finite_is_left_out(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found_files, "_check_answers", lambda *_: None)
    good, other = states(tiny, 2)
    write_checkpoint(tmp_path / "good.pt", good)
    torch.save({name: 1e25 * tensor for name, tensor in other.items()}, tmp_path / "diverged.pt")
    adopted = index(tmp_path, tiny)
    assert [i.file for i in adopted.zoo.instances] == ["good.pt"] == [i.file for i in adopted.added]
    ((path, reason),) = [(left.path.name, left.reason) for left in adopted.refused]
    assert path == "diverged.pt" and reason.startswith("its outputs for") and "are NaN or infinite" in reason
    assert index(tmp_path, tiny).refused == adopted.refused


def test_a_recorded_accuracy_that_is_not_found_is_told(tiny: Tiny, tmp_path: Path) -> None:
    first, second, third = states(tiny, 3)
    right = next(i for i in tiny.zoo.instances if tiny.zoo.file_of(i) == tiny.networks["lenetlike"]).accuracy["test"]
    torch.save({"state_dict": first, "best_prec1": 100 * right, "epoch": 3}, tmp_path / "a.pt")
    torch.save({"state_dict": second, "acc": torch.tensor(right / 2 + 0.001), "lr": 0.1}, tmp_path / "b.pt")
    torch.save({"state_dict": third, "accuracy": "good", "top1": True}, tmp_path / "c.pt")
    (told,) = [note for note in index(tmp_path, tiny).notes if "records" in note]
    assert told.startswith(f"b.pt records an accuracy of {right / 2 + 0.001:.1%}, and answers ")
    assert "another architecture than lenetlike?" in told


def test_another_normalisation_that_is_plainly_better_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes((Path(__file__).parents[3] / "examples/digits/lenet.pt").read_bytes())
    digits = load_images("digits")
    with Runner("cpu") as runner:
        found = index_folder(tmp_path, Normalisation("half").of(digits), runner)
        assert found.notes[0].startswith('a.pt answers 98.5% of test images rightly with `normalise="own"`, and 92.')
        assert found.zoo.data["mean"] == [0.5]
        again = index_folder(tmp_path, digits, runner, force=True)
    assert not any("normalise" in note for note in again.notes)
