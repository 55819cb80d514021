"""Training zoos: stopped or spread over processes, the same instances come out."""

from __future__ import annotations

import json
import multiprocessing
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.architectures import build
from netspace_models.architectures.initialise import RULES
from netspace_models.errors import ConfigError, RunFailed, UnknownArchitecture
from netspace_models.wording import worded

from netspace_cli.core.data.images import ImageData
from netspace_cli.core.files.checkpoint import read_checkpoint
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.networks.scores import accuracy, labels_of
from netspace_cli.core.networks.trust import trusting
from netspace_cli.core.runtime.progress import Progress
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.zoos import train_one as zoo_train
from netspace_cli.core.zoos.additions import lost_files
from netspace_cli.core.zoos.plan import Job, ZooPlan, jobs_of
from netspace_cli.core.zoos.train import train_zoo, zoo_so_far
from netspace_cli.core.zoos.train_one import optimiser_of
from netspace_cli.core.zoos.zoo import Instance, Zoo, open_zoo, verify
from netspace_cli.terminal.flags import CommandLineWording
from tests.worlds import DIES_IN_WORKERS, Stopper, Tiny

PLAN = ZooPlan(("lenetlike", "vanillacnn"), (2, 1, 1), (0, 3), batch=20)


def make(
    path: Path,
    data: ImageData,
    plan: ZooPlan = PLAN,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> Zoo:
    with Runner("cpu", seed=seed, progress=progress) as runner:
        return train_zoo(path, plan, data, runner, **options)


def files_of(zoo: Zoo) -> dict[str, tuple[str, str]]:
    return {i.id: (i.split, i.sha256) for i in zoo.instances}


@pytest.fixture(scope="module")
def whole(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """The plan's zoo, trained in one go."""
    return make(tmp_path_factory.mktemp("whole") / "zoo", tiny.data)


def test_geometric_epochs_grow_by_a_factor_and_even_ones_by_a_step() -> None:
    even = sorted(j.epochs for j in jobs_of(ZooPlan(("lenetlike",), (3, 1, 1), (1, 16)), seed=0))
    assert even == [1, 5, 9, 12, 16]
    plan = ZooPlan(("lenetlike",), (3, 1, 1), (1, 16), spacing="geometric")
    assert sorted(j.epochs for j in jobs_of(plan, seed=0)) == [1, 2, 4, 8, 16]
    with pytest.raises(ConfigError, match="epochs 0-16 cannot be spaced geometrically"):
        replace(plan, epochs=(0, 16)).check()


def test_the_zoo_is_what_the_plan_asks_for(whole: Zoo) -> None:
    assert len(whole.instances) == 8
    assert Counter((i.arch, i.split) for i in whole.instances) == {
        (arch, split): n for arch in PLAN.arch for split, n in (("train", 2), ("val", 1), ("test", 1))
    }
    for arch in PLAN.arch:
        assert sorted(i.epochs or 0 for i in whole.select(arch=arch)) == [0, 1, 2, 3]
    assert [word for _, word in verify(whole)] == ["ok"] * 8
    assert all(i.licence == PLAN.licence for i in whole.instances)


def test_accuracies_are_those_of_the_files(tiny: Tiny, whole: Zoo) -> None:
    for instance in whole.instances[:3]:
        network = read_network(whole.file_of(instance), io=tiny.data.io)
        for split in ("train", "val", "test"):
            images, _ = tiny.data.batch(split, slice(None))
            logits = network.architecture.run(network.weights, images)
            assert instance.accuracy[split] == pytest.approx(accuracy(logits, labels_of(tiny.data, split)), abs=1e-6)


def test_files_are_plain_state_dicts(tiny: Tiny, whole: Zoo) -> None:
    instance = whole.select(arch="lenetlike")[0]
    checkpoint = read_checkpoint(whole.file_of(instance))
    module = build("lenetlike", tiny.data.io).module
    module.load_state_dict(checkpoint.state, strict=True)
    assert checkpoint.metadata["netspace.arch"] == "lenetlike"
    assert whole.file_of(instance).parent == whole.path / "instances" / "lenetlike"


def test_an_instance_of_no_epochs_is_its_initialisation(tiny: Tiny, whole: Zoo) -> None:
    (instance,) = (i for i in whole.select(arch="lenetlike") if i.epochs == 0)
    torch.manual_seed(instance.seed or 0)
    fresh = type(build("lenetlike", tiny.data.io).module)(tiny.data.io)
    found = read_checkpoint(whole.file_of(instance)).state
    assert all(torch.equal(found[n], t) for n, t in fresh.state_dict().items())


@pytest.mark.parametrize("after", [1, 5])
def test_a_stopped_zoo_goes_on_to_the_same_instances(
    tiny: Tiny, whole: Zoo, tmp_path: Path, after: int, stopper: type[Stopper]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "zoo", tiny.data, progress=stopper(after, "training the zoo"))
    assert len(open_zoo(tmp_path / "zoo").instances) == after
    resumed = make(tmp_path / "zoo", tiny.data)
    assert resumed.instances == whole.instances
    assert files_of(resumed) == files_of(whole)


def test_a_finished_zoo_is_left_alone(tiny: Tiny, whole: Zoo) -> None:
    before = {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in whole.path.rglob("*") if p.is_file()}
    assert make(whole.path, tiny.data).instances == whole.instances
    assert {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in whole.path.rglob("*") if p.is_file()} == before


def test_a_file_without_its_line_is_made_again(tiny: Tiny, whole: Zoo, tmp_path: Path) -> None:
    """What a kill between the two leaves."""
    plan = replace(PLAN, arch=("lenetlike",))
    zoo = make(tmp_path / "zoo", tiny.data, plan)
    manifest = tmp_path / "zoo" / "instances.jsonl"
    manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[:-1]))
    zoo.file_of(zoo.instances[-1]).write_bytes(b"half")
    assert make(tmp_path / "zoo", tiny.data, plan).instances == whole.select(arch="lenetlike")


def test_a_file_that_is_gone_is_made_again_and_another_network_refused(tiny: Tiny, whole: Zoo, tmp_path: Path) -> None:
    plan = replace(PLAN, arch=("lenetlike",))
    zoo = make(tmp_path / "zoo", tiny.data, plan)
    for instance in zoo.instances[1:3]:
        zoo.file_of(instance).unlink()
    left = {i.id for i in zoo.instances} - {i.id for i in zoo.instances[1:3]}
    assert zoo_so_far(zoo.path, tiny.data, plan.arch) == left
    before = (zoo.path / "instances.jsonl").read_bytes()
    assert make(zoo.path, tiny.data, plan).instances == whole.select(arch="lenetlike")
    assert (zoo.path / "instances.jsonl").read_bytes() == before
    assert {state for _, state in verify(zoo)} == {"ok"}
    one, two = zoo.instances[1:3]
    changed = before.replace(one.sha256.encode(), b"0" * 64).replace(two.sha256.encode(), b"1" * 64)
    (zoo.path / "instances.jsonl").write_bytes(changed)
    for instance in (one, two):
        zoo.file_of(instance).unlink()
    said = rf"{one.id} and 1 more was gone .* not the network that is listed .*, not 000000"
    for _ in range(2):
        with pytest.raises(ConfigError, match=said):
            make(zoo.path, tiny.data, plan)
        assert not zoo.file_of(one).exists() and not zoo.file_of(two).exists()
    lines = [line for line in changed.splitlines(keepends=True) if one.id.encode() not in line]
    (zoo.path / "instances.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(ConfigError, match=rf"{two.id} was gone"):
        make(zoo.path, tiny.data, plan)
    assert verify(open_zoo(zoo.path))[-1][1] == "ok", "what is not listed is there"


def test_a_name_too_long_for_a_file_is_a_file_that_is_gone(tiny: Tiny, tmp_path: Path) -> None:
    zoo = Zoo(tmp_path, tiny.data.record(), (Instance("a", "lenetlike", "train", "a" * 300, "0" * 64),))
    assert lost_files(zoo) == {"a"}


@pytest.mark.slow
def test_two_workers_make_the_same_files_and_end_when_they_are_stopped(
    tiny: Tiny, whole: Zoo, tmp_path: Path, stopper: type[Stopper]
) -> None:
    # One pool for both, as starting its processes takes seconds.
    with pytest.raises(KeyboardInterrupt) as stopped:
        make(tmp_path / "zoo", tiny.data, workers=2, progress=stopper(6, "training the zoo"))
    assert stopped.value.__traceback__ is not None  # it holds on to whatever was going on
    assert multiprocessing.active_children() == []
    assert len(open_zoo(tmp_path / "zoo").instances) == 6
    manifest = tmp_path / "zoo" / "instances.jsonl"
    manifest.write_text("".join(reversed(manifest.read_text().splitlines(keepends=True))))
    zoo = make(tmp_path / "zoo", tiny.data)
    assert zoo.instances == whole.instances  # in the same order, too


def test_the_same_seed_gives_the_same_files_and_another_does_not(tiny: Tiny, whole: Zoo, tmp_path: Path) -> None:
    plan = replace(PLAN, arch=("lenetlike",))
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    again = make(tmp_path / "a", tiny.data, plan)
    assert torch.equal(torch.rand(3), wanted)
    assert again.instances == whole.select(arch="lenetlike")
    other = make(tmp_path / "b", tiny.data, plan, seed=100)
    assert not {i.sha256 for i in other.instances} & {i.sha256 for i in again.instances}
    assert not {i.id for i in other.instances} & {i.id for i in again.instances}


def test_instances_of_another_seed_or_architecture_are_added(tiny: Tiny, tmp_path: Path) -> None:
    one = replace(PLAN, arch=("lenetlike",), counts=(1, 0, 0), epochs=(0, 0))
    make(tmp_path / "zoo", tiny.data, one)
    make(tmp_path / "zoo", tiny.data, one, seed=1)
    zoo = make(tmp_path / "zoo", tiny.data, replace(one, arch=("vanillacnn",)))
    assert [i.id for i in zoo.instances] == ["lenetlike-0000", "lenetlike-0001", "vanillacnn-0000"]


@pytest.mark.parametrize("change", [{"epochs": (1, 3)}, {"counts": (1, 2, 1)}])
def test_what_another_plan_made_is_not_taken_for_done(
    tiny: Tiny, whole: Zoo, tmp_path: Path, change: dict[str, Any]
) -> None:
    before = (whole.path / "instances.jsonl").read_bytes()
    with pytest.raises(ConfigError, match=r"has \w+-000\d already, as \w+ instance of \d epochs; this plan") as refused:
        make(whole.path, tiny.data, replace(PLAN, **change))
    assert "another `seed`" in refused.value.hint
    assert (whole.path / "instances.jsonl").read_bytes() == before


def test_other_data_are_refused(tiny: Tiny, whole: Zoo) -> None:
    with pytest.raises(ConfigError, match=r"They differ in: padding\."):
        make(whole.path, replace(tiny.data, padding=0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": (3, 1)}, "epochs 3-1 is not a range"),
        ({"epochs": (-1, 1)}, "epochs -1-1 is not a range"),
        ({"counts": (0, 0, 0)}, "instances cannot be trained"),
        ({"counts": (-1, 2, 2)}, "instances cannot be trained"),
        ({"optimizer": "lion"}, "unknown optimizer 'lion'"),
        ({"schedule": "step"}, "unknown schedule 'step'"),
        ({"init": "zeros"}, "unknown init 'zeros'"),
        ({"spacing": "odd"}, "unknown spacing 'odd'"),
        ({"lr": 0.0}, "must be above zero"),
        ({"batch": 0}, "must be above zero"),
        ({"batch": 64, "epoch_images": 10}, "an epoch of 10 images is less than a step, which has 64"),
        ({"arch": ()}, "architectures none"),
        ({"arch": ("lenetlike", "lenetlike")}, "architectures lenetlike, lenetlike: each must be named exactly once"),
    ],
)
def test_a_plan_that_makes_no_zoo_is_refused_before_anything_is_written(
    tiny: Tiny, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        make(tmp_path / "zoo", tiny.data, replace(PLAN, **change))
    assert not (tmp_path / "zoo").exists()


def test_half_precision_is_refused_before_anything_is_written(tiny: Tiny, tmp_path: Path) -> None:
    with Runner("cpu") as runner:
        runner.precision = torch.float16  # as on an accelerator, where networks run at it
        with pytest.raises(ConfigError, match="fp16 is not for gradient steps"):
            train_zoo(tmp_path / "zoo", PLAN, tiny.data, runner)
    assert not (tmp_path / "zoo").exists()


def test_an_unknown_architecture_is_refused_before_anything_is_written(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(UnknownArchitecture, match="Did you mean lenetlike"):
        make(tmp_path / "zoo", tiny.data, replace(PLAN, arch=("lenetlik",)))
    assert not (tmp_path / "zoo").exists()


def test_no_split_holds_a_particular_range_of_epochs() -> None:
    plan = ZooPlan(("lenetlike",), (30, 10, 20), (0, 59))
    jobs = jobs_of(plan, 0)
    assert [j.epochs for j in jobs] == list(range(60))
    for split in ("train", "val", "test"):
        own = [j.epochs for j in jobs if j.split == split]
        assert min(own) < 20
        assert max(own) > 40
    assert jobs_of(plan, 0) == jobs
    assert [j.split for j in jobs_of(plan, 1)] != [j.split for j in jobs]


def test_factories_of_one_name_in_two_modules_keep_apart() -> None:
    ids = [j.id for j in jobs_of(ZooPlan(("a.b:make", "c:make"), (1, 0, 0)), 0)]
    assert len(set(ids)) == 2


def test_the_manifest_says_how_instances_were_trained_and_other_settings_are_refused(
    tiny: Tiny, tmp_path: Path
) -> None:
    plan = replace(PLAN, arch=("lenetlike",), counts=(1, 0, 0))
    (instance,) = make(tmp_path / "zoo", tiny.data, plan).instances
    assert instance.training == {"optimizer": "adam", "lr": plan.lr, "weight_decay": 0.0, "batch": 20}
    with pytest.raises(
        ConfigError, match=rf"already, trained with other settings: batch \(20, now 10\); lr \({plan.lr}, now 0\.5\)\."
    ) as told:
        make(tmp_path / "zoo", tiny.data, replace(plan, lr=0.5, batch=10))
    assert "seeds that it does not have: `seed=1`" in told.value.hint
    with pytest.raises(ConfigError, match=r"is a zoo with the licence CC0-1\.0; this is MIT") as told:
        make(tmp_path / "zoo", tiny.data, replace(plan, licence="MIT"))
    assert told.value.hint.startswith('Give `licence="CC0-1.0"`')


FACTORY = """
from torch import nn
def make(io):
    return nn.Sequential(nn.Flatten(), nn.Linear(io.channels * io.size ** 2, 4), nn.ReLU(), nn.Linear(4, 3))
"""


def test_a_zoo_of_a_factory(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zoo_factory_module.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(tmp_path)
    zoo = make(tmp_path / "zoo", tiny.data, replace(PLAN, arch=("zoo_factory_module:make",)))
    assert {i.arch for i in zoo.instances} == {"zoo_factory_module:make"}
    with trusting("zoo_factory_module:make"):
        (architecture,) = zoo.architectures()
    assert architecture.parameter_count == 64 * 4 + 4 + 4 * 3 + 3
    assert len(zoo.weights(zoo.instances, architecture)) == 4
    assert [word for _, word in verify(zoo)] == ["ok"] * 4


def test_a_loss_that_is_not_finite_names_the_instance_and_keeps_the_others(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = zoo_train.fresh

    def failing(job: Job, plan: ZooPlan, data: ImageData) -> torch.nn.Module:
        module = fresh(job, plan, data)
        if job.seed == 2:
            next(module.parameters()).data.fill_(float("nan"))
        return module

    monkeypatch.setattr(zoo_train, "fresh", failing)
    with pytest.raises(RunFailed, match="vanillacnn-0002: the loss is not finite after epoch 1"):
        make(tmp_path / "zoo", tiny.data, replace(PLAN, arch=("vanillacnn",)))
    assert [i.id for i in open_zoo(tmp_path / "zoo").instances] == ["vanillacnn-0000", "vanillacnn-0001"]


def test_sgd_is_another_way(tiny: Tiny, whole: Zoo, tmp_path: Path) -> None:
    zoo = make(tmp_path / "zoo", tiny.data, replace(PLAN, arch=("lenetlike",), optimizer="sgd", lr=0.05))
    trained = {i.id for i in zoo.instances if i.epochs}
    ours, theirs = files_of(zoo), files_of(whole)
    assert {n for n in ours if ours[n] != theirs[n]} == trained


def test_published_settings_are_recorded_and_others_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    plan = ZooPlan(("lenetlike",), (1, 0, 0), (1, 1), batch=20, optimizer="adamw", schedule="constant", init="uniform")
    (instance,) = make(tmp_path / "zoo", tiny.data, plan).instances
    assert instance.training["init"] == "uniform" and instance.training["schedule"] == "constant"
    with pytest.raises(ConfigError, match=r"trained with other settings: init \('uniform', now None\)\."):
        make(tmp_path / "zoo", tiny.data, replace(plan, init="default"))


@pytest.mark.parametrize("rule", RULES)
def test_an_instance_of_no_epochs_has_the_initialisation_that_was_asked_for(
    tiny: Tiny, tmp_path: Path, rule: str
) -> None:
    plan = ZooPlan(("resnet8",), (2, 0, 0), (0, 0), init=rule)
    zoo = make(tmp_path / "zoo", tiny.data, plan)
    states = [read_checkpoint(zoo.file_of(i)).state for i in zoo.instances]
    weights = [s["layer3.0.conv2.weight"] for s in states]
    assert not torch.equal(*weights)
    inputs = weights[0][0].numel()
    deviations = {
        "uniform": 1 / 12**0.5,
        "normal": 1.0,
        "kaiming-uniform": (2 / inputs) ** 0.5,
        "kaiming-normal": (2 / inputs) ** 0.5,
        "xavier-uniform": (1 / inputs) ** 0.5,
        "xavier-normal": (1 / inputs) ** 0.5,
    }
    assert weights[0].std().item() == pytest.approx(deviations[rule], rel=0.03)
    assert weights[0].mean().item() == pytest.approx(0.5 if rule == "uniform" else 0, abs=0.03)
    assert states[0]["fc.bias"].tolist() == pytest.approx([0.01] * 3)
    assert set(states[0]["bn1.weight"].tolist()) == {1.0}


def test_a_constant_rate_stays_and_a_cosine_falls_to_zero() -> None:
    for schedule, last in (("constant", 0.5), ("cosine", 0.0)):
        plan = ZooPlan(("lenetlike",), schedule=schedule, lr=0.5)
        optimizer, rate = optimiser_of(plan, [torch.zeros(1, requires_grad=True)], 10)
        for _ in range(10):
            optimizer.step()
            rate.step()
        assert optimizer.param_groups[0]["lr"] == pytest.approx(last, abs=1e-9)


def test_weight_decay_of_adamw_is_not_that_of_adam(tiny: Tiny, tmp_path: Path) -> None:
    plan = ZooPlan(("lenetlike",), (1, 0, 0), (1, 1), batch=20, weight_decay=0.5)
    zoos = [make(tmp_path / o, tiny.data, replace(plan, optimizer=o)) for o in ("adam", "adamw")]
    assert len({zoo.instances[0].sha256 for zoo in zoos}) == 2


def test_the_manifest_is_strict_json(whole: Zoo) -> None:
    for line in (whole.path / "instances.jsonl").read_text().splitlines():
        assert json.loads(line, parse_constant=pytest.fail)["id"]


OWN_NETS = """
from torch import nn
def with_norm():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
def without():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
"""


def test_one_image_a_step_is_refused_where_batch_norms_cannot_do_with_it(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets_of_one_image.py").write_text(OWN_NETS)
    name = "nets_of_one_image:with_norm"
    plan = ZooPlan((name,), (1, 0, 0), (1, 1), batch=1, epoch_images=3)
    with trusting(name), pytest.raises(ConfigError) as refused:
        make(tmp_path / "zoo", tiny.data, plan)
    assert f"{name} cannot be trained on 1 image a step (`batch=1`)" in refused.value.message
    assert refused.value.hint == "Give `batch=2` or more." and not (tmp_path / "zoo").exists()
    with trusting(name, "nets_of_one_image:without"):
        assert len(make(tmp_path / "two", tiny.data, replace(plan, batch=2)).instances) == 1
        # Without a norm, and with norms over maps of several pixels, it can be done.
        plan = replace(plan, arch=("nets_of_one_image:without", "resnet8"))
        assert len(make(tmp_path / "one", tiny.data, plan).instances) == 2


def test_a_resnet_whose_maps_are_one_pixel_is_refused_one_image_a_step(tiny: Tiny, tmp_path: Path) -> None:
    splits = {name: replace(split, images=split.images[..., :4, :4]) for name, split in tiny.data.splits.items()}
    data = replace(tiny.data, io=replace(tiny.data.io, size=4), splits=splits)
    with pytest.raises(ConfigError, match=r"resnet8 cannot be trained on 1 image a step \(`batch=1`\)"):
        make(tmp_path / "zoo", data, ZooPlan(("resnet8",), (1, 0, 0), (1, 1), batch=1))


FAILS_IN_WORKERS = """
import multiprocessing
from netspace_models.wording import setting
from torch import nn

def make():
    if multiprocessing.parent_process() is not None:
        raise ValueError(setting("device", "cpu"))
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
"""


@pytest.mark.slow
def test_workers_find_modules_of_the_current_folder_and_word_messages_as_who_started_them(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets_that_fail.py").write_text(FAILS_IN_WORKERS)
    plan = ZooPlan(("nets_that_fail:make",), (1, 0, 0), (1, 1), batch=20)
    with (
        trusting(*plan.arch),
        worded(CommandLineWording()),
        pytest.raises(ConfigError, match="ValueError: --device cpu"),
    ):
        make(tmp_path / "zoo", tiny.data, plan, workers=2)


@pytest.mark.trust
def test_the_networks_of_a_worker_that_is_killed_are_trained_again(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets_that_die.py").write_text(DIES_IN_WORKERS)
    plan = ZooPlan(("nets_that_die:make",), (2, 0, 0), (1, 1), batch=20)
    with trusting(*plan.arch):
        zoo = make(tmp_path / "zoo", tiny.data, plan, workers=2)
        again = make(tmp_path / "alone", tiny.data, plan)
    assert Path("killed").exists() and multiprocessing.active_children() == []
    assert sorted((i.id, i.sha256) for i in zoo.instances) == [(i.id, i.sha256) for i in again.instances]
