"""netspace experiment: from a zoo to tables and a figure; a reduced run of each."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.worlds import Ask, Refused, Tiny

SMALL = ["--refine", 2, "--path-steps", 4, "--search-steps", 3, "--search-images", 8, "--teacher-images", 20]
TRAINING = [
    *("-s", "backbone.embedding_size=64", "-s", "backbone.latents=4", "-s", "backbone.chunk=64"),
    *("-s", "backbone.width=16", "-s", "backbone.heads=2", "-s", "train.steps=4", "-s", "train.images=8"),
    *("-s", "train.instances=1", "-s", "train.validate_every=2", "-s", "backbone.reader.probes=2"),
]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_architecture_leaves_tables_and_a_figure(tiny: Tiny, work: Path, ask: Ask) -> None:
    space = tiny.single_space.path
    given = ["--space", space, "--data", tiny.npz, "--teacher", tiny.teacher, *SMALL]
    found = ask("experiment", "single", tiny.single_zoo.path, "-o", "out", *given)
    names = ("fidelity", "order", "optimising", "zoo", "instances", "path")
    assert list(found["tables"]) == list(names)
    assert {p.name for p in Path("out").iterdir()} == {
        *(f"{name}.csv" for name in names),
        "README.md",
        "figure.png",
        "optimising.png",
        "report.json",
        "searches.jsonl",
    }
    for name in ("figure", "optimising"):
        assert Path(f"out/{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"]({name}.png)" in Path("out/README.md").read_text()
    for name in names:
        assert len(rows_of(Path(f"out/{name}.csv"))) == len(found["tables"][name])
    kept = json.loads(Path("out/report.json").read_text())
    assert kept["space_sha256"] == tiny.single_space.sha256 and kept["scale"]["search_steps"] == 3
    assert kept["data"]["splits"]["test"]["n"] == 30


@pytest.mark.slow
def test_the_tables_say_what_the_other_commands_say(tiny: Tiny, work: Path, ask: Ask) -> None:
    given = ["--space", tiny.single_space.path, "--data", tiny.npz]
    tables = ask("experiment", "single", tiny.single_zoo.path, "-o", "out", *given, *SMALL)["tables"]
    evaluated = ask("eval", tiny.single_zoo.path, *given, "--refine", 2)
    (refined,) = [row for row in tables["fidelity"] if row["embedding"] == "refined"]
    assert refined["MAE"] == evaluated["summary"]["mae"]
    assert refined["agreement"] == evaluated["summary"]["agreement"]
    by_val = sorted(tiny.single_zoo.select(split="test"), key=lambda i: (i.accuracy["val"], i.id))
    files = [tiny.single_zoo.file_of(i) for i in (by_val[0], by_val[-1])]
    walked = ask("interp", *files, *given, "--steps", 4, "--refine", 2, "--weights")
    assert [row["space"] for row in tables["path"]] == [s["accuracy"] for s in walked["steps"]]
    assert [row["weights"] for row in tables["path"]] == [s["accuracy"] for s in walked["weight_steps"]]
    assert [row["gamma"] for row in tables["path"]] == [0, 0.25, 0.5, 0.75, 1]
    methods = [(row["start"], row["method"]) for row in tables["optimising"]]
    starts = ("weakest held-out instance", "strongest held-out instance")
    assert methods == [
        (s, m) for s in starts for m in ("space", "random subspace", "curvature subspace", "all weights")
    ]
    for row in tables["optimising"]:
        assert row["gain"] == pytest.approx(row["after"] - row["before"])


@pytest.mark.slow
def test_without_a_space_one_is_trained_first_and_kept(tiny: Tiny, work: Path, ask: Ask) -> None:
    command = ["experiment", "single", tiny.single_zoo.path, "-o", "out", "--data", tiny.npz, *SMALL, *TRAINING]
    first = ask(*command)
    made = Path("out/space.safetensors").read_bytes()
    again = ask(*command)
    assert Path("out/space.safetensors").read_bytes() == made
    assert again["tables"]["path"] == first["tables"]["path"]


@pytest.mark.slow
def test_finished_searches_are_not_done_again(
    tiny: Tiny, work: Path, ask: Ask, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netspace_cli.core.experiments import optimising

    given = ["single", tiny.single_zoo.path, "-o", "out", "--space", tiny.single_space.path, "--data", tiny.npz]
    whole = ask("experiment", *given, *SMALL)
    kept = Path("out/searches.jsonl").read_text().splitlines()
    assert len(kept) == 1 + 2 * 4
    Path("out/searches.jsonl").write_text("\n".join(kept[:-1]) + "\n")
    done: list[str] = []
    really = optimising.tuned

    def noted(method: str, *rest: Any, **options: Any) -> object:
        done.append(method)
        return really(method, *rest, **options)

    monkeypatch.setattr(optimising, "tuned", noted)
    again = ask("experiment", *given, *SMALL)
    assert done == ["all weights"]
    assert again["tables"]["optimising"] == whole["tables"]["optimising"]
    ask("experiment", *given, *SMALL, "--search-steps", 2)
    assert len(done) == 1 + 2 * 4
    assert len(Path("out/searches.jsonl").read_text().splitlines()) == 1 + 4 * 4
    assert "seed (0, now 1)" in refused(2, "experiment", *given, *SMALL, "--seed", 1)


@pytest.mark.slow
def test_another_recipe_than_the_space_s_is_refused(tiny: Tiny, work: Path, ask: Ask, refused: Refused) -> None:
    command = ["experiment", "single", tiny.single_zoo.path, "-o", "out", "--data", tiny.npz, *SMALL, *TRAINING]
    ask(*command)
    assert "trained with another recipe" in refused(2, *command, "-s", "train.lr=0.5")


@pytest.mark.slow
def test_several_architectures(tiny: Tiny, work: Path, ask: Ask) -> None:
    given = ["--space", tiny.space.path, "--data", tiny.npz, "--teacher", tiny.teacher, *SMALL]
    tables = ask("experiment", "several", tiny.zoo.path, "-o", "out", *given)["tables"]
    archs = [a.name for a in tiny.space.architectures]
    assert [(r["embedding"], r["arch"]) for r in tables["fidelity"]] == [
        (how, arch) for how in ("encoded", "refined") for arch in archs
    ]
    assert [r["wanted"] for r in tables["drawn"]] == archs
    assert {r["in training"] for r in tables["drawn"]} == {"seen"}
    assert [r["start"] for r in tables["optimising"]] == archs
    assert [tables["order"][0]["first step"], tables["order"][-1]["last step"]] == [0, 4]


@pytest.mark.slow
def test_unseen_architectures_take_no_part_in_the_training(tiny: Tiny, work: Path, ask: Ask) -> None:
    command = ["experiment", "several", tiny.zoo.path, "-o", "out", "--data", tiny.npz, "--teacher", tiny.teacher]
    unseen = ["-s", 'space.unseen=["vanillacnn"]']
    found = ask(*command, *SMALL, *TRAINING, *unseen)
    assert {r["arch"] for r in found["tables"]["fidelity"]} == {"lenetlike", "resnet8"}
    drawn = {r["wanted"]: r for r in found["tables"]["drawn"]}
    assert drawn["vanillacnn"]["in training"] == "unseen"
    own = [i.accuracy["test"] for i in tiny.zoo.select(arch="vanillacnn")]
    assert drawn["vanillacnn"]["trained instances, mean"] == pytest.approx(sum(own) / len(own))
    assert drawn["vanillacnn"]["n"] == len(own)
    kept = json.loads(Path("out/report.json").read_text())
    assert kept["unseen"] == ["vanillacnn"]


def test_what_cannot_be_measured_is_refused(tiny: Tiny, work: Path, refused: Refused) -> None:
    one, many = tiny.single_space.path, tiny.space.path
    told = refused(2, "experiment", "single", tiny.zoo.path, "-o", "o", "--space", many, "--data", tiny.npz)
    assert "has lenetlike, vanillacnn, resnet8; this experiment is for one" in told
    given = ["--data", tiny.npz, "--teacher", tiny.teacher]
    told = refused(2, "experiment", "several", tiny.single_zoo.path, "-o", "o", "--space", one, *given)
    assert "has one architecture" in told
    told = refused(2, "experiment", "several", tiny.zoo.path, "-o", "o", "--data", tiny.npz)
    assert "Missing option '--teacher'" in told and "(--space) does not" in told
    told = refused(2, "experiment", "single", tiny.zoo.path, "-o", "o", "--space", many, *given, "-s", "train.lr=1")
    assert "names a trained space" in told
