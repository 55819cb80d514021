"""netspace eval."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netspace_cli.core.kinds.images import Evaluated
from netspace_cli.core.kinds.images import ImageEvaluation as Evaluation
from netspace_cli.core.requests import evaluate as evaluating
from netspace_cli.core.spaces.space import save_space
from netspace_cli.core.zoos.zoo import Instance
from tests.worlds import Ask, Cli, Refused, Tiny


def command(tiny: Tiny, *options: object) -> list[object]:
    return ["eval", tiny.zoo.path, "--space", tiny.space.path, "--data", tiny.npz, *options]


def test_every_instance_and_the_summary_of_them(tiny: Tiny, work: Path, ask: Ask) -> None:
    found = ask(*command(tiny))
    instances, summary = found["instances"], found["summary"]
    assert [i["id"] for i in instances] == [i.id for i in tiny.zoo.select(split="test")]
    accuracy = {i.id: i.accuracy["test"] for i in tiny.zoo.instances}
    for instance in instances:
        assert instance["target_accuracy"] == pytest.approx(accuracy[instance["id"]], abs=1e-6)
        assert 0 <= instance["predicted_accuracy"] <= 1 and 0 <= instance["agreement"] <= 1
    target, predicted = (np.array([i[f"{w}_accuracy"] for i in instances]) for w in ("target", "predicted"))
    assert summary["n"] == 3
    assert summary["mae"] == pytest.approx(np.abs(target - predicted).mean())
    assert summary["arch_accuracy"] == np.mean([i["arch"] == i["predicted_arch"] for i in instances])
    assert summary["pearson"] == pytest.approx(np.corrcoef(target, predicted)[0, 1])
    assert set(found["by_arch"]) == {"lenetlike", "vanillacnn", "resnet8"}
    assert found["by_arch"]["resnet8"]["pearson"] is None, "one point has no correlation"


def test_the_instances_are_those_of_the_split_and_refining_is_counted(tiny: Tiny, work: Path, ask: Ask) -> None:
    found = ask(*command(tiny, "--split", "val", "--refine", 3))
    assert [i["id"] for i in found["instances"]] == [i.id for i in tiny.zoo.select(split="val")]
    assert (found["split"], found["refine_steps"]) == ("val", 3)
    assert "refined" not in found


def test_both_ways_are_told_unless_one_is_asked_for(tiny: Tiny, work: Path, ask: Ask) -> None:
    both = ask(*command(tiny))
    assert (both["refine_steps"], both["refined"]["refine_steps"]) == (0, 2), "the number the space records"
    for alone, steps in ((both, 0), (both["refined"], 2)):
        found = ask(*command(tiny, "--refine", steps))
        assert "refined" not in found
        assert all(found[name] == alone[name] for name in ("refine_steps", "instances", "summary", "by_arch"))
    assert both["refined"]["instances"] != both["instances"]


def test_a_space_that_records_no_steps_is_told_as_encoded(tiny: Tiny, work: Path, ask: Ask) -> None:
    recipe = {**tiny.space.record["recipe"], "refine": {**tiny.space.record["recipe"]["refine"], "steps": 0}}
    save_space(Path("plain.safetensors"), replace(tiny.space, record={**tiny.space.record, "recipe": recipe}))
    found = ask("eval", tiny.zoo.path, "--space", "plain.safetensors", "--data", tiny.npz)
    assert found["refine_steps"] == 0 and "refined" not in found


def test_encode_says_the_same_of_a_single_network(tiny: Tiny, work: Path, ask: Ask) -> None:
    (alone,) = ask(
        "encode", tiny.networks["resnet8"], "--space", tiny.space.path, "--data", tiny.npz, "--refine", 0, "-o", "a.emb"
    )["networks"]
    among = next(i for i in ask(*command(tiny))["instances"] if i["arch"] == "resnet8")
    for name in ("target_accuracy", "predicted_accuracy", "agreement", "predicted_arch"):
        assert alone[name] == among[name]


def test_the_rows_of_a_pipe(tiny: Tiny, work: Path, cli: Cli) -> None:
    result = cli(*command(tiny))
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert lines[0] == ["id", "how", "arch", "predicted arch", "seen", "target", "predicted", "agreement", "unrelated"]
    assert {len(line) for line in lines[:7]} == {9}
    ids = [i.id for i in tiny.zoo.select(split="test")]
    assert [(line[0], line[1], line[4]) for line in lines[1:7]] == [
        (name, how, "no") for how in ("encoded", "refined") for name in ids
    ]
    header = "arch,how,n,seen,recognised,target,predicted,pearson,mae,agreement,n paired,paired,unrelated"
    assert lines[7] == header.split(",")
    assert [line[:4] for line in lines[8:] if line[0] == "all"] == [
        ["all", "encoded", "3", "0"],
        ["all", "refined", "3", "0"],
    ]


def test_the_agreement_to_compare_with_is_over_the_same_instances(tiny: Tiny, work: Path, ask: Ask) -> None:
    found = ask("eval", tiny.single_zoo.path, "--space", tiny.single_space.path, "--data", tiny.npz, "--refine", 0)
    paired = [i for i in found["instances"] if i["unrelated_agreement"] is not None]
    summary = found["summary"]
    assert summary["n_paired"] == len(paired) == 2, "one of the three has no partner, or this tests nothing"
    assert summary["agreement_paired"] == pytest.approx(np.mean([i["agreement"] for i in paired]))
    assert summary["unrelated_agreement"] == pytest.approx(np.mean([i["unrelated_agreement"] for i in paired]))
    assert summary["agreement"] == pytest.approx(np.mean([i["agreement"] for i in found["instances"]]))


def test_blanks_are_explained_where_there_are_any(
    tiny: Tiny, work: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = cli(*command(tiny)).stderr
    assert "pearson is blank for fewer than three instances" in said
    assert "unrelated is blank where no other instance is as accurate" in said
    full = [Evaluated(str(i), "a", "a", 0.1 * i, 0.2 * i, 0.5, 0.4, False) for i in range(3)]
    for rows, words in (
        (full, []),
        (full[:2], ["pearson"]),
        ([*full[:2], replace(full[2], unrelated_agreement=None)], ["unrelated"]),
    ):
        monkeypatch.setattr(evaluating, "evaluate", lambda *_, found=rows, **__: Evaluation(tuple(found)))
        said = cli(*command(tiny, "--refine", 0)).stderr
        assert [word for word in ("pearson", "unrelated") if f"{word} is blank" in said] == words


def zoo_of(tiny: Tiny, folder: Path, instances: Iterable[Instance], **data: Any) -> Path:
    """A zoo in `folder` of instances of the single one, its record of the images changed where `data` says so."""
    folder.mkdir()
    (folder / "instances").symlink_to(tiny.single_zoo.path / "instances")
    record = json.loads((tiny.single_zoo.path / "zoo.json").read_text())
    (folder / "zoo.json").write_text(json.dumps({**record, "data": {**record["data"], **data}}))
    (folder / "instances.jsonl").write_text("".join(json.dumps(i.__dict__) + "\n" for i in instances))
    return folder


def test_test_instances_that_the_space_has_seen_are_told(tiny: Tiny, work: Path, ask: Ask, cli: Cli) -> None:
    folder = zoo_of(tiny, Path("mixed"), [replace(i, split="test") for i in tiny.single_zoo.instances])
    options = ["eval", folder, "--space", tiny.single_space.path, "--data", tiny.npz, "--refine", 0]
    found = ask(*options)
    known = {i.id for i in tiny.single_zoo.instances if i.split != "test"}
    assert {i["id"] for i in found["instances"] if i["seen"]} == known
    assert (found["summary"]["seen"], found["summary"]["n"]) == (4, 7)
    assert "Caution: 4 of these 7 test instances were used to train space tiny" in cli(*options).stderr


@pytest.mark.parametrize("split", ["train", "test"])
def test_no_caution_where_none_is_due(tiny: Tiny, work: Path, cli: Cli, split: str) -> None:
    result = cli(*command(tiny, "--split", split, "--refine", 0))
    assert result.exit_code == 0 and "Caution" not in result.stderr and "not known" not in result.stderr


def test_a_space_without_sums_says_that_it_does_not_know(tiny: Tiny, work: Path, ask: Ask, cli: Cli) -> None:
    rows = [{k: v for k, v in row.items() if k != "sha256"} for row in tiny.space.record["zoo"]]
    save_space(Path("older.safetensors"), replace(tiny.space, record={**tiny.space.record, "zoo": rows}))
    options = ["eval", tiny.zoo.path, "--space", "older.safetensors", "--data", tiny.npz, "--refine", 0]
    found = ask(*options)
    assert found["summary"]["seen"] is None and {i["seen"] for i in found["instances"]} == {None}
    assert "does not record the files it was trained on" in cli(*options).stderr


def test_a_zoo_of_other_images_is_refused(tiny: Tiny, work: Path, refused: Refused, cli: Cli) -> None:
    splits = {**tiny.single_zoo.data["splits"], "test": {"n": 31, "sha256": "0" * 64}}
    folder = zoo_of(tiny, Path("other"), tiny.single_zoo.instances, name="npz:other.npz", splits=splits)
    options = ["eval", folder, "--space", tiny.single_space.path, "--data", tiny.npz]
    said = refused(3, *options)
    assert "npz:other.npz (1x8x8, 3 classes; 60 train, 24 val, 31 test images)" in said
    assert "npz:tiny.npz (1x8x8, 3 classes; 60 train, 24 val, 30 test images)" in said and "--space" in said
    assert said == refused(3, *options, "--dry-run")
    assert "scoring" not in cli(*options).stderr


def test_a_dry_run_says_what_would_be_compared_and_writes_nothing(
    tiny: Tiny, work: Path, ask: Ask, cli: Cli, refused: Refused
) -> None:
    options = command(tiny, "--plot", "a.png", "--dry-run")
    found = ask(*options)
    assert found["dry_run"] is True and found["plot"] == "a.png"
    assert found["counts"] == {"lenetlike": 1, "vanillacnn": 1, "resnet8": 1}
    assert found["runs"] == {"encoded": 0, "refined": 2}
    assert ask(*options, "--refine", 5)["runs"] == {"refined": 5}
    result = cli(*options)
    assert "a.png would be written." in result.stderr and "scoring" not in result.stderr
    assert list(work.iterdir()) == []
    assert "no test instances" in refused(2, "eval", tiny.teacher.parent.parent.parent, *options[2:])
    changed = [replace(i, sha256="0" * 64) for i in tiny.single_zoo.instances]
    folder = zoo_of(tiny, Path("changed"), changed)
    assert "the manifest says 000000000000" in refused(
        3, "eval", folder, "--space", tiny.single_space.path, "--data", tiny.npz, "--dry-run"
    )


def test_a_device_that_is_not_there_is_refused_before_anything_is_read(
    tiny: Tiny, work: Path, refused: Refused
) -> None:
    said = refused(2, "eval", work, "--space", "none.safetensors", "--device", "cuda:99", "--dry-run")
    assert "cuda:99 was asked for; this machine has" in said and "--device cpu" in said


@pytest.mark.slow
def test_the_figure_is_a_picture_and_kept(tiny: Tiny, work: Path, ask: Ask, refused: Refused) -> None:
    ask(*command(tiny, "--plot", "a.png"))
    ask(*command(tiny, "--plot", "one.png", "--refine", 0))
    with Image.open("a.png") as both, Image.open("one.png") as one:
        assert both.width == 2 * one.width > 600
    assert "a.png exists already" in refused(2, *command(tiny, "--plot", "a.png"))


def test_what_cannot_be_done_is_refused_before_the_work(tiny: Tiny, work: Path, refused: Refused, cli: Cli) -> None:
    lacking = ["eval", tiny.zoo.path, "--space", tiny.single_space.path, "--data", tiny.npz]
    said = refused(3, *lacking)
    assert "vanillacnn for 1x8x8" in said and "space 'tiny' has lenetlike" in said
    assert "scoring" not in cli(*lacking).stderr
    teacher = tiny.teacher.parent.parent.parent
    said = refused(2, "eval", teacher, "--space", tiny.space.path, "--data", tiny.npz)
    assert "no test instances among its 1" in said and "--split" in said
    assert ".png, .svg, .pdf" in refused(2, *command(tiny, "--plot", "a.txt"))
    assert "there is no folder" in refused(2, *command(tiny, "--plot", "none/a.png"))


def test_without_images_it_says_what_to_give(tiny: Tiny, work: Path, refused: Refused) -> None:
    said = refused(2, "eval", tiny.zoo.path, "--space", tiny.space.path)
    assert "npz:tiny.npz" in said and "--data FILE.npz" in said
