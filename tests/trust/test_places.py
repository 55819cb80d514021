"""Outputs that are inputs, places that cannot be written, odd names and locales."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from netspace_models.errors import RunFailed

from netspace_cli.cli import cli as netspace
from netspace_cli.core.files import leftovers
from netspace_cli.core.files.outputs import atomic_write
from netspace_cli.core.spaces.embeddings import load_embeddings
from netspace_cli.core.zoos.zoo import open_zoo, verify
from tests.golden.scenarios import ROOT
from tests.worlds import Tiny

ODD = [
    "new\nline",
    "tab\tname",
    "\N{DUCK}\N{LATIN SMALL LETTER U WITH DIAERESIS}",
    os.fsdecode(b"not \xff\xfe utf-8"),
    "-dash",
    "n" * 242,
    "x'\"$(touch made)`;",
    " ",
    ".hidden",
    "\x1b[31mred",
    "[red]:smile:",
]


@pytest.fixture
def place(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with a network, an embedding, images, a space and a zoo of its own."""
    shutil.copy(tiny.npz, tmp_path / "images.npz")
    for name, arch in (("a", "lenetlike"), ("b", "resnet8")):
        shutil.copy(tiny.networks[arch], tmp_path / f"{name}.safetensors")
    assert tiny.space.path is not None
    shutil.copy(tiny.space.path, tmp_path / "space.safetensors")
    shutil.copytree(tiny.single_zoo.path, tmp_path / "zoo")
    (tmp_path / "link.safetensors").symlink_to("a.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(netspace, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


INSTANCE = "zoo/instances/lenetlike/lenetlike-0000.safetensors"
SAME = {
    "encode over a space": "encode a.safetensors -o a.emb --space a.emb",
    "decode over a space": "decode a.emb -o space.safetensors --space space.safetensors",
    "lso over its input": "lso a.emb --space space.safetensors -o a.emb",
    "lso over a teacher": "lso a.emb --space space.safetensors --teacher b.safetensors --decode b.safetensors",
    "merge over a member": "merge a.safetensors b.safetensors --data images.npz -o a.safetensors",
    "merge over a link's file": "merge a.safetensors b.safetensors --data images.npz -o link.safetensors",
    "merge over a zoo's instance": f"merge zoo --data images.npz -o {INSTANCE}",
    "export over an instance": f"zoo export zoo lenetlike-0000 -o {INSTANCE}",
    "interp over its images": "interp a.safetensors b.safetensors --space space.safetensors --data images.npz "
    "--csv images.npz",
    "interp over a data set's file": "interp a.safetensors b.safetensors --data cifar10:images.npz --plot images.npz",
    "interp over a step": "interp steps/step-000.pt b.safetensors --space space.safetensors --save-dir steps",
    "train over a teacher": "train zoo -o a.safetensors --teacher a.safetensors --data images.npz",
    "prep over its network": "prep a.safetensors -o a.safetensors --space space.safetensors",
    "align over its zoo": "zoo align zoo -o zoo",
    "sample over its zoo": "sample --space space.safetensors --zoo zoo -o zoo",
}


@pytest.mark.parametrize("name", SAME)
def test_an_output_that_is_an_input_is_refused_even_by_force(tiny: Tiny, place: Path, name: str) -> None:
    (place / "steps").mkdir()
    assert not run(
        "decode", str(_embedding(place)), "-o", "steps/step-000.pt", "--space", "space.safetensors"
    ).exit_code
    before, line = contents(place), SAME[name].split()
    result = run(*line, *([] if line[0] in ("sample",) or "align" in line else ["--force"]))
    assert result.exit_code == 2, result.output
    assert "is an input or another output" in result.output or "the zoo that is to be aligned" in result.output
    assert contents(place) == before


def _embedding(place: Path) -> Path:
    result = run("encode", "a.safetensors", "-o", "a.emb", "--space", "space.safetensors", "--refine", "0")
    assert not result.exit_code, result.output
    return place / "a.emb"


def test_a_shorter_path_leaves_no_steps_of_a_longer_one(place: Path) -> None:
    path = ["interp", "a.safetensors", "b.safetensors", "--space", "space.safetensors", "--refine", "0"]
    for steps, more in (("3", []), ("2", ["--force"])):
        assert run(*path, "--steps", steps, "--save-dir", "steps", *more).exit_code == 0
    assert sorted(os.listdir("steps")) == [f"step-00{n}.pt" for n in range(3)]


@pytest.mark.parametrize("name", ODD)
def test_names_may_be_odd(place: Path, name: str) -> None:
    start = f"./{name}"
    os.rename("a.safetensors", f"{name}.safetensors")
    for line in (
        ["encode", f"{start}.safetensors", "-o", f"{start}.emb", "--space", "space.safetensors", "--refine", "0"],
        ["decode", f"{start}.emb", "-o", f"{start}.pt", "--space", "space.safetensors"],
        ["inspect", f"{start}.pt"],
    ):
        result = run(*line)
        assert result.exit_code == 0, result.output
        assert all(letter.isprintable() or letter in "\n\t" for letter in result.output)
    assert load_embeddings(Path(f"{name}.emb")).origins[0].arch == "lenetlike"
    assert not Path("made").exists()
    assert run("inspect", f"missing {name}"[:250]).exit_code == 2


def test_a_zoo_of_oddly_named_files_is_a_zoo(tiny: Tiny, place: Path) -> None:
    files = [tiny.single_zoo.file_of(instance) for instance in tiny.single_zoo.instances]
    (place / "theirs").mkdir()
    for name, file in zip(ODD, files, strict=False):
        shutil.copy(file, place / "theirs" / f"{name}.safetensors")
    result = run("zoo", "index", "theirs", "--data", "images.npz")
    assert result.exit_code == 0, result.output
    zoo = open_zoo(place / "theirs")
    assert len(zoo.instances) == len(files) - (".hidden" in ODD[: len(files)])
    assert {state for _, state in verify(zoo)} == {"ok"}


@pytest.mark.slow
def test_names_may_be_odd_where_the_locale_has_no_letters_for_them(place: Path) -> None:
    os.rename("a.safetensors", f"{ODD[2]}.safetensors")
    line = ["encode", f"{ODD[2]}.safetensors", "-o", f"{ODD[2]}.emb"]
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "netspace_cli", *line, "--space", "space.safetensors", "--refine", "0"],
        env={**os.environ, **plain, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.isascii() and done.stdout.isascii()
    assert load_embeddings(Path(f"{ODD[2]}.emb")).origins[0].arch == "lenetlike"


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EIO])
def test_a_place_that_refuses_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Root may write everywhere, and the tests may be run by root."""
    (tmp_path / "a").write_text("old")

    def refuse(*arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(leftovers.os, "open", refuse)
    with pytest.raises(RunFailed, match=f"a could not be written.*{os.strerror(number)}.*Nothing was changed"):
        atomic_write(tmp_path / "a", lambda path: path.write_text("new"), force=True)
    monkeypatch.undo()
    assert (tmp_path / "a").read_text() == "old" and os.listdir(tmp_path) == ["a"]
