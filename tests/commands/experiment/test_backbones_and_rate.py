"""netspace experiment backbones and rate: a reduced run of each, what it leaves, and what it refuses."""

from __future__ import annotations

import csv
import json
from itertools import count
from pathlib import Path

import pytest

from netspace_cli.core.experiments import backbones as backbones_module
from tests.worlds import Ask, Cli, Refused, Tiny

TOKENS = """
[backbone]
embedding_size = 64
latents = 4
chunk = 64
width = 16
heads = 2
probes = 2

[train]
instances = 1
images = 8
steps = 3
validate_every = 3

[refine]
steps = 2
images = 8
"""
CONV = """
[backbone]
kind = "conv"
embedding_size = 64
side = 8
height = 16
width = 2800

[train]
instances = 1
images = 8

[refine]
steps = 0
"""
SEARCH = ("--search-steps", 2, "--search-images", 8, "--teacher-images", 20)


@pytest.fixture(autouse=True)
def a_second_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = count()
    monkeypatch.setattr(backbones_module, "perf_counter", lambda: float(next(reads)))


@pytest.fixture
def recipes(tmp_path: Path) -> tuple[Path, Path]:
    """Outside the current directory, which stays empty."""
    paths = (tmp_path / "tokens.toml", tmp_path / "conv.toml")
    for path, text in zip(paths, (TOKENS, CONV), strict=True):
        path.write_text(text)
    return paths


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_backbones_leave_spaces_tables_and_a_figure(
    tiny: Tiny, work: Path, ask: Ask, recipes: tuple[Path, Path]
) -> None:
    tokens, conv = recipes
    command = ["experiment", "backbones", tiny.single_zoo.path, "-o", "out", "--data", tiny.npz]
    command += ["--recipe", tokens, "--recipe", conv, "--seconds", 4, "--marks", 2]
    found = ask(*command)
    assert {p.name for p in Path("out").iterdir()} == {
        *("tokens", "conv", "runs.jsonl", "marks.csv", "end.csv", "README.md", "figure.png", "report.json"),
    }
    assert Path("out/figure.png").read_bytes().startswith(b"\x89PNG")
    assert [(r["recipe"], r["mark (s)"], r["steps"]) for r in found["tables"]["marks"]] == [
        (name, at, at) for name in ("tokens", "conv") for at in (2, 4)
    ]
    assert [(r["recipe"], r["embedding"]) for r in found["tables"]["end"]] == [
        ("tokens", "encoded"),
        ("tokens", "refined"),
        ("conv", "encoded"),
    ]
    for name in ("marks", "end"):
        assert len(rows_of(Path(f"out/{name}.csv"))) == len(found["tables"][name])
    kept = json.loads(Path("out/report.json").read_text())
    assert (kept["seconds"], kept["marks"], kept["remarks"]) == (4, 2, {})
    assert kept["recipes"]["conv"]["backbone"]["side"] == 8
    space = ["--space", "out/tokens/space.safetensors", "--data", tiny.npz]
    evaluated = ask("eval", tiny.single_zoo.path, *space, "--refine", 2)
    assert found["tables"]["end"][1]["MAE"] == evaluated["summary"]["mae"]
    made = Path("out/runs.jsonl").read_bytes()
    assert ask(*command)["tables"] == found["tables"]
    assert Path("out/runs.jsonl").read_bytes() == made, "what is finished is not done again"


def test_a_recipe_that_is_too_slow_is_told(tiny: Tiny, work: Path, cli: Cli, recipes: tuple[Path, Path]) -> None:
    command = ["experiment", "backbones", tiny.single_zoo.path, "-o", "out", "--data", tiny.npz]
    result = cli(*command, "--recipe", recipes[0], "--seconds", 0.5, "--marks", 1)
    assert result.exit_code == 0, result.output
    assert "tokens: no step in 0.5 s: one takes 1 s" in result.stderr
    assert {r["remark"] for r in rows_of(Path("out/end.csv"))} == {"no step in 0.5 s: one takes 1 s"}


@pytest.mark.slow
def test_several_architectures_are_compared_with_a_teacher(
    tiny: Tiny, work: Path, ask: Ask, refused: Refused, recipes: tuple[Path, Path]
) -> None:
    command = ["experiment", "backbones", tiny.zoo.path, "-o", "out", "--data", tiny.npz, "--recipe", recipes[0]]
    command += ["--seconds", 2, "--marks", 1]
    assert "is trained with a teacher" in refused(2, *command)
    (encoded, _) = ask(*command, "--teacher", tiny.teacher)["tables"]["end"]
    assert (encoded["n"], encoded["steps"]) == (3, 2)


@pytest.mark.slow
def test_rate_leaves_spaces_a_table_and_a_figure(
    tiny: Tiny, work: Path, ask: Ask, refused: Refused, recipes: tuple[Path, Path]
) -> None:
    command = ["experiment", "rate", tiny.single_zoo.path, "-o", "out", "--data", tiny.npz, "--recipe", recipes[0]]
    command += ["--sizes", "6,64", "--teacher", tiny.teacher, *SEARCH]
    found = ask(*command)
    assert {p.name for p in Path("out").iterdir()} == {
        *("6", "64", "runs.jsonl", "rate.csv", "README.md", "figure.png", "report.json"),
    }
    rows = found["tables"]["rate"]
    methods = ("learnt, encoded", "learnt, refined", "random subspace, refined")
    assert [(r["size"], r["bytes"], r["method"]) for r in rows] == [(n, 4 * n, m) for n in (6, 64) for m in methods]
    assert found["adapted"] == {"6": "latents 3, not 4"}
    assert set(found["space_sha256"]) == {"6", "64"}
    space = ["--space", "out/6/space.safetensors", "--data", tiny.npz]
    evaluated = ask("eval", tiny.single_zoo.path, *space, "--refine", 2)
    assert rows[1]["agreement"] == evaluated["summary"]["agreement"]
    made = Path("out/runs.jsonl").read_bytes()
    assert ask(*command)["tables"] == found["tables"]
    assert Path("out/runs.jsonl").read_bytes() == made, "what is finished is not done again"
    told = refused(2, *command, "-s", "train.lr=0.5")
    assert "trained with another recipe" in told


def test_what_compares_nothing_is_refused(
    tiny: Tiny, work: Path, refused: Refused, recipes: tuple[Path, Path], tmp_path: Path
) -> None:
    tokens, _ = recipes
    backbones = ["experiment", "backbones", tiny.single_zoo.path, "-o", "out", "--data", tiny.npz]
    assert "Missing option '--recipe'" in refused(2, *backbones, "--seconds", 1)
    assert "Missing option '--seconds'" in refused(2, *backbones, "--recipe", tokens)
    assert "0.0 is not in the range x>0" in refused(2, *backbones, "--recipe", tokens, "--seconds", 0)
    namesake = tmp_path / "other/tokens.toml"
    namesake.parent.mkdir()
    namesake.write_text(CONV)
    told = refused(2, *backbones, "--recipe", tokens, "--recipe", namesake, "--seconds", 1)
    assert "2 recipes have 1 names" in told and str(namesake) in told
    teacher = refused(2, *backbones, "--recipe", tokens, "--seconds", 1, "--teacher", tiny.teacher)
    assert "it does not use a teacher" in teacher
    rate = ["experiment", "rate", tiny.single_zoo.path, "-o", "out", "--data", tiny.npz, "--recipe", tokens]
    assert "'big' is not a whole number. Write numbers as in" in refused(2, *rate, "--sizes", "64,big")
    assert "sizes 64, 64: each must be above zero and given once" in refused(2, *rate, "--sizes", "64,64")
    assert "the recipe refines by 0 steps" in refused(2, *rate, "-s", "refine.steps=0")
