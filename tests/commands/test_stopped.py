"""Commands that continue where they were stopped say so when they are."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from netspace_cli.core.experiments.merging.request import MergingTask
from netspace_cli.core.requests.finetune import FinetuneTask
from netspace_cli.core.requests.merge_groups import MergeGroupsTask
from netspace_cli.core.requests.train import TrainTask
from netspace_cli.core.requests.zoo import FitZooTask, TrainZooTask
from netspace_cli.core.zoos.align import align_zoo
from netspace_cli.terminal.interrupts import CONTINUES
from tests.worlds import Cli, Solids, Tiny

TASKS = (MergingTask, FinetuneTask, MergeGroupsTask, FitZooTask, TrainZooTask, TrainTask)


@pytest.fixture(autouse=True)
def stopped_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    for task in TASKS:
        monkeypatch.setattr(task, "run", stopped)
    monkeypatch.setattr(f"{align_zoo.__module__}.align_zoo", stopped)


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("zoo train {out} --data {npz} --arch lenetlike --counts 1/0/0 --epochs 1", True),
        ("zoo fit {grids} -o {out} --arch siren-8x1", True),
        ("zoo align {single} -o {out}", True),
        ("finetune {single} --data {npz} -o {out}", True),
        ("finetune {single} --data {npz}", False),
        ("merge {single} --data {npz} --groups seed -o {out}", True),
        ("experiment merging {single} --data {npz} --count 2 --top all -o {out}", True),
    ],
)
def test_the_hint_of_what_continues(
    tiny: Tiny, solids: Solids, cli: Cli, tmp_path: Path, command: str, kept: bool
) -> None:
    names = {"out": tmp_path / "out", "npz": tiny.npz, "single": tiny.single_zoo.path, "grids": solids.grids}
    found = cli(*(word.format(**names) for word in command.split()))
    assert found.exit_code == 130, found.stderr
    said = [line for line in found.stderr.splitlines() if line.startswith(("error", "hint"))]
    assert said == ["error: interrupted.", *([f"hint: {CONTINUES}"] if kept else [])]


def test_training_that_is_stopped_before_its_first_step_names_its_checkpoint(
    tiny: Tiny, cli: Cli, tmp_path: Path
) -> None:
    command = ["train", tiny.single_zoo.path, "--data", tiny.npz, "-o", tmp_path / "a.safetensors"]
    assert "hint: It had no checkpoint yet: the same command starts again." in cli(*command).stderr
    (tmp_path / "a.run").mkdir()
    (tmp_path / "a.run" / "checkpoint.pt").touch()
    told = cli(*command, "--resume")
    assert told.exit_code == 130
    assert f"hint: The last checkpoint is {tmp_path}/a.run/checkpoint.pt; the same command with --resume" in told.stderr
