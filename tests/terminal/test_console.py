"""What netspace shows: tables, documents, notes and progress, on a terminal and off one."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from netspace_cli.core.runtime.results import plain
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer, one_line, percent
from netspace_cli.terminal.progress_bar import Bar, LogLines
from netspace_cli.terminal.streams import write

LONG = "networks/" + 30 * "long-" + "name.pt"
ESCAPE = "\x1b"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Terminal]:
    """Puts both streams on one terminal of 60 columns with colours; called in the test, as pytest
    sets the streams anew between its fixtures and the test."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")

    def plug_in() -> Terminal:
        stream = Terminal()
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    return plug_in


COLUMNS: Sequence[str | Column] = ("path", Column("parameters", integer), Column("accuracy", percent))


def test_numbers_are_written_for_people() -> None:
    assert (percent(0.9812), integer(62006), decimal(0.123456)) == ("98.1 %", "62,006", "0.1235")
    assert [decimal(v) for v in (9999.6, 123456.7, -1234.5, 999.96, 1e-7, float("inf"), 1e20)] == [
        *("10000", "123457", "-1234", "1000", "1e-07", "inf", "1e+20")
    ]


def test_a_piped_table_is_rows_of_values_that_are_not_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    Console().table("networks", COLUMNS, [(LONG, 62006, 0.98123456789), (Path("b.pt"), 10, None)])
    out, err = capsys.readouterr()
    assert out == f"path\tparameters\taccuracy\n{LONG}\t62006\t0.9812\nb.pt\t10\t\n"
    assert err == ""


def test_a_piped_table_has_four_digits_and_a_document_has_all(capsys: pytest.CaptureFixture[str]) -> None:
    console, row = Console(), (1 / 3, np.float64(2 / 3), 1234567, 86.4321, 12345.678, None)
    console.table("", [Column("a", percent), Column("b", decimal), *"cdef"], [row])
    assert capsys.readouterr().out.splitlines()[1] == "0.3333\t0.6667\t1234567\t86.43\t12346\t"
    Console(json=True).document({"row": row})
    assert json.loads(capsys.readouterr().out)["row"] == [1 / 3, 2 / 3, 1234567, 86.4321, 12345.678, None]


def test_a_piped_table_keeps_its_rows_whatever_a_file_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    Console().table("", ["path", "n"], [("a\tb\nc\x1b[2J\udcff", 1)])
    assert capsys.readouterr().out == "path\tn\na\\tb\\nc\\x1b[2J\\udcff\t1\n"


def test_a_terminal_gets_a_table_for_people(terminal: Callable[[], Terminal]) -> None:
    screen = terminal()
    Console().table("networks of [red]mine", COLUMNS, [("a.pt", 62006, 0.98123456789), ("b.pt", 10, None)])
    shown = screen.getvalue()
    assert "networks of [red]mine" in shown
    for cell in ("networks", "62,006", "98.1 %", "–", ESCAPE):
        assert cell in shown
    assert "0.98123456789" not in shown


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_that_wants_no_colour_gets_none(
    terminal: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    screen = terminal()
    monkeypatch.setenv(variable, value)
    Console().table("networks", COLUMNS, [("a.pt", 62006, 0.98)])
    assert "a.pt" in screen.getvalue() and ESCAPE not in screen.getvalue()


def test_a_terminal_s_cells_are_folded_not_cut_and_not_read_as_markup(
    terminal: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = terminal()
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    Console().table("", ["path", "note"], [(LONG, "[red]:smile:")])
    letters = "".join(char for char in screen.getvalue() if char.isalnum() or char in "-/.[]:")
    assert "[red]:smile:" in screen.getvalue()
    assert LONG in letters.replace("[red]:smile:", "")


def test_a_row_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Console().table("", ["a", "b"], [(1,)])


def test_json_is_one_document_with_its_schema_first(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(json=True)
    console.table("networks", ["path"], [("a.pt",)])
    console.document({"loss": float("nan"), "best": float("inf"), "path": Path("é.pt"), "n": 3})
    out = capsys.readouterr().out
    assert out.isascii()
    assert list(json.loads(out).items()) == [
        ("schema", 1),
        ("loss", None),
        ("best", None),
        ("path", "é.pt"),
        ("n", 3),
    ]
    with pytest.raises(RuntimeError, match="one JSON document"):
        console.document({})


def test_without_json_there_is_no_document(capsys: pytest.CaptureFixture[str]) -> None:
    Console().document({"n": 3})
    assert capsys.readouterr() == ("", "")


@dataclass(frozen=True)
class Pair:
    arch: str
    accuracy: float


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (np.float32(0.5), 0.5),
        (np.float64("nan"), None),
        (np.array([[1, 2]]), [[1, 2]]),
        (torch.tensor([0.5, float("inf")]), [0.5, None]),
        ((1, [None]), [1, [None]]),
        ({8: Pair("resnet8", 0.5)}, {"8": {"arch": "resnet8", "accuracy": 0.5}}),
    ],
)
def test_values_become_what_json_has(value: object, expected: object) -> None:
    assert plain(value) == expected
    json.dumps(plain(value), allow_nan=False)


def test_a_value_without_a_place_in_json_is_named() -> None:
    with pytest.raises(TypeError, match="a set cannot be written as JSON"):
        plain({"names": {1, 2}})


@pytest.mark.parametrize(
    ("console", "said"),
    [
        (Console(), "note\n"),
        (Console(verbose=True), "note\ndetail\n"),
        (Console(quiet=True), ""),
        (Console(json=True), "note\n"),
    ],
)
def test_notes_go_to_stderr(capsys: pytest.CaptureFixture[str], console: Console, said: str) -> None:
    console.note("note")
    console.detail("detail")
    assert capsys.readouterr() == ("", said)


def test_a_note_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Console().note("a\x1b]0;title\x07\nb")
    assert capsys.readouterr().err == "a\\x1b]0;title\\x07\nb\n"
    assert one_line("é – 中") == "é – 中"


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_log_says_how_far_it_is_every_ten_seconds_and_at_the_end() -> None:
    clock = Clock()
    lines: list[str] = []
    log = LogLines(lines.append, clock=clock)
    log.start("train", 60)
    for step in range(60):
        clock.now += 1.5
        log.advance(loss=1 / (step + 1))
    log.stop()
    assert lines[0] == "train: 7/60, 10 s, 1 min 20 s left, 0.67/s, loss 0.1429"
    assert lines[-1] == "train: 60/60, 1 min 30 s, 0.67/s, loss 0.01667"
    assert len(lines) == 9


def test_the_time_left_goes_by_what_this_run_has_done() -> None:
    clock = Clock()
    lines: list[str] = []
    log = LogLines(lines.append, clock=clock)
    log.start("train", 60, 40)
    clock.now += 10
    log.advance(10)
    assert lines == ["train: 50/60, 10 s, 10 s left, 1/s"]


def test_work_inside_work_has_its_own_line_if_it_is_long() -> None:
    clock = Clock()
    lines: list[str] = []
    log = LogLines(lines.append, clock=clock)
    log.start("zoo", None)
    for seconds in (9, 10):
        log.start(f"lenetlike of {seconds} s", 2)
        clock.now += seconds
        log.advance(2)
        log.stop()
    log.update(description="zoo of 2")
    log.advance(2)
    log.stop()
    assert lines == ["lenetlike of 10 s: 2/2, 10 s, 0.2/s", "zoo of 2: 2, 19 s, 0.11/s"]


def test_short_parts_do_not_put_off_the_line_of_the_whole() -> None:
    clock = Clock()
    lines: list[str] = []
    log = LogLines(lines.append, clock=clock)
    log.start("zoo", 100)
    for _ in range(4):
        log.start("lenetlike", 2)
        clock.now += 4
        log.stop()
        log.advance()
    assert lines == ["zoo: 3/100, 12 s, 6 min 28 s left, 0.25/s"]


def test_progress_off_a_terminal_is_lines_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with Console() as console, console.progress("encode", 3) as task:
        task.advance(2)
        task.update(description="[red]")
        task.advance()
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("[red]: 3/3, 0 s") and err.count("\n") == 1


@pytest.mark.parametrize("console", [Console(quiet=True), Console(json=True)])
def test_progress_is_silent_where_nobody_watches(capsys: pytest.CaptureFixture[str], console: Console) -> None:
    with console.progress("encode", 3) as task:
        task.advance(3, loss=0.5)
        task.update(description="still")
    assert capsys.readouterr() == ("", "")


def wait_for(words: str, screen: Terminal) -> None:
    """Wait for rich's own thread to draw."""
    patience = time.monotonic() + 10
    while words not in screen.getvalue() and time.monotonic() < patience:
        time.sleep(0.02)


def test_a_bar_on_a_terminal_shows_count_and_figures_and_goes(terminal: Callable[[], Terminal]) -> None:
    screen = terminal()
    with Console() as console:
        assert isinstance(console.reporter(), Bar)
        with console.progress("[red]train", 4) as task:
            task.advance(3, loss=0.5)
            console.note("half way")
            wait_for("3/4", screen)
        with console.progress("again") as task:
            task.advance()
    shown = screen.getvalue()
    assert "half way\n" in shown and "[red]train" in shown and "3/4" in shown and "loss 0.5" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 2, "the cursor comes back"


def test_a_note_from_another_thread_comes_above_the_bar(terminal: Callable[[], Terminal]) -> None:
    screen = terminal()
    with Console() as console, console.progress("train", 4):
        teller = threading.Thread(target=console.note, args=("[red]stopping " + 20 * "soon ",))
        teller.start()
        teller.join()
    assert "[red]stopping " + 20 * "soon " in screen.getvalue(), "one line, as it is"


def test_results_beside_a_bar_stay_on_stdout(terminal: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch) -> None:
    screen, piped = terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", piped)
    with Console() as console, console.progress("train", 1):
        console.table("", ["path"], [("a.pt",)])
    assert piped.getvalue() == "path\na.pt\n" and "a.pt" not in screen.getvalue()


def test_a_bar_is_ended_by_an_error(terminal: Callable[[], Terminal]) -> None:
    screen = terminal()
    with pytest.raises(ValueError, match="broken off"), Console() as console:
        console.reporter().start("outer", 2)
        console.reporter().start("inner", 2)
        raise ValueError("broken off")
    assert screen.getvalue().count("\x1b[?25l") == screen.getvalue().count("\x1b[?25h") == 1
    assert sys.stderr is screen


def test_a_dumb_terminal_gets_lines_in_place_of_a_bar(
    terminal: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = terminal()
    monkeypatch.setenv("TERM", "dumb")
    with Console().progress("train", 1) as task:
        task.advance()
    assert ESCAPE not in screen.getvalue() and "train: 1/1" in screen.getvalue()


def test_a_reader_that_left_does_not_stop_the_work(tmp_path: Path) -> None:
    code = f"""
import pathlib
from netspace_cli.terminal.console import Console
Console().table("", ["n"], ((n,) for n in range(100_000)))
pathlib.Path({str(tmp_path / "done")!r}).touch()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0 and (tmp_path / "done").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_a_full_disk_is_raised() -> None:
    with open("/dev/full", "w") as full, pytest.raises(OSError, match="No space left"):
        write(full, "a row")


def test_a_real_terminal_gets_a_table() -> None:
    code = "from netspace_cli.terminal.console import Console\nConsole().table('title', ['name'], [('[red]a.pt',)])"
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "60"}
    subprocess.run([sys.executable, "-c", code], stdout=theirs, env=environment, check=True)
    shown = os.read(ours, 4096).decode()
    os.close(theirs)
    os.close(ours)
    assert "title" in shown and "[red]a.pt" in shown and ESCAPE in shown


def test_the_cost_of_the_work_is_told_to_those_who_ask(capsys: pytest.CaptureFixture[str]) -> None:
    report: dict[str, object] = {
        "seconds": 75.2,
        "device": "cpu",
        "threads": 2,
        "items_per_second": 3.25,
        "peak_memory_bytes": 5 << 20,
    }
    report["counted"] = {"steps": 1200, "images": 3}
    Console().cost(report)
    assert capsys.readouterr().err == ""
    Console(verbose=True).cost(report)
    assert capsys.readouterr().err == "1 min 15 s on cpu, 2 threads, 3.2/s, 1,200 steps, 3 images, peak memory 5 MiB\n"
