"""Training further: it begins where the instance was, learns, and stands beside scratch."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.architectures import Architecture
from netspace_models.errors import ConfigError, InputFileError, RunFailed
from torch import nn

from netspace_cli.core.data.datasets import load_data
from netspace_cli.core.merging.groups import groups_of
from netspace_cli.core.networks.scores import accuracy, labels_of, logits_of
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.zoos import finetune as module
from netspace_cli.core.zoos.adopt import IndexPlan, index_folder
from netspace_cli.core.zoos.finetune import FineTuning, Tuned, finetune, restored_module, summarised
from netspace_cli.core.zoos.plan import ZooPlan
from netspace_cli.core.zoos.train import train_zoo
from netspace_cli.core.zoos.zoo import Instance, open_zoo
from tests.worlds import Tiny, Watcher


def test_it_begins_with_the_instance_and_improves_on_it(tiny: Tiny) -> None:
    weak = [i for i in tiny.single_zoo.instances if i.epochs == 0]
    found = finetune(tiny.single_zoo, weak, tiny.data, FineTuning((0, 1, 8), lr=3e-3, batch=20), Runner("cpu"))
    own, scratch = found[0], found[1]
    assert (own.start, scratch.start, own.id) == ("zoo", "scratch", weak[0].id) and list(own.accuracy) == [0, 1, 8]
    assert own.accuracy[0] == pytest.approx(weak[0].accuracy["test"], abs=1e-6)
    assert own.accuracy[8] > own.accuracy[0] and scratch.accuracy[8] > 0.4


def test_steps_are_shown_from_one_measured_epoch_to_the_next(tiny: Tiny) -> None:
    (weak, *_), watcher = tiny.single_zoo.instances, Watcher()
    plan = FineTuning((0, 1, 3), batch=20)
    finetune(tiny.single_zoo, [weak], tiny.data, plan, Runner("cpu", progress=watcher), scratch=False)
    steps = len(tiny.data.splits["train"]) // 20
    part = f"training {weak.id} further"
    shares = [(part, 0, 0), (part, steps, steps), (part, 2 * steps, 2 * steps)]
    assert watcher.pieces == [("training further", 1, 1), *shares]


def test_it_ends_the_same_every_time_and_earlier_epochs_are_on_the_way(tiny: Tiny) -> None:
    some = tiny.zoo.select(arch="resnet8")[:1]
    one, other = (
        finetune(tiny.zoo, some, tiny.data, FineTuning(epochs, batch=20), Runner("cpu"), scratch=False)[0].accuracy
        for epochs in ((0, 1, 2), (2,))
    )
    assert one[2] == other[2]


def test_the_networks_are_a_zoo_of_what_they_have_become(tiny: Tiny, tmp_path: Path) -> None:
    """With batch norms and their statistics, as further training has left them."""
    some, plan = tiny.zoo.select(arch="resnet8")[:2], FineTuning((0, 1), batch=20)
    wanted = finetune(tiny.zoo, some, tiny.data, plan, Runner("cpu"))
    found = finetune(tiny.zoo, some, tiny.data, plan, Runner("cpu"), output=tmp_path / "tuned")
    assert found == wanted
    zoo = open_zoo(tmp_path / "tuned")
    assert zoo.data == tiny.data.record() and [i.id for i in zoo.instances] == [i.id for i in some]
    (architecture,) = zoo.architectures()
    for start, own, tuned, scratch in zip(some, zoo.instances, found[::2], found[1::2], strict=True):
        assert (own.split, own.epochs, own.licence) == (start.split, 1, start.licence)
        network = zoo.network(own, architecture)
        for split, score in own.accuracy.items():
            logits = logits_of(architecture, network.weights, tiny.data, split, Runner("cpu"))
            assert accuracy(logits, labels_of(tiny.data, split)) == pytest.approx(score, abs=1e-6)
        assert own.accuracy["test"] == pytest.approx(tuned.accuracy[1], abs=1e-6)
        assert not torch.equal(network.weights, tiny.zoo.network(start, architecture).weights)
        told = own.training
        assert told["finetuned_from"] == start.sha256 and told["finetune_plan"]["epochs"] == [0, 1]
        assert told["start"] == {"epochs": start.epochs, "training": start.training}
        assert told["test_by_epoch"] == {str(k): v for k, v in tuned.accuracy.items()} and scratch.start == "scratch"


def files_of(folder: Path) -> dict[Path, bytes]:
    return {each.relative_to(folder): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def test_begun_again_it_trains_what_is_left(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some, plan = tiny.single_zoo.instances[:3], FineTuning((0, 1), batch=20)

    def tuned(folder: str, instances: tuple[Instance, ...], scratch: bool = True) -> list[Tuned]:
        path = tmp_path / folder
        return finetune(tiny.single_zoo, instances, tiny.data, plan, Runner("cpu"), scratch=scratch, output=path)

    whole = tuned("whole", some)
    real, begun = module._trained, []

    def trained(net: nn.Module, arch: Architecture, name: str, *rest: Any) -> Iterator[tuple[int, float]]:
        begun.append(name)
        if len(begun) == 4:
            raise KeyboardInterrupt
        return real(net, arch, name, *rest)

    monkeypatch.setattr(module, "_trained", trained)
    with pytest.raises(KeyboardInterrupt):
        tuned("stopped", some)
    assert [i.id for i in open_zoo(tmp_path / "stopped").instances] == [i.id for i in some[:2]]
    assert tuned("stopped", some) == whole and begun[4:] == [some[1].id] + [some[2].id] * 2
    assert files_of(tmp_path / "stopped") == files_of(tmp_path / "whole")
    assert tuned("whole", some) == whole and len(begun) == 7, "nothing is left"
    assert [each.start for each in tuned("whole", some, scratch=False)] == ["zoo"] * 3 and len(begun) == 7


def test_what_is_finished_is_listed_in_order_whoever_is_slower(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill the first is not finished and the second is, but nobody has listed it."""
    some, plan = tiny.single_zoo.instances[:2], FineTuning((0, 1), batch=20)

    def tuned(scratch: bool = False) -> list[Tuned]:
        return finetune(
            tiny.single_zoo, some, tiny.data, plan, Runner("cpu"), scratch=scratch, output=tmp_path / "tuned"
        )

    whole = tuned()
    manifest = tmp_path / "tuned" / "instances.jsonl"
    lines = manifest.read_text()
    manifest.write_text("")
    (tmp_path / "tuned" / "runs" / f"{some[0].id}.zoo.json").unlink()
    real, begun = module._trained, []

    def trained(net: nn.Module, arch: Architecture, name: str, *rest: Any) -> Iterator[tuple[int, float]]:
        begun.append(name)
        return real(net, arch, name, *rest)

    monkeypatch.setattr(module, "_trained", trained)
    assert tuned() == whole and begun == [some[0].id] and manifest.read_text() == lines
    assert len(tuned(scratch=True)) == 4 and begun[1:] == [i.id for i in some], "those from scratch come later"
    assert len(tuned(scratch=True)) == 4 and len(begun) == 3 and manifest.read_text() == lines


def test_ids_may_be_paths(tiny: Tiny, tmp_path: Path) -> None:
    """As in zoos of somebody's checkpoints, which lie in folders."""
    folder, plan = tmp_path / "theirs", FineTuning((0, 1), batch=20)
    (folder / "sub").mkdir(parents=True)
    shutil.copy(tiny.networks["lenetlike"], folder / "sub" / "a.safetensors")
    with Runner("cpu") as runner:
        zoo = index_folder(folder, tiny.data, runner, IndexPlan()).zoo
        found = finetune(zoo, zoo.instances, tiny.data, plan, runner, output=tmp_path / "tuned")
        assert [each.id for each in found] == ["sub/a"] * 2 == [zoo.instances[0].id] * 2
        assert finetune(zoo, zoo.instances, tiny.data, plan, runner, output=tmp_path / "tuned") == found
    assert [i.id for i in open_zoo(tmp_path / "tuned").instances] == ["sub/a"]


def test_what_is_there_must_be_whole(tiny: Tiny, tmp_path: Path) -> None:
    some, plan, path = tiny.single_zoo.instances[:1], FineTuning((0,), batch=20), tmp_path / "tuned"

    def refusal() -> str:
        with pytest.raises(InputFileError) as refused:
            finetune(tiny.single_zoo, some, tiny.data, plan, Runner("cpu"), scratch=False, output=path)
        return str(refused.value)

    finetune(tiny.single_zoo, some, tiny.data, plan, Runner("cpu"), scratch=False, output=path)
    run = path / "runs" / f"{some[0].id}.zoo.json"
    told = run.read_text()
    for text in ("{}", "[1]", told[:-20], told.replace('"sha256"', '"sha"')):
        run.write_text(text)
        assert "Remove it." in refusal()
    run.write_text(told.replace('"instances/', '"../instances/'))
    assert "points outside the zoo" in refusal()
    run.write_text(told)
    (path / open_zoo(path).instances[0].file).unlink()
    assert "the network that was made is missing or changed" in refusal()


def test_a_score_that_is_not_finite_is_refused(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    some = tiny.single_zoo.instances[:1]
    monkeypatch.setattr(type(tiny.data.io.problem), "scored", lambda *_: float("-inf"))
    with pytest.raises(RunFailed, match=f"the loss of {some[0].id} is not finite while it is trained further"):
        finetune(tiny.single_zoo, some, tiny.data, FineTuning((0,)), Runner("cpu"), scratch=False)


def test_groups_are_of_one_start_but_for_its_seed(tiny: Tiny, tmp_path: Path) -> None:
    """Instances of one number of epochs differ in their seed alone, and do so when they are trained further."""
    path = tmp_path / "tuned"
    plan = FineTuning((0,), batch=20)
    finetune(tiny.single_zoo, tiny.single_zoo.instances, tiny.data, plan, Runner("cpu"), scratch=False, output=path)
    found = [[i.id for i in group.instances] for group in groups_of(open_zoo(path))]
    assert found == [[i.id for i in group.instances] for group in groups_of(tiny.single_zoo)]


def test_a_folder_of_something_else_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    some, runner = tiny.single_zoo.instances[:1], Runner("cpu")

    def refusal(path: Path, plan: FineTuning, runner: Runner = runner) -> str:
        with pytest.raises(ConfigError) as refused:
            finetune(tiny.single_zoo, some, tiny.data, plan, runner, scratch=False, output=path)
        return str(refused.value)

    plan = FineTuning((0,), batch=20)
    assert "whose networks are to be trained further, and stays as it is" in refusal(tiny.single_zoo.path, plan)
    (tmp_path / "file").touch()
    assert "is not a folder" in refusal(tmp_path / "file", plan)
    finetune(tiny.single_zoo, some, tiny.data, plan, runner, scratch=False, output=tmp_path / "tuned")
    other = refusal(tmp_path / "tuned", replace(plan, lr=0.1))
    assert f"has {some[0].id} already, trained further by other settings (lr 0.001, not 0.1)." in other
    assert "by other settings (finetune_seed)" in refusal(tmp_path / "tuned", plan, Runner("cpu", seed=1))
    changed = (replace(some[0], sha256="0" * 64),)
    with pytest.raises(ConfigError, match="already, trained further from another network"):
        finetune(tiny.single_zoo, changed, tiny.data, plan, runner, scratch=False, output=tmp_path / "tuned")
    assert "is another zoo: lenetlike-0000 in it was not trained further" in refusal(tiny.zoo.path, plan)
    train_zoo(tmp_path / "digits", ZooPlan(("lenetlike",), (1, 0, 0), (0, 0)), load_data("digits"), runner)
    assert "is a zoo of digits" in refusal(tmp_path / "digits", plan)


def test_batch_norms_keep_the_function_and_have_the_statistics_of_images(tiny: Tiny) -> None:
    (architecture,) = (a for a in tiny.zoo.architectures() if a.name == "resnet8")
    weights = tiny.zoo.weights(tiny.zoo.select(arch="resnet8")[:1], architecture)[0]
    images = tiny.data.sample("train", 512, Runner("cpu").generator("norms"))[0]
    module = restored_module(architecture, weights, tiny.data, Runner("cpu"))
    plain = architecture.module
    with torch.no_grad():
        wanted = architecture.run(weights, images)
        assert torch.allclose(module(images), wanted, atol=1e-3)
        # On these images a norm in training mode does what it does in evaluation, but for the variance's divisor.
        trained = module.train()(images)
        plain.load_state_dict(architecture.to_state(weights))
        lost = plain.train()(images)
        plain.eval()
    assert (trained - wanted).abs().max() < 0.1 * (lost - wanted).abs().max()


def test_means_are_of_each_start_and_epoch() -> None:
    found = [Tuned("a", "x", "zoo", {0: 0.2, 1: 0.4}), Tuned("b", "x", "zoo", {0: 0.4, 1: 0.4})]
    first, second = summarised(found)
    assert first["accuracy"] == pytest.approx(0.3) and first["n"] == 2 and second["deviation"] == 0
    assert "deviation" not in summarised(found[:1])[0]


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (FineTuning(()), "epochs none: each must be above the one before, from 0."),
        (FineTuning((5, 1)), "epochs 5, 1: each must be above the one before"),
        (FineTuning(optimizer="adamx"), "unknown optimizer 'adamx'. Use adam or sgd."),
        (FineTuning(lr=0.0), "lr 0 and batch 64 must be above zero"),
        (FineTuning(epoch_images=10), "an epoch of 10 images is less than a step, which has 64"),
    ],
)
def test_plans_that_cannot_be_followed_are_refused(tiny: Tiny, plan: FineTuning, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        finetune(tiny.zoo, tiny.zoo.instances, tiny.data, plan, Runner("cpu"))


def test_other_images_and_empty_zoos_are_refused(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match="is a zoo for 1x8x8, 3 classes; these images are 1x16x16, 10 classes"):
        finetune(tiny.zoo, tiny.zoo.instances, load_data("digits"), FineTuning(), Runner("cpu"))
    with pytest.raises(ConfigError, match="has no instances to train further"):
        finetune(replace(tiny.zoo, instances=()), (), tiny.data, FineTuning(), Runner("cpu"))
