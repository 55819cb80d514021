"""netspace experiment sampling: a reduced run, what it leaves, what it adds, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.worlds import Ask, Cli, Refused, Solids, Tiny

RECIPE = """
[backbone]
embedding_size = 64
latents = 4
chunk = 64
width = 16
heads = 2

[backbone.reader]
probes = 2

[train]
instances = 1
images = 8
steps = 2
validate_every = 2
"""


@pytest.fixture
def command(tiny: Tiny) -> list[object]:
    zoo, space = tiny.single_zoo.path, tiny.single_space.path
    small = ["--data", tiny.npz, "-n", 2, "--draws", 1, "--top", "all", "--methods", "kde,kde-narrow"]
    return ["experiment", "sampling", zoo, "-o", "out", "--space", f"stored={space}", *small]


def test_tables_a_figure_and_more_on_request(tiny: Tiny, tmp_path: Path, work: Path, ask: Ask, cli: Cli) -> None:
    recipe = tmp_path / "plain.toml"
    recipe.write_text(RECIPE)
    zoo = ["experiment", "sampling", tiny.single_zoo.path, "--data", tiny.npz, "-o", "out"]
    command = [*zoo, "--recipe", recipe, "--recipe", f"wide={recipe}", "-s", "backbone.width=32", "-n", 2]
    command += ["--top", "all", "--methods", "kde,neighbours", "--draws"]
    found = ask(*command, 1)
    assert {p.name for p in Path("out").iterdir()} == {
        *("criteria.csv", "sampling.csv", "reconstruction.csv", "README.md", "report.json", "figure.png"),
        *("spaces", "runs.jsonl"),
    }
    assert {p.name for p in Path("out/spaces").iterdir()} == {"plain", "wide"} == set(found["spaces"])
    assert Path("out/figure.png").read_bytes().startswith(b"\x89PNG")
    rows = [(r["space"], r["method"]) for r in found["tables"]["criteria"] if r["method"] == "kde"]
    assert rows == [("plain", "kde"), ("wide", "kde")]
    with Path("out/sampling.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(found["tables"]["sampling"])
    assert json.loads(Path("out/report.json").read_text())["plan"]["draws"] == 1
    made = Path("out/runs.jsonl").read_bytes()
    assert ask(*command, 1)["tables"] == found["tables"]
    assert Path("out/runs.jsonl").read_bytes() == made, "what is finished is not done again"
    more = ask(*command, 2)
    assert {r["draws"] for r in more["tables"]["sampling"] if r["networks"] == "kde"} == {2}
    assert Path("out/runs.jsonl").read_bytes().startswith(made)


def test_what_is_left_out_is_told(command: list[object], work: Path, cli: Cli) -> None:
    result = cli(*command[:-1], "kde,starts")
    assert result.exit_code == 0, result.output
    assert "starts is left out" in result.stderr and "all learnt from" in result.output


def test_refusals(tiny: Tiny, solids: Solids, command: list[object], work: Path, refused: Refused) -> None:
    zoo = ["experiment", "sampling", tiny.single_zoo.path, "-o", "out", "--data", tiny.npz]
    assert "No space to draw from: give --recipe F.toml" in refused(2, *zoo)
    assert "Did you mean kde?" in refused(2, *command[:-1], "kdee")
    assert "2 have the name 'a'. Name them: NAME=FILE." in refused(2, *zoo, "--space", "a=1", "--space", "a=2")
    for wrong in ("a=", "x/y=z", "=z"):
        assert "lacks a file or a valid folder name" in refused(2, *zoo, "--recipe", wrong)
    assert "does not exist" in refused(2, *zoo, "--recipe", "none.toml")
    both = ["--recipe", f"stored={tiny.npz}"]
    assert "a recipe and a space are both called stored" in refused(2, *command, *both)
    fields = ["experiment", "sampling", solids.zoo.path, "-o", "out", "--space", solids.space.path]
    assert "is for neural fields" in refused(2, *fields)
    assert "does not exist" in refused(2, "experiment", "sampling", "none", "-o", "out", "--space", "s")
    several = ["experiment", "sampling", tiny.zoo.path, "-o", "out", "--space", tiny.space.path, "--data", tiny.npz]
    assert "has 3 architectures. Name one of lenetlike, vanillacnn, resnet8: --arch." in refused(2, *several)
    assert "and no resnet32." in refused(2, *several, "--arch", "resnet32")
    assert not Path("out/README.md").exists()
