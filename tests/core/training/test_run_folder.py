"""The folder of a run: one run at a time, and nothing resumed that is not the same run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, Any

import pytest
import torch
from netspace_models.errors import CheckpointError, ConfigError, InputFileError

from netspace_cli.core.training.run_folder import RunFolder

SETTINGS = {"recipe": {"train": {"lr": 0.1, "steps": 5}}, "seed": 0, "zoo": [["a", "f" * 64]] * 9, "teacher": None}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """With a run of three steps, the checkpoint after the second."""
    run = RunFolder(tmp_path / "x.run")
    with run.locked():
        run.begin(SETTINGS, force=False)
        for step in (1, 2, 3):
            run.log({"step": step})
            if step == 2:
                run.save({"step": 2, "model": torch.ones(3)})
    return run


def test_a_second_run_is_kept_out_until_the_first_has_ended(folder: RunFolder) -> None:
    with folder.locked(), pytest.raises(ConfigError, match=r"x.run is in use by another run"), folder.locked():
        pass
    with pytest.raises(ZeroDivisionError), folder.locked():
        raise ZeroDivisionError
    with folder.locked():
        pass


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.run").write_text("mine")
    with pytest.raises(ConfigError, match=r"x.run is not a folder"), RunFolder(tmp_path / "x.run").locked():
        pass
    assert (tmp_path / "x.run").read_text() == "mine"


def test_resuming_drops_metrics_of_steps_that_come_again(folder: RunFolder) -> None:
    with folder.metrics.open("a") as f:
        f.write('{"step": ')  # cut off by a kill
    state = folder.resume(SETTINGS)
    assert state["step"] == 2
    assert [json.loads(line)["step"] for line in folder.metrics.read_text().splitlines()] == [1, 2]


def test_a_run_that_has_its_io_under_the_older_key_is_resumed(folder: RunFolder) -> None:
    io = {"channels": 1, "size": 8, "classes": 3}
    (folder.path / "settings.json").write_text(json.dumps({**SETTINGS, "data": {"name": "x", "signal": io}}))
    assert folder.resume({**SETTINGS, "data": {"name": "x", "io": io}})["step"] == 2


def test_a_run_is_not_begun_over_another_without_force(folder: RunFolder) -> None:
    with pytest.raises(ConfigError, match="already holds a run") as refused:
        folder.begin(SETTINGS, force=False)
    assert "`resume=True`" in refused.value.hint
    assert folder.checkpoint.exists()
    folder.begin(SETTINGS, force=True)
    assert not folder.checkpoint.exists()
    assert folder.metrics.read_text() == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recipe": {"train": {"lr": 0.2, "steps": 5}}}, r"recipe.train.lr (0.1, now 0.2)."),
        ({"recipe": {"train": {"lr": 0.2, "steps": 6}}}, "recipe.train.lr (0.1, now 0.2); recipe.train.steps (5, now"),
        ({"seed": 1}, "seed (0, now 1)"),
        ({"teacher": "abc"}, "teacher (None, now 'abc')"),
        ({"zoo": []}, "other settings: zoo."),
        ({"precision": "bf16"}, "precision (None, now 'bf16')"),
    ],
)
def test_another_run_is_not_resumed_and_the_difference_is_named(
    folder: RunFolder, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        folder.resume({**SETTINGS, **change})
    assert words in refused.value.message
    assert "x.run" in refused.value.message


def test_more_steps_are_told_to_be_another_run(folder: RunFolder) -> None:
    more = {**SETTINGS, "recipe": {"train": {"lr": 0.1, "steps": 9}}}
    with pytest.raises(ConfigError, match=r"recipe.train.steps \(5, now 9\)") as refused:
        folder.resume(more)
    assert "so a longer run is a different run: start it without `resume` and with `force=True`" in refused.value.hint
    with pytest.raises(ConfigError) as refused:
        folder.resume({**SETTINGS, "seed": 1})
    assert "start again: without `resume` and with `force=True`" in refused.value.hint


def test_a_run_knows_how_far_it_has_come(folder: RunFolder) -> None:
    assert folder.progress() == (3, 5)
    (folder.path / "settings.json").write_text("{}")
    with pytest.raises(InputFileError, match=r"settings.json: has no steps"):
        folder.progress()


def test_the_folder_of_an_output_lies_beside_it() -> None:
    assert RunFolder.of(Path("a/x.v2.safetensors")).path == Path("a/x.v2.run")
    with pytest.raises(ConfigError, match=r"a/x.pt: a space is written as .safetensors. Name it x.safetensors"):
        RunFolder.of(Path("a/x.pt"))


def test_a_setting_that_is_gone_is_a_difference_too(folder: RunFolder) -> None:
    with pytest.raises(ConfigError, match=r"seed \(0, now None\)"):
        folder.resume({k: v for k, v in SETTINGS.items() if k != "seed"})


def test_nothing_to_resume_is_told(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "x.run")
    with run.locked(), pytest.raises(ConfigError, match="no checkpoint to continue from"):
        run.resume(SETTINGS)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04half"])
def test_a_corrupt_checkpoint_is_named(folder: RunFolder, content: bytes) -> None:
    folder.checkpoint.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"checkpoint.pt: cannot be read") as refused:
        folder.resume(SETTINGS)
    assert "`force=True`" in refused.value.hint


@pytest.mark.parametrize("content", [[1, 2], {"model": torch.ones(2)}, {"step": "two"}])
def test_a_file_that_is_no_checkpoint_of_a_run_is_named(folder: RunFolder, content: object) -> None:
    torch.save(content, folder.checkpoint)
    with pytest.raises(CheckpointError, match=r"checkpoint.pt: cannot be read"):
        folder.resume(SETTINGS)


def test_a_truncated_checkpoint_is_named(folder: RunFolder) -> None:
    whole = folder.checkpoint.read_bytes()
    folder.checkpoint.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"checkpoint.pt: cannot be read"):
        folder.resume(SETTINGS)


@pytest.mark.parametrize("content", ["", "{", "[1]", None])
def test_damaged_settings_are_named(folder: RunFolder, content: str | None) -> None:
    path = folder.path / "settings.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputFileError, match=r"settings.json: cannot be read"):
        folder.resume(SETTINGS)


def test_lost_metrics_do_not_stop_a_run(folder: RunFolder) -> None:
    folder.metrics.unlink()
    assert folder.resume(SETTINGS)["step"] == 2
    assert folder.metrics.read_text() == ""


def test_a_save_that_fails_leaves_the_last_checkpoint(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    before = folder.checkpoint.read_bytes()

    def cut_off(state: object, file: IO[bytes]) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", cut_off)
    with pytest.raises(KeyboardInterrupt):
        folder.save({"step": 3})
    assert folder.checkpoint.read_bytes() == before
    assert sorted(p.name for p in folder.path.iterdir()) == ["checkpoint.pt", "lock", "metrics.jsonl", "settings.json"]
