"""netspace interp."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.worlds import Ask, Cli, Refused, Rows, Tiny


def walk(tiny: Tiny, start: Path, end: Path, *options: object) -> list[object]:
    return ["interp", start, end, "--space", tiny.space.path, *options]


@pytest.mark.parametrize("steps", [1, 4])
def test_there_is_one_row_more_than_steps(
    tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask, rows: Rows, steps: int
) -> None:
    options = walk(tiny, emb["lenetlike"], emb["resnet8"], "--steps", steps, "--data", tiny.npz)
    found = ask(*options)["steps"]
    assert [s["step"] for s in found] == list(range(steps + 1))
    assert [s["gamma"] for s in found] == [i / steps for i in range(steps + 1)]
    sizes = {a.name: a.parameter_count for a in tiny.space.architectures}
    for step in found:
        assert step["parameters"] == sizes[step["arch"]]
        assert 0 <= step["accuracy"] <= 1 and step["loss"] > 0
    piped = rows(*options)
    assert [(int(r["step"]), r["arch"]) for r in piped] == [(s["step"], s["arch"]) for s in found]
    assert [float(r["accuracy"]) for r in piped] == pytest.approx([s["accuracy"] for s in found], abs=1e-4)
    assert list(work.iterdir()) == []


def test_the_ends_are_what_the_ends_decode_to(tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask) -> None:
    start, end = tiny.networks["lenetlike"], emb["resnet8"]
    found = ask(*walk(tiny, start, end, "--steps", 3, "--save-dir", "steps", "--data", tiny.npz))["steps"]
    ask("encode", start, "--space", tiny.space.path, "--data", tiny.npz, "-o", "start.emb")
    for source, name, step in ((Path("start.emb"), "start.pt", found[0]), (end, "end.pt", found[-1])):
        (network,) = ask("decode", source, "--space", tiny.space.path, "--data", tiny.npz, "-o", name)["networks"]
        assert (network["arch"], network["accuracy"]) == (step["arch"], step["accuracy"])
        alone, walked = (torch.load(f, weights_only=True) for f in (name, f"steps/step-{step['step']:03d}.pt"))
        assert alone.keys() == walked.keys() and all(torch.equal(alone[n], walked[n]) for n in alone)


def test_every_step_is_a_checkpoint_that_works(tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask) -> None:
    found = ask(*walk(tiny, emb["lenetlike"], emb["resnet8"], "--steps", 2, "--save-dir", "a/steps"))["steps"]
    for step in found:
        (again,) = ask(
            "encode", f"a/steps/step-{step['step']:03d}.pt", "--space", tiny.space.path, "-o", "x.emb", "--dry-run"
        )["networks"]
        assert again["arch"] == step["arch"]


def test_the_table_as_a_file(tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask) -> None:
    found = ask(
        *walk(tiny, emb["lenetlike"], emb["lenetlike"], "--steps", 2, "--csv", "a.csv", "--weights", "--data", tiny.npz)
    )
    with open("a.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [float(row["accuracy"]) for row in table] == [s["accuracy"] for s in found["steps"]]
    assert [float(row["weights"]) for row in table] == [s["accuracy"] for s in found["weight_steps"]]
    assert {row["error"] for row in table} == {""}


def test_the_figure_is_a_picture(tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask) -> None:
    for name in ("a.png", "b.png"):
        options = ["--steps", 2, "--plot", name, "--data", tiny.npz]
        ask(*walk(tiny, emb["lenetlike"], emb["resnet8"], *options))
    with Image.open("a.png") as picture:
        assert picture.width > 500
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_weights_are_walked_beside_it(tiny: Tiny, work: Path, ask: Ask) -> None:
    start, end = (tiny.single_zoo.file_of(i) for i in tiny.single_zoo.instances[:2])
    found = ask(*walk(tiny, start, end, "--steps", 2, "--weights", "--data", tiny.npz))
    assert [s["gamma"] for s in found["weight_steps"]] == [0, 0.5, 1]
    assert {s["arch"] for s in found["weight_steps"]} == {"lenetlike"}
    (encoded,) = ask("encode", start, "--space", tiny.space.path, "--data", tiny.npz, "-o", "a.emb")["networks"]
    assert found["weight_steps"][0]["accuracy"] == encoded["target_accuracy"]


def test_weights_of_two_architectures_are_refused_before_the_work(
    tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused, cli: Cli
) -> None:
    options = walk(tiny, tiny.networks["lenetlike"], emb["resnet8"], "--weights", "--data", tiny.npz)
    said = refused(2, *options)
    assert "a lenetlike and a resnet8" in said and "Leave out --weights" in said
    assert "refining" not in cli(*options).stderr


def test_without_images_the_path_is_walked_and_saved_all_the_same(tiny: Tiny, work: Path, cli: Cli, ask: Ask) -> None:
    options = walk(tiny, tiny.networks["lenetlike"], tiny.networks["resnet8"], "--steps", 2)
    result = cli(*options, "--csv", "a.csv", "--save-dir", "steps")
    assert result.exit_code == 0 and "No accuracy" in result.stderr
    assert len(list(Path("steps").iterdir())) == 3 and len(Path("a.csv").read_text().splitlines()) == 4
    assert all("accuracy" not in step and "loss" not in step for step in ask(*options)["steps"])


def test_a_figure_of_accuracies_needs_images(tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused) -> None:
    said = refused(2, *walk(tiny, emb["lenetlike"], emb["resnet8"], "--plot", "a.png"))
    assert "npz:tiny.npz" in said and "--data FILE.npz" in said


def test_another_split_scores(tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask) -> None:
    options = walk(tiny, emb["lenetlike"], emb["resnet8"], "--steps", 1, "--data", tiny.npz)
    by_split = {split: ask(*options, "--split", split) for split in ("train", "val", "test")}
    assert [found["split"] for found in by_split.values()] == list(by_split)
    assert len({json.dumps(found["steps"]) for found in by_split.values()}) == 3


@pytest.mark.parametrize(
    ("option", "path"), [("--csv", "a.csv"), ("--plot", "a.png"), ("--save-dir", "steps")], ids=lambda v: v
)
def test_existing_outputs_are_kept_unless_forced(
    tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused, ask: Ask, option: str, path: str
) -> None:
    options = walk(tiny, emb["lenetlike"], emb["resnet8"], "--steps", 2, "--data", tiny.npz, option, path)
    ask(*options)
    if option == "--save-dir":
        Path("steps/step-000.pt").unlink()
    assert "exists already" in refused(2, *options)
    ask(*options, "--force")


def test_a_folder_with_other_things_in_it_will_do(tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask) -> None:
    Path("steps").mkdir()
    Path("steps/notes.txt").write_text("mine")
    ask(*walk(tiny, emb["lenetlike"], emb["resnet8"], "--steps", 1, "--save-dir", "steps"))
    assert len(list(Path("steps").iterdir())) == 3


def test_a_dry_run_reads_everything_and_writes_nothing(
    tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask, cli: Cli, refused: Refused
) -> None:
    start, end = tiny.networks["lenetlike"], emb["resnet8"]
    outputs = ["--csv", "a.csv", "--plot", "a.png", "--save-dir", "steps"]
    options = walk(tiny, start, end, "--steps", 4, "--data", tiny.npz, *outputs, "--dry-run")
    found = ask(*options)
    assert found["dry_run"] is True and found["rows"] == 5
    assert sorted(found["outputs"]) == ["a.csv", "a.png", "steps"]
    assert [(i["path"], i["arch"], i["refine_steps"]) for i in found["inputs"]] == [
        (str(start), "lenetlike", 2),
        (str(end), "resnet8", None),
    ]
    said = cli(*options).stderr
    assert "a.png would be written." in said and "walking" not in said and "refining" not in said
    assert list(work.iterdir()) == []
    assert "holds 2 embeddings" in refused(3, *walk(tiny, start, emb["both"], "--dry-run"))
    assert "cannot be interpolated" in refused(2, *walk(tiny, start, end, "--weights", "--dry-run"))
    assert "refining needs images" in refused(2, *walk(tiny, start, end, "--refine", 3, "--dry-run"))


def test_a_device_that_is_not_there_is_refused_before_anything_is_read(
    tiny: Tiny, work: Path, refused: Refused
) -> None:
    Path("no.pt").write_text("no network")
    said = refused(2, *walk(tiny, Path("no.pt"), Path("no.pt"), "--device", "cuda:99", "--dry-run"))
    assert "cuda:99 was asked for; this machine has" in said and "--device cpu" in said


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--steps", "0"], "0 is not in the range x>=1"),
        (["--csv", "none/a.csv"], "there is no folder"),
        (["--plot", "a.gif"], ".png, .svg, .pdf"),
        (["--save-dir", "taken"], "taken is not a folder"),
        (["--save-dir", "taken/steps"], "taken is not a folder"),
        (["--csv", "a.png", "--plot", "a.png"], "another output"),
        (["--split", "all"], "'all' is not one of"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_work(
    tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused, options: list[str], expected: str
) -> None:
    Path("taken").write_text("a file")
    assert expected in refused(2, *walk(tiny, emb["lenetlike"], emb["resnet8"], *options))


def test_files_of_several_embeddings_are_refused_before_the_work(
    tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused, cli: Cli
) -> None:
    options = walk(tiny, tiny.networks["resnet8"], emb["both"], "--data", tiny.npz)
    assert "holds 2 embeddings" in refused(3, *options)
    assert "refining" not in cli(*options).stderr


def test_embeddings_of_another_space_are_refused(
    tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused
) -> None:
    said = refused(3, *walk(tiny, tiny.networks["resnet8"], emb["other"]))
    assert tiny.space.sha256[:12] in said and tiny.single_space.sha256[:12] in said
