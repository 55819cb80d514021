"""`netspace sample` and `netspace ensemble`: from a tiny space to a zoo, a table and an ensemble."""

from __future__ import annotations

from pathlib import Path

import pytest

from netspace_cli.core.zoos.zoo import open_zoo
from tests.worlds import Ask, Cli, ReadTree, Refused, Rows, Solids, Tiny


@pytest.fixture
def one(tiny: Tiny) -> list[object]:
    """The space of one architecture, its zoo and images."""
    return ["--space", tiny.single_space.path, "--zoo", tiny.single_zoo.path, "--data", tiny.npz, "--top", "all"]


def test_samples_are_judged_beside_training_instances_and_rivals(one: list[object], work: Path, rows: Rows) -> None:
    table = rows("sample", *one, "-n", 3, "-o", "new")
    assert [row["networks"] for row in table] == [
        *("kde", "training instances", "all learnt from", "predicted instances"),
        *("noise copies", "aligned mixes", "aligned soups"),
    ]
    for row in table:
        assert row["n"] == "3" and 0 <= float(row["members"]) <= 1 and 0 <= float(row["overlap"]) <= 1
    assert float(table[1]["spread"]) == 1
    zoo = open_zoo(Path("new"))
    assert len(zoo.instances) == 3 and {i.training["method"] for i in zoo.instances} == {"kde"}


def test_the_same_seed_gives_the_same_bytes(one: list[object], work: Path, ask: Ask, tree: ReadTree) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        ask("sample", *one, "-n", 2, "--polish", 2, "--rivals", "none", "--seed", seed, "-o", name)
    assert tree(work / "a") == tree(work / "b") != tree(work / "c")
    ask("sample", *one, "-n", 1, "--polish", 2, "--rivals", "none", "--seed", 1, "-o", "d")
    first = "instances/lenetlike/lenetlike-kde-1-0000.safetensors"
    assert tree(work / "d")[first] == tree(work / "a")[first], "a sample is the same alone and among others"


def test_every_command_reads_a_zoo_of_samples(tiny: Tiny, one: list[object], work: Path, ask: Ask) -> None:
    ask("sample", *one, "-n", 3, "-o", "new", "--rivals", "none")
    assert ask("zoo", "verify", "new")["bad"] == []
    found = ask("eval", "new", "--space", tiny.single_space.path, "--data", tiny.npz, "--split", "train", "--refine", 0)
    assert found["summary"]["n"] == 3 and found["summary"]["seen"] == 0
    small = [f"backbone.{k}={v}" for k, v in {"embedding_size": 64, "latents": 4, "width": 16, "heads": 2}.items()]
    small += ["train.steps=2", "train.images=8", "train.instances=1", "refine.steps=0"]
    words = [word for setting in small for word in ("-s", setting)]
    # A space needs a validation instance: two more are trained beside the samples.
    ask("zoo", "train", "new", "--data", tiny.npz, "--arch", "lenetlike", "--counts", "0/1/0", "--epochs", 1)
    ask("train", "new", "--data", tiny.npz, "-o", "again.safetensors", *words)
    assert Path("again.safetensors").is_file()


def test_the_document_has_all_of_it(one: list[object], work: Path, ask: Ask) -> None:
    found = ask("sample", *one, "-n", 2, "--method", "flow", "--accuracy", 0.6, "-o", "new")
    assert (found["method"], found["settings"], found["instances"]) == ("flow", {"accuracy": 0.6}, 3)
    assert [row["name"] for row in found["audit"]["rows"]][:2] == ["flow", "training instances"]
    assert not found["audit"]["predicted"] and len(found["samples"]) == 2
    assert {"train", "val", "test"} == set(found["samples"][0]["accuracy"])


def test_what_the_table_lacks_is_said(tiny: Tiny, work: Path, cli: Cli, ask: Ask) -> None:
    command = ["sample", "--space", tiny.single_space.path, "--top", "all", "-n", 2]
    said = cli(*command, "--data", tiny.npz, "-o", "a")
    assert "Predicted instances are what the training instances' embeddings decode to" in said.stderr
    assert "--zoo PATH" in said.stderr
    assert "\npredicted instances\t2\t" in said.stdout and "training instances" not in said.stdout
    said = cli(*command, "-o", "b")
    assert said.exit_code == 0 and said.stdout == ""
    assert "The samples were not judged: the images of npz:tiny.npz are not available." in said.stderr
    assert [i.accuracy for i in open_zoo(Path("b")).instances] == [{}, {}]


def test_one_architecture_of_several_with_its_norms(tiny: Tiny, work: Path, ask: Ask) -> None:
    several = ["--space", tiny.space.path, "--zoo", tiny.zoo.path, "--data", tiny.npz, "--top", "all"]
    found = ask("sample", *several, "--arch", "resnet8", "-n", 2, "--refresh-norms", "-o", "new")
    assert found["arch"] == "resnet8" and found["refresh_norms"]
    assert all(row["training"]["norms_of"].startswith("resnet8") for row in found["samples"])


def test_a_dry_run_draws_nothing(one: list[object], work: Path, ask: Ask) -> None:
    found = ask("sample", *one, "-n", 5, "-o", "new", "--dry-run")
    assert (found["count"], found["instances"], found["dry_run"]) == (5, 3, True)
    assert list(work.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--method", "kd"], "unknown method 'kd'. Did you mean kde?"),
        (
            ["--method", "flow", "--bandwidth", "1"],
            "the method flow does not use bandwidth; methods that do: kde, kde-joint, starts. Leave it out, or draw by "
            "another method: --method kde.",
        ),
        (["--method", "mix", "--polish", "3"], "samples of the method mix have none. Leave out --polish"),
        (["--method", "starts"], "-s space.starts=10"),
        (["--bandwidth", "scot"], "unknown bandwidth rule 'scot'"),
        (["-n", "0"], "0 is not in the range x>=1"),
        (["--top", "0"], "invalid share '0': write 30%, 0.3 or all"),
        (["--top", "30%"], "a kernel density needs at least 2 embeddings to learn from; there is 1"),
        (["--refresh-norms"], "lenetlike has no batch norms, so it has no statistics to refresh"),
        (["--method", "soup"], "the method soup needs 8 training instances; there are 3"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    one: list[object], work: Path, refused: Refused, words: list[str], text: str
) -> None:
    assert text in refused(2, "sample", *one, "-o", "new", *words)


def test_what_is_missing_or_in_the_way_is_refused(tiny: Tiny, solids: Solids, work: Path, refused: Refused) -> None:
    space = ["--space", tiny.single_space.path, "--data", tiny.npz]
    said = refused(2, "sample", *space, "--top", "all", "--method", "noise", "-o", "new")
    assert "no zoo was given. Name the zoo that the space was trained on: --zoo PATH" in said
    assert "is for neural fields" in refused(2, "sample", "--space", solids.space.path, "-o", "new")
    several = refused(2, "sample", "--space", tiny.space.path, "--data", tiny.npz, "-o", "new")
    assert "has 3 architectures: lenetlike, vanillacnn, resnet8. Name the one to draw: --arch lenetlike" in several
    unknown = refused(3, "sample", "--space", tiny.space.path, "--data", tiny.npz, "--arch", "resnet14", "-o", "new")
    assert f"space {tiny.space.name!r} has no resnet14; it has lenetlike, vanillacnn, resnet8. Name another" in unknown
    (work / "full").mkdir()
    (work / "full" / "a.txt").write_text("mine")
    assert "full is not empty" in refused(2, "sample", *space, "--top", "all", "-o", "full")


def test_an_ensemble_is_judged(tiny: Tiny, work: Path, ask: Ask, rows: Rows, cli: Cli) -> None:
    (row,) = rows("ensemble", tiny.zoo.path, "--data", tiny.npz, "--select", "top:4")
    assert row["n"] == "4" and list(row) == [
        *("n", "members", "deviation", "ensemble", "loss", "calibration error", "agreement")
    ]
    found = ask("ensemble", tiny.zoo.path, "--data", tiny.npz, "--select", "top:4")
    assert len(found["members"]) == 4 and found["select"] == 4
    assert found["mean_accuracy"] == pytest.approx(float(row["members"]), abs=1e-3)
    chosen = [member["validation"] for member in found["members"]]
    assert chosen == sorted(chosen, reverse=True)
    every = ask("ensemble", tiny.zoo.path, "--data", tiny.npz)
    assert len(every["members"]) == len(tiny.zoo.instances)
    assert ask("ensemble", tiny.zoo.path, "--data", tiny.npz, "--dry-run")["count"] == len(tiny.zoo.instances)


def test_what_makes_no_ensemble_is_refused(tiny: Tiny, solids: Solids, work: Path, refused: Refused) -> None:
    assert "99 instances cannot be chosen" in refused(
        2, "ensemble", tiny.zoo.path, "--data", tiny.npz, "--select", "top:99"
    )
    assert "invalid selection 'best': write top:10 or all" in refused(2, "ensemble", tiny.zoo.path, "--select", "best")
    assert "is for neural fields" in refused(2, "ensemble", solids.zoo.path)
    assert "these images are 1x8x8, 10 classes" in refused(2, "ensemble", tiny.zoo.path, "--data", "digits")
