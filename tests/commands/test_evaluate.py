"""netspace eval."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

Ask = Callable[..., dict[str, Any]]
Refused = Callable[..., str]


def command(tiny: Any, *options: object) -> list[object]:
    return ["eval", tiny.zoo.path, "--space", tiny.space.path, "--data", tiny.npz, *options]


def test_every_instance_and_the_summary_of_them(tiny: Any, work: Path, ask: Ask) -> None:
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


def test_the_instances_are_those_of_the_split_and_refining_is_counted(tiny: Any, work: Path, ask: Ask) -> None:
    found = ask(*command(tiny, "--split", "val", "--refine", 2))
    assert [i["id"] for i in found["instances"]] == [i.id for i in tiny.zoo.select(split="val")]
    assert (found["split"], found["refine_steps"]) == ("val", 2)


def test_encode_says_the_same_of_a_single_network(tiny: Any, work: Path, ask: Ask) -> None:
    (alone,) = ask(
        "encode", tiny.networks["resnet8"], "--space", tiny.space.path, "--data", tiny.npz, "--refine", 0, "-o", "a.emb"
    )["networks"]
    among = next(i for i in ask(*command(tiny))["instances"] if i["arch"] == "resnet8")
    for name in ("target_accuracy", "predicted_accuracy", "agreement", "predicted_arch"):
        assert alone[name] == among[name]


def test_the_rows_of_a_pipe(tiny: Any, work: Path, cli: Callable[..., Result]) -> None:
    result = cli(*command(tiny))
    lines = result.stdout.splitlines()
    header = "id\tarch\tpredicted arch\ttarget\tpredicted\tagreement\tunrelated"
    assert lines[0] == header and all(line.count("\t") == 6 for line in lines[1:4])
    assert lines[4].startswith("arch\tn\trecognised\t") and lines[-1].startswith("all\t3\t")


def test_the_figure_is_a_picture_and_kept(tiny: Any, work: Path, ask: Ask, refused: Refused) -> None:
    ask(*command(tiny, "--plot", "a.png"))
    with Image.open("a.png") as picture:
        assert picture.width > 300
    assert "a.png exists already" in refused(2, *command(tiny, "--plot", "a.png"))


def test_what_cannot_be_done_is_refused_before_the_work(
    tiny: Any, work: Path, refused: Refused, cli: Callable[..., Result]
) -> None:
    lacking = ["eval", tiny.zoo.path, "--space", tiny.single_space.path, "--data", tiny.npz]
    said = refused(3, *lacking)
    assert "vanillacnn for 1x8x8" in said and "space 'tiny' has lenetlike" in said
    assert "scoring" not in cli(*lacking).stderr
    teacher = tiny.teacher.parent.parent.parent
    said = refused(2, "eval", teacher, "--space", tiny.space.path, "--data", tiny.npz)
    assert "no test instances among its 1" in said and "--split" in said
    assert ".png, .svg, .pdf" in refused(2, *command(tiny, "--plot", "a.txt"))
    assert "there is no folder" in refused(2, *command(tiny, "--plot", "none/a.png"))


def test_without_images_it_says_what_to_give(tiny: Any, work: Path, refused: Refused) -> None:
    said = refused(2, "eval", tiny.zoo.path, "--space", tiny.space.path)
    assert "npz:tiny.npz" in said and "--data FILE.npz" in said
