"""netspace train --devices N, and under torchrun: the losses of one process, and an end that loses no checkpoint."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from netspace_cli.cli import cli as netspace
from tests.commands.test_train import RECIPE
from tests.worlds import Cli, Refused, Tiny

NETSPACE = [sys.executable, "-m", "netspace_cli"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "netspace_cli"]
STEPS = 24


def write_recipe(folder: Path) -> None:
    text = RECIPE.replace("steps = 6", f"steps = {STEPS}").replace("instances = 1", "instances = 3")
    (folder / "mini.toml").write_text(text.replace("checkpoint_every = 1000", "checkpoint_every = 2"))


@pytest.fixture
def recipe(work: Path) -> None:
    write_recipe(work)


def arguments(tiny: Tiny, name: str, *options: object) -> list[str]:
    usual = ["--data", tiny.npz, "--recipe", "mini.toml", "--threads", 1, "--device", "cpu"]
    return [str(each) for each in ("train", tiny.single_zoo.path, "-o", f"{name}.safetensors", *usual, *options)]


def losses_of(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def alone(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process that was never stopped."""
    folder = tmp_path_factory.mktemp("alone")
    write_recipe(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert CliRunner().invoke(netspace, arguments(tiny, "one")).exit_code == 0
    return folder / "one.run"


def assert_like_one(run: Path, alone: Path) -> None:
    together, wanted = losses_of(run), losses_of(alone)
    assert len(together) == len(wanted) == STEPS
    assert together == pytest.approx(wanted, rel=1e-3)


def begun(command: Sequence[str], name: str) -> subprocess.Popen[str]:
    """A run that has a checkpoint, with more steps to do."""
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not Path(f"{name}.run/checkpoint.pt").exists():
        assert run.poll() is None, run.communicate()
        time.sleep(0.01)
    return run


def kept(name: str) -> list[str]:
    return sorted(path.name for path in Path(f"{name}.run").iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("recipe")
def test_a_killed_process_ends_the_run_and_one_process_goes_on(tiny: Tiny, alone: Path, cli: Cli) -> None:
    run = begun([*NETSPACE, *arguments(tiny, "two", "--devices", 2, "-v")], "two")
    assert run.stderr is not None
    pids = [int(run.stderr.readline().rsplit(" ", 1)[1]) for _ in range(2)]
    os.kill(pids[1], signal.SIGKILL)
    began = time.monotonic()
    out, err = run.communicate(timeout=60)
    assert time.monotonic() - began < 30
    assert (run.returncode, out) == (1, "")
    assert "error: process 1 of 2 (counted from 0) was ended by SIGKILL" in err
    assert "hint: The last checkpoint is two.run/checkpoint.pt; the same command with --resume continues." in err
    assert kept("two") == ["checkpoint.pt", "lock", "metrics.jsonl", "settings.json"]
    assert len(losses_of(Path("two.run"))) < STEPS
    assert cli(*arguments(tiny, "two", "--resume")).exit_code == 0
    assert_like_one(Path("two.run"), alone)


@pytest.mark.trust
@pytest.mark.slow
@pytest.mark.usefixtures("recipe")
def test_ctrl_c_stops_all_processes_after_a_step_and_torchrun_goes_on(tiny: Tiny, alone: Path) -> None:
    run = begun([*NETSPACE, *arguments(tiny, "two", "--devices", 2)], "two")
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert err.count(f"error: stopped after step {len(losses_of(Path('two.run')))} of {STEPS}") == 1
    command = [*TORCHRUN, *arguments(tiny, "two", "--resume", "--json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["space"] == "mini"  # one document, of process 0
    assert_like_one(Path("two.run"), alone)


@pytest.mark.usefixtures("recipe")
def test_another_number_than_the_launchers_is_refused(
    tiny: Tiny, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": 0, "WORLD_SIZE": 2, "LOCAL_RANK": 0, "MASTER_ADDR": "x", "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))
    said = refused(2, *arguments(tiny, "two", "--devices", 4))
    assert "--devices 4 was given, and the launcher has started 2 processes" in said


def no_launch(*args: object, **rest: object) -> int:
    raise AssertionError("processes were started")


@pytest.mark.usefixtures("recipe")
def test_more_processes_than_a_machine_runs_are_refused_before_one_starts(
    tiny: Tiny, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netspace_cli.core.runtime.launch.launch", no_launch)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    for more in ([], ["--dry-run"]):
        said = refused(2, *arguments(tiny, "two", "--devices", 1000, *more))
        assert "1,000 processes are too many for this machine, which has 6 processor cores." in said
        assert "Give --devices 6 or less" in said


@pytest.mark.usefixtures("recipe")
def test_a_dry_run_of_several_processes_starts_none(
    tiny: Tiny, cli: Cli, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netspace_cli.core.runtime.launch.launch", no_launch)
    told = cli(*arguments(tiny, "two", "--devices", 2, "--dry-run"))
    assert told.exit_code == 0, told.stderr
    assert "in each of 2 processes" in told.stdout
    command = ["train", tiny.single_zoo.path, "-o", "more.safetensors", "--data", tiny.npz, "-s", "space.starts=2"]
    extended = cli(*command, "--extend", tiny.space.path, "--devices", 2, "--dry-run")
    assert extended.exit_code == 0 and "in each of 2 processes" in extended.stdout, extended.stderr
    said = refused(2, *arguments(tiny, "two", "--devices", 4, "--dry-run", "-s", "train.instances=3"))
    assert "there are 4 processes to share them" in said
