"""netspace train."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from netspace_cli.core.runtime.runner import GIB, peak_bytes
from netspace_cli.core.spaces.space import load_space
from netspace_cli.core.training import loop
from netspace_cli.core.training.step import Task, TrainState
from tests.worlds import Ask, Cli, Refused, Rows, Tiny

RECIPE = """
[space]
name = "mini"
[backbone]
embedding_size = 64
latents = 4
chunk = 64
width = 16
heads = 2
[train]
steps = 6
instances = 1
images = 8
warmup = 2
validate_every = 3
checkpoint_every = 1000
[refine]
steps = 1
images = 8
"""


@pytest.fixture
def recipe(work: Path) -> Path:
    (work / "mini.toml").write_text(RECIPE)
    return Path("mini.toml")


def command(tiny: Tiny, *options: object, zoo: Path | None = None) -> list[object]:
    zoo = zoo or tiny.single_zoo.path
    return ["train", zoo, "--data", tiny.npz, "--recipe", "mini.toml", "--threads", 1, *options]


# Elsewhere sums may come in another order each time.
SAME_BITS = ["--device", "cpu"]


def test_a_space_is_written_and_works(tiny: Tiny, recipe: Path, ask: Ask) -> None:
    found = ask(*command(tiny, "-o", "mini.safetensors"))
    assert (found["output"], found["space"]) == ("mini.safetensors", "mini")
    space = load_space("mini.safetensors")
    assert (space.name, space.sha256) == ("mini", found["space_sha256"])
    assert found["record"]["recipe"]["train"]["steps"] == 6
    lines = [json.loads(line) for line in Path("mini.run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6] and [i for i, x in enumerate(lines) if "val" in x]

    ask("encode", tiny.networks["lenetlike"], "--space", "mini.safetensors", "-o", "a.emb")
    ask("decode", "a.emb", "--space", "mini.safetensors", "-o", "a.pt")
    assert ask("inspect", "mini.safetensors")["space"] == "mini"


def test_the_same_command_gives_the_same_bytes_and_settings_count(tiny: Tiny, recipe: Path, ask: Ask) -> None:
    for name, options in (("a", []), ("b", []), ("c", ["-s", "train.lr=1e-4"]), ("d", ["--seed", 1])):
        ask(*command(tiny, "-o", f"{name}.safetensors", *SAME_BITS, *options))
    found = {name: Path(f"{name}.safetensors").read_bytes() for name in "abcd"}
    assert found["a"] == found["b"]
    assert len(set(found.values())) == 3


def test_several_architectures_with_a_teacher(tiny: Tiny, recipe: Path, ask: Ask, refused: Refused) -> None:
    options = command(tiny, "-o", "mini.safetensors", "-s", "train.steps=2", zoo=tiny.zoo.path)
    said = refused(2, *options)
    assert "lenetlike, vanillacnn, resnet8" in said and "--teacher" in said
    ask(*options, "--teacher", tiny.teacher)
    assert [a.name for a in load_space("mini.safetensors").architectures] == ["lenetlike", "vanillacnn", "resnet8"]


def test_a_dry_run_shows_the_settings_and_writes_nothing(tiny: Tiny, recipe: Path, ask: Ask, work: Path) -> None:
    found = ask(*command(tiny, "-o", "mini.safetensors", "--dry-run", "-s", "train.steps=9"))
    assert found["recipe"]["train"]["steps"] == 9
    assert found["instances"] == {"lenetlike": {"train": 3, "val": 1}}
    assert 4_000 < found["parameters"] < 100_000
    assert 10**8 < found["estimated_memory_bytes"] - 16 * found["parameters"] < peak_bytes() + 10**8
    assert [p.name for p in work.iterdir()] == ["mini.toml"]


def test_a_dry_run_tells_the_memory_that_training_takes(tiny: Tiny, recipe: Path, rows: Rows) -> None:
    shown = {row["setting"]: row["value"] for row in rows(*command(tiny, "-o", "mini.safetensors", "--dry-run"))}
    number, unit = shown["memory, about"].split()
    assert 0.1 < float(number) < 1 + peak_bytes() / GIB and unit == "GiB" and "," in shown["parameters"]
    assert shown["train.lr"] == "0.001"
    assert shown["train.shuffle"] in ("yes", "no") and shown["space.unseen"] == "none" == shown["refine.temperature"]
    assert not {"None", "True", "False", "[]", "{}", "()"} & set(shown.values())


def test_a_dry_run_tells_how_often_a_teacher_is_asked(tiny: Tiny, recipe: Path, rows: Rows, ask: Ask) -> None:
    views = ["-s", "train.image_views=2", "-s", "train.steps=500", "--teacher", tiny.teacher, "--dry-run"]
    options = command(tiny, "-o", "mini.safetensors", *views, zoo=tiny.zoo.path)
    shown = {row["setting"]: row["value"] for row in rows(*options)}
    size = len(tiny.data.splits["train"])
    assert shown["teacher asked about"] == f"{2 * size:,} images, not {500 * 8:,}"
    assert shown["its answers, about"] == f"{4 * 2 * size * 3 / 2**20:.1f} MiB"
    assert ask(*options)["answers_bytes"] == 4 * 2 * size * 3


def test_more_memory_than_there_is_is_told_before_training(
    tiny: Tiny, recipe: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netspace_cli.core.requests.train.memory_of", lambda device: 2_000_000)
    for options in (["--dry-run"], []):
        result = cli(*command(tiny, "-o", "mini.safetensors", *options))
        assert result.exit_code == 0
        assert "warning: " in result.stderr and "more than half of the 0.0 GiB there are" in result.stderr
        assert "Lower train.images (8) or backbone.reader.probes (64)." in result.stderr


def test_a_space_is_called_like_its_file(tiny: Tiny, recipe: Path, ask: Ask) -> None:
    Path("mini.toml").write_text(RECIPE.replace('name = "mini"', ""))
    assert ask(*command(tiny, "-o", "mine.safetensors"))["space"] == "mine"
    assert ask(*command(tiny, "-o", "b.safetensors", "-s", "space.name=other"))["space"] == "other"


def test_a_finished_run_is_kept_unless_forced(tiny: Tiny, recipe: Path, ask: Ask, refused: Refused) -> None:
    options = command(tiny, "-o", "mini.safetensors")
    ask(*options)
    first = Path("mini.safetensors").read_bytes()
    assert "mini.safetensors exists already" in refused(2, *options)
    Path("mini.safetensors").unlink()
    for more in ([], ["--dry-run"]):
        said = refused(2, *options, *more)
        assert "mini.run already holds a run" in said and "--resume" in said and "--force" in said
    said = refused(2, *options, "--resume", "-s", "train.steps=7")
    assert "steps (6, now 7)" in said and "start it without --resume and with --force" in said
    assert said == refused(2, *options, "--resume", "-s", "train.steps=7", "--dry-run")
    metrics = Path("mini.run/metrics.jsonl").read_bytes()
    assert ask(*options, "--resume", "--dry-run")["resumed_step"] > 0
    assert Path("mini.run/metrics.jsonl").read_bytes() == metrics
    ask(*options, "--resume")
    said = refused(2, *options, "--resume", "-s", "train.steps=7")
    assert "mini.safetensors exists already" in said and "nothing is left to resume" in said
    assert Path("mini.safetensors").read_bytes() == first
    ask(*options, "--force")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["-s", "train.stepz=3"], "no key 'train.stepz'. Did you mean 'train.steps'?"),
        (["-s", "stepz=3"], "Did you mean 'train.steps'?"),
        (["-s", "trainsteps=3"], "Did you mean 'train.steps'?"),
        (["-s", "steps"], "'steps' is not KEY=VALUE, as in train.steps=600"),
        (["-s", "train.steps=many"], "train.steps = 'many'"),
        (["-s", "train.steps=0"], "train.steps = 0"),
        (["-s", "backbone.width=15"], "width of 15"),
        (["--recipe", "typo.toml"], "no key 'train.instanzes'. Did you mean 'train.instances'?"),
        (["--recipe", "none.toml"], "'none.toml' does not exist"),
        (["--data", "digits"], "digits has 1x8x8, 10 classes"),
        (["--data", "nosuch"], "unknown data set 'nosuch'"),
        (["--data", "none.npz"], "none.npz"),
        (["--resume"], "mini.run has no checkpoint to continue from"),
        (["-o", "none/mini.safetensors"], "there is no folder"),
        (["-o", "mini.pt"], "a space is written as .safetensors. Name it mini.safetensors"),
        (["-o", "mini"], "a space is written as .safetensors"),
        (["-o", "."], "is a directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_refused(
    tiny: Tiny, recipe: Path, refused: Refused, options: list[str], expected: str
) -> None:
    Path("typo.toml").write_text("[train]\ninstanzes = 3\n")
    assert expected in refused(2, *command(tiny, "-o", "mini.safetensors", *options))


def test_without_its_images_it_says_what_to_give(tiny: Tiny, recipe: Path, refused: Refused) -> None:
    said = refused(2, "train", tiny.single_zoo.path, "-o", "mini.safetensors")
    assert "npz:tiny.npz" in said and "not available" in said and "--data FILE.npz" in said


def test_a_zoo_that_cannot_be_learnt_from_is_refused(tiny: Tiny, recipe: Path, refused: Refused) -> None:
    only_train = tiny.teacher.parent.parent.parent
    said = refused(2, *command(tiny, "-o", "mini.safetensors", zoo=only_train))
    assert "no validation instances" in said
    Path("empty").mkdir()
    assert "not a zoo" in refused(3, *command(tiny, "-o", "mini.safetensors", zoo=Path("empty")))


def test_a_network_changed_behind_the_manifest_is_refused(
    tiny: Tiny, recipe: Path, work: Path, refused: Refused
) -> None:
    import shutil

    shutil.copytree(tiny.single_zoo.path, "zoo")
    instance = next(i for i in tiny.single_zoo.instances if i.split == "train")
    (work / "zoo" / instance.file).write_bytes(b"something else entirely, quite long")
    said = refused(3, *command(tiny, "-o", "mini.safetensors", zoo=Path("zoo")))
    assert instance.sha256[:12] in said and "netspace zoo verify" in said


def begun(tiny: Tiny, *options: object) -> subprocess.Popen[str]:
    """The command as a process of its own, running, its first steps done."""
    words = [str(each) for each in command(tiny, *options)]
    run = subprocess.Popen(
        [sys.executable, "-m", "netspace_cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    metrics = Path("mini.run/metrics.jsonl")
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.read_text().count("\n") >= 2):
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return run


@pytest.mark.slow
def test_interrupted_it_saves_and_goes_on_as_if_it_never_had_been(tiny: Tiny, recipe: Path, ask: Ask) -> None:
    options = ["-o", "mini.safetensors", "-s", "train.steps=25", *SAME_BITS]
    with begun(tiny, *options) as run:
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (130, "")
    assert err.count("Stopping after this step, with a checkpoint") == 1
    assert "stopped after step" in err and "--resume continues" in err and "Traceback" not in err
    assert not Path("mini.safetensors").exists() and Path("mini.run/checkpoint.pt").exists()
    assert torch.load("mini.run/checkpoint.pt", weights_only=True)["step"] < 25

    ask(*command(tiny, *options, "--resume"))
    ask(*command(tiny, "-o", "straight.safetensors", "-s", "train.steps=25", *SAME_BITS))
    assert Path("mini.safetensors").read_bytes() == Path("straight.safetensors").read_bytes()


def test_a_run_that_was_to_replace_a_space_goes_on_with_force(
    tiny: Tiny, recipe: Path, ask: Ask, refused: Refused
) -> None:
    options = command(tiny, "-o", "mini.safetensors")
    ask(*options)
    metrics = Path("mini.run/metrics.jsonl")  # as of a run that was stopped after four steps
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:4]))
    said = refused(2, *options, "--resume")
    assert "has done 4 of 6 steps: --resume --force continues it" in said and "nothing is left" not in said


def test_terminated_it_saves_too(tiny: Tiny, recipe: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    take_step = loop.take_step

    def last_step(task: Task, state: TrainState) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGTERM)
        return take_step(task, state)

    monkeypatch.setattr(loop, "take_step", last_step)
    found = cli(*command(tiny, "-o", "mini.safetensors", "--json"))
    assert found.exit_code == 143
    assert json.loads(found.stdout)["error"]["kind"] == "interrupted" and "Traceback" not in found.stderr
    assert Path("mini.run/checkpoint.pt").exists()


OWN_NETWORK = """
from torch import nn

def net():
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))
"""


def test_anyone_s_own_architecture_from_zoo_to_checkpoint(
    tiny: Tiny, recipe: Path, work: Path, ask: Ask, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the current folder, which is not on the search path."""
    Path("my_own_nets.py").write_text(OWN_NETWORK)
    name = "my_own_nets:net"
    ask("zoo", "train", "zoo", "--arch", name, "--counts", "2/1/1", "--epochs", 1, "--data", tiny.npz)
    # A zoo alone does not choose what is imported: the user names it once more.
    monkeypatch.setenv("NETSPACE_TRUST", name)
    ask(*command(tiny, "-o", "mini.safetensors", zoo=Path("zoo")))
    (instance, *_) = ask("zoo", "show", "zoo")["instances"]
    ask("zoo", "export", "zoo", instance["id"], "-o", "mine.pt")
    for options in ([], ["--arch", name]):
        found = ask("encode", "mine.pt", "--space", "mini.safetensors", "-o", "a.emb", "--force", *options)
        assert found["networks"][0]["arch"] == name
    ask("decode", "a.emb", "--space", "mini.safetensors", "-o", "a2.pt")
    my_own_nets = importlib.import_module("my_own_nets")  # of the modules that are loaded
    my_own_nets.net().load_state_dict(torch.load("a2.pt", weights_only=True), strict=True)
    assert ask("prep", "mine.pt", "--space", "mini.safetensors", "-o", "mine.npy")["arch"] == name
    assert ask("eval", "zoo", "--space", "mini.safetensors", "--data", tiny.npz)["summary"]["arch_accuracy"] == 1
    # Where it is not to be found, decoding says which function that is, and what to do.
    del sys.modules["my_own_nets"]
    Path("my_own_nets.py").unlink()
    said = refused(3, "decode", "a.emb", "--space", "mini.safetensors", "-o", "a3.pt")
    assert f"the factory {name} cannot be imported: there is no module 'my_own_nets'" in said
    assert "run in the folder that holds my_own_nets" in said
    monkeypatch.delenv("NETSPACE_TRUST")
    assert f"--trust {name}" in refused(3, "decode", "a.emb", "--space", "mini.safetensors", "-o", "a3.pt")


def test_a_run_in_use_is_left_alone(tiny: Tiny, recipe: Path, work: Path, cli: Cli) -> None:
    import fcntl

    Path("mini.run").mkdir()
    with open("mini.run/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        result = cli(*command(tiny, "-o", "mini.safetensors"))
    assert result.exit_code == 2 and "in use by another run" in result.stderr
    assert os.listdir("mini.run") == ["lock"]


def test_a_space_is_extended_by_starting_points(tiny: Tiny, work: Path, ask: Ask, refused: Refused) -> None:
    settings = [f"train.{key}={value}" for key, value in (("steps", 1), ("images", 8), ("instances", 1))]
    asked: list[object] = ["train", tiny.single_zoo.path, "-o", "members.safetensors", "--data", tiny.npz]
    for setting in (*settings, "space.starts=2", "space.parents=1"):
        asked += ["-s", setting]
    document = ask(*asked, "--extend", tiny.space.path)
    assert document["record"]["extends"]["sha256"] == tiny.space.sha256
    assert load_space(work / "members.safetensors").starts_of("lenetlike") == 2
    assert "is an input or another output" in refused(2, *asked, "--extend", "members.safetensors", "--force")
