"""Many small networks trained at once, and several epochs of one run kept."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.architectures import Architecture, ImageIO, build
from netspace_models.errors import ConfigError, RunFailed
from torch import Tensor, nn

from netspace_cli.core.data.images import ImageData, Split
from netspace_cli.core.files.checkpoint import read_checkpoint
from netspace_cli.core.networks.factories import resolve_architecture
from netspace_cli.core.networks.trust import trusting
from netspace_cli.core.runtime import executors
from netspace_cli.core.runtime.progress import Progress
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.zoos import train_many as zoo_many
from netspace_cli.core.zoos.adopt import IndexPlan, index_folder
from netspace_cli.core.zoos.finetune import FineTuning, finetune
from netspace_cli.core.zoos.plan import Job, ZooPlan, jobs_of
from netspace_cli.core.zoos.train import train_zoo
from netspace_cli.core.zoos.train_many import together_of
from netspace_cli.core.zoos.workers import groups_of
from netspace_cli.core.zoos.zoo import Zoo, open_zoo
from tests.small_networks import seeded
from tests.worlds import Stopper, Watcher

PLAN = ZooPlan(("cnn-small",), (4, 1, 1), (1, 3), batch=20)


@pytest.fixture
def a_thread_for_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread in place of the processes, which take seconds to start; other tests of zoos start them."""

    pool = ThreadPoolExecutor(1)  # several would share the state of torch
    monkeypatch.setattr(executors, "ProcessPoolExecutor", lambda count, **settings: pool)


@pytest.fixture(scope="module")
def images() -> ImageData:
    """Images just large enough, that are shifted and mirrored."""
    io, splits = ImageIO(2, 20, 3), {}
    for seed, (split, count) in enumerate((("train", 60), ("val", 20), ("test", 20))):
        labels = torch.arange(count) % 3
        pixels = torch.randint(256, (count, 2, 20, 20), generator=seeded(seed)) * (labels + 1)[:, None, None, None] // 3
        splits[split] = Split(pixels.to(torch.uint8), labels)
    return ImageData("noise", io, splits, (0.3, 0.4), (0.2, 0.3), 2, True, ("a", "b", "c"))


def make(
    path: Path, data: ImageData, plan: ZooPlan = PLAN, *, progress: Progress | None = None, workers: int = 1
) -> Zoo:
    with Runner("cpu", progress=progress) as runner:
        return train_zoo(path, plan, data, runner, workers=workers)


def weights_of(zoo: Zoo) -> dict[str, Tensor]:
    architectures = {a.name: a for a in zoo.architectures()}
    return {i.id: zoo.network(i, architectures[i.arch]).weights for i in zoo.instances}


def files_of(zoo: Zoo) -> dict[str, str]:
    return {i.id: i.sha256 for i in zoo.instances}


@pytest.fixture(scope="module")
def alone(images: ImageData, tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """The plan's networks, trained one by one."""
    return make(tmp_path_factory.mktemp("alone") / "zoo", images, replace(PLAN, together=1))


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("padding", [0, 2])
def test_images_of_many_are_those_of_each(images: ImageData, flip: bool, padding: int) -> None:
    data = replace(images, flip=flip, padding=padding)
    index = torch.randint(60, (3, 7), generator=seeded(0))
    found, labels = data.augmented_each("train", index, generators=[seeded(s) for s in range(3)])
    for i in range(3):
        expected = data.augmented("train", index[i], generator=seeded(i))
        assert torch.equal(found[i], expected[0]) and torch.equal(labels[i], expected[1])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"optimizer": "sgd", "lr": 0.02},
        {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "constant"},
        {"init": "kaiming-uniform", "epochs": (0, 2)},
    ],
)
def test_a_network_becomes_the_same_in_a_group_as_alone(
    images: ImageData, tmp_path: Path, change: dict[str, Any]
) -> None:
    plan = replace(PLAN, **change)
    expected = weights_of(make(tmp_path / "alone", images, replace(plan, together=1)))
    zoo = make(tmp_path / "together", images, replace(plan, together=4))
    found = weights_of(zoo)
    assert sorted(found) == sorted(expected)
    for id, weights in found.items():
        torch.testing.assert_close(weights, expected[id], rtol=0, atol=1e-4)
    first, second, *_ = found.values()
    assert not torch.allclose(first, second, atol=1e-3)


def test_the_same_group_gives_the_same_bits(images: ImageData, tmp_path: Path) -> None:
    first, second = (make(tmp_path / name, images) for name in "ab")
    assert first.instances == second.instances


def test_steps_of_networks_are_shown_until_the_next_is_written(images: ImageData, tmp_path: Path) -> None:
    """60 images in steps of 20; the last group has one network."""
    watcher = Watcher()
    plan = replace(PLAN, counts=(4, 0, 0), epochs=(0, 3), spacing="even", together=3)
    make(tmp_path, images, plan, progress=watcher)
    whole, *parts = watcher.pieces
    assert whole == ("training the zoo", 4, 4)
    first, last = (f"training {job.id}" for job in (jobs_of(plan, 0)[0], jobs_of(plan, 0)[3]))
    assert parts[0] == (f"{first} and 2 more", 0, 0) and parts[-1] == (last, 9, 9)
    assert [part[1:] for part in parts[1:-1]] == [(3, 3), (3, 3)]
    watcher = Watcher()
    make(tmp_path / "alone", images, replace(plan, together=1, counts=(1, 0, 0), epochs=(2, 2)), progress=watcher)
    assert watcher.pieces == [("training the zoo", 1, 1), ("training cnn-small-0000", 6, 6)]


def test_architectures_without_a_way_of_their_own_can_be_trained_together(images: ImageData, tmp_path: Path) -> None:
    plan = replace(PLAN, arch=("vanillacnn",), counts=(2, 1, 0), epochs=(1, 1))
    expected = weights_of(make(tmp_path / "alone", images, replace(plan, together=1)))
    for id, weights in weights_of(make(tmp_path / "together", images, replace(plan, together=3))).items():
        torch.testing.assert_close(weights, expected[id], rtol=0, atol=1e-4)


def test_a_stopped_group_keeps_what_is_finished_and_trains_what_is_missing(
    images: ImageData, alone: Zoo, tmp_path: Path, stopper: type[Stopper]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "zoo", images, progress=stopper(2, "training the zoo"))
    kept = open_zoo(tmp_path / "zoo")
    assert [i.epochs for i in kept.instances] == [1, 1]  # the shortest are done first
    whole = make(tmp_path / "zoo", images)
    assert whole.instances[:2] == kept.instances and len(whole.instances) == 6
    # A network becomes the same, to the last bit, in whatever company: the rest was trained in another.
    expected = files_of(make(tmp_path / "at once", images))
    assert files_of(whole) == expected
    for id, weights in weights_of(whole).items():
        torch.testing.assert_close(weights, weights_of(alone)[id], rtol=0, atol=1e-4)


def own_net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(800, 3))


class Functional(nn.Module):
    """Drops out without a module for it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(800, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.fc(nn.functional.dropout(inputs.flatten(1), 0.5, self.training))


def frozen_net() -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(800, 4), nn.Linear(4, 3))
    net[1].requires_grad_(False)
    return net


def plain_net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(800, 3))


def test_draws_of_dropout_depend_on_the_seed_alone(images: ImageData, tmp_path: Path) -> None:
    plan = replace(PLAN, arch=(f"{__name__}:own_net", f"{__name__}:Functional"), counts=(2, 0, 0))
    one, two = make(tmp_path / "one", images, plan), make(tmp_path / "two", images, replace(plan, counts=(1, 0, 0)))
    assert {id: sha256 for id, sha256 in files_of(one).items() if id in files_of(two)} == files_of(two)
    further = FineTuning((2,), batch=20)
    with trusting(*plan.arch), Runner("cpu") as runner:
        both, alone = (finetune(one, one.instances[-1:], images, further, runner, scratch=s) for s in (True, False))
    assert both[0].accuracy == alone[0].accuracy


def test_what_is_more_than_weights_is_trained_one_by_one() -> None:
    io = ImageIO(2, 20, 3)

    def together(name: str, asked: int | None) -> int:
        return together_of(resolve_architecture(name, io), asked)

    assert together("cnn-small", None) == 64 and together("cnn-small-gelu", 5) == 5
    assert together("lenetlike", None) == 64 and together("vanillacnn", None) == 1 and together("vanillacnn", 8) == 8
    assert together("resnet8", 8) == together("resnet8", None) == 1
    assert [together(f"{__name__}:{name}", 8) for name in ("own_net", "Functional", "frozen_net")] == [1, 1, 1]
    assert together(f"{__name__}:plain_net", 8) == 8 and together(f"{__name__}:plain_net", None) == 1


def test_groups_leave_each_worker_its_share(images: ImageData) -> None:
    plan = replace(PLAN, arch=("cnn-small", "resnet8"), counts=(10, 0, 0))
    jobs = jobs_of(plan, 0)
    assert [len(g) for g in groups_of(jobs, plan, images, 1)] == [10] + [1] * 10
    assert [len(g) for g in groups_of(jobs, plan, images, 3)] == [4, 4, 2] + [1] * 10
    assert [j for g in groups_of(jobs, replace(plan, together=3), images, 2) for j in g] == jobs
    assert [len(g) for g in groups_of(jobs, plan, images, 1, most=4)] == [4, 4, 2] + [1] * 10
    assert [len(g) for g in groups_of(jobs, replace(plan, together=5), images, 1, most=4)] == [5, 5] + [1] * 10


def test_a_processor_writes_some_before_it_has_begun_all(
    images: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Job] = []
    begin: Any = zoo_many._cohort

    def watched(jobs: list[Job], *rest: Any) -> object:
        begun.extend(jobs)
        return begin(jobs, *rest)

    monkeypatch.setattr(zoo_many, "_cohort", watched)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, images, replace(PLAN, counts=(20, 0, 0), epochs=(1, 1)), progress=Stopper(1, "training the zoo"))
    assert len(open_zoo(tmp_path).instances) == 1
    assert len(begun) == zoo_many.ON_PROCESSOR < 20


@pytest.mark.usefixtures("a_thread_for_workers")
def test_two_workers_train_a_group_each(images: ImageData, alone: Zoo, tmp_path: Path) -> None:
    expected = weights_of(alone)
    found = weights_of(make(tmp_path / "zoo", images, workers=2))
    assert sorted(found) == sorted(expected)
    for id, weights in found.items():
        torch.testing.assert_close(weights, expected[id], rtol=0, atol=1e-4)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.usefixtures("a_thread_for_workers")
def test_a_network_whose_loss_is_not_finite_is_named_and_finished_ones_stay(
    images: ImageData, tmp_path: Path, workers: int
) -> None:
    plan = replace(PLAN, epochs=(0, 5), optimizer="sgd", lr=1e30, weight_decay=1e30)
    with pytest.raises(RunFailed, match=r"cnn-small-000[1-5]: the loss is not finite after epoch 1"):
        make(tmp_path / "zoo", images, plan, workers=workers)
    assert [i.id for i in open_zoo(tmp_path / "zoo").instances] == ["cnn-small-0000"]


def test_the_network_that_is_named_is_the_one(
    images: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = zoo_many.fresh

    def failing(job: Job, plan: ZooPlan, data: ImageData) -> nn.Module:
        module = fresh(job, plan, data)
        if job.seed == 4:
            next(module.parameters()).data.fill_(float("nan"))
        return module

    monkeypatch.setattr(zoo_many, "fresh", failing)
    with pytest.raises(RunFailed, match="cnn-small-0004: the loss is not finite after epoch 1"):
        make(tmp_path / "zoo", images)
    assert (
        "cnn-small-0004" not in files_of(open_zoo(tmp_path / "zoo")) and len(open_zoo(tmp_path / "zoo").instances) == 5
    )


KEPT = ZooPlan(("cnn-small", "resnet8"), (2, 1, 1), batch=20, keep_epochs=(0, 1, 3))


@pytest.fixture(scope="module")
def kept(images: ImageData, tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """Three epochs of four runs of two architectures, trained one by one."""
    return make(tmp_path_factory.mktemp("kept") / "zoo", images, replace(KEPT, together=1))


def test_epochs_of_a_run_are_instances_of_one_split(kept: Zoo) -> None:
    assert len(kept.instances) == 24
    for job in jobs_of(KEPT, 0):
        own = [i for i in kept.instances if i.run == job.id]
        assert [i.id for i in own] == [f"{job.id}-e{e:04d}" for e in (0, 1, 3)]
        assert {i.split for i in own} == {job.split} and [i.epochs for i in own] == [0, 1, 3]
        assert all(i.training["run"] == job.id and i.training["epochs"] == 3 for i in own)
        assert all(read_checkpoint(kept.file_of(i)).metadata["netspace.run"] == job.id for i in own)
        assert len({i.sha256 for i in own}) == 3


def test_the_end_of_a_run_is_what_it_is_without_earlier_ones(images: ImageData, kept: Zoo, tmp_path: Path) -> None:
    plain = make(tmp_path / "zoo", images, replace(KEPT, keep_epochs=(), epochs=(3, 3), together=1))
    found, expected = weights_of(kept), weights_of(plain)
    assert all(torch.equal(found[f"{id}-e0003"], weights) for id, weights in expected.items())
    # A run may be longer than what is kept of it: its rate falls over all its epochs.
    longer = make(tmp_path / "longer", images, replace(KEPT, epochs=(5, 5), together=1))
    assert {i.epochs for i in longer.instances} == {0, 1, 3} and longer.instances[0].training["epochs"] == 5
    assert longer.instances[0].sha256 == kept.instances[0].sha256
    assert longer.instances[2].sha256 != kept.instances[2].sha256


def test_missing_epochs_of_a_stopped_run_are_trained_again_to_the_same_bits(
    images: ImageData, kept: Zoo, tmp_path: Path, stopper: type[Stopper]
) -> None:
    plan = replace(KEPT, together=1)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "zoo", images, plan, progress=stopper(5, "training the zoo"))
    stopped = open_zoo(tmp_path / "zoo")
    assert len(stopped.instances) == 5
    lines = (tmp_path / "zoo" / "instances.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "zoo" / "instances.jsonl").write_text("".join(lines[:1] + lines[2:]))  # and one in the midst is lost
    whole = make(tmp_path / "zoo", images, plan)
    assert files_of(whole) == files_of(kept)
    assert {i.id: i for i in whole.instances} == {i.id: i for i in kept.instances}


def test_epochs_are_kept_of_many_at_once_as_of_each(images: ImageData, kept: Zoo, tmp_path: Path) -> None:
    expected = weights_of(kept)
    for id, weights in weights_of(make(tmp_path / "zoo", images, KEPT)).items():
        torch.testing.assert_close(weights, expected[id], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"keep_epochs": (3, 1)}, "epochs 3, 1 cannot be kept: they must ascend"),
        ({"keep_epochs": (1, 1)}, "epochs 1, 1 cannot be kept: they must ascend"),
        ({"keep_epochs": (-1, 1)}, "epochs -1, 1 cannot be kept: they must ascend"),
        ({"epochs": (2, 5)}, "epoch 3 cannot be kept of a run of 2 epochs"),
        ({"together": 0}, "0 networks cannot be trained at once"),
    ],
)
def test_what_cannot_be_kept_is_refused(images: ImageData, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make(tmp_path / "zoo", images, replace(KEPT, **change))
    assert not (tmp_path / "zoo").exists()


def test_a_run_is_not_split(images: ImageData, tmp_path: Path) -> None:
    plan = ZooPlan(("cnn-small",), (3, 0, 0), batch=20, keep_epochs=(0,))
    make(tmp_path / "zoo", images, plan)
    with pytest.raises(ConfigError, match="share a split") as refused:
        make(tmp_path / "zoo", images, replace(plan, counts=(0, 0, 3), keep_epochs=(1,)))
    assert "has cnn-small-0000-e0000 of the run cnn-small-0000 as a train instance" in refused.value.message


def test_an_adopted_run_is_not_split(images: ImageData, kept: Zoo, tmp_path: Path) -> None:
    """Files say which run they are of, with no manifest beside them."""
    nets = tmp_path / "nets"
    for instance in kept.instances:
        if instance.epochs != 3:
            (nets / instance.file).parent.mkdir(parents=True, exist_ok=True)
            (nets / instance.file).write_bytes(kept.file_of(instance).read_bytes())
    with Runner("cpu") as runner:
        before = index_folder(nets, images, runner, IndexPlan(shares=(2, 1, 1))).zoo
        for instance in kept.instances:
            (nets / instance.file).write_bytes(kept.file_of(instance).read_bytes())
        adopted = index_folder(nets, images, runner, IndexPlan(shares=(2, 1, 1))).zoo
    assert len(before.instances) == 16 and len(adopted.instances) == 24
    for job in jobs_of(KEPT, 0):
        own = [i for i in adopted.instances if i.training.get("run") == job.id]
        assert len(own) == 3 and len({i.split for i in own}) == 1
    for arch in KEPT.arch:
        assert {s: len(adopted.select(arch=arch, split=s)) for s in ("train", "val", "test")} == {
            "train": 6,
            "val": 3,
            "test": 3,
        }


def test_older_manifests_have_runs_of_one_instance(alone: Zoo) -> None:
    line = json.loads((alone.path / "instances.jsonl").read_text().splitlines()[0])
    assert "run" not in line["training"] and alone.instances[0].run == line["id"]


def test_reduced_precision_is_for_many_as_well(images: ImageData, tmp_path: Path) -> None:
    with Runner("cpu", precision="bf16") as runner:
        zoo = train_zoo(tmp_path / "zoo", replace(PLAN, counts=(2, 0, 0), epochs=(1, 1)), images, runner)
    assert zoo.instances[0].training["precision"] == "bf16"
    architecture: Architecture = build("cnn-small", images.io)
    assert all(torch.isfinite(w).all() for w in zoo.weights(zoo.instances, architecture))
