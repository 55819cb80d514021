"""Records of older files: the key `signal` is read as `io`, in the record and in that of its data."""

from __future__ import annotations

import pytest

from netspace_cli.core.data.records import translated_record

IO = {"dimensions": 3, "values": 1}


def test_the_older_key_is_read_under_its_name_of_today() -> None:
    older = {"name": "x", "signal": IO, "data": {"signal": IO, "name": "points"}}
    assert translated_record(older) == {"name": "x", "io": IO, "data": {"io": IO, "name": "points"}}
    assert older["signal"] == IO


@pytest.mark.parametrize("record", [{"io": IO}, {"io": IO, "signal": 5}, {"data": None}, {}, None, [1]], ids=str)
def test_anything_else_stays_as_it_is(record: object) -> None:
    assert translated_record(record) == record
