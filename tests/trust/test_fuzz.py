"""The fuzzer itself: a short run finds nothing, the same seed gives the same files, and what is planted is found."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from netspace_models.errors import InputFileError

from . import trial
from .fuzz import fuzz, table
from .mutations import Blob, blind, json_of, toml_text
from .reader import Reader
from .readers import all_readers
from .trial import Bench, Tally


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reader, ...]:
    return all_readers(tmp_path_factory.mktemp("made"))


def test_a_short_run_finds_nothing(tmp_path: Path) -> None:
    rows = fuzz(0, files=800, processes=0, found=tmp_path)
    assert [row.reader for row in rows if row.crashed or row.wrong] == [], table(rows)
    assert all(row.tally.tried for row in rows) and sum(row.tally.tried for row in rows) > 700
    assert sum(row.tally.accepted for row in rows) > 60 and sum(row.tally.refused for row in rows) > 300
    assert table(rows).splitlines()[-1].split()[0] == "all"
    assert not list(tmp_path.iterdir())


def test_a_seed_gives_the_same_files(readers: tuple[Reader, ...], tmp_path: Path) -> None:
    for reader in readers[:6]:
        one, other = (Bench(reader, tmp_path / name) for name in "ab")
        assert [one.mutated(seed) for seed in range(40)] == [other.mutated(seed) for seed in range(40)]
        assert one.mutated(0) != one.mutated(1)


def test_most_files_are_changed_and_in_many_ways(readers: tuple[Reader, ...]) -> None:
    for reader in readers:
        for template in reader.templates:
            made = [template.mutate(Random(seed)) for seed in range(60)]
            assert len(set(made) - {template.whole}) > 25, reader.name


def test_texts_are_changed_at_every_value_and_key() -> None:
    text = json_of({"a": [1, {"b": "x:,"}], "c": None})
    assert {text.text[s.start : s.end] for s in text.spans} == {
        *('"a"', "[1, {", "1", '"b"', '"x:,"', '{"b": "x:,"}', '[1, {"b": "x:,"}]', '"c"', "null", text.text)
    } - {"[1, {"}
    toml = toml_text('[a]\nb = 5\nc.d = "x"\n')
    assert {toml.text[s.start : s.end] for s in toml.spans} == {"a", "b", "5", "c.d", '"x"'}
    assert blind(Random(0), b"") == b""


def outcome(read: Callable[[Path], object], folder: Path, **changes: object) -> Tally:
    """What becomes of one changed file of a reader."""
    calls: list[None] = []

    def once(path: Path) -> object:
        calls.append(None)
        return read(path) if len(calls) > 1 else "as it was"

    reader = replace(Reader("x", "a.txt", (Blob(b"content"),), once), **changes)  # type: ignore[arg-type]
    tally = Tally()
    Bench(reader, folder).tried(b"contend", 0, "blind", tally)
    return tally


def refuse(reason: str, hint: str = "Look.") -> Callable[[Path], object]:
    def read(path: Path) -> object:
        raise InputFileError(path, reason, hint)

    return read


def fail(error: BaseException) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        raise error

    return read


def without_memory(path: Path) -> object:
    try:
        raise MemoryError
    except MemoryError as failure:
        raise InputFileError(path, "too large.", "Look.") from failure


def elsewhere(path: Path) -> object:
    raise InputFileError("another", "it is bad.", "Look.")


def warning(path: Path) -> object:
    warnings.warn("odd", stacklevel=1)
    return "as it was"


@pytest.mark.parametrize(
    ("read", "signature"),
    [
        (fail(KeyError("x")), "KeyError: "),
        (fail(RecursionError()), "RecursionError: "),
        (fail(MemoryError()), "MemoryError: "),
        (refuse("it is bad.", ""), "refused without a next step"),
        (elsewhere, "refused without the path"),
        (without_memory, "memory asked for"),
        (warning, "warning: odd"),
        (lambda path: time.sleep(5), "TooSlow: "),
        (lambda path: np.ones(2**33), "MemoryError: "),
    ],
    ids=["error", "stack", "memory", "hint", "path", "cause", "warning", "slow", "large"],
)
def test_what_should_not_happen_is_a_crash(
    read: Callable[[Path], object], signature: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "SECONDS", 0.2)
    with trial.bounded_memory():
        tally = outcome(read, tmp_path)
    (found,) = tally.crashed
    assert found.startswith(signature)
    assert (tally.tried, tally.refused, tally.wrong) == (1, 0, {})


def test_a_proper_refusal_is_none_and_a_contradiction_is_silently_wrong(tmp_path: Path) -> None:
    refused = outcome(refuse("it is bad."), tmp_path)
    assert (refused.tried, refused.refused, refused.crashed) == (1, 1, {})
    for sealed, wrong in (("checksum", {"blind and accepted": 1}), ("size", {}), ("", {})):
        tally = outcome(lambda path: "another", tmp_path, sealed=sealed)
        assert (tally.wrong, tally.accepted) == (wrong, 1 - len(wrong))
    assert outcome(lambda path: "as it was", tmp_path, sealed="checksum").accepted == 1


@pytest.mark.slow
def test_a_process_that_dies_or_hangs_is_a_crash_and_the_rest_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from . import fuzz as module

    def die(path: Path) -> object:
        content = path.read_bytes()
        if content == b"die":
            os._exit(7)
        if content == b"hang":
            time.sleep(60)
        return content

    class Deadly(Blob):
        def mutate(self, rng: Random) -> bytes:
            return rng.choice([b"die", b"x", b"y", b"z"] * 5 + [b"hang"])

    reader = Reader("deadly", "a", (Deadly(b"fine"),), die)
    monkeypatch.setattr(module, "all_readers", lambda folder: (reader,))
    monkeypatch.setattr(module, "STALLED", 1.0)
    monkeypatch.setattr(trial, "SECONDS", 30.0)
    (row,) = fuzz(3, files=30, processes=2, found=tmp_path)
    assert row.tally.tried == 30
    assert set(row.tally.crashed) == {"the process died (7)", "the process hung"}
    assert sum(row.tally.crashed.values()) + row.tally.accepted == 30
    assert {path.read_bytes() for path in tmp_path.rglob("seed3-*") if path.suffix != ".txt"} == {b"die", b"hang"}
