"""netspace prep."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netspace_cli.core.networks.network import read_network
from tests.worlds import Ask, Cli, Refused, Rows, Tiny


def command(tiny: Tiny, arch: str, *options: object) -> list[object]:
    return ["prep", tiny.networks[arch], "--space", tiny.space.path, *options]


def test_the_array_is_the_parameters_row_after_row(tiny: Tiny, work: Path, ask: Ask) -> None:
    found = ask(*command(tiny, "resnet8", "-o", "a.npy"))
    network = read_network(tiny.networks["resnet8"], candidates=tiny.space.architectures)
    size = network.architecture.parameter_count
    assert (found["arch"], found["parameters"], found["output"]) == ("resnet8", size, "a.npy")
    grid = np.load("a.npy")
    assert grid.dtype == np.float32 and grid.shape == (found["height"], found["width"]) == (8, 10_000)
    assert np.array_equal(grid.reshape(-1)[:size], network.weights.numpy())
    assert not grid.reshape(-1)[size:].any()


def test_the_grid_can_be_chosen(tiny: Tiny, work: Path, rows: Rows) -> None:
    (row,) = rows(*command(tiny, "lenetlike", "-o", "a.npy", "--height", 21, "--width", 1000))
    assert (row["height"], row["width"]) == ("21", "1000")
    assert np.load("a.npy").shape == (21, 1000)


def test_a_picture_is_a_picture_and_always_the_same(tiny: Tiny, work: Path, ask: Ask) -> None:
    for name in ("a.png", "b.png"):
        ask(*command(tiny, "lenetlike", "-o", name, "--width", 500, "--height", 50))
    with Image.open("a.png") as picture:
        assert picture.mode == "RGB" and picture.width == 500
        assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 10
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_a_resnet_is_recognised_without_a_space(tiny: Tiny, work: Path, ask: Ask) -> None:
    assert ask("prep", tiny.networks["resnet8"], "-o", "a.npy")["arch"] == "resnet8"


@pytest.mark.parametrize(
    ("code", "options", "expected"),
    [
        (3, ["-o", "a.npy", "--height", "2"], "20,791 parameters; a PRep of 2 x 10000 holds 20,000"),
        (2, ["-o", "none/a.npy"], "there is no folder"),
        (2, ["-o", "taken.npy"], "taken.npy exists already"),
        (2, ["-o", "a.npy", "--height", "0"], "x>=1"),
    ],
)
def test_what_cannot_be_done_is_refused(
    tiny: Tiny, work: Path, refused: Refused, code: int, options: list[str], expected: str
) -> None:
    Path("taken.npy").write_text("something else")
    assert expected in refused(code, *command(tiny, "lenetlike", *options))


def test_a_dry_run_says_the_grid_and_writes_nothing(
    tiny: Tiny, work: Path, ask: Ask, cli: Cli, refused: Refused
) -> None:
    found = ask(*command(tiny, "resnet8", "-o", "a.npy", "--dry-run"))
    assert (found["dry_run"], found["height"], found["width"]) == (True, 8, 10_000)
    result = cli(*command(tiny, "resnet8", "-o", "a.npy", "--dry-run"))
    assert result.exit_code == 0 and result.stderr == "a.npy would be written.\n"
    assert list(work.iterdir()) == []
    assert "holds 20,000" in refused(3, *command(tiny, "lenetlike", "-o", "a.npy", "--height", "2", "--dry-run"))
    assert "not .jpg" in refused(2, *command(tiny, "lenetlike", "-o", "a.jpg", "--dry-run"))


def test_other_files_are_refused(tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused) -> None:
    assert "an embedding file, not a checkpoint" in refused(3, "prep", emb["lenetlike"], "-o", "a.npy")
    shutil.copy(tiny.networks["lenetlike"], "net.npy")
    assert "is an input" in refused(2, "prep", "net.npy", "-o", "net.npy", "--force")


def test_a_network_is_not_taken_for_what_it_is_not(tiny: Tiny, work: Path, cli: Cli) -> None:
    result = cli(*command(tiny, "lenetlike", "-o", "a.npy", "--arch", "resnet8"))
    assert result.exit_code == 3 and "do not fit resnet8" in result.stderr and "leave out --arch" in result.stderr
    assert list(work.iterdir()) == []
