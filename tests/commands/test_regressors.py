"""Regressors of tables, through every command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.worlds import Ask, Cli, Refused, Rows

SIZES = [
    *("-s", "backbone.embedding_size=16", "-s", "backbone.latents=4", "-s", "backbone.chunk=64"),
    *("-s", "backbone.width=16", "-s", "backbone.heads=2", "-s", "train.steps=4", "-s", "train.images=16"),
    *("-s", "train.instances=2", "-s", "refine.steps=2", "-s", "refine.images=16", "-s", "lso.images=16"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table, a zoo of perceptrons and a space with two starting points, in a folder."""
    from click.testing import CliRunner

    from netspace_cli.cli import cli as command

    folder, draw = tmp_path_factory.mktemp("tables"), np.random.default_rng(0)
    found: dict[str, Any] = {}
    for part, rows in (("train", 80), ("val", 30), ("test", 30)):
        inputs = draw.normal(size=(rows, 3))
        found |= {f"{part}_inputs": inputs, f"{part}_targets": 50 + 10 * inputs[:, 0] - 5 * inputs[:, 1] ** 2}
    np.savez(folder / "table.npz", **found)
    data = ["--data", str(folder / "table.npz"), "--threads", "1"]
    zoo = ["zoo", "train", str(folder / "zoo"), "--arch", "perceptron-8x1", "--counts", "4/2/2", "--epochs", "2-20"]
    space = ["train", str(folder / "zoo"), "-o", str(folder / "space.safetensors"), *SIZES, "-s", "space.starts=2"]
    for line in ([*zoo, "--batch", "16", "--lr", "0.02"], [*space, "-s", "space.parents=2"]):
        done = CliRunner().invoke(command, [*line, *data])
        assert done.exit_code == 0, done.stderr
    return folder


@pytest.fixture
def given(world: Path) -> list[object]:
    return ["--space", world / "space.safetensors", "--data", world / "table.npz"]


def network(world: Path, number: int) -> Path:
    return world / "zoo" / "instances" / "perceptron-8x1" / f"perceptron-8x1-000{number}.safetensors"


def test_instances_are_scored_by_r2(world: Path, ask: Ask, rows: Rows) -> None:
    instances = ask("zoo", "show", world / "zoo")["instances"]
    assert max(i["r2"]["test"] for i in instances) > 0.5 > min(i["r2"]["test"] for i in instances)
    assert all("accuracy" not in json.loads(line) for line in manifest(world).read_text().splitlines())
    assert set(rows("zoo", "show", world / "zoo")[0]) >= {"val R²", "test R²"}


def manifest(world: Path) -> Path:
    return world / "zoo" / "instances.jsonl"


def test_manifests_that_call_it_accuracy_are_read(world: Path, work: Path, ask: Ask) -> None:
    """Those of before: what is read is the same, and what is added is named anew."""
    shutil.copytree(world / "zoo", "old")
    text = manifest(world).read_text()
    Path("old/instances.jsonl").write_text(text.replace('"r2"', '"accuracy"'))
    assert '"r2"' in text and ask("zoo", "show", "old")["instances"] == ask("zoo", "show", world / "zoo")["instances"]


def test_a_network_is_encoded_decoded_and_compared(world: Path, work: Path, given: list[object], ask: Ask) -> None:
    (row,) = ask("encode", network(world, 7), *given, "-o", "a.emb")["networks"]
    assert {"target_r2", "predicted_r2", "agreement"} <= row.keys() and "target_accuracy" not in row
    decoded = ask("decode", "a.emb", *given, "-o", "a.pt")["networks"]
    assert decoded[0]["r2"] == pytest.approx(row["predicted_r2"]) and decoded[0]["arch"] == "perceptron-8x1"
    members = ask("decode", "a.emb", *given, "--members", 2, "-o", "members")
    assert {"r2", "agreement", "members", "source"} == members["ensembles"][0].keys()


def test_a_zoo_is_evaluated(world: Path, given: list[object], work: Path, ask: Ask, cli: Cli) -> None:
    found = ask("eval", world / "zoo", *given, "--refine", 2)
    assert found["summary"]["n"] == 2 and found["summary"]["seen"] == 0
    assert {"target_r2", "predicted_r2", "agreement", "unrelated_agreement"} <= found["instances"][0].keys()
    shown = cli("eval", world / "zoo", *given, "--refine", 0, "--plot", "fidelity.png")
    assert "target R²\tpredicted R²\tagreement\tunrelated" in shown.stdout
    assert Path("fidelity.png").exists()
    for colour in ("accuracy", "r2"):
        drawn = ask("map", world / "space.safetensors", "-o", "map.svg", "--colour", colour, "--force")
        assert drawn["colour"] == "r2" and {"r2"} <= drawn["points"][0].keys() and "accuracy" not in drawn["points"][0]
    assert "\tR²\t" in cli("map", world / "zoo", "--space", world / "space.safetensors", "-o", "zoo.svg").stdout


def test_another_table_is_standardised_as_the_zoo_s_own(world: Path, work: Path, ask: Ask) -> None:
    with np.load(world / "table.npz") as table:
        others: dict[str, Any] = {name: table[name] for name in table.files}
    others["train_inputs"], others["train_targets"] = others["train_inputs"] * 3 + 1, others["train_targets"] / 7
    np.savez("other.npz", **others)
    own, other = (ask("ensemble", world / "zoo", "--data", path) for path in (world / "table.npz", "other.npz"))
    assert own["ensemble_r2"] == pytest.approx(other["ensemble_r2"], abs=1e-5)


def test_a_path_and_an_optimisation_are_scored_by_r2(world: Path, work: Path, given: list[object], ask: Ask) -> None:
    ends = network(world, 0), network(world, 7)
    walked = ask("interp", *ends, *given, "--steps", 2, "--refine", 0, "--csv", "p.csv", "--plot", "p.svg", "--weights")
    assert [step["r2"] for step in walked["steps"]] and "accuracy" not in walked["steps"][0]
    assert "perceptron-8x1 to perceptron-8x1: R² along the path" in Path("p.svg").read_text(encoding="utf-8")
    assert Path("p.csv").read_text().startswith("path,step,gamma,arch,parameters,r2,loss,error")
    for more in ([], ["--teacher", ends[1]]):
        found = ask("lso", ends[0], *given, "--steps", 2, *more)
        assert found["optimized"]["loss"] <= found["initial"]["loss"]
        assert found["initial"].keys() == {"arch", "r2", "loss"} and "val_r2" in found["history"][-1]


def test_networks_are_drawn_put_together_and_trained_further(
    world: Path, work: Path, given: list[object], ask: Ask
) -> None:
    drawn = ask("sample", *given, "--zoo", world / "zoo", "-n", 3, "--top", "all", "--polish", 1, "-o", "new")
    assert [row["name"] for row in drawn["audit"]["rows"]][:1] == ["starts"] and len(drawn["samples"]) == 3
    assert drawn["samples"][0]["r2"].keys() >= {"val", "test"}
    together = ask("ensemble", "new", "--data", world / "table.npz")
    assert together["ensemble_r2"] <= 1 and together["ensemble_calibration_error"] is None
    tuned = ask("finetune", "new", "--data", world / "table.npz", "--epochs", "0,1", "--batch", 16)
    assert {"start", "epoch", "n", "r2", "deviation"} == tuned["summary"][0].keys()


def test_several_become_one(world: Path, work: Path, given: list[object], ask: Ask, refused: Refused) -> None:
    members = [network(world, i) for i in (4, 5, 6)]
    for more in ([], ["--no-labels"], ["--plot", "ways.svg"]):
        found = ask("merge", *members, *given, "--steps", 5, "--images", 16, "-o", "one.pt", "--force", *more)
        scores = {way["way"]: way["test"] for way in found["ways"]}
        assert {"best", "mean", "aligned-mean", "from-best", "space-from-mean", "ensemble"} <= scores.keys()
        (chosen,) = [way for way in found["ways"] if way["chosen"]]
        assert chosen["way"] == found["method"] and max(scores.values()) <= 1
    assert ask("inspect", "one.pt")["arch"] == "perceptron-8x1"
    said = refused(2, "merge", *members, *given, "--weigh", "-o", "two.pt")
    assert "members are weighed by their probabilities, and regressors have none" in said
    said = refused(2, "merge", world / "zoo", "--data", "digits")
    assert "is for rows of 3 features, 1 target, and digits has images, 1x16x16, 10 classes" in said


def test_own_modules_are_regressors_too(world: Path, work: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("own_regressors.py").write_text(
        "from torch import nn\n"
        "def net(io):\n    return nn.Sequential(nn.Linear(io.features, 4), nn.Tanh(), nn.Linear(4, io.targets))\n"
    )
    monkeypatch.setenv("NETSPACE_TRUST", "own_regressors:net")
    options = ["--arch", "own_regressors:net", "--counts", "1/1/1", "--epochs", 1, "--batch", 16]
    made = ask("zoo", "train", "own", *options, "--data", world / "table.npz")
    assert {i["arch"] for i in made["instances"]} == {"own_regressors:net"}


def test_what_is_for_classifiers_alone_is_refused(
    world: Path, work: Path, given: list[object], refused: Refused, cli: Cli
) -> None:
    said = refused(2, "experiment", "single", world / "zoo", "-o", "out", *given)
    assert "is for regressors (rows of 3 features, 1 target)" in said and "This is for classifiers" in said
    said = refused(3, "encode", network(world, 0), "--space", "digits", "-o", "a.emb")
    assert "a perceptron-8x1 for rows of 3 features, 1 target; space 'digits' has lenetlike" in said
