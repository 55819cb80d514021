"""netspace zoo index: what it says and writes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from netspace_cli.core.zoos.zoo import open_zoo
from tests.worlds import Ask, Cli, ReadTree, Refused, Rows, Tiny


@pytest.fixture
def nets(tiny: Tiny, work: Path) -> Path:
    """Three nested checkpoints, one of them twice, a flat one and something broken."""
    Path("nets/runs").mkdir(parents=True)
    for n in range(3):
        state = load_file(tiny.single_zoo.file_of(tiny.single_zoo.instances[n]))
        torch.save({"model": state, "epoch": n}, f"nets/runs/{n}.pt")
    shutil.copy("nets/runs/1.pt", "nets/runs/copy.pt")
    Path("nets/broken.pt").write_bytes(b"not a checkpoint at all, just text")
    shutil.copy(tiny.teacher, "nets/other.safetensors")
    return Path("nets")


def test_foreign_checkpoints_are_adopted_where_they_lie(tiny: Tiny, nets: Path, ask: Ask, cli: Cli) -> None:
    before = {p: p.read_bytes() for p in nets.rglob("*") if p.is_file()}
    found = ask("zoo", "index", "nets", "--data", tiny.npz, "--counts", "1/1/1", "--licence", "MIT")
    assert {i["arch"] for i in found["instances"]} == {"lenetlike", "resnet14"}
    assert sorted(i["split"] for i in found["instances"] if i["arch"] == "lenetlike") == ["test", "train", "val"]
    assert [(r["path"], r["reason"]) for r in found["refused"]] == [
        ("nets/broken.pt", "this is text, not a checkpoint."),
        ("nets/runs/copy.pt", "the same file as nets/runs/1.pt."),
    ]
    assert (found["added"], found["already"], found["dry_run"]) == (4, 0, False)
    assert all(i["licence"] == "MIT" for i in found["instances"])
    assert all(p.read_bytes() == content for p, content in before.items())
    assert ask("zoo", "verify", "nets")["bad"] == []


def test_it_says_what_it_left_out_what_is_missing_and_what_was_there(tiny: Tiny, nets: Path, cli: Cli) -> None:
    first = cli("zoo", "index", "nets", "--data", tiny.npz)
    said = first.stderr.splitlines()
    assert first.exit_code == 0
    assert "left out nets/broken.pt: this is text, not a checkpoint." in said
    assert "left out nets/runs/copy.pt: the same file as nets/runs/1.pt." in said
    assert "hint: Check where it comes from." in said
    assert "resnet14: 1 instance is too few for train, val and test; none is in val or test." in said
    assert said[-1] == "nets: 4 instances added."
    again = cli("zoo", "index", "nets", "--data", tiny.npz)
    assert again.stderr.splitlines()[-1] == "nets had 4 instances; nothing is new. --force indexes again from scratch."
    assert "scoring" not in again.stderr
    state = load_file(tiny.single_zoo.file_of(tiny.single_zoo.instances[4]))
    torch.save(state, "nets/new.pt")
    third = cli("zoo", "index", "nets", "--data", tiny.npz)
    assert third.stderr.splitlines()[-1] == "nets had 4 instances; 1 added."
    anew = cli("zoo", "index", "nets", "--data", tiny.npz, "--counts", "1/0/0", "--force")
    assert anew.stderr.splitlines()[-1] == "nets: indexed again, 5 instances in place of 5."
    assert {i.split for i in open_zoo(nets).instances} == {"train"}


def test_a_dry_run_lists_what_would_be_and_writes_nothing(
    tiny: Tiny, nets: Path, rows: Rows, ask: Ask, cli: Cli, tree: ReadTree
) -> None:
    before = tree(Path.cwd())
    would = rows("zoo", "index", "nets", "--data", tiny.npz, "--dry-run")
    assert cli("zoo", "index", "nets", "--data", tiny.npz, "--dry-run").stderr.splitlines()[-1] == (
        "nets: 4 instances would be added."
    )
    found = ask("zoo", "index", "nets", "--data", tiny.npz, "--dry-run")
    assert found["dry_run"] and [i["id"] for i in found["instances"]] == [row["id"] for row in would]
    assert tree(Path.cwd()) == before
    done = ask("zoo", "index", "nets", "--data", tiny.npz)["instances"]
    assert would == [{name: i[name] for name in ("id", "arch", "split", "file")} for i in done]


def test_lists_say_what_is_adopted_and_in_which_split(tiny: Tiny, nets: Path, ask: Ask, refused: Refused) -> None:
    Path("train.txt").write_text("lenetlike;d0;scifar10;somewhere/runs/0.pt\n")
    Path("test.txt").write_text("lenetlike;d0;scifar10;somewhere/runs/2.pt\n")
    lists = ["--list", "train.txt", "--list", "test.txt"]
    found = ask("zoo", "index", "nets", "--data", tiny.npz, *lists)
    assert [(i["id"], i["split"]) for i in found["instances"]] == [("runs/0", "train"), ("runs/2", "test")]
    Path("test.txt").write_text("lenetlike;d0;runs/2.pt\nalexnet;d0;runs/1.pt\n")
    said = refused(3, "zoo", "index", "nets", "--data", tiny.npz, *lists)
    assert said.startswith("test.txt: line 2: unknown architecture 'alexnet'. Known: lenetlike")
    Path("test.txt").write_text("runs/2.pt\n")
    said = refused(3, "zoo", "index", "nets", "--data", tiny.npz, *lists)
    assert "test.txt: line 1: 'runs/2.pt' is not a network; a line has class_name;parameter;…;path." in said


def test_the_key_is_said_and_asked_for(tiny: Tiny, nets: Path, work: Path, cli: Cli, ask: Ask) -> None:
    states = [load_file(tiny.single_zoo.file_of(i)) for i in tiny.single_zoo.instances[4:6]]
    torch.save({"model": states[0], "ema": states[1]}, "nets/both.pt")
    said = cli("zoo", "index", "nets", "--data", tiny.npz, "--dry-run").stderr.splitlines()
    assert "left out nets/both.pt: there are 2 state dicts in it: 'model', 'ema'." in said
    assert "hint: Choose one, e.g. --key model (of a teacher: --teacher-key)." in said
    found = ask("zoo", "index", "nets", "--data", tiny.npz, "--key", "model", "--dry-run")
    assert "both" in [i["id"] for i in found["instances"]]


def test_a_folder_without_networks_is_refused_and_stays_as_it_is(tiny: Tiny, work: Path, refused: Refused) -> None:
    Path("nets").mkdir()
    Path("nets/notes.txt").write_text("nothing here")
    said = refused(2, "zoo", "index", "nets", "--data", tiny.npz)
    passed_over = "1 file was passed over, not checkpoints by their content (text: notes.txt)."
    looked_for = "Files ending in .safetensors, .pt, .pth, .th are looked for, and others that"
    assert said.startswith(f"nets holds no checkpoint files. {passed_over} {looked_for}")


def test_the_help_says_that_images_are_needed(cli: Cli) -> None:
    for command in ("train", "index"):
        shown = " ".join(cli("zoo", command, "--help").stdout.split())
        option = shown[shown.index("--data SPEC") :].partition(" --")[0]
        assert "[required]" in option and "space" not in option
