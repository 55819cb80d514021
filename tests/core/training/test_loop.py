"""Training a space: stopped runs end with the same bits, faults are told, and what is for testing stays unread."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.architectures import ImageIO, build
from netspace_models.backbones import ConvBackbone, TokensBackbone
from netspace_models.errors import (
    CheckpointError,
    ConfigError,
    DataUnavailable,
    DoesNotFit,
    Interrupted,
    OutputExists,
    RunFailed,
)
from netspace_models.space_model import SpaceModel
from netspace_models.training.objectives import Batch
from torch import Tensor

from netspace_cli.core.data.images import ImageData, Split
from netspace_cli.core.data.points import field_data
from netspace_cli.core.encoding.decode import decode
from netspace_cli.core.encoding.encode import encode
from netspace_cli.core.networks.network import Network, read_network
from netspace_cli.core.paths.path import interpolate
from netspace_cli.core.runtime.progress import Progress
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.spaces.space import Space, load_space
from netspace_cli.core.training import step as train_step
from netspace_cli.core.training.loop import prepare, train, train_prepared
from netspace_cli.core.training.run_folder import RunFolder
from netspace_cli.core.training.step import Task, TrainState
from netspace_cli.core.zoos.zoo import Zoo, open_zoo
from tests.worlds import Solids, Tiny

STEPS = 6


class Signals:
    """Progress that sends the process a signal after so many steps in all."""

    def __init__(self, after: int, number: signal.Signals) -> None:
        self.after, self.number, self.done, self.open = after, number, 0, 0

    def start(self, description: str, total: int | None, done: int = 0) -> None:
        self.open += 1
        self.done += done

    def advance(self, n: int = 1, **fields: object) -> None:
        self.done += n
        if n and self.done == self.after:
            os.kill(os.getpid(), self.number)

    def stop(self) -> None:
        self.open -= 1


def recipe_of(tiny: Tiny, **train_settings: Any) -> Recipe:
    table = tiny.recipe.model_dump()
    table["train"] |= {"steps": STEPS, "validate_every": 2, "checkpoint_every": 2, "warmup": 0, **train_settings}
    return recipe_from(table)


def learn(
    tiny: Tiny,
    path: Path,
    *,
    several: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> Space:
    """Train on the tiny zoos; options of `train` replace what is usual here."""
    usual: dict[str, Any] = {"zoo": tiny.single_zoo, "recipe": recipe_of(tiny), "data": tiny.data}
    if several:
        usual |= {"zoo": tiny.zoo, "teacher": teacher_of(tiny)}
    with Runner("cpu", seed=seed, progress=progress) as runner:
        return train(output=path, runner=runner, **{**usual, **options})


def teacher_of(tiny: Tiny) -> Network:
    return read_network(tiny.teacher, io=tiny.data.io)


def metrics_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path.with_suffix(".run") / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one architecture that was never stopped."""
    path = tmp_path_factory.mktemp("whole") / "s.safetensors"
    learn(tiny, path)
    return path


def assert_same_run(path: Path, other: Path) -> None:
    assert path.read_bytes() == other.read_bytes()
    assert metrics_of(path) == metrics_of(other)


@pytest.mark.parametrize(
    ("after", "number", "code"),
    [(1, signal.SIGTERM, 143), (3, signal.SIGINT, 130), (4, signal.SIGTERM, 143), (5, signal.SIGINT, 130)],
)
def test_a_stopped_run_goes_on_to_the_same_bits(
    tiny: Tiny, whole: Path, tmp_path: Path, after: int, number: signal.Signals, code: int
) -> None:
    path, progress = tmp_path / "s.safetensors", Signals(after, number)
    with pytest.raises(Interrupted, match=f"stopped after step {after} of {STEPS}") as stopped:
        learn(tiny, path, progress=progress)
    assert (stopped.value.exit_code, progress.open) == (code, 0)
    assert "`resume=True`" in stopped.value.hint
    assert not path.exists()
    assert len(metrics_of(path)) == after
    learn(tiny, path, resume=True)
    assert_same_run(path, whole)


def test_a_stop_is_announced_once(tiny: Tiny, tmp_path: Path) -> None:
    heard: list[str] = []
    progress = Signals(2, signal.SIGTERM)
    with Runner("cpu", progress=progress) as runner, pytest.raises(Interrupted):
        task = prepare(tiny.single_zoo, recipe_of(tiny), tiny.data, runner)
        train_prepared(task, tiny.single_zoo, tmp_path / "s.safetensors", on_stop=lambda: heard.append(""))
    assert len(heard) == 1


def test_no_validation_is_reported_before_there_was_one(tiny: Tiny, tmp_path: Path) -> None:
    shown: list[dict[str, object]] = []

    class Fields(Signals):
        def advance(self, n: int = 1, **fields: object) -> None:
            if "loss" in fields:  # of a step
                shown.append(fields)

    learn(tiny, tmp_path / "s.safetensors", progress=Fields(99, signal.SIGTERM))
    assert ["val" in fields for fields in shown] == [False, True, True, True, True, True]


def test_a_space_without_a_name_is_called_like_its_file_and_resumes_as_such(tiny: Tiny, tmp_path: Path) -> None:
    table = recipe_of(tiny).model_dump()
    del table["space"]["name"]
    recipe, path = recipe_from(table), tmp_path / "mine.safetensors"
    with pytest.raises(Interrupted):
        learn(tiny, path, recipe=recipe, progress=Signals(3, signal.SIGTERM))
    space = learn(tiny, path, recipe=recipe, resume=True)
    assert (space.name, space.record["recipe"]["space"]["name"]) == ("mine", "mine")
    table["space"]["name"] = "mine"
    learn(tiny, tmp_path / "other.safetensors", recipe=recipe_from(table))
    assert path.read_bytes() == (tmp_path / "other.safetensors").read_bytes()


def test_a_run_stopped_again_and_again_goes_on_to_the_same_bits(tiny: Tiny, whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    for after in (1, 2, 3, 4, 5):
        with pytest.raises(Interrupted):
            learn(tiny, path, progress=Signals(after, signal.SIGTERM), resume=after > 1)
    learn(tiny, path, resume=True)
    assert_same_run(path, whole)


def test_a_stop_at_the_last_step_is_no_stop(tiny: Tiny, whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    learn(tiny, path, progress=Signals(STEPS, signal.SIGTERM))
    assert_same_run(path, whole)


def test_a_finished_run_resumed_writes_the_same_again(tiny: Tiny, whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    learn(tiny, path)
    path.unlink()
    learn(tiny, path, resume=True)
    assert_same_run(path, whole)


@pytest.mark.slow
def test_several_architectures_go_on_to_the_same_bits(tiny: Tiny, tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.safetensors", tmp_path / "s.safetensors"
    learn(tiny, whole, several=True)
    with pytest.raises(Interrupted):
        learn(tiny, path, several=True, progress=Signals(3, signal.SIGTERM))
    learn(tiny, path, several=True, resume=True)
    assert_same_run(path, whole)


KILLED = """
import os, sys, torch
torch.set_num_threads(1)
from pathlib import Path
from netspace_cli import Runner, load_data, open_zoo, train
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.runtime.progress import Silent
zoo, data, recipe, output = sys.argv[1:]
class Killer(Silent):
    done = 0
    def advance(self, n=1, **fields):
        self.done += n
        if self.done == 5:
            os.kill(os.getpid(), 9)
with Runner("cpu", progress=Killer()) as runner:
    recipe = Recipe.model_validate_json(recipe)
    train(open_zoo(Path(zoo)), Path(output), recipe, load_data(data), runner)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits(tiny: Tiny, whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    words = [tiny.single_zoo.path, tiny.npz, recipe_of(tiny).model_dump_json(), path]
    done = subprocess.run([sys.executable, "-c", KILLED, *map(str, words)], capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert len(metrics_of(path)) == 5  # one step more than the checkpoint has
    assert torch.load(path.with_suffix(".run") / "checkpoint.pt", weights_only=True)["step"] == 4
    learn(tiny, path, resume=True)
    assert_same_run(path, whole)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tiny: Tiny, whole: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)  # the process's own stream plays no part
    learn(tiny, tmp_path / "a.safetensors")
    assert_same_run(tmp_path / "a.safetensors", whole)
    learn(tiny, tmp_path / "b.safetensors", seed=1)
    assert (tmp_path / "b.safetensors").read_bytes() != whole.read_bytes()
    assert metrics_of(tmp_path / "b.safetensors") != metrics_of(whole)


def test_training_leaves_the_process_own_stream_alone(tiny: Tiny, tmp_path: Path) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    learn(tiny, tmp_path / "s.safetensors", recipe=recipe_of(tiny, steps=1))
    assert torch.equal(torch.rand(3), wanted)


def test_other_settings_are_not_resumed_and_are_named(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    with pytest.raises(Interrupted):
        learn(tiny, path, progress=Signals(2, signal.SIGTERM))
    checkpoint = (tmp_path / "s.run" / "checkpoint.pt").read_bytes()
    with pytest.raises(ConfigError, match=r"recipe.train.lr \(0.005, now 0.01\)"):
        learn(tiny, path, resume=True, recipe=recipe_of(tiny, lr=0.01))
    with pytest.raises(ConfigError, match=r"seed \(0, now 1\)"):
        learn(tiny, path, resume=True, seed=1)
    with pytest.raises(ConfigError, match=r"started with other settings: zoo\."):
        gone = tiny.single_zoo.select(split="train")[0]
        fewer = tuple(i for i in tiny.single_zoo.instances if i != gone)
        learn(tiny, path, resume=True, zoo=replace(tiny.single_zoo, instances=fewer))
    with pytest.raises(ConfigError, match=r"data\.padding \(1, now 0\)"):
        learn(tiny, path, resume=True, data=replace(tiny.data, padding=0))
    with (
        pytest.raises(ConfigError, match=r"precision \(None, now 'torch.bfloat16'\)"),
        Runner("cpu", precision="bf16") as runner,
    ):
        train(tiny.single_zoo, path, recipe_of(tiny), tiny.data, runner, resume=True)
    with pytest.raises(ConfigError, match="already holds a run"):
        learn(tiny, path)
    assert (tmp_path / "s.run" / "checkpoint.pt").read_bytes() == checkpoint


def test_force_begins_again(tiny: Tiny, whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    learn(tiny, path, recipe=recipe_of(tiny, lr=0.01))
    with pytest.raises(OutputExists):
        learn(tiny, path)
    learn(tiny, path, force=True)
    assert_same_run(path, whole)


def test_nothing_to_resume_is_told(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"s.run has no checkpoint to continue from"):
        learn(tiny, tmp_path / "s.safetensors", resume=True)


def test_a_second_run_of_one_output_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    with RunFolder(tmp_path / "s.run").locked(), pytest.raises(ConfigError, match="in use by another run"):
        learn(tiny, tmp_path / "s.safetensors")


def test_an_output_that_the_run_could_not_write_is_refused_before_work(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a space is written as \.safetensors"):
        learn(tiny, tmp_path / "s.run")
    with pytest.raises(ConfigError, match="there is no folder"):
        learn(tiny, tmp_path / "no" / "s.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("state", [None, {"step": 2}, {"step": 2, "model": {"a": torch.ones(1)}}])
def test_a_corrupt_checkpoint_is_named(tiny: Tiny, tmp_path: Path, state: dict[str, Any] | None) -> None:
    path = tmp_path / "s.safetensors"
    with pytest.raises(Interrupted):
        learn(tiny, path, progress=Signals(2, signal.SIGTERM))
    checkpoint = tmp_path / "s.run" / "checkpoint.pt"
    if state is None:
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    else:
        torch.save(state, checkpoint)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: (cannot be read|holds no state of this run)"):
        learn(tiny, path, resume=True)


MakeTerms = Callable[[SpaceModel], dict[str, Tensor]]


def _fails_from(step: int, monkeypatch: pytest.MonkeyPatch, make: MakeTerms) -> None:
    """From this step on the objective is what `make` makes of the model."""
    objective, seen = train_step._objective, []

    def failing(task: Task, state: TrainState, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        seen.append(1)
        return make(state.model) if len(seen) >= step else objective(task, state, batch, generator)

    monkeypatch.setattr(train_step, "_objective", failing)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda model: {"pred": next(model.parameters()).sum() * float("nan")}, "the loss is not finite at step 4"),
        (lambda model: {"pred": next(model.parameters()).sum() * float("inf")}, "the loss is not finite at step 4"),
        # The square root of zero: a finite loss whose gradient is not.
        (
            lambda model: {"pred": (0 * next(model.parameters()).sum()).sqrt()},
            "the gradient is not finite at step 4",
        ),
    ],
    ids=["nan", "inf", "gradient"],
)
def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_checkpoint(
    tiny: Tiny, whole: Path, tmp_path: Path, make: MakeTerms, words: str
) -> None:
    path = tmp_path / "s.safetensors"
    progress = Signals(99, signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(RunFailed, match=words) as failed:
        _fails_from(4, patch, make)
        learn(tiny, path, progress=progress)
    assert "checkpoint is kept" in failed.value.hint
    assert progress.open == 0
    assert not path.exists()
    learn(tiny, path, resume=True)
    assert_same_run(path, whole)


def test_the_gradient_is_checked_where_it_is_not_clipped(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fails_from(1, monkeypatch, lambda model: {"pred": (0 * next(model.parameters()).sum()).sqrt()})
    with pytest.raises(RunFailed, match="gradient"):
        learn(tiny, tmp_path / "s.safetensors", recipe=recipe_of(tiny, clip=0))


def test_a_validation_that_is_not_finite_ends_the_run(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = train_step._terms

    def failing(task: Task, model: SpaceModel, *rest: Any) -> dict[str, Tensor]:
        found = terms(task, model, *rest)
        return found if model.training else {name: term * float("nan") for name, term in found.items()}

    monkeypatch.setattr(train_step, "_terms", failing)
    with pytest.raises(RunFailed, match="the validation loss is not finite at step 2"):
        learn(tiny, tmp_path / "s.safetensors")


def test_test_instances_are_not_opened(tiny: Tiny, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny.single_zoo.path, tmp_path / "zoo")
    zoo = open_zoo(tmp_path / "zoo")
    first, *rest = zoo.select(split="test")
    zoo.file_of(first).write_bytes(b"\xff" * 100)
    assert rest
    for instance in rest:
        zoo.file_of(instance).unlink()
    learn(tiny, tmp_path / "s.safetensors", zoo=zoo)
    assert (tmp_path / "s.safetensors").read_bytes() == whole.read_bytes()


def test_test_images_play_no_part(tiny: Tiny, whole: Path, tmp_path: Path) -> None:
    test = tiny.data.splits["test"]
    other = Split(255 - test.images, test.labels.flip(0))
    data: ImageData = replace(tiny.data, splits={**tiny.data.splits, "test": other})
    found, wanted = learn(tiny, tmp_path / "s.safetensors", data=data), load_space(whole)
    assert found.record["best"] == wanted.record["best"]
    assert all(torch.equal(t, wanted.model.state_dict()[n]) for n, t in found.model.state_dict().items())


def test_the_best_step_is_chosen_on_validation(tiny: Tiny, tmp_path: Path) -> None:
    """A rate so high that it gets worse: what is written is the model as it was at the best validation."""
    changes: dict[str, Any] = {"lr": 0.5, "schedule": "constant", "validate_every": 1}
    found = learn(tiny, tmp_path / "s.safetensors", recipe=recipe_of(tiny, **changes))
    lines = metrics_of(tmp_path / "s.safetensors")
    best = min(lines, key=lambda line: line["val"])
    assert found.record["best"] == {"step": best["step"], "val_loss": best["val"]}
    assert best["step"] < STEPS
    short = learn(tiny, tmp_path / "short.safetensors", recipe=recipe_of(tiny, **changes, steps=best["step"]))
    assert all(torch.equal(t, short.model.state_dict()[n]) for n, t in found.model.state_dict().items())


def test_the_last_step_is_kept_where_the_recipe_says_so(tiny: Tiny, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"lr": 0.5, "schedule": "constant", "validate_every": 1}
    best = learn(tiny, tmp_path / "best.safetensors", recipe=recipe_of(tiny, **changes))
    last = learn(tiny, tmp_path / "last.safetensors", recipe=recipe_of(tiny, **changes, keep="last"))
    state = torch.load(tmp_path / "best.run" / "checkpoint.pt", weights_only=True)["model"]
    found = last.model.state_dict()
    assert last.record["best"]["step"] == STEPS > best.record["best"]["step"]
    assert all(torch.equal(state[name], tensor) for name, tensor in found.items())


def without(tiny: Tiny, arch: str, path: Path) -> Zoo:
    """The tiny zoo as if it never had an architecture."""
    shutil.copytree(tiny.zoo.path, path)
    shutil.rmtree(path / "instances" / arch)
    lines = (path / "instances.jsonl").read_text().splitlines(keepends=True)
    (path / "instances.jsonl").write_text("".join(line for line in lines if json.loads(line)["arch"] != arch))
    return open_zoo(path)


def unseen_recipe(tiny: Tiny, *names: str) -> Recipe:
    table = recipe_of(tiny).model_dump()
    table["space"]["unseen"] = names
    return recipe_from(table)


def test_no_instance_of_an_unseen_architecture_leaves_a_trace(tiny: Tiny, tmp_path: Path) -> None:
    """The same bytes whether the zoo has instances of it or not."""
    recipe = unseen_recipe(tiny, "vanillacnn")
    zoo = without(tiny, "vanillacnn", tmp_path / "zoo")
    space = learn(tiny, tmp_path / "a.safetensors", several=True, zoo=zoo, recipe=recipe)
    learn(tiny, tmp_path / "b.safetensors", several=True, recipe=recipe)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert [a.name for a in space.architectures] == ["lenetlike", "vanillacnn", "resnet8"]
    assert {row["arch"] for row in space.record["zoo"]} == {"lenetlike", "resnet8"}
    with Runner("cpu") as runner:
        found = encode([read_network(tiny.networks["lenetlike"], candidates=space.architectures)], space, runner)
        (network,) = decode(found, space, runner, arch="vanillacnn")
    assert torch.isfinite(network.weights).all()


def test_an_unseen_architecture_that_nothing_would_train_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    for name in ("lenetlike", "resnet8"):
        with pytest.raises(ConfigError, match=rf"{name} \([0-9,]+ parameters\) is unseen and not between two"):
            learn(tiny, tmp_path / "s.safetensors", several=True, recipe=unseen_recipe(tiny, name))


def test_a_random_start_is_another_start(tiny: Tiny, whole: Path, tmp_path: Path) -> None:
    table = recipe_of(tiny).model_dump()
    table["space"]["start"] = "random"
    found = learn(tiny, tmp_path / "s.safetensors", recipe=recipe_from(table))
    ours, theirs = found.model.backbone, load_space(whole).model.backbone
    assert isinstance(ours, TokensBackbone) and isinstance(theirs, TokensBackbone)
    apart = (ours.head("lenetlike").bias - theirs.head("lenetlike").bias).abs().mean()
    assert apart > 0.5, "in deviations of each layer"
    with Runner("cpu") as runner:
        network = read_network(tiny.networks["lenetlike"], candidates=found.architectures)
        assert torch.isfinite(decode(encode([network], found, runner), found, runner)[0].weights).all()


CONV = {"kind": "conv", "embedding_size": 256, "side": 16, "height": 8}


@pytest.mark.parametrize("several", [False, True])
def test_the_conv_backbone_goes_the_whole_way(tiny: Tiny, tmp_path: Path, several: bool) -> None:
    table = recipe_of(tiny, steps=2).model_dump()
    table["backbone"] = {**CONV, "width": 9_648 if several else 2_600}
    path, recipe = tmp_path / "s.safetensors", recipe_from(table)
    trained = learn(tiny, path, several=several, recipe=recipe)
    space = load_space(path)
    assert isinstance(space.model.backbone, ConvBackbone)
    archs = ["lenetlike", "resnet8"] if several else ["lenetlike", "lenetlike"]
    with Runner("cpu") as runner:
        networks = [read_network(tiny.networks[a], candidates=space.architectures) for a in archs]
        found = encode(networks, space, runner, data=tiny.data, refine_steps=1)
        assert torch.equal(found.vectors, encode(networks, trained, runner, data=tiny.data, refine_steps=1).vectors)
        built = decode(found, space, runner, arch=archs[1])
        assert torch.isfinite(built[0].weights).all()
        steps = interpolate(found.vectors[0], found.vectors[1], space, runner, steps=2, data=tiny.data)
    assert len(steps) == 3
    assert not any(step.error for step in steps)


@pytest.mark.slow
def test_the_conv_backbone_learns_shapes(solids: Solids, tmp_path: Path) -> None:
    """Eq. 2 with the published backbone: nearer to the networks' values."""
    settings = {"steps": 70, "instances": 4, "images": 256, "lr": 3e-3, "warmup": 0, "validate_every": 35}
    recipe = recipe_from({"backbone": {**CONV, "width": 400}, "train": settings, "refine": {"steps": 2}})
    data, (architecture,) = field_data(solids.zoo.data), solids.zoo.architectures()
    with Runner("cpu") as runner:
        space = train(solids.zoo, tmp_path / "s.safetensors", recipe, data, runner)
        assert isinstance(space.model.backbone, ConvBackbone)
        networks = [solids.zoo.network(i, architecture) for i in solids.zoo.select(split="test")]
        found = encode(networks, space, runner, data=data, refine_steps=0)
        built = decode(found, space, runner)
        assert torch.isfinite(torch.stack([network.weights for network in built])).all()
        steps = interpolate(found.vectors[0], found.vectors[1], space, runner, steps=2)
    assert not any(step.error for step in steps)
    told = [json.loads(line) for line in (tmp_path / "s.run/metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in told]
    assert sum(losses[-10:]) / 10 < 0.4 * losses[0]


def test_a_conv_backbone_too_small_for_a_network_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    table = recipe_of(tiny).model_dump()
    table["backbone"] = {**CONV, "width": 1_000}
    words = r"20,791 parameters; a PRep of 8 x 1000 holds 8,000\. .*`backbone\.height = 24` in the recipe"
    with pytest.raises(DoesNotFit, match=words):
        learn(tiny, tmp_path / "s.safetensors", recipe=recipe_from(table))
    assert not list(tmp_path.rglob("*.pt"))


def test_several_architectures_without_a_teacher_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"several architectures \(lenetlike, vanillacnn, resnet8\)") as refused:
        learn(tiny, tmp_path / "s.safetensors", several=True, teacher=None)
    assert "`teacher=read_network(FILE)`" in refused.value.hint


def test_a_weight_of_own_answers_has_no_part_in_a_space_of_one_architecture(tiny: Tiny, tmp_path: Path) -> None:
    table = recipe_of(tiny).model_dump()
    table["train"]["self_imitation"] = 2.0
    with pytest.raises(
        ConfigError, match=r"train\.self_imitation = 2 is for several architectures; in a space of one \(lenetlike"
    ):
        learn(tiny, tmp_path / "s.safetensors", recipe=recipe_from(table))


def test_several_teach_together(tiny: Tiny, tmp_path: Path) -> None:
    one, other = teacher_of(tiny), tiny.zoo.network(tiny.zoo.instances[0], tiny.zoo.architectures()[0])
    recipe = recipe_of(tiny, steps=1)
    spaces = {
        name: learn(tiny, tmp_path / f"{name}.safetensors", several=True, recipe=recipe, teacher=teacher)
        for name, teacher in {"alone": one, "list": [one], "both": [one, other]}.items()
    }
    alone, listed, both = (space.record["teacher"] for space in spaces.values())
    assert alone == listed == {"arch": one.architecture.name, "sha256": one.sha256}
    assert both == {**alone, "beside": [{"arch": other.architecture.name, "sha256": other.sha256}]}
    losses = [metrics_of(tmp_path / f"{name}.safetensors")[0]["loss"] for name in spaces]
    assert losses[0] == losses[1] != losses[2]
    path = tmp_path / "both.safetensors"
    with pytest.raises(ConfigError, match="teacher"):
        learn(tiny, path, several=True, recipe=recipe, teacher=[one], resume=True, force=True)
    strange = Network(build("lenetlike", ImageIO(1, 8, 5)), torch.zeros(1), source="teach.pt")
    with pytest.raises(ConfigError, match=r"teacher teach\.pt is for 1x8x8, 5 classes"):
        learn(tiny, tmp_path / "s.safetensors", several=True, teacher=[one, strange])


def test_a_teacher_for_other_classes_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    other = build("resnet14", ImageIO(1, 8, 5))
    teacher = Network(other, torch.zeros(other.parameter_count), source="teach.pt")
    with pytest.raises(ConfigError, match=r"teacher teach\.pt is for 1x8x8, 5 classes; these images are 1x8x8, 3"):
        learn(tiny, tmp_path / "s.safetensors", several=True, teacher=teacher)


def test_other_images_than_the_zoos_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    test = tiny.data.splits["test"]
    wide = {s: Split(test.images.expand(-1, 3, -1, -1), test.labels) for s in tiny.data.splits}
    io = replace(tiny.data.io, channels=3)
    data = replace(tiny.data, io=io, splits=wide, mean=(0.5,) * 3, std=(0.2,) * 3)
    with pytest.raises(DataUnavailable, match="is a zoo for 1x8x8, 3 classes; .* has 3x8x8, 3 classes"):
        learn(tiny, tmp_path / "s.safetensors", data=data)


def test_the_record_says_how_the_space_was_made(tiny: Tiny, whole: Path) -> None:
    space = load_space(whole)
    assert space.record["recipe"] == recipe_of(tiny).model_dump(mode="json")
    assert space.record["data"] == tiny.data.record()
    assert space.record["seed"] == 0
    assert space.record["teacher"] is None
    assert {"netspace_version", "torch_version"} <= set(space.record)
    ids = {row["id"] for row in space.record["zoo"]}
    assert ids == {i.id for i in tiny.single_zoo.instances if i.split != "test"}
    assert len(space.embeddings) == len(ids)
    assert not any(p.requires_grad for p in space.model.parameters())
