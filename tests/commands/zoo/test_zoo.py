"""netspace zoo train, index, align, show, verify, export."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from netspace_models.errors import InputFileError
from safetensors.torch import load_file

from netspace_cli.core.files.inputs import sha256_of
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.networks.scores import scores
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.zoos.zoo import open_zoo
from tests.worlds import Ask, Cli, Refused, Rows, Tiny


def train(tiny: Tiny, *options: object) -> list[object]:
    return ["zoo", "train", "zoo", "--data", tiny.npz, "--arch", "lenetlike", "--counts", "1/0/1", *options]


def test_a_zoo_is_trained_grows_and_is_not_trained_twice(tiny: Tiny, work: Path, ask: Ask, cli: Cli) -> None:
    found = ask(*train(tiny, "--epochs", "0-2"))
    assert [i["arch"] for i in found["instances"]] == ["lenetlike"] * 2
    assert sorted(i["split"] for i in found["instances"]) == ["test", "train"]
    assert sorted(i["epochs"] for i in found["instances"]) == [0, 2]
    before = Path("zoo/instances.jsonl").read_text()
    result = cli(*train(tiny, "--epochs", "0-2"))
    assert result.exit_code == 0 and "instances: nothing to train" in result.stderr
    assert Path("zoo/instances.jsonl").read_text() == before
    assert len(ask(*train(tiny, "--epochs", "0-2", "--arch", "vanillacnn"))["instances"]) == 4
    assert len(open_zoo(Path("zoo")).select(arch="vanillacnn")) == 2
    assert len(ask(*train(tiny, "--epochs", 0, "--seed", 10))["instances"]) == 6


def test_images_are_brought_to_a_size_that_all_else_then_uses(
    tiny: Tiny, work: Path, ask: Ask, refused: Refused
) -> None:
    small = ["--arch", "cnn-small", "--size", 20, "--epochs", 1]
    found = ask("zoo", "train", "zoo", "--data", tiny.npz, "--counts", "1/0/1", "--init", "uniform", *small)
    assert found["data"]["io"]["size"] == 20
    assert [i["training"]["init"] for i in found["instances"]] == ["uniform"] * 2
    assert "npz:tiny.npz (1x20x20, 3 classes)" in refused(2, *train(tiny))


def test_images_too_small_for_an_architecture_are_refused_with_words(tiny: Tiny, work: Path, refused: Refused) -> None:
    said = refused(3, "zoo", "train", "zoo", "--data", tiny.npz, "--arch", "cnn-small")
    assert "cnn-small needs images of 20 pixels or more; these are 1x8x8" in said and "--size 20" in said


def test_the_table_sums_up(tiny: Tiny, work: Path, rows: Rows) -> None:
    (row,) = rows(*train(tiny, "--epochs", 0))
    assert (row["arch"], row["train/val/test"]) == ("lenetlike", "1/0/1")
    assert float(row["lowest"]) <= float(row["mean"]) <= float(row["highest"])


def test_the_accuracies_are_the_networks_own(tiny: Tiny, work: Path, ask: Ask) -> None:
    for instance in ask(*train(tiny, "--epochs", 1))["instances"]:
        network = read_network(Path("zoo") / instance["file"], candidates=tiny.space.architectures)
        with Runner("cpu") as runner:
            measured = scores(network.architecture, network.weights, tiny.data, runner)
        assert instance["accuracy"] == pytest.approx(measured, abs=1e-6)


DIES_ONCE = """
import os
from torch import nn

def make():
    if "SUBMITIT_EXECUTOR" in os.environ and not os.path.exists("killed"):
        open("killed", "w").close()
        os.kill(os.getpid(), 9)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
"""


@pytest.mark.trust
def test_a_cluster_that_loses_a_job_trains_every_network_once(
    tiny: Tiny, work: Path, cli: Cli, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitit = pytest.importorskip("submitit")
    monkeypatch.setattr(submitit.core.core.Job, "_results_timeout_s", 0.2)
    Path("nets_that_die_once.py").write_text(DIES_ONCE)
    options = ["--data", tiny.npz, "--arch", "nets_that_die_once:make", "--counts", "2/0/0", "--epochs", 1]
    ask("zoo", "train", "zoo", *options, "--workers", 2, "--cluster", "local:timeout_min=5")
    assert Path("killed").exists() and Path("zoo.jobs").is_dir()
    ask("zoo", "train", "alone", *options)
    found, wanted = (sorted((i.id, i.sha256) for i in open_zoo(Path(name)).instances) for name in ("zoo", "alone"))
    assert found == wanted


@pytest.mark.parametrize("cluster", ["pbs", "slurm:gpus", "slurm:=1"])
def test_a_cluster_that_is_none_is_refused(tiny: Tiny, work: Path, refused: Refused, cluster: str) -> None:
    said = refused(2, *train(tiny, "--cluster", cluster))
    assert f"invalid cluster {cluster!r}: write slurm, local or ray" in said and "slurm_partition=gpu" in said
    assert "unknown setting 'gpus' of tasks of Ray." in refused(2, *train(tiny, "--cluster", "ray:gpus=1"))


def test_a_dry_run_lists_what_is_missing_and_writes_nothing(tiny: Tiny, work: Path, ask: Ask) -> None:
    jobs = ask(*train(tiny, "--epochs", 1, "--dry-run"))["jobs"]
    assert [(j["id"], j["epochs"]) for j in jobs] == [("lenetlike-0000", 1), ("lenetlike-0001", 1)]
    assert list(work.iterdir()) == []
    ask(*train(tiny, "--epochs", 0))
    assert ask(*train(tiny, "--epochs", 0, "--dry-run"))["jobs"] == []


@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize(
    ("code", "options", "expected"),
    [
        (3, ["--arch", "lenetlik"], "Did you mean lenetlike?"),
        (2, ["--arch", "no.such:net"], "cannot be imported"),
        (2, ["--counts", "0/0/0"], "has no instances"),
        (2, ["--counts", "1/1"], "not TRAIN/VAL/TEST"),
        (2, ["--epochs", "5-2"], "epochs 5-2 is not a range"),
        (2, ["--epochs", "few"], "write a number or LOW-HIGH"),
        (2, ["--lr", "0"], "x>0"),
        (2, ["--batch", "0"], "x>=1"),
        (2, ["--data", "nosuch"], "unknown data set"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    tiny: Tiny, work: Path, refused: Refused, code: int, options: list[str], expected: str, dry: bool
) -> None:
    assert expected in refused(code, *train(tiny, *options, *(["--dry-run"] if dry else [])))


def test_the_data_must_be_named(tiny: Tiny, work: Path, refused: Refused) -> None:
    assert "--data" in refused(2, "zoo", "train", "zoo", "--arch", "lenetlike")
    Path("nets").mkdir()
    assert "--data" in refused(2, "zoo", "index", "nets")


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_folders_of_other_things_are_left_alone(tiny: Tiny, work: Path, refused: Refused, dry: list[str]) -> None:
    shutil.copytree(tiny.single_zoo.path, "zoo")
    said = refused(2, *train(tiny, "--data", "digits", *dry))
    assert "npz:tiny.npz (1x8x8, 3 classes)" in said and "digits (1x16x16, 10 classes)" in said
    Path("taken").write_text("a file")
    options = train(tiny, *dry)
    options[2] = "taken"
    assert "is not a zoo" in refused(2, *options)


def test_show_lists_the_instances(tiny: Tiny, rows: Rows, ask: Ask, work: Path) -> None:
    listed = rows("zoo", "show", tiny.zoo.path)
    assert [r["id"] for r in listed] == [i.id for i in tiny.zoo.instances]
    found = ask("zoo", "show", tiny.zoo.path)
    assert [i["accuracy"] for i in found["instances"]] == [i.accuracy for i in tiny.zoo.instances]
    assert found["data"]["name"] == "npz:tiny.npz"


def test_verify_finds_what_changed_and_what_is_gone(tiny: Tiny, work: Path, ask: Ask, cli: Cli) -> None:
    import json

    shutil.copytree(tiny.single_zoo.path, "zoo")
    assert ask("zoo", "verify", "zoo")["bad"] == []
    changed, gone = tiny.single_zoo.instances[:2]
    content = bytearray((work / "zoo" / changed.file).read_bytes())
    content[-1] ^= 1
    (work / "zoo" / changed.file).write_bytes(content)
    (work / "zoo" / gone.file).unlink()
    result = cli("zoo", "verify", "zoo")
    assert result.exit_code == 3
    states = {row.split("\t")[0]: row.split("\t")[2] for row in result.stdout.splitlines()[1:]}
    assert states == {i.id: "ok" for i in tiny.single_zoo.instances} | {changed.id: "changed", gone.id: "missing"}
    assert "5 of 7 files match the manifest." in result.stderr and "zoo/instances.jsonl" in result.stderr
    told = cli("zoo", "verify", "zoo", "--json")
    assert told.exit_code == 3 and json.loads(told.stdout)["bad"] == [changed.id, gone.id]


def test_verify_goes_on_after_a_file_that_cannot_be_read(
    tiny: Tiny, work: Path, ask: Ask, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tiny.single_zoo.instances[0]

    def read(path: Path) -> str:
        if path.name == Path(first.file).name:
            raise InputFileError(path, "permission denied.")
        return sha256_of(path)

    monkeypatch.setattr("netspace_cli.core.zoos.zoo.sha256_of", read)
    result = cli("zoo", "verify", tiny.single_zoo.path)
    assert result.exit_code == 3 and "6 of 7 files match the manifest." in result.stderr
    assert f"{first.id}\t{first.file}\tunreadable" in result.stdout


def test_verify_lists_what_is_as_it_should_be(tiny: Tiny, work: Path, cli: Cli, ask: Ask) -> None:
    result = cli("zoo", "verify", tiny.single_zoo.path)
    assert (result.exit_code, result.stderr) == (0, "7 of 7 files match the manifest.\n")
    assert result.stdout.splitlines()[0] == "id\tfile\tstate"
    assert result.stdout.splitlines()[1:] == [f"{i.id}\t{i.file}\tok" for i in tiny.single_zoo.instances]
    first = ask("zoo", "verify", tiny.single_zoo.path)["instances"][0]
    assert first == {"id": "lenetlike-0000", "file": tiny.single_zoo.instances[0].file, "state": "ok"}


def test_a_manifest_that_points_elsewhere_is_refused(tiny: Tiny, work: Path, cli: Cli) -> None:
    shutil.copytree(tiny.single_zoo.path, "zoo")
    manifest = Path("zoo/instances.jsonl")
    file = tiny.single_zoo.instances[0].file
    manifest.write_text(manifest.read_text().replace(file, "../../secret.safetensors"))
    for command in (["zoo", "verify", "zoo"], ["eval", "zoo", "--space", tiny.space.path, "--data", tiny.npz]):
        result = cli(*command, *(["--split", tiny.single_zoo.instances[0].split] if command[0] == "eval" else []))
        assert result.exit_code == 3 and "points outside the zoo: '../../secret.safetensors'" in result.stderr


def test_an_instance_is_exported_as_it_is(tiny: Tiny, work: Path, ask: Ask, refused: Refused) -> None:
    instance = tiny.zoo.instances[0]
    found = ask("zoo", "export", tiny.zoo.path, instance.id, "-o", "a.pt")
    assert (found["arch"], found["output"]) == (instance.arch, "a.pt")
    written, own = torch.load("a.pt", weights_only=True), load_file(tiny.zoo.file_of(instance))
    assert written.keys() == own.keys() and all(torch.equal(written[n], own[n]) for n in own)
    assert "exists already" in refused(2, "zoo", "export", tiny.zoo.path, instance.id, "-o", "a.pt")
    said = refused(2, "zoo", "export", tiny.zoo.path, "lenetlike-9999", "-o", "b.pt")
    assert said.endswith("has no instance 'lenetlike-9999'. It has 4 such ids, from lenetlike-0000 to lenetlike-0003.")


def test_export_says_what_it_wrote(tiny: Tiny, work: Path, cli: Cli) -> None:
    result = cli("zoo", "export", tiny.zoo.path, "resnet8-0001", "-o", "a.safetensors")
    assert (result.exit_code, result.stderr) == (0, "Wrote a.safetensors.\n")
    assert result.stdout.splitlines()[1].split("\t")[:2] == ["resnet8-0001", "resnet8"]


def test_an_aligned_zoo_is_told_of_and_not_made_twice(tiny: Tiny, work: Path, ask: Ask, rows: Rows, cli: Cli) -> None:
    jobs = ask("zoo", "align", tiny.zoo.path, "-o", "out", "--dry-run")["jobs"]
    assert [job["id"] for job in jobs] == [i.id for i in tiny.zoo.instances]
    assert list(work.iterdir()) == []
    table = rows("zoo", "align", tiny.zoo.path, "-o", "out", "--reference", "resnet8-0001")
    assert [row["arch"] for row in table] == ["lenetlike", "vanillacnn", "resnet8"]
    assert table[2]["reference"] == "resnet8-0001"
    assert all(float(row["after"]) < float(row["before"]) for row in table)
    before = Path("out/instances.jsonl").read_text()
    result = cli("zoo", "align", tiny.zoo.path, "-o", "out", "--reference", "resnet8-0001")
    assert result.exit_code == 0 and "instances: nothing to align" in result.stderr
    assert Path("out/instances.jsonl").read_text() == before
    document = ask("zoo", "align", tiny.zoo.path, "-o", "other", "--tries", 2)
    assert [set(row) for row in document["aligned"]] == [
        {"arch", "reference", "instances", "before", "after", "nearest_before", "nearest_after"}
    ] * 3


def test_a_reference_that_is_not_there_is_answered_with_the_nearest(tiny: Tiny, work: Path, refused: Refused) -> None:
    said = refused(2, "zoo", "align", tiny.zoo.path, "-o", "out", "--reference", "lenetlik-0001")
    assert "has no instance 'lenetlik-0001'. Did you mean lenetlike-0001?" in said
