"""Records in files: older keys are read, and sizes that no network has are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from netspace_models.errors import ConfigError
from netspace_models.network_io import FieldIO, ImageIO, TableIO

from netspace_cli.core.data.records import check_recorded_scale, check_unchanged, recorded_io, translated_record
from netspace_cli.core.requests.choose_data import choose_labelled_of_zoo
from tests.worlds import Tiny

IO = {"dimensions": 3, "values": 1}


def test_the_older_key_is_read_under_its_name_of_today() -> None:
    older = {"name": "x", "signal": IO, "data": {"signal": IO, "name": "points"}}
    assert translated_record(older) == {"name": "x", "io": IO, "data": {"io": IO, "name": "points"}}
    assert older["signal"] == IO


@pytest.mark.parametrize("record", [{"io": IO}, {"io": IO, "signal": 5}, {"data": None}, {}, None, [1]], ids=str)
def test_anything_else_stays_as_it_is(record: object) -> None:
    assert translated_record(record) == record


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"std": "a"}, "std 'a' is not a list of numbers"),
        ({"mean": [None]}, r"mean \[None\] is not a list of numbers"),
        ({"std": [1.0, 0.0]}, "std 0 is not above zero"),
        ({"target_std": [-1]}, "target_std -1 is not above zero"),
        ({"mean": [float("nan")]}, "mean nan is not finite"),
    ],
)
def test_scales_that_nothing_can_be_divided_by_are_refused(record: dict[str, Any], words: str) -> None:
    check_recorded_scale({"name": "x", "mean": [-1, 0.5], "std": [0.1]})
    with pytest.raises((TypeError, ValueError), match=words):
        check_recorded_scale(record)


def test_data_that_have_changed_since_are_refused(tiny: Tiny) -> None:
    record = tiny.data.record()
    check_unchanged(tiny.data, record, "the zoo z")
    check_unchanged(tiny.data, {"name": "x"}, "the zoo z")
    splits = dict(tiny.data.splits)
    splits["test"] = replace(splits["test"], labels=splits["test"].labels.flip(0))
    with pytest.raises(ConfigError, match="tiny.npz has changed since the zoo z was made with it: test") as refusal:
        check_unchanged(replace(tiny.data, splits=splits), record, "the zoo z")
    assert "name these data yourself" in refusal.value.hint


def test_an_io_comes_back() -> None:
    assert recorded_io(IO) == FieldIO(3, 1)
    assert recorded_io({"channels": 3, "size": 512, "classes": 100_000}) == ImageIO(3, 512, 100_000)
    assert recorded_io({"features": 1_000_000, "targets": 1}) == TableIO(1_000_000, 1)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (
            {"channels": 3, "size": 8, "classes": 20_000_000},
            "classes 20000000 is not a whole number from 1 to 1,000,000",
        ),
        ({"channels": 3, "size": 10**12, "classes": 2}, "size 1000000000000 is not"),
        ({"channels": 3, "size": 8, "classes": True}, "classes True is not"),
        ({"channels": 3, "size": 8.0, "classes": 2}, "size 8.0 is not"),
        ({"channels": [3], "size": 8, "classes": 2}, r"channels \[3\] is not"),
        ({"dimensions": 0, "values": 1}, "dimensions 0 is not"),
        ({"features": None, "targets": 1}, "features None is not"),
        (
            {"channels": 1000, "size": 1000, "classes": 2},
            "inputs of 1,000,000,000 values each, the limit is 16,777,216",
        ),
        ({"channels": 3, "size": 8}, "missing 1 required positional argument"),
        ([3, 8, 2], "an IO that is a list, not a table"),
    ],
)
def test_an_io_of_no_network_is_refused(record: object, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        recorded_io(record)


def test_a_zoo_s_own_data_are_compared_and_data_that_are_named_are_not(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with np.load(tiny.npz) as arrays:
        np.savez(tiny.npz.name, **{**arrays, "test_labels": arrays["test_labels"][::-1]})
    with pytest.raises(ConfigError, match=r"has changed since the zoo .*single was made with it: test"):
        choose_labelled_of_zoo(tiny.single_zoo, None)
    assert choose_labelled_of_zoo(tiny.single_zoo, tiny.npz.name).name == tiny.data.name
