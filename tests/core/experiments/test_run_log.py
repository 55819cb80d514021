"""A log of runs: goes on where it was stopped, whatever stopped it, and mixes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from netspace_models.errors import ConfigError, InputFileError

from netspace_cli.core.experiments.run_log import run_log

SETTINGS = {"steps": 3, "rates": (0.1, 0.3), "data": {"name": "x" * 100}}


def test_a_log_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "new" / "runs.jsonl"
    with run_log(path, SETTINGS) as log:
        assert log.runs == []
        log.add({"seed": 0, "rate": 0.1, "accuracy": 1 / 3})
    with run_log(path, SETTINGS) as log:
        assert log.find({"seed": 0, "rate": 0.1}) == {"seed": 0, "rate": 0.1, "accuracy": 1 / 3}
        assert log.find({"seed": 1, "rate": 0.1}) is None
        log.add({"seed": 1, "rate": 0.1})
    with run_log(path, SETTINGS) as log:
        assert [run["seed"] for run in log.runs] == [0, 1]


def test_a_log_that_has_its_io_under_the_older_key_is_gone_on_with(tmp_path: Path) -> None:
    path, io = tmp_path / "runs.jsonl", {"channels": 1, "size": 8, "classes": 3}
    with run_log(path, {"data": {"name": "x", "signal": io}}) as log:
        log.add({"seed": 0})
    with run_log(path, {"data": {"name": "x", "io": io}}) as log:
        assert log.runs == [{"seed": 0}]


def test_a_line_cut_off_by_a_crash_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    with run_log(path, SETTINGS) as log:
        log.add({"seed": 0})
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"seed": 1, "ra')
    with run_log(path, SETTINGS) as log:
        assert log.runs == [{"seed": 0}]
        log.add({"seed": 1})
    assert path.read_bytes() == whole + b'{"seed": 1}\n'


def test_other_settings_are_refused_with_both_values_where_they_are_short(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    with run_log(path, SETTINGS):
        pass
    before = path.read_bytes()
    told = r"other settings: data\.name; steps \(3, now 4\)\. Use the settings .* another folder with `folder`"
    with pytest.raises(ConfigError, match=told), run_log(path, {**SETTINGS, "steps": 4, "data": {"name": "y" * 100}}):
        pass
    assert path.read_bytes() == before


def test_a_log_is_one_process_s_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    with run_log(path, {}), pytest.raises(ConfigError, match="in use by another run"), run_log(path, {}):
        pass


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"settings": {}}\nnonsense\n', "line 2 is not a run .* Remove that line"),
        (b'{"settings": {}}\n[1]\n', "line 2 is not a run"),
        (b'{"seed": 1}\n', "its first line has no settings"),
    ],
)
def test_what_is_no_log_is_refused_and_left(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=told), run_log(path, {}):
        pass
    assert path.read_bytes() == content
