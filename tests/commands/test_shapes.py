"""Commands on networks that are shapes, and shapes and classifiers in each other's place."""

from __future__ import annotations

import csv
from collections.abc import Callable
from math import pi
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from click.testing import CliRunner
from netspace_models.architectures import FieldIO, ImageIO, build
from PIL import Image
from safetensors.torch import load_file

from netspace_cli.cli import cli as netspace
from netspace_cli.core.data.points import field_data
from netspace_cli.core.networks.factories import fresh_module
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.requests.shape_objective import read_shape_objective
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.shapes import grids, meshes, path_solids
from netspace_cli.core.shapes import solids as surface
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.training.loop import train
from netspace_cli.core.zoos.zoo import open_zoo
from tests.worlds import Ask, Cli, ReadTree, Refused, Rows, Solids, Tiny

QUICK = ("--arch", "siren-8x1", "--steps", 3, "--points", 16)


def ball(path: Path, radius: float) -> Path:
    """A network of three sines that is nearly |x|² - radius²: cosines of a tenth of each coordinate."""
    state = {
        "layers.0.weight": torch.eye(3) / 300,
        "layers.0.bias": torch.full((3,), pi / 60),
        "layers.1.weight": torch.full((1, 3), -200.0),
        "layers.1.bias": torch.tensor([600 - radius * abs(radius)]),
    }
    torch.save(state, path)
    return path


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer points and voxels of each grid than usual, in a tenth of the time."""
    for name, value in (("SAMPLES", 1024), ("HELD_OUT", 128), ("FINEST", 16)):
        monkeypatch.setattr(grids, name, value)


@pytest.fixture(scope="module")
def codes(solids: Solids, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Embedding files of the test instances: "one" of them, and "both"."""
    folder = tmp_path_factory.mktemp("codes")
    for name, networks in (("one", solids.networks[:1]), ("both", solids.networks)):
        command = ["encode", *networks, "--space", solids.space.path, "-o", folder / f"{name}.emb", "--refine", 0]
        result = CliRunner().invoke(netspace, [str(each) for each in command])
        assert result.exit_code == 0, result.output
    return {name: folder / f"{name}.emb" for name in ("one", "both")}


@pytest.fixture
def lenet(work: Path) -> Path:
    """A classifier's checkpoint in the current directory."""
    torch.save(fresh_module("lenetlike", ImageIO(1, 16, 10)).state_dict(), "lenet.pt")
    return Path("lenet.pt")


def in_space(solids: Solids, *command: object) -> list[object]:
    return [*command, "--space", solids.space.path]


# zoo fit


def test_a_zoo_is_fitted_and_shown(solids: Solids, work: Path, few: None, ask: Ask, rows: Rows, cli: Cli) -> None:
    found = ask("zoo", "fit", solids.grids, "-o", "zoo", *QUICK, "--counts", "2/1/1", "--licence", "MIT")
    zoo = open_zoo(Path("zoo"))
    assert [i["id"] for i in found["instances"]] == [i.id for i in zoo.instances]
    assert sorted(i["split"] for i in found["instances"]) == ["test", "train", "train", "val"]
    for told, kept in zip(found["instances"], zoo.instances, strict=True):
        assert (told["within"], told["error"]) == (kept.accuracy["test"], kept.training["error"])
        assert kept.licence == "MIT" and kept.arch == "siren-8x1"
    assert found["report"]["counted"]["instances"] == 4
    shown = [(row["id"], row["within .01"], row["error"]) for row in rows("zoo", "show", "zoo")]
    assert shown == [(i["id"], f"{i['within']:.4g}", f"{i['error']:.4g}") for i in found["instances"]]
    assert "4 of 4 files match the manifest" in cli("zoo", "verify", "zoo").stderr


def test_a_dry_run_says_what_would_be_fitted_and_makes_nothing(
    solids: Solids, work: Path, few: None, ask: Ask, cli: Cli
) -> None:
    command = ["zoo", "fit", solids.grids, "-o", "zoo", *QUICK, "--counts", "2/1/0"]
    planned = ask(*command, "--dry-run")
    assert list(work.iterdir()) == []
    assert {job["kind"] for job in planned["jobs"]} == {"grid"}
    made = ask(*command)["instances"]
    assert [(j["id"], j["split"]) for j in planned["jobs"]] == [(i["id"], i["split"]) for i in made]
    assert ask(*command, "--dry-run")["jobs"] == []
    assert "instances: nothing to fit" in cli(*command).stderr


def test_the_same_command_goes_on_where_it_was_stopped(
    solids: Solids, work: Path, few: None, ask: Ask, tree: ReadTree
) -> None:
    for name in ("whole", "cut"):
        ask("zoo", "fit", solids.grids, "-o", name, *QUICK, "--counts", "3/0/1", "--together", 2)
    whole = tree(work / "whole")
    manifest = work / "cut" / "instances.jsonl"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(lines[:2]))
    lost = open_zoo(work / "whole").instances[3].file
    (work / "cut" / lost).unlink()
    ask("zoo", "fit", solids.grids, "-o", "cut", *QUICK, "--counts", "3/0/1", "--together", 2)
    assert tree(work / "cut") == whole


@pytest.mark.parametrize(
    ("code", "options", "words"),
    [
        (2, ["--counts", "9/0/0"], "9 instances were asked for and there are 8 shapes. Give counts that fit"),
        (2, ["--counts", "0/0/0"], "has no instances"),
        (2, ["--steps", 0], "0 is not in the range x>=1"),
        (2, ["--lr", 0], "0.0 is not in the range x>0"),
        (2, ["--device", "cuda:99"], "cuda:99 was asked for"),
        (2, ["--precision", "fp16"], "fp16"),
        (3, ["--arch", "lenetlike"], "lenetlike is for images, not for points of 3 coordinates, 1 value. For points"),
        (3, ["--arch", "siren-8"], "unknown architecture 'siren-8'. Did you mean siren"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    solids: Solids, work: Path, refused: Refused, code: int, options: list[object], words: str
) -> None:
    assert words in refused(code, "zoo", "fit", solids.grids, "-o", "zoo", *QUICK, *options)


def test_other_settings_than_a_zoo_was_begun_with_are_refused(
    solids: Solids, work: Path, few: None, ask: Ask, refused: Refused
) -> None:
    command = ["zoo", "fit", solids.grids, "-o", "zoo", *QUICK, "--counts", "1/0/0"]
    ask(*command)
    for more in (("--steps", 4), ("--shared-init",), ("--arch", "siren-8x2")):
        said = refused(2, *command, *more)
        assert "already, fitted otherwise: " in said and "choose another folder" in said
    said = refused(2, *command, "--seed", 3)  # it draws the same shape
    assert "already, fitted otherwise: seed (7, now 10)." in said
    Path("file").write_text("taken")
    assert "file is not a folder" in refused(2, *command[:4], "file", *command[5:])


def test_a_loss_that_runs_away_fails_the_run(solids: Solids, work: Path, few: None, cli: Cli) -> None:
    result = cli("zoo", "fit", solids.grids, "-o", "zoo", *QUICK, "--counts", "1/0/0", "--lr", "1e30")
    assert result.exit_code == 1
    assert "error: the loss is not finite at step 2 of 3.\nhint: Lower --lr.\n" in result.stderr
    assert open_zoo(Path("zoo")).instances == ()


def box(path: str, *, without: int = 0, side: float = 1.0) -> Path:
    mesh = trimesh.creation.box((side,) * 3)
    mesh.update_faces(np.arange(12) >= without)
    mesh.export(path)
    return Path(path)


def test_open_meshes_are_repaired_on_request(work: Path, ask: Ask, refused: Refused) -> None:
    command = ["zoo", "fit", box("open.ply", without=2), "-o", "zoo", *QUICK, "--counts", "1/0/0", "--dry-run"]
    assert "4 edges belong to one face only" in (said := refused(3, *command)) and "let --repair fill" in said
    assert ask(*command, "--repair")["jobs"] == [{"id": "open", "split": "train", "kind": "mesh"}]


def test_meshes_as_they_are_must_lie_in_the_box(work: Path, ask: Ask, refused: Refused) -> None:
    command = ["zoo", "fit", box("big.ply", side=2.4), "-o", "zoo", *QUICK, "--counts", "1/0/0", "--dry-run"]
    said = refused(3, *command, "--as-is")
    assert "it reaches 1.2 from the centre. Scale it to fit, or leave out --as-is." in said
    assert ask(*command)["jobs"]


def test_a_mesh_that_is_read_otherwise_than_before_is_refused(
    work: Path, few: None, ask: Ask, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SAMPLES", "HELD_OUT"):
        monkeypatch.setattr(meshes, name, 64)
    command = ["zoo", "fit", box("box.ply"), "-o", "zoo", *QUICK, "--counts", "1/0/0"]
    ask(*command)
    for option, words in (("--as-is", "scale (True, now False)"), ("--repair", "repair (False, now True)")):
        said = refused(2, *command, option)
        assert f"zoo has box already, fitted otherwise: {words}." in said and "choose another folder" in said
    box("box.ply", side=0.5)
    assert "already, fitted otherwise: sha256 ('" in refused(2, *command)


def test_inside_out_meshes_are_turned_on_request(work: Path, ask: Ask, refused: Refused) -> None:
    mesh = trimesh.creation.box((1, 1, 1))
    mesh.invert()
    mesh.export("box.ply")
    command = ["zoo", "fit", "box.ply", "-o", "zoo", *QUICK, "--counts", "1/0/0", "--dry-run"]
    said = refused(3, *command)
    assert "point inwards, or in different directions" in said and "let --repair do it" in said
    assert ask(*command, "--repair")["jobs"] == [{"id": "box", "split": "train", "kind": "mesh"}]


def full_of_nothing(folder: Path) -> None:
    np.savez(folder / "a.npz", pos=np.full((1500, 4), 0.5), neg=np.full((1500, 4), 0.5))


def empty_grid(folder: Path) -> None:
    np.savez(folder / "b.npz", occupancy=np.zeros((4, 4, 4)))


def two_of_a_name(folder: Path) -> None:
    for below in ("one", "two"):
        (folder / below).mkdir()
        np.savez(folder / below / "chair.npz", occupancy=np.ones((4, 4, 4)))


def too_few(folder: Path) -> None:
    np.savez(folder / "s.npz", pos=np.zeros((9, 4)), neg=np.zeros((9, 4)))


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (lambda folder: None, 2, "in holds no shapes. Give files of .npz"),
        (full_of_nothing, 3, "a: every sample is outside: there is no surface. Leave it out."),
        (empty_grid, 3, "b: the grid is empty: there is no surface. Leave it out."),
        (two_of_a_name, 2, "two shapes are called 'chair': in/one/chair.npz and in/two/chair.npz."),
        (too_few, 3, "s: 18 samples are too few. Give 1000 or more."),
    ],
)
def test_folders_of_shapes_that_are_none_are_refused(
    work: Path, refused: Refused, make: Callable[[Path], None], code: int, words: str
) -> None:
    Path("in").mkdir()
    make(Path("in"))
    assert words in refused(code, "zoo", "fit", "in", "-o", "zoo", *QUICK)


@pytest.mark.slow
def test_a_shape_that_is_refused_once_it_is_read_leaves_no_folder(work: Path, refused: Refused) -> None:
    box("tight.ply", side=1.99)  # what a look at its bounds does not tell
    said = refused(3, "zoo", "fit", "tight.ply", "-o", "zoo", *QUICK, "--counts", "1/0/0", "--as-is")
    assert "tight: the box cuts its surface" in said


def test_what_is_not_there_is_refused(work: Path, refused: Refused) -> None:
    assert "no such file or folder: none.ply" in refused(2, "zoo", "fit", "none.ply", "-o", "zoo", *QUICK)
    Path("notes.txt").write_text("no shape")
    assert "notes.txt: .txt is not a known kind of shape" in refused(2, "zoo", "fit", "notes.txt", "-o", "zoo", *QUICK)


def test_pictures_are_fitted_and_have_no_surface(work: Path, ask: Ask, refused: Refused) -> None:
    Path("in").mkdir()
    for i in range(2):
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * (i + 1)).save(f"in/p{i}.png")
    found = ask("zoo", "fit", "in", "-o", "zoo", *QUICK, "--counts", "1/1/0")
    assert {i["id"] for i in found["instances"]} == {"p0", "p1"}
    zoo = open_zoo(Path("zoo"))
    assert (zoo.io, zoo.data["values"]) == (FieldIO(2, 1), "colours")
    said = refused(2, "mesh", zoo.file_of(zoo.instances[0]), "-o", "p.ply")
    assert "p.ply: a network that is a picture has no surface; it is drawn as .png, .svg, .pdf." in said
    files = [zoo.file_of(i) for i in zoo.instances]
    said = refused(2, "mesh", files[0], ball(Path("ball.pt"), 0.5), "-o", "both.png")
    assert "p0.safetensors is for points of 2 coordinates, 1 value, so it has no surface." in said
    found = ask("mesh", files[0], "-o", "p.png", "--resolution", 20)
    with Image.open("p.png") as picture:
        assert (picture.size, picture.mode) == ((20, 20), "L")
    (told,) = found["networks"]
    assert told["channels"] == 1 and 0 < told["brightness"] < 1 and found["resolution"] == 20
    assert ask("mesh", *files, "-o", "row.png")["resolution"] == 128
    with Image.open("row.png") as picture:
        assert picture.size[0] > 1.5 * picture.size[1]
    np.savez("in/g.npz", occupancy=np.eye(4)[:, None] * np.ones((4, 4, 4)))
    assert "in holds several kinds of fields" in refused(2, "zoo", "fit", "in", "-o", "zoo2", *QUICK)


# mesh


@pytest.mark.parametrize("suffix", [".ply", ".obj"])
def test_the_mesh_of_a_ball_is_a_ball(work: Path, ask: Ask, suffix: str) -> None:
    found = ask("mesh", ball(Path("ball.pt"), 0.5), "-o", f"ball{suffix}", "--resolution", 24)
    mesh = trimesh.load_mesh(f"ball{suffix}")
    assert isinstance(mesh, trimesh.Trimesh)
    assert mesh.is_watertight and mesh.volume == pytest.approx(4 / 3 * pi / 8, rel=0.03)
    assert mesh.bounds == pytest.approx(np.array([[-0.5] * 3, [0.5] * 3]), abs=0.01)
    (network,) = found["networks"]
    assert (network["path"], network["pieces"], network["faces"]) == ("ball.pt", 1, len(mesh.faces))
    assert network["volume"] == pytest.approx(pi / 48, rel=0.05)
    assert found["resolution"] == 24


def test_shapes_are_drawn_in_a_row_and_one_without_a_surface_keeps_its_place(work: Path, cli: Cli, ask: Ask) -> None:
    networks = [ball(Path("ball.pt"), 0.5), ball(Path("none.pt"), -0.5)]
    result = cli("mesh", *networks, "-o", "row.png", "--resolution", 8)
    assert result.exit_code == 0
    assert "none.pt: no surface: all of the box is outside; its place in the picture says so." in result.stderr
    with Image.open("row.png") as picture:
        wide = picture.size
    ask("mesh", networks[0], "-o", "one.png", "--resolution", 8)
    with Image.open("one.png") as picture:
        assert wide == (2 * picture.size[0], picture.size[1])
    found = ask("mesh", *networks, "-o", "row.png", "--resolution", 8, "--force")["networks"]
    assert [n["faces"] > 0 for n in found] == [True, False] and found[1]["volume"] == 0


def test_a_solid_that_the_box_cuts_is_said_to_be_closed_there(work: Path, cli: Cli) -> None:
    result = cli("mesh", ball(Path("big.pt"), 1.2), ball(Path("ball.pt"), 0.5), "-o", "row.png", "--resolution", 8)
    said = [line for line in result.stderr.splitlines() if "reaches the side of the box" in line]
    assert said == ["big.pt: the solid reaches the side of the box, and is closed there."]


def test_a_mesh_of_no_surface_fails_and_writes_nothing(work: Path, refused: Refused) -> None:
    said = refused(1, "mesh", ball(Path("none.pt"), -0.5), "-o", "none.ply", "--resolution", 8)
    assert "none.pt: no surface: all of the box is outside." in said
    said = refused(1, "mesh", ball(Path("all.pt"), 3.0), "-o", "all.ply", "--resolution", 8)
    assert "all.pt: no surface: all of the box is inside." in said


def test_a_grid_that_memory_does_not_hold_is_refused_with_how_many_points_fit(
    work: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netspace_cli.core.data.points.memory_of", lambda device: 6 * 2**30)
    said = refused(2, "mesh", ball(Path("ball.pt"), 0.5), "-o", "ball.ply", "--resolution", 600)
    assert "600 points along each axis take 5 GiB; this machine has 6. Ask for 512 at most" in said
    torch.save(build("siren-3x1", FieldIO(2, 1)).module.state_dict(), "picture.pt")
    said = refused(2, "mesh", "picture.pt", "-o", "picture.png", "--resolution", 60_000)
    assert "60000 points along each axis take 80 GiB; this machine has 6. Ask for 11585 at most" in said


def test_meshes_that_cannot_be_written_are_refused(work: Path, solids: Solids, refused: Refused) -> None:
    one, two = ball(Path("one.pt"), 0.5), ball(Path("two.pt"), 0.4)
    assert "a mesh file holds one shape; these are 2" in refused(2, "mesh", one, two, "-o", "both.ply")
    assert "a surface is written as .ply" in refused(2, "mesh", one, "-o", "one.gif")
    assert "3 is not in the range x>=4" in refused(2, "mesh", one, "-o", "one.ply", "--resolution", 3)
    assert "there is no folder" in refused(2, "mesh", one, "-o", "none/one.ply")
    assert "none.pt" in refused(2, "mesh", "none.pt", "-o", "one.ply")
    Path("one.ply").write_text("mine")
    assert "one.ply exists already" in refused(2, "mesh", one, "-o", "one.ply")


def test_the_architecture_of_a_bare_checkpoint_may_be_named(
    work: Path, solids: Solids, ask: Ask, refused: Refused
) -> None:
    torch.save(load_file(solids.networks[0]), "bare.pt")
    (named,) = ask("mesh", "bare.pt", "--arch", "siren-16x2", "-o", "a.ply", "--resolution", 8)["networks"]
    (recognised,) = ask("mesh", "bare.pt", "-o", "b.ply", "--resolution", 8)["networks"]
    assert named == recognised and Path("a.ply").read_bytes() == Path("b.ply").read_bytes()
    assert "It is not a siren-8x2" in refused(3, "mesh", "bare.pt", "--arch", "siren-8x2", "-o", "c.ply")
    said = refused(3, "mesh", "bare.pt", "--arch", "siren-9999x99", "-o", "c.ply")
    assert "siren-9999x99 would have more than 9,798,040,098 parameters; the limit is 50,000,000." in said


def test_embeddings_are_decoded_and_drawn(work: Path, solids: Solids, codes: dict[str, Path], ask: Ask) -> None:
    found = ask(*in_space(solids, "mesh", codes["both"], solids.networks[0]), "-o", "a.png", "--resolution", 8)
    names = [str(codes["both"]) + ":0", str(codes["both"]) + ":1", str(solids.networks[0])]
    assert [n["path"] for n in found["networks"]] == names
    ask(*in_space(solids, "decode", codes["both"]), "-o", "decoded")
    decoded = sorted(Path("decoded").iterdir())
    again = ask("mesh", *decoded, "-o", "b.png", "--resolution", 8)["networks"]
    assert [n["volume"] for n in again] == [n["volume"] for n in found["networks"][:2]]


def test_embeddings_have_no_surface_without_their_space(
    work: Path, solids: Solids, codes: dict[str, Path], refused: Refused
) -> None:
    assert "a mesh file holds one shape; these are 2" in refused(
        2, *in_space(solids, "mesh", codes["both"]), "-o", "a.ply"
    )
    said = refused(3, "mesh", codes["one"], "-o", "a.png")
    assert "no built-in space" in said and "'solids'" in said


def test_a_classifier_has_no_surface(lenet: Path, refused: Refused) -> None:
    said = refused(2, "mesh", lenet, "-o", "lenet.ply")
    assert "lenet.pt is for 1x16x16, 10 classes, so it has no surface." in said and "a network that is a shape" in said


# encode, decode, eval


def test_networks_that_are_encoded_in_vain_are_told_of(solids: Solids, work: Path, cli: Cli, ask: Ask) -> None:
    module = solids.space.architectures[0].module.state_dict()
    for name, last in (("empty.pt", 100.0), ("full.pt", -100.0)):
        torch.save({**module, "layers.2.bias": torch.tensor([last])}, name)
    command = in_space(solids, "encode", "empty.pt", "full.pt", solids.networks[0], "--refine", 0)
    said = cli(*command, "-o", "a.emb").stderr
    assert "empty.pt: the whole box is outside: this network has no surface, so its embedding is of no use." in said
    assert "full.pt: the whole box is inside: this network has no surface" in said
    found = ask(*command, "-o", "b.emb")["networks"]
    assert [n["inside"] for n in found[:2]] == [0, 1] and found[2]["iou"] < 0.5
    assert f"decodes to a different shape (IoU {found[2]['iou']:.2f})" in said


def test_options_for_checkpoints_have_no_part_in_a_mesh_of_embeddings(
    solids: Solids, work: Path, codes: dict[str, Path], cli: Cli
) -> None:
    command = in_space(
        solids, "mesh", codes["one"], "-o", "a.png", "--resolution", 8, "--key", "net", "--arch", "siren"
    )
    assert "Ignored --arch, --key: for checkpoints only; embeddings are used as they are." in cli(*command).stderr


def test_shapes_are_encoded_scored_and_decoded(solids: Solids, work: Path, ask: Ask, rows: Rows) -> None:
    found = ask(*in_space(solids, "encode", *solids.networks), "-o", "two.emb")
    assert found["data"]["io"] == {"dimensions": 3, "values": 1}
    for row in found["networks"]:
        assert (row["arch"], row["refine_steps"], row["predicted_arch"]) == ("siren-16x2", 3, "siren-16x2")
        assert 0 <= row["within"] <= 1 and 0 <= row["iou"] <= 1 and row["error"] > 0
    decoded = ask(*in_space(solids, "decode", "two.emb"), "-o", "two")["networks"]
    for row, network in zip(decoded, solids.networks, strict=True):
        module = build("siren-16x2", FieldIO(3, 1)).module
        module.load_state_dict(torch.load(row["path"], weights_only=True), strict=True)
        assert Path(row["path"]).stem == network.stem and "accuracy" not in row
    piped = rows(*in_space(solids, "encode", *solids.networks), "-o", "two.emb", "--force")
    assert [float(r["error"]) for r in piped] == pytest.approx([n["error"] for n in found["networks"]], rel=1e-2)
    assert {"within .01", "IoU"} <= set(piped[0]) and "agreement" not in piped[0]


def test_a_dry_run_of_encoding_writes_nothing(solids: Solids, work: Path, ask: Ask, rows: Rows) -> None:
    found = ask(*in_space(solids, "encode", solids.networks[0]), "-o", "one.emb", "--dry-run", "--refine", 7)
    assert (found["dry_run"], found["networks"][0]["refine_steps"]) == (True, 7)
    assert "within" not in found["networks"][0] and list(work.iterdir()) == []
    (planned,) = rows(*in_space(solids, "encode", solids.networks[0]), "-o", "one.emb", "--dry-run")
    columns = ["network", "arch", "parameters", "embedding", "refined", "within .01", "IoU", "error"]
    assert list(planned) == columns and planned["within .01"] == planned["IoU"] == planned["error"]
    (made,) = rows(*in_space(solids, "encode", solids.networks[0]), "-o", "one.emb")
    assert list(made) == columns and made["error"] != planned["error"]


def test_a_zoo_is_evaluated_both_ways(solids: Solids, work: Path, ask: Ask, rows: Rows) -> None:
    command = in_space(solids, "eval", solids.zoo.path)
    found = ask(*command)
    assert [i["id"] for i in found["instances"]] == [i.id for i in solids.zoo.select(split="test")]
    assert (found["refine_steps"], found["refined"]["refine_steps"]) == (0, 3)
    for numbers in (found, found["refined"]):
        for name in ("within", "iou", "error", "nearest_iou"):
            mean = sum(i[name] for i in numbers["instances"]) / 2
            assert numbers["summary"][name] == pytest.approx(mean)
    assert found["summary"]["seen"] == 0 and ask(*command, "--split", "train", "--refine", 0)["summary"]["seen"] == 5
    planned = ask(*command, "--dry-run")
    assert (planned["counts"], planned["runs"]) == ({"siren-16x2": 2}, {"encoded": 0, "refined": 3})


PICTURES = """
[space]
name = "pictures"
[backbone]
kind = "tokens"
embedding_size = 16
latents = 2
chunk = 16
width = 8
heads = 1
read = "answers"
probes = 4
[train]
steps = 2
instances = 1
images = 16
validate_every = 2
warmup = 1
[refine]
steps = 1
images = 16
"""


def test_spaces_of_pictures_have_no_overlaps(work: Path, ask: Ask, rows: Rows, refused: Refused) -> None:
    Path("in").mkdir()
    for i in range(3):
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * (i + 1)).save(f"in/p{i}.png")
    ask("zoo", "fit", "in", "-o", "zoo", *QUICK, "--counts", "1/1/1")
    Path("pictures.toml").write_text(PICTURES)
    ask("train", "zoo", "--recipe", "pictures.toml", "-o", "pictures.safetensors")
    (network,) = [i.file for i in open_zoo(Path("zoo")).select(split="test")]
    command = ["encode", Path("zoo") / network, "--space", "pictures.safetensors", "-o", "p.emb"]
    (row,) = ask(*command)["networks"]
    assert row["iou"] is None and row["error"] > 0
    found = ask("eval", "zoo", "--space", "pictures.safetensors")
    for numbers in (found, found["refined"]):
        (instance,) = numbers["instances"]
        for told in (instance, numbers["summary"]):
            assert (told["iou"], told["nearest_iou"]) == (None, None) and told["error"] > 0
    ends = [Path("zoo") / i.file for i in open_zoo(Path("zoo")).instances[:2]]
    command = ["interp", *ends, "--space", "pictures.safetensors", "--steps", 2]
    found = ask(*command, "--weights", "--plot", "row.png", "--csv", "row.csv")
    assert ["change" in step for step in found["steps"]] == [False, True, True]
    assert all("change" in step for step in (*found["weight_steps"][1:], *found["aligned_weight_steps"][1:]))
    told = rows(*command)
    assert list(told[0]) == ["path", "step", "gamma", "arch", "change from the step before"]
    with open("row.csv", newline="") as file:
        assert "weights_change" in (csv.DictReader(file).fieldnames or ())
    with Image.open("row.png") as picture:
        assert picture.size[0] == pytest.approx(picture.size[1], rel=0.2), "three rows of three"
    assert "only paths between shapes can be bent" in refused(2, *command, "--bend")
    assert ask("mesh", "p.emb", "--space", "pictures.safetensors", "-o", "p.png")["networks"][0]["channels"] == 1
    np.save("scan.npy", np.zeros((30, 3)))
    said = refused(2, "lso", "p.emb", "--space", "pictures.safetensors", "--towards", "scan.npy")
    assert "scan.npy: networks for points of 2 coordinates, 1 value cannot become what .npy files hold." in said
    found = ask("lso", "p.emb", "--space", "pictures.safetensors", "--towards", "in/p0.png", "--steps", 2)
    assert found["towards"] == "in/p0.png" and found["optimized"]["loss"] > 0


def test_of_shapes_no_accuracies_can_be_drawn(solids: Solids, work: Path, refused: Refused) -> None:
    said = refused(2, *in_space(solids, "eval", solids.zoo.path), "--plot", "a.png")
    assert "--plot draws accuracies, which neural fields do not have." in said


@pytest.mark.parametrize("command", ["encode", "decode", "eval", "interp"])
def test_points_are_always_at_hand_and_images_are_refused(
    solids: Solids, work: Path, codes: dict[str, Path], refused: Refused, command: str
) -> None:
    one = solids.networks[0]
    arguments: dict[str, list[object]] = {
        "encode": [one, "-o", "a.emb"],
        "decode": [codes["one"], "-o", "a.pt"],
        "eval": [solids.zoo.path],
        "interp": [one, one],
    }
    said = refused(2, *in_space(solids, command, *arguments[command]), "--data", "digits")
    assert "space 'solids' is for neural fields, which are evaluated at points" in said
    assert "Leave out --data." in said


# interp


@pytest.mark.usefixtures("few_voxels")
def test_a_path_of_shapes_has_volumes_and_overlaps(solids: Solids, work: Path, ask: Ask, cli: Cli) -> None:
    command = in_space(solids, "interp", *solids.networks, "--steps", 2, "--weights", "--refine", 0, "--straight")
    found = ask(*command, "--csv", "a.csv", "--plot", "a.png", "--save-dir", "steps")
    for name in ("steps", "weight_steps", "aligned_weight_steps"):
        assert [(s["step"], s["gamma"]) for s in found[name]] == [(0, 0), (1, 0.5), (2, 1)]
        assert all(0 <= s["volume"] <= 1 and "accuracy" not in s for s in found[name])
    ends = ask("mesh", *solids.networks, "-o", "ends.png", "--resolution", 2 * path_solids.RESOLUTION)["networks"]
    # Far from the surface a path is looked at more coarsely, and these small networks hardly say distances.
    assert [found["weight_steps"][i]["volume"] for i in (0, 2)] == pytest.approx([n["volume"] for n in ends], rel=1e-2)
    assert "iou" not in found["weight_steps"][0] and 0 <= found["weight_steps"][1]["iou"] <= 1
    with open("a.csv", newline="") as file:
        table = list(csv.DictReader(file))
    measures = ("volume", "pieces", "largest", "iou")
    beside = {"weights": found["weight_steps"], "aligned_weights": found["aligned_weight_steps"]}
    assert list(table[0]) == [
        *("path", "step", "gamma", "arch", "parameters", *measures, "error"),
        *(f"{walk}_{measure}" for walk in beside for measure in measures),
    ]
    for prefix, steps in (("", found["steps"]), *((f"{walk}_", steps) for walk, steps in beside.items())):
        for measure in measures:
            voxels = [row[prefix + measure] for row in table]
            assert voxels == [str(step.get(measure, "")) for step in steps]
    assert len(list(Path("steps").iterdir())) == 3
    again = ask(
        "mesh", *sorted(Path("steps").iterdir()), "-o", "steps.png", "--resolution", 2 * path_solids.RESOLUTION
    )["networks"]
    assert [n["volume"] for n in again] == [s["volume"] for s in found["steps"]]
    with Image.open("a.png") as picture, Image.open("ends.png") as row:
        # Three rows of three shapes, and one row of two.
        # Drawn to whole pixels, which not every matplotlib counts the same.
        assert (picture.size[0] / 3, picture.size[1] / 3) == pytest.approx((row.size[0] / 2, row.size[1]), abs=1)


@pytest.mark.usefixtures("few_voxels")
def test_a_bent_path_stands_beside_the_straight_one(solids: Solids, work: Path, ask: Ask) -> None:
    command = in_space(solids, "interp", *solids.networks, "--steps", 3, "--refine", 0)
    plain, found = ask(*command, "--straight"), ask(*command, "--csv", "a.csv", "--save-dir", "steps")
    assert (plain["bent"], found["bent"]) == (False, True) and "straight_steps" not in plain
    assert found["straight_steps"] == plain["steps"]
    assert [found["steps"][i]["volume"] for i in (0, 3)] == [plain["steps"][i]["volume"] for i in (0, 3)]
    # This space's ends are nearly the same.
    assert min(s["iou"] for s in found["steps"][1:]) >= min(s["iou"] for s in plain["steps"][1:]) - 0.03
    again = ask(
        "mesh", *sorted(Path("steps").iterdir()), "-o", "steps.png", "--resolution", 2 * path_solids.RESOLUTION
    )["networks"]
    assert [n["volume"] for n in again] == [s["volume"] for s in found["steps"]], "the bent path is what is saved"
    with open("a.csv", newline="") as file:
        row = list(csv.DictReader(file))[1]
    assert (row["volume"], row["straight_volume"]) == tuple(
        str(found[name][1]["volume"]) for name in ("steps", "straight_steps")
    )


@pytest.mark.usefixtures("few_voxels")
def test_a_straight_path_of_leaps_points_to_the_bent_one(
    solids: Solids, work: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = in_space(solids, "interp", *solids.networks, "--steps", 2, "--refine", 0)
    advice = "leave out --straight to solve for an evenly changing path"
    assert advice not in cli(*command, "--straight").stderr, "the ends are nearly the same"
    monkeypatch.setattr("netspace_cli.views.shapes.JUMP", 1.0)
    assert advice in " ".join(cli(*command, "--straight").stderr.split())
    said = " ".join(cli(*command).stderr.split())
    assert advice not in said and "give more --steps" in said


@pytest.mark.usefixtures("few_voxels")
def test_a_single_step_is_straight(solids: Solids, work: Path, ask: Ask) -> None:
    found = ask(*in_space(solids, "interp", *solids.networks, "--steps", 1, "--refine", 0))
    assert found["bent"] is False and "straight_steps" not in found


@pytest.mark.usefixtures("few_voxels")
def test_between_embeddings_the_weights_are_those_of_what_they_decode_to(
    solids: Solids, work: Path, codes: dict[str, Path], cli: Cli
) -> None:
    said = "Both ends are embeddings: the walk between weights uses the networks that they decode to"
    options = ("--steps", 1, "--weights", "--refine", 0)
    between = cli(*in_space(solids, "interp", codes["one"], codes["one"], *options))
    assert between.exit_code == 0 and said in " ".join(between.stderr.split())
    assert said not in " ".join(
        cli(*in_space(solids, "interp", codes["one"], solids.networks[1], *options)).stderr.split()
    )


@pytest.mark.usefixtures("few_voxels")
def test_a_folder_holds_the_steps_of_one_path(solids: Solids, work: Path, cli: Cli) -> None:
    command = in_space(
        solids, "interp", *solids.networks, "--refine", 0, "--straight", "--save-dir", "steps", "--force"
    )
    for steps in (3, 1):
        assert cli(*command, "--steps", steps).exit_code == 0
        assert len(list(Path("steps").iterdir())) == steps + 1


@pytest.mark.usefixtures("few_voxels")
def test_where_a_path_cannot_be_bent_it_is_straight(
    solids: Solids, work: Path, ask: Ask, refused: Refused, tmp_path: Path
) -> None:
    table = solids.recipe.model_dump()
    table["backbone"]["direct"], table["train"]["steps"] = {"kind": "sketch"}, 2
    with Runner("cpu") as runner:
        data = field_data(solids.zoo.data)
        space = train(solids.zoo, tmp_path / "sketch.safetensors", recipe_from(table), data, runner)
    command = ["interp", *solids.networks, "--space", space.path, "--steps", 1, "--refine", 0]
    assert ask(*command)["bent"] is False
    said = refused(2, *command, "--bend")
    assert "the decoder of solids does not write along directions" in said and "Leave out --bend" in said


def test_paths_of_classifiers_are_not_bent(tiny: Tiny, work: Path, refused: Refused) -> None:
    said = refused(2, "interp", *list(tiny.networks.values())[:2], "--space", tiny.space.path, "--bend")
    assert "only paths between shapes can be bent; the networks of tiny are not shapes." in said
    assert "Leave out --bend." in said


@pytest.mark.usefixtures("few_voxels")
def test_steps_without_a_surface_keep_their_rows_and_are_told(
    solids: Solids, work: Path, cli: Cli, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surface, "values_of", lambda architecture, vector, points, runner: torch.ones(len(points), 1))
    command = in_space(solids, "interp", *solids.networks, "--steps", 1, "--refine", 0, "--straight")
    said = cli(*command, "--csv", "a.csv", "--plot", "a.svg").stderr
    assert all(f"straight, step {i}: no surface: all of the box is outside." in said for i in (0, 1))
    assert [row["volume"] for row in rows(*command)] == ["0", "0"]
    with open("a.csv", newline="") as file:
        written = [(row["path"], row["step"], row["error"]) for row in csv.DictReader(file)]
    assert written == [("straight", i, "no surface: all of the box is outside") for i in "01"]
    assert Path("a.svg").exists()


def test_a_dry_run_of_a_path_writes_nothing(solids: Solids, work: Path, codes: dict[str, Path], ask: Ask) -> None:
    command = in_space(solids, "interp", codes["one"], solids.networks[1], "--steps", 3, "--plot", "a.png", "--dry-run")
    found = ask(*command)
    assert (found["rows"], found["outputs"]) == (4, ["a.png"]) and list(work.iterdir()) == []


def test_a_dry_run_says_that_the_path_would_be_bent(solids: Solids, work: Path, cli: Cli) -> None:
    command = in_space(solids, "interp", *solids.networks, "--dry-run")
    assert "The path would be bent (solved for step by step)" in cli(*command).stderr
    for options in (["--straight"], ["--steps", 1], ["--steps", 1, "--bend"]):
        assert "bent" not in cli(*command, *options).stderr


def test_options_without_a_part_in_a_path_are_told_of(
    solids: Solids, work: Path, codes: dict[str, Path], cli: Cli
) -> None:
    options = ("--refine", 3, "--split", "val", "--dry-run")
    said = cli(*in_space(solids, "interp", codes["one"], codes["one"], *options)).stderr
    assert "Ignored --refine: for checkpoints only; embeddings are used as they are." in said
    assert "Ignored --split: for images only; neural fields are scored everywhere." in said
    said = cli(*in_space(solids, "interp", codes["one"], solids.networks[1], *options)).stderr
    assert "Ignored --refine" not in said
    assert "--split" not in cli(*in_space(solids, "interp", codes["one"], codes["one"], "--dry-run")).stderr


# lso


@pytest.fixture
def ellipsoid(solids: Solids, work: Path, few: None) -> Path:
    """One of the ellipsoids, as a file."""
    with np.load(solids.grids) as grids_of:
        np.savez("one.npz", occupancy=grids_of["occupancy"][3])
    return Path("one.npz")


def scan(path: str, count: int = 200, *, normals: bool = False) -> Path:
    """Points on the upper half of a ball of radius 0.6, and their normals."""
    towards = np.random.default_rng(0).standard_normal((count, 3))
    towards[:, 2] = abs(towards[:, 2])
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    np.save(path, np.concatenate([0.6 * towards, towards], axis=1) if normals else 0.6 * towards)
    return Path(path)


def standing(solids: Solids, network: Path, target: Path) -> tuple[float, float]:
    """Share within 0.01 and squared error of a network on what of a target nothing was fitted to."""
    runner, read = Runner("cpu"), read_network(network, candidates=solids.space.architectures)
    return read_shape_objective(target, solids.space, runner).score(read.architecture, read.weights, "test")


BY_ADAM = ["--steps", 100, "--lr", 0.05, "--images", 256]
BY_SOLVING = ["--method", "gauss-newton", "--steps", 4, "--images", 1024]


@pytest.mark.parametrize("method", ["adam", "gauss-newton"])
@pytest.mark.parametrize("kind", ["shape", "scan"])
def test_an_embedding_is_brought_to_a_target(
    solids: Solids, codes: dict[str, Path], ellipsoid: Path, ask: Ask, kind: str, method: str
) -> None:
    target = ellipsoid if kind == "shape" else scan("part.npy")
    command = in_space(solids, "lso", codes["one"], "--towards", target)
    command += BY_ADAM if method == "adam" else BY_SOLVING
    found = ask(*command, "-o", "best.emb", "--decode", "best.pt")
    assert found["towards"] == str(target) and found["teacher"] is None and found["method"] == method
    ask(*in_space(solids, "decode", codes["one"]), "-o", "start.pt")
    for network, told in (("start.pt", found["initial"]), ("best.pt", found["optimized"])):
        within, error = standing(solids, Path(network), target)
        assert told["accuracy"] == pytest.approx(within, abs=0.02)
        assert told["loss"] == pytest.approx(error, rel=1e-3)
    assert found["optimized"]["loss"] < found["initial"]["loss"], "on points that nothing was brought to"
    ask(*in_space(solids, "decode", "best.emb"), "-o", "again.pt")
    best, again = (read_network(Path(name)).weights for name in ("best.pt", "again.pt"))
    torch.testing.assert_close(best, again, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["adam", "gauss-newton"])
def test_normals_of_a_scan_say_what_is_inside(
    solids: Solids, codes: dict[str, Path], ellipsoid: Path, ask: Ask, method: str
) -> None:
    how = BY_ADAM if method == "adam" else ["--method", method, "--steps", 16, "--images", 4096]
    right = {}
    for name in ("outward", "inward", "none"):
        target = scan(f"{name}.npy", 2000, normals=name != "none")
        if name == "inward":
            np.save(target, np.load(target) * [1, 1, 1, -1, -1, -1])
        ask(*in_space(solids, "lso", codes["one"], "--towards", target, *how), "--decode", f"{name}.pt")
        found = read_network(Path(f"{name}.pt"), candidates=solids.space.architectures)
        surface = torch.from_numpy(np.load(target)[:, :3]).float()
        sides = [found.architecture.run(found.weights, surface * (1 + off / 0.6))[:, 0] for off in (0.1, -0.1)]
        right[name] = ((sides[0] > 0) & (sides[1] < 0)).double().mean().item()
    assert right["outward"] > right["inward"] + 0.3, right
    assert right["none"] > right["inward"], "what says nothing misleads less"


@pytest.mark.parametrize("kind", ["shape", "scan"])
def test_solved_steps_lead_further_than_as_many_along_the_gradient(
    solids: Solids, codes: dict[str, Path], ellipsoid: Path, ask: Ask, kind: str
) -> None:
    target = ellipsoid if kind == "shape" else scan("part.npy", 2000)
    command = in_space(solids, "lso", codes["one"], "--towards", target)
    command += ["--steps", 6, "--images", 1024]
    followed = [ask(*command, "--lr", lr) for lr in (0.01, 0.05, 0.2)]
    solved = ask(*command, "--method", "gauss-newton")
    assert all(found["initial"] == solved["initial"] for found in followed)
    assert solved["optimized"]["loss"] < 0.9 * min(found["optimized"]["loss"] for found in followed)


@pytest.mark.parametrize("method", ["adam", "gauss-newton"])
@pytest.mark.parametrize("kind", ["shape", "scan"])
def test_the_same_target_gives_the_same_bytes_and_another_seed_does_not(
    solids: Solids, codes: dict[str, Path], ellipsoid: Path, ask: Ask, kind: str, method: str
) -> None:
    target = ellipsoid if kind == "shape" else scan("part.npy")
    command = in_space(solids, "lso", codes["one"], "--towards", target, "--method", method, "--steps", 3)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        ask(*command, "-o", f"{name}.emb", "--decode", f"{name}.pt", "--seed", seed)
    for suffix in (".emb", ".pt"):
        one, same, other = (Path(name + suffix).read_bytes() for name in "abc")
        assert one == same != other


def test_a_dry_run_says_what_an_embedding_would_be_brought_to(
    solids: Solids, codes: dict[str, Path], ellipsoid: Path, ask: Ask, rows: Rows, tree: ReadTree
) -> None:
    before = tree(Path.cwd())
    command = in_space(solids, "lso", codes["one"], "--towards", ellipsoid, "-o", "a.emb", "--dry-run")
    found = ask(*command)
    assert (found["dry_run"], found["towards"], found["arch"]) == (True, "one.npz", "siren-16x2")
    (row,) = rows(*command)
    assert (row["wanted"], row["towards"], row["steps"]) == ("siren-16x2", "one.npz", "200")
    assert tree(Path.cwd()) == before


def test_the_older_flag_of_a_shape_to_become_is_understood_and_not_shown(
    solids: Solids, codes: dict[str, Path], ellipsoid: Path, ask: Ask, refused: Refused
) -> None:
    here = in_space(solids, "lso", codes["one"], "--dry-run")
    assert ask(*here, "--target", ellipsoid) == ask(*here, "--towards", ellipsoid)
    assert "Invalid value for '--towards': File 'none.ply' does not exist" in refused(2, *here, "--target", "none.ply")
    shown = CliRunner().invoke(netspace, ["lso", "--help"]).output
    assert "--towards" in shown and "--target" not in shown


def test_shares_of_values_are_told_as_such(solids: Solids, codes: dict[str, Path], ellipsoid: Path, rows: Rows) -> None:
    first, second = rows(*in_space(solids, "lso", codes["one"], "--towards", ellipsoid, "--steps", 1))
    assert list(first) == ["", "recognised", "within .01", "loss"]
    assert (first[""], second[""]) == ("initial", "optimized")


def test_a_target_that_is_an_open_mesh_is_repaired_on_request(
    solids: Solids, codes: dict[str, Path], work: Path, ask: Ask, refused: Refused
) -> None:
    command = in_space(solids, "lso", codes["one"], "--towards", box("open.ply", without=2), "--steps", 1)
    assert "Close it, or let --repair fill its holes." in refused(3, *command)
    assert ask(*command, "--repair")["optimized"]["arch"] == "siren-16x2"
    said = refused(2, *in_space(solids, "lso", codes["one"], "--repair", "--steps", 1))
    assert "--towards is missing" in said


def test_shapes_want_a_target_and_classifiers_have_none(
    solids: Solids, codes: dict[str, Path], ellipsoid: Path, lenet: Path, refused: Refused
) -> None:
    here = in_space(solids, "lso", codes["one"])
    assert "--towards is missing: neural fields have no labels." in refused(2, *here)
    said = refused(2, *here, "--teacher", solids.networks[1])
    assert "--towards is missing" in said
    said = refused(2, *here, "--teacher", solids.networks[1], "--towards", ellipsoid)
    assert "--teacher and --towards cannot be combined. Give only one of them." in said
    said = refused(2, "lso", lenet, "--space", "digits", "--data", "digits", "--towards", ellipsoid)
    assert "space 'digits' is for classifiers (1x16x16, 10 classes), which cannot become a shape." in said
    assert "Give a --teacher, or nothing for the labels." in said


def test_solving_has_no_rate_and_is_not_for_classifiers(
    solids: Solids, codes: dict[str, Path], ellipsoid: Path, lenet: Path, refused: Refused
) -> None:
    solve = ["--method", "gauss-newton"]
    said = refused(2, *in_space(solids, "lso", codes["one"], "--towards", ellipsoid, *solve, "--lr", 0.1))
    assert "gauss-newton has no learning rate, but --lr 0.1 was given. Leave out --lr, or give --method adam." in said
    said = refused(2, "lso", lenet, "--space", "digits", "--data", "digits", *solve)
    assert "--method gauss-newton is for neural fields, and these are classifiers." in said


def nan(path: Path) -> None:
    np.save(path, np.full((30, 3), np.nan))


def pickled(path: Path) -> None:
    np.save(path, np.array([None] * 30), allow_pickle=True)


@pytest.mark.parametrize(
    ("name", "make", "code", "words"),
    [
        ("a.npy", nan, 3, "a.npy: 30 of 30 points are NaN or infinite. Leave them out."),
        ("a.npy", lambda p: scan(p, 19), 3, "a.npy: 19 points are too few. Give 20 or more."),
        ("a.npy", lambda p: np.save(p, np.full((30, 3), 2.0)), 3, "a.npy: its points reach 2 from the middle"),
        ("a.npy", lambda p: np.save(p, np.zeros((30, 2))), 3, "a.npy: float64 of shape (30, 2) are not points"),
        (
            "a.npy",
            pickled,
            3,
            "a.npy: cannot be read as points (pickled objects, which could be programs and are never read",
        ),
        ("a.npz", lambda p: np.savez(p, a=np.zeros((4, 4, 4))), 3, "a: the grid is empty: there is no surface."),
        (
            "a.txt",
            lambda p: p.write_text("to nobody"),
            2,
            "a.txt: networks for points of 3 coordinates, 1 value cannot become what .txt files hold.",
        ),
        ("a.npy", lambda p: None, 2, "a.npy"),
    ],
)
def test_targets_that_are_none_are_refused(
    solids: Solids,
    work: Path,
    codes: dict[str, Path],
    refused: Refused,
    name: str,
    make: Callable[[Path], object],
    code: int,
    words: str,
) -> None:
    make(Path(name))
    assert words in refused(code, *in_space(solids, "lso", codes["one"], "--towards", name, "-o", "a.emb"))


def test_a_target_is_one_shape(solids: Solids, work: Path, codes: dict[str, Path], refused: Refused) -> None:
    said = refused(2, *in_space(solids, "lso", codes["one"], "--towards", solids.grids, "-o", "a.emb"))
    assert f"{solids.grids} holds 8 shapes, one is needed. Give a file of one." in said


# each kind in the other's place


def test_commands_for_classifiers_are_refused_on_shapes(
    solids: Solids, work: Path, codes: dict[str, Path], refused: Refused
) -> None:
    zoo, one = solids.zoo.path, codes["one"]
    for command in (
        in_space(solids, "lso", one, "-o", "a.emb"),
        ["experiment", "single", zoo, "-o", "results"],
        ["experiment", "rate", zoo, "-o", "results"],
        in_space(solids, "experiment", "few-labels", zoo, "-o", "results"),
    ):
        assert "neural fields" in refused(2, *command)
    said = refused(2, "zoo", "train", zoo, "--data", "digits", "--arch", "lenetlike")
    assert "is a zoo of points (points of 3 coordinates, 1 value); this is digits" in said
    said = refused(3, "zoo", "train", "zoo", "--data", "digits", "--arch", "siren")
    assert "siren is for points, not for images of 1x16x16, 10 classes. For images: lenetlike" in said
    said = refused(3, "zoo", "train", "zoo", "--data", solids.grids, "--arch", "lenetlike")
    assert "solids.npz: train_images" in said
    said = refused(2, "train", zoo, "-o", "a.safetensors", "--data", "digits")
    assert "is for neural fields" in said and "Leave out --data." in said


def test_shapes_and_classifiers_do_not_fit_each_other_s_space(solids: Solids, lenet: Path, refused: Refused) -> None:
    said = refused(3, *in_space(solids, "encode", lenet), "-o", "a.emb")
    assert "space 'solids' has siren-16x2 for points of 3 coordinates, 1 value" in said
    said = refused(3, "encode", solids.networks[0], "-o", "a.emb")
    spaces = "cifar10, digits, shapes, digits-starts"
    assert f"no built-in space ({spaces}) has its architecture, siren-16x2 for points of 3" in said
    said = refused(3, "eval", solids.zoo.path, "--space", "digits")
    assert "They differ in: inputs or outputs" in said
    said = refused(3, *in_space(solids, "encode", ball(Path("ball.pt"), 0.5)), "-o", "a.emb")
    assert "a siren-3x1 for points of 3 coordinates, 1 value; space 'solids' has siren-16x2" in said


def test_a_shape_says_what_it_is(solids: Solids, work: Path, rows: Rows) -> None:
    told = {row["what"]: row["value"] for row in rows("inspect", solids.networks[0])}
    assert (told["arch"], told["parameters"], told["io"]) == (
        "siren-16x2",
        "353",
        "points of 3 coordinates, 1 value",
    )
    told = {row["what"]: row["value"] for row in rows("inspect", solids.space.path)}
    assert (told["io"], told["data"]) == ("points of 3 coordinates, 1 value", "points")
