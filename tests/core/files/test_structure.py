"""JSON and TOML of files: what is read as it is, and what is refused before it does harm."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
from netspace_models.errors import InputFileError

from netspace_cli.core.files.structure import DEEPEST, StructureError, parse_json, parse_toml, read_text


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def test_ordinary_json_is_read_as_it_is() -> None:
    text = '{"a": [1, -2.5, true, null, "\\u00fc\\n"], "b": {"c": 18446744073709551615}, "d": 1e300}'
    wanted = {"a": [1, -2.5, True, None, "ü\n"], "b": {"c": 2**64 - 1}, "d": 1e300}
    assert parse_json(text) == parse_json(text.encode()) == wanted
    assert parse_json(nested(DEEPEST)) is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON: Expecting value"),
        ('{"a": 1', "not JSON"),
        (b'{"\xff": 1}', "not JSON: 'utf-8' codec"),
        ('{"a": 1, "a": 2}', "'a' appears twice"),
        ('{"b": {"a": 1, "x": 3, "a": 2}}', "'a' appears twice"),
        (nested(DEEPEST + 1), f"nested more than {DEEPEST} levels deep"),
        (nested(100_000), "nested more than"),
        ('{"a":' * 100_000, "nested more than"),
        ("9" * 5000, "not JSON: Exceeds the limit (4300 digits)"),
        ("[" + "9" * 4000 + "]", "a number of 13,288 bits, the limit is 64"),
        ('{"a": 18446744073709551616}', "a number of 65 bits, the limit is 64"),
        ("-9223372036854775809", "a number of 64 bits, the limit is 64"),
        ("NaN", "NaN where a number belongs"),
        ("[-Infinity]", "-Infinity where a number belongs"),
        ("[1e999]", "inf where a number belongs"),
        ('"\\ud800"', "text with half a character"),
        ('{"\\ud800": 1}', "text with half a character"),
    ],
)
def test_hostile_json_is_refused_with_the_reason(text: str | bytes, words: str) -> None:
    with pytest.raises(StructureError) as refused:
        parse_json(text)
    assert words in str(refused.value)


def test_a_log_may_hold_numbers_that_are_not_finite() -> None:
    assert math.isnan(parse_json('{"loss": NaN}', finite=False)["loss"])
    with pytest.raises(StructureError, match="bits"):
        parse_json("9" * 100, finite=False)


def test_ordinary_toml_is_read_as_it_is() -> None:
    text = 'a = 1\n[b.c]\nd = "x"\ne = [0.5, 1.5]\n'
    assert parse_toml(text) == {"a": 1, "b": {"c": {"d": "x", "e": [0.5, 1.5]}}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = ", "Invalid value"),
        ("a = 1\na = 2", "Cannot overwrite a value"),
        ("a = " + "[" * 100_000, "nested more than"),
        ("a = " + "{a = " * 5000, "nested more than"),
        ("a = " + "9" * 5000, "Exceeds the limit (4300 digits)"),
        ("a = " + "9" * 4000, "a number of 13,288 bits"),
        ("a = nan", "nan where a number belongs"),
        ("a = [-inf]", "-inf where a number belongs"),
        (".".join("a" * 100) + " = 1", f"a key of more than {DEEPEST} parts"),
        ("[" + ".".join("a" * 100) + "]", f"a key of more than {DEEPEST} parts"),
        ("x = {" + " . ".join(['"a b"'] * 100) + " = 1}", f"a key of more than {DEEPEST} parts"),
        ("#" * 1_000_001, "1,000,001 characters of TOML, the limit is 1,000,000"),
    ],
)
def test_hostile_toml_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(StructureError) as refused:
        parse_toml(text)
    assert words in str(refused.value)


def test_a_key_of_many_parts_takes_no_time() -> None:
    start = time.process_time()
    with pytest.raises(StructureError, match="a key of more than"):
        parse_toml(".".join("a" * 400_000) + " = 1")
    assert time.process_time() - start < 1


def test_text_is_read_with_its_signature_and_refused_if_it_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffgrün\n".encode())
    assert read_text(path) == "grün\n"
    path.write_bytes(b"gr\xfcn")
    with pytest.raises(InputFileError) as refused:
        read_text(path, hint="Index again.")
    assert str(refused.value) == f"{path}: not text in UTF-8 (invalid start byte at byte 2). Index again."
    with pytest.raises(InputFileError, match=r"a.txt: 4 bytes of text, the limit is 3. Check where it comes from."):
        read_text(path, most=3)
    with pytest.raises(InputFileError, match="this is a directory"):
        read_text(tmp_path)
