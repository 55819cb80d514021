"""netspace decode."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from netspace_cli.core.networks.factories import fresh_module
from netspace_cli.core.networks.network import read_network
from tests.worlds import Ask, Cli, Refused, Tiny, space_file

# What somebody has who never heard of netspace: the class, and PyTorch.
PLAIN_PYTORCH = """
import json, sys
import torch
from torch import nn
from torch.nn.functional import leaky_relu

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, stride=2, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5, stride=2, padding=2)
        self.fc1 = nn.Linear(64, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 3)

    def forward(self, x):
        x = leaky_relu(self.conv2(leaky_relu(self.conv1(x)))).flatten(1)
        return self.fc3(leaky_relu(self.fc2(leaky_relu(self.fc1(x)))))

net = Net().eval()
net.load_state_dict(torch.load(sys.argv[1], weights_only=True), strict=True)
assert not any(name.startswith("netspace") for name in sys.modules)
with torch.no_grad():
    print(json.dumps(net(torch.linspace(-1, 1, 128).reshape(2, 1, 8, 8)).tolist()))
"""


def decoded(tiny: Tiny, path: Path, *options: object) -> list[object]:
    return ["decode", path, "--space", tiny.space.path, *options]


@pytest.mark.slow
def test_the_checkpoint_works_in_plain_pytorch(tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask) -> None:
    found = ask(*decoded(tiny, emb["lenetlike"], "-o", "a2.pt", "--data", tiny.npz))
    (network,) = found["networks"]
    assert (network["arch"], network["parameters"], network["path"]) == ("lenetlike", 20791, "a2.pt")
    assert 0 <= network["accuracy"] <= 1

    (work / "plain.py").write_text(PLAIN_PYTORCH)
    outside = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    run = subprocess.run([sys.executable, "plain.py", "a2.pt"], capture_output=True, text=True, env=outside, timeout=60)
    assert run.returncode == 0, run.stderr
    again = read_network(Path("a2.pt"), candidates=tiny.space.architectures)
    logits = again.architecture.run(again.weights, torch.linspace(-1, 1, 128).reshape(2, 1, 8, 8))
    torch.testing.assert_close(torch.tensor(json.loads(run.stdout)), logits, rtol=1e-4, atol=1e-5)


def test_batch_norms_are_written_back_or_with_fused_left_out(
    tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask
) -> None:
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    ask(*decoded(tiny, emb["resnet8"], "-o", "full.safetensors"))
    ask(*decoded(tiny, emb["resnet8"], "-o", "fused.safetensors", "--fused"))
    architecture = tiny.space.model.architecture("resnet8")
    full = fresh_module("resnet8", tiny.space.io).eval()
    full.load_state_dict(load_file("full.safetensors"), strict=True)
    assert load_file("full.safetensors").keys() == load_file(tiny.networks["resnet8"]).keys()
    architecture.fused.load_state_dict(load_file("fused.safetensors"), strict=True)
    assert not any("bn" in name or "running" in name for name in load_file("fused.safetensors"))
    with torch.no_grad():
        torch.testing.assert_close(full(images), architecture.fused(images), rtol=1e-4, atol=1e-4)


def test_the_layout_is_that_of_the_network_it_came_from(tiny: Tiny, work: Path, ask: Ask) -> None:
    network = read_network(tiny.networks["resnet8"], candidates=tiny.space.architectures)
    torch.save(network.architecture.to_state(network.weights, "fused"), "fused.pt")
    ask("encode", "fused.pt", "--space", tiny.space.path, "-o", "a.emb")
    ask(*decoded(tiny, Path("a.emb"), "-o", "again.pt"))
    assert torch.load("again.pt", weights_only=True).keys() == torch.load("fused.pt", weights_only=True).keys()


def test_the_file_names_its_space(tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask) -> None:
    ask(*decoded(tiny, emb["lenetlike"], "-o", "a.safetensors"))
    with safe_open("a.safetensors", "pt") as file:
        assert file.metadata()["netspace.space_sha256"] == tiny.space.sha256
        assert file.metadata()["netspace.arch"] == "lenetlike"


def test_several_go_into_a_folder(tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask, refused: Refused) -> None:
    found = ask(*decoded(tiny, emb["both"], "-o", "out"))
    names = [f"out/{tiny.networks[a].stem}.pt" for a in ("lenetlike", "resnet8")]
    assert [n["path"] for n in found["networks"]] == names
    assert sorted(str(p) for p in Path("out").iterdir()) == names
    for name, arch in zip(names, ("lenetlike", "resnet8"), strict=True):
        assert read_network(Path(name), candidates=tiny.space.architectures).architecture.name == arch
    assert "exists already" in refused(2, *decoded(tiny, emb["both"], "-o", "out"))
    said = refused(2, *decoded(tiny, emb["both"], "-o", "both.pt"))
    assert "2 embeddings" in said and "Name a directory" in said


def test_networks_of_one_name_get_files_of_their_own(tiny: Tiny, work: Path, ask: Ask) -> None:
    path = tiny.networks["lenetlike"]
    ask("encode", path, path, "--space", tiny.space.path, "-o", "twice.emb")
    found = ask(*decoded(tiny, Path("twice.emb"), "-o", "out"))
    paths = [n["path"] for n in found["networks"]]
    assert len(set(paths)) == 2 and all(Path(p).is_file() for p in paths)


def test_a_dry_run_makes_neither_file_nor_folder(tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask) -> None:
    assert ask(*decoded(tiny, emb["both"], "-o", "out", "--dry-run"))["dry_run"] is True
    ask(*decoded(tiny, emb["lenetlike"], "-o", "a.pt", "--dry-run"))
    assert list(work.iterdir()) == []


def test_the_same_command_gives_the_same_bytes(tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask) -> None:
    for suffix in (".pt", ".safetensors"):
        for name in ("a", "b"):
            ask(*decoded(tiny, emb["resnet8"], "-o", f"{name}{suffix}"))
        assert Path(f"a{suffix}").read_bytes() == Path(f"b{suffix}").read_bytes()


def test_another_architecture_can_be_asked_for(tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask) -> None:
    (network,) = ask(*decoded(tiny, emb["lenetlike"], "-o", "a.pt", "--arch", "vanillacnn"))["networks"]
    assert network["arch"] == "vanillacnn"
    assert read_network(Path("a.pt"), candidates=tiny.space.architectures).architecture.name == "vanillacnn"


def test_the_architecture_is_said_once(tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused) -> None:
    told = refused(2, *decoded(tiny, emb["resnet8"], "-o", "x.pt", "--arch", "resnet8", "--recognised"))
    assert "--arch and --recognised" in told


def test_an_architecture_that_the_space_lacks_is_refused(
    tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused
) -> None:
    said = refused(3, *decoded(tiny, emb["lenetlike"], "-o", "a.pt", "--arch", "resnet56"))
    assert "no resnet56" in said and "lenetlike, vanillacnn, resnet8" in said
    assert "no resnet56" in refused(3, *decoded(tiny, emb["lenetlike"], "-o", "out", "--arch", "resnet56"))


def test_an_embedding_of_another_space_is_refused_with_both(
    tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused
) -> None:
    said = refused(3, *decoded(tiny, emb["other"], "-o", "a.pt"))
    assert tiny.space.sha256[:12] in said and tiny.single_space.sha256[:12] in said and "--space" in said


def test_the_space_is_not_overwritten_even_with_force(
    tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused
) -> None:
    shutil.copy(space_file(tiny.space), "space.safetensors")
    options = ["decode", emb["lenetlike"], "--space", "space.safetensors", "-o", "space.safetensors", "--force"]
    assert "is an input" in refused(2, *options)


def test_an_output_in_the_way_is_refused(tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused) -> None:
    Path("taken").write_text("a file")
    for output, expected in (("taken", "taken"), ("taken/out", "taken"), ("none/a.pt", "none"), ("a.txt", ".txt")):
        assert expected in refused(2, *decoded(tiny, emb["lenetlike"], "-o", output))


def test_without_images_the_accuracy_is_left_out(tiny: Tiny, emb: dict[str, Path], work: Path, cli: Cli) -> None:
    result = cli(*decoded(tiny, emb["lenetlike"], "-o", "a.pt"))
    assert result.exit_code == 0 and "No accuracy" in result.stderr and "Wrote a.pt." in result.stderr


@pytest.mark.parametrize("content", ["checkpoint", "text", "picture"])
def test_what_is_no_embedding_is_refused(tiny: Tiny, work: Path, refused: Refused, content: str) -> None:
    if content == "checkpoint":
        shutil.copy(tiny.networks["lenetlike"], "a.emb")
        assert "not an embedding" in refused(3, *decoded(tiny, Path("a.emb"), "-o", "a.pt"))
    else:
        Path("a.emb").write_bytes(b"hello there, all of you" if content == "text" else b"\x89PNG\r\n\x1a\n" + bytes(99))
        assert "a.emb" in refused(3, *decoded(tiny, Path("a.emb"), "-o", "a.pt"))


@pytest.fixture
def member_emb(tiny: Tiny, starting: Path, work: Path, ask: Ask) -> Path:
    ask("encode", tiny.networks["lenetlike"], "--space", starting, "-o", "a.emb", "--refine", "0")
    return work / "a.emb"


def test_members_go_into_a_folder_each_with_its_start(
    tiny: Tiny, starting: Path, member_emb: Path, ask: Ask, cli: Cli
) -> None:
    shown = ["decode", member_emb, "--space", starting, "--members", "3", "-o", "out", "--data", tiny.npz]
    found = ask(*shown)
    stem = tiny.networks["lenetlike"].stem
    assert [(n["path"], n["start"]) for n in found["networks"]] == [(f"out/{stem}-start-{k}.pt", k) for k in range(3)]
    (together,) = found["ensembles"]
    assert together["members"] == 3 and together["source"] == str(tiny.networks["lenetlike"])
    images, labels = tiny.data.batch("test", slice(None))
    architecture = tiny.space.model.architecture("lenetlike")
    networks = [read_network(Path(n["path"]), candidates=[architecture]) for n in found["networks"]]
    logits = [architecture.run(n.weights, images) for n in networks]
    accuracies = [(each.argmax(1) == labels).double().mean().item() for each in logits]
    assert [n["accuracy"] for n in found["networks"]] == pytest.approx(accuracies)
    mean = torch.stack([each.softmax(1) for each in logits]).mean(0)
    assert together["accuracy"] == pytest.approx((mean.argmax(1) == labels).double().mean().item())
    agree = [(logits[i].argmax(1) == logits[j].argmax(1)).double().mean() for i, j in ((0, 1), (0, 2), (1, 2))]
    assert together["agreement"] == pytest.approx(float(sum(agree) / 3))
    table = cli(*shown, "--force").stdout
    assert "parameters\tstart\taccuracy" in table and "embedding of\tmembers\taccuracy\tagreement" in table


def test_one_start_can_be_asked_for(tiny: Tiny, starting: Path, member_emb: Path, work: Path, ask: Ask) -> None:
    ask("decode", member_emb, "--space", starting, "--members", "3", "-o", "out")
    found = ask("decode", member_emb, "--space", starting, "--start", "2", "-o", "a.safetensors")
    assert "ensembles" not in found and "start" not in found["networks"][0]
    one, two = load_file("a.safetensors"), torch.load(next(Path("out").glob("*start-2.pt")), weights_only=True)
    assert all(torch.equal(one[name], two[name]) for name in one)
    with safe_open("a.safetensors", "pt") as file:
        assert file.metadata()["netspace.start"] == "2"


def test_without_images_members_have_no_accuracy(
    tiny: Tiny, starting: Path, member_emb: Path, ask: Ask, cli: Cli
) -> None:
    shown = ["decode", member_emb, "--space", starting, "--members", "2", "-o", "out", "--dry-run"]
    found = ask(*shown)
    assert found["ensembles"] == [{"source": str(tiny.networks["lenetlike"]), "members": 2}]
    assert all("accuracy" not in n for n in found["networks"]) and not Path("out").exists()
    assert "embedding of" not in cli(*shown).stdout


def test_members_and_starts_beyond_the_space_s_are_refused(
    tiny: Tiny, starting: Path, member_emb: Path, emb: dict[str, Path], ask: Ask, refused: Refused
) -> None:
    assert ask("inspect", starting)["starts"] == 3 and "starts" not in ask("inspect", space_file(tiny.single_space))
    options = ["decode", member_emb, "--space", starting, "-o", "out"]
    said = refused(2, *options, "--members", "10")
    assert "decodes to 3 lenetlike networks" in said and "10 were asked for" in said and "--members 3" in said
    assert "there is no start 3" in refused(2, *options, "--start", "3")
    assert "--members 2" in refused(2, *options, "--start", "1", "--members", "2")
    assert "3 networks of an embedding cannot go into one" in refused(2, *options[:-1], "a.pt", "--members", "3")
    assert "one starting point" in refused(2, *decoded(tiny, emb["lenetlike"], "-o", "a.pt", "--start", "1"))
