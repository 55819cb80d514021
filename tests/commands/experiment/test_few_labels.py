"""netspace experiment few-labels: a reduced run, gone on with, repeated, and refused in words."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from statistics import mean, stdev

import pytest

from netspace_cli.core.experiments.few_labels import runs as few_labels_runs
from netspace_cli.core.experiments.few_labels.methods import METHODS
from netspace_cli.terminal import progress_bar
from tests.worlds import Ask, Cli, Refused, Tiny

SMALL = ["--per-class", "2,5", "--seeds", 2, "--shift", "none,invert", "--steps", 3, "--images", 8, "--refine", 2]
RUNS = 2 * (2 + 2 * 4 * (2 + 1))


@pytest.fixture(autouse=True)
def two_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as show a choice."""
    monkeypatch.setattr(few_labels_runs, "RATES", dict.fromkeys(METHODS, (0.003, 0.01)))
    monkeypatch.setattr(few_labels_runs, "LADDER", (0.003, 0.01))


@pytest.fixture
def command(tiny: Tiny) -> list[object]:
    zoo, space = tiny.single_zoo.path, tiny.single_space.path
    return ["experiment", "few-labels", zoo, "--space", space, "--data", tiny.npz, "-o", "out", *SMALL]


@pytest.mark.slow
def test_tables_a_figure_and_averages_of_the_runs(tiny: Tiny, work: Path, ask: Ask, command: list[object]) -> None:
    found = ask(*command)
    tables = found["tables"]
    assert list(tables) == ["standing", "accuracy", "few_labels", "runs"]
    assert {p.name for p in Path("out").iterdir()} == {
        *(f"{name}.csv" for name in tables),
        *("README.md", "figure.png", "report.json", "runs.jsonl"),
    }
    assert Path("out/figure.png").read_bytes().startswith(b"\x89PNG")
    assert [(r["shift"], r["network"]) for r in tables["standing"]] == [
        (shift, what) for shift in ("none", "invert") for what in ("as it stands", "as decoded")
    ]
    best = max(tiny.single_zoo.select(split="train"), key=lambda i: (i.accuracy["val"], i.id))
    assert found["instance"]["id"] == best.id
    assert tables["standing"][0]["accuracy"] == pytest.approx(best.accuracy["test"], abs=1e-6)
    groups = [(s, k, m) for s in ("none", "invert") for k in (2, 5) for m in METHODS]
    assert [(r["shift"], r["per class"], r["method"]) for r in tables["few_labels"]] == groups
    assert len(tables["runs"]) == RUNS - 4
    for row, group in zip(tables["few_labels"], groups, strict=True):
        own = [r for r in tables["runs"] if (r["shift"], r["per class"], r["method"]) == group]
        averaged = [r for r in own if r["averaged"] == "yes"]
        assert {r["rate"] for r in averaged} == {row["rate"]} and [r["seed"] for r in averaged] == [0, 1]
        tried = [r for r in own if r["seed"] == 0]
        assert [r["rate"] for r in tried] == [0.003, 0.01]
        assert max(r["validation"] for r in tried) == averaged[0]["validation"]
        accuracies = [r["accuracy"] for r in averaged]
        assert (row["accuracy"], row["sd"], row["n"]) == (mean(accuracies), stdev(accuracies), 2)
        (short,) = [r for r in tables["accuracy"] if (r["shift"], r["per class"]) == group[:2]]
        assert short[group[2]] == row["accuracy"]


@pytest.mark.slow
def test_the_same_command_does_what_is_left_and_gives_the_same(work: Path, ask: Ask, command: list[object]) -> None:
    command += ["--per-class", 2]
    first = ask(*command)
    log = Path("out/runs.jsonl")
    whole = log.read_bytes()
    pictures = Path("out/figure.png").read_bytes()
    log.write_bytes(b"".join(whole.splitlines(keepends=True)[:18]) + b'{"shift": "no')
    again = ask(*command)
    assert log.read_bytes() == whole, "the rest is done again, to the same numbers"
    assert again["tables"] == first["tables"] and Path("out/figure.png").read_bytes() == pictures
    read = ask(*command)
    assert log.read_bytes() == whole and read["tables"] == first["tables"]
    assert read["cost"]["counted"] == {}, "nothing is left to do"


@pytest.mark.slow
def test_seeds_shifts_and_counts_are_added_to_what_is_there(work: Path, ask: Ask, command: list[object]) -> None:
    ask(*command, "--seeds", 1, "--shift", "invert", "--per-class", 2)
    before = Path("out/runs.jsonl").read_bytes()
    found = ask(*command, "--shift", "invert", "--per-class", "2,5")
    assert Path("out/runs.jsonl").read_bytes().startswith(before)
    alone = ask(*command, "--shift", "invert", "--per-class", "2,5", "-o", "other")
    assert found["tables"] == alone["tables"], "as if it had all been done at once"


def test_other_settings_are_not_mixed_with_what_is_there(
    work: Path, ask: Ask, refused: Refused, command: list[object]
) -> None:
    ask(*command, "--shift", "none", "--per-class", 2, "--seeds", 1)
    told = refused(2, *command, "--steps", 2, "--seed", 3)
    assert "has runs with other settings: seed (0, now 3); steps (3, now 2). Use the settings" in told


def test_another_architecture_of_the_zoo(tiny: Tiny, work: Path, ask: Ask) -> None:
    given = ["--space", tiny.space.path, "--data", tiny.npz, "-o", "out", *SMALL]
    few = ["--per-class", 2, "--seeds", 1, "--shift", "blur"]
    found = ask("experiment", "few-labels", tiny.zoo.path, *given, *few, "--arch", "resnet8")
    assert found["instance"]["arch"] == "resnet8" and [r["sd"] for r in found["tables"]["few_labels"]] == [None] * 4
    kept = json.loads(Path("out/report.json").read_text())
    assert kept["scale"]["shifts"] == ["blur"] and kept["space_sha256"] == tiny.space.sha256
    with Path("out/accuracy.csv").open(newline="") as file:
        assert [row["shift"] for row in csv.DictReader(file)] == ["blur"]


def test_a_person_sees_what_is_short(
    work: Path, cli: Cli, command: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_bar, "LOG_LINE_SECONDS", 0.0)  # parts are shown however short they are
    result = cli(*command, "--shift", "none", "--per-class", 2)
    assert result.exit_code == 0 and "\x1b" not in result.output
    assert "shift\tper class\tas it stands\tspace\trandom subspace\tall weights\tfrom scratch" in result.stdout
    assert "few labels: 4/4" in result.stderr and "none, 2 a class, from scratch, rate 0.01, seed 0" in result.stderr


def test_what_cannot_be_done_is_refused(tiny: Tiny, work: Path, refused: Refused, command: list[object]) -> None:
    told = refused(2, *command, "--per-class", "5,100")
    assert "has 20 training images of the class '0'; 100 labelled images a class were asked for" in told
    assert "unknown shift 'fog'. Use some of none, blur, noise, invert" in refused(2, *command, "--shift", "fog")
    assert "'five' is not a whole number. Write numbers as in 5,20,100" in refused(2, *command, "--per-class", "five")
    assert "labelled images a class cannot be drawn" in refused(2, *command, "--per-class", "0")
    told = refused(2, *command, "--arch", "resnet8")
    assert "has no instances of resnet8. It has lenetlike: name one with --arch" in told
    zoo = tiny.single_zoo.path
    told = refused(3, "experiment", "few-labels", zoo, "-o", "out", "--data", tiny.npz)
    assert "no built-in space has all of lenetlike for 1x8x8, 3 classes. Name one with --space" in told
    told = refused(3, "experiment", "few-labels", tiny.zoo.path, *command[3:], "--arch", "vanillacnn")
    assert "vanillacnn" in told and "has lenetlike" in told
