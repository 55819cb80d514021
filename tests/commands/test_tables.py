"""Tables on a terminal: no word is broken at 80 columns, and nothing is lost at any width."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console as RichConsole

from netspace_cli.terminal.table_layout import GAP, WORD, Field, fold, pieces, table_of, widths
from tests.worlds import Cli, Tiny

WORDS = st.text(st.sampled_from("ab/-_. é中"), max_size=30)
EVAL = [
    Field("id", ["lenetlike-0003", "vanillacnn-0110"]),
    Field("arch", ["lenetlike", "vanillacnn"]),
    Field("predicted arch", ["lenetlike", "vanillacnn"]),
    *(Field(name, ["98.1 %", "100.0 %"], numeric=True) for name in ("target", "predicted", "agreement", "unrelated")),
]
ENCODE = [
    Field("network", ["examples/digits/lenet.pt", "b.pt"]),
    Field("arch", ["lenetlike", "resnet32"]),
    *(Field(name, ["44,426", "10"], numeric=True) for name in ("parameters", "embedding", "refined")),
    *(Field(name, ["98.1 %", "–"], numeric=True) for name in ("target", "predicted", "agreement")),
]
MERGE = [
    Field("way", ["labels-from-best", "space-from-mean", "best", "chosen ensemble"]),
    *(Field(name, ["2,812", "–", "–", "–"], numeric=True) for name in ("steps", "rate")),
    Field("seconds", ["142.3", "–", "–", "–"], numeric=True),
    *(Field(name, ["97.5 %", "100.0 %", "–", "–"], numeric=True) for name in ("val", "test", "agreement")),
    Field("about", ["chosen", "stopped early", "zoo/instances/lenetlike-0012.safetensors", "of 5, who teach"]),
]


def drawn(fields: Sequence[Field], room: int) -> list[str]:
    stream = io.StringIO()
    console = RichConsole(file=stream, force_terminal=True, width=room, color_system=None, markup=False, emoji=False)
    console.print(table_of(fields, room))
    return stream.getvalue().splitlines()


@given(text=WORDS, width=st.integers(2, 20))
def test_folding_loses_nothing_but_blanks_and_keeps_to_the_width(text: str, width: int) -> None:
    lines = fold(text, width)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(len(line) + line.count("中") <= width for line in lines)


def test_lines_end_at_blanks_and_separators() -> None:
    assert pieces("examples/digits/lenet-a.pt, 3") == ["examples/", "digits/", "lenet-", "a.", "pt, ", "3"]
    assert fold("lenetlike, vanillacnn, resnet8", 22) == ["lenetlike, vanillacnn,", "resnet8"]
    assert fold("examples/digits/lenet.pt", 16) == ["examples/digits/", "lenet.pt"]
    assert fold("abcdef", 4) == ["abcd", "ef"] and fold("", 4) == [""]


def test_headings_give_way_before_cells_and_wide_columns_before_narrow_ones() -> None:
    found = widths(EVAL, 81)
    assert found is not None and found[0] == len("vanillacnn-0110"), "no cell is broken"
    assert found[2] == len("vanillacnn"), "the heading `predicted arch` is, at its blank"
    assert sum(found) + GAP * (len(found) - 1) <= 81
    assert widths(EVAL, 80) == [len("vanillacnn-0110") - 1, *found[1:]], "one column less is the widest's to give"
    assert widths(EVAL, 200) == [f.natural() for f in EVAL]


def test_numbers_are_whole_however_narrow_their_heading() -> None:
    assert Field("mae", ["98.1 %", "–"], numeric=True).least() == len("98.1 %")
    assert Field("mae", ["98.1 %", "–"]).least() == len("mae")


@pytest.mark.parametrize("room", [60, 80, 100, 140])
@pytest.mark.parametrize("fields", [EVAL, ENCODE, MERGE], ids=["eval", "encode", "merge"])
def test_no_word_is_broken(fields: Sequence[Field], room: int) -> None:
    lines = drawn(fields, room)
    assert max(map(len, lines)) <= room
    shown = " ".join(lines)
    for field in fields:
        for word in (*field.name.split(), *(p.strip() for c in field.cells for p in pieces(c))):
            assert word in shown
        for number in field.cells if field.numeric else ():
            assert number in shown


def test_too_many_columns_become_records() -> None:
    assert widths(ENCODE, 80) is None
    lines = [line.rstrip() for line in drawn(ENCODE, 80)]
    assert lines[:2] == ["network     examples/digits/lenet.pt", "arch        lenetlike"]
    assert lines[8:10] == ["", "network     b.pt"]


def test_what_is_no_word_may_be_broken_before_that() -> None:
    lines = drawn([Field("what", ["sha256"]), Field("value", [64 * "0"])], 50)
    assert lines[0].split() == ["what", "value"]
    assert max(map(len, lines)) <= 50 and "".join(lines).count("0") == 64
    assert widths([Field("what", ["sha256"]), Field("value", [64 * "0"])], WORD) is None


@pytest.mark.parametrize("room", [1, 2, 5, 20])
def test_the_narrowest_screen_gets_everything(room: int) -> None:
    letters = re.sub(r"[\s─]", "", "".join(drawn(EVAL, room)))
    if room >= 5:
        assert letters.count("lenetlike-0003") == letters.count("vanillacnn-0110") == 1


def test_commands_on_a_terminal_of_80_columns_break_no_heading(
    tiny: Tiny, work: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda stream: True, raising=False)
    space = ["--space", tiny.space.path, "--data", tiny.npz]
    lenet, resnet = tiny.networks["lenetlike"], tiny.networks["resnet8"]
    for command, headings in (
        (["zoo", "show", tiny.zoo.path], "id arch split epochs val test"),
        (["eval", tiny.zoo.path, *space], "id arch predicted target agreement unrelated recognised pearson mae"),
        (["interp", lenet, resnet, *space, "--steps", 1], "step gamma arch parameters accuracy loss"),
        (["encode", lenet, *space, "-o", "a.emb"], "network arch parameters embedding refined target agreement"),
        (["spaces"], "name data architectures embedding zoo bytes"),
    ):
        result = cli(*command)
        assert result.exit_code == 0, result.output
        assert all(len(line) <= 80 for line in result.stdout.splitlines()[1:])
        assert set(headings.split()) <= set(result.stdout.split()), command
