"""Bad, foreign and hostile files, given to every command that reads them: one clear message, nothing run or written."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.worlds import Cli, Refused, Tiny


class Canary:
    """A pickle that makes a file when it is opened by somebody careless."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("canary",)


def write_bad(tiny: Tiny, kind: str) -> Path:
    """A file that is no good network, and is called bad.pt or bad.safetensors."""
    own = tiny.networks["lenetlike"]
    whole, state = own.read_bytes(), load_file(own)
    path = Path("bad.safetensors" if kind in ("truncated", "header") else "bad.pt")
    if kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "header":
        path.write_bytes(b"\xff" * 7 + b"\x3f" + whole[8:])
    elif kind == "pickle":
        torch.save({"conv1.weight": Canary()}, path)
    elif kind == "raw pickle":
        path.write_bytes(pickle.dumps(Canary()))
    elif kind == "page":
        path.write_text("<!DOCTYPE html><html><body>Sign in to download</body></html>")
    elif kind == "pointer":
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "NaN":
        state["fc2.weight"][3, 4] = float("nan")
        torch.save(state, path)
    elif kind == "misfit":
        state["fc1.weight"] = torch.zeros(120, 65)
        torch.save({n: t for n, t in state.items() if n != "fc3.bias"} | {"extra.weight": torch.zeros(2)}, path)
    elif kind == "no tensors":
        torch.save({"epoch": 3}, path)
    return path


BAD = {
    "truncated": "truncated",
    "header": "header",
    "pickle": "mkdir",
    "raw pickle": "bad.pt",
    "page": "an HTML page",
    "pointer": "git lfs pull",
    "empty": "empty",
    "NaN": "fc2.weight (1 NaN, 0 infinite of 10,080)",
    "misfit": "Nearest is lenetlike",
    "no tensors": "not a state dict",
}


def commands(tiny: Tiny, path: Path) -> dict[str, list[object]]:
    space = ["--space", tiny.space.path]
    return {
        "encode": ["encode", path, *space, "-o", "a.emb"],
        "interp": ["interp", tiny.networks["lenetlike"], path, *space, "--csv", "a.csv"],
        "lso": ["lso", path, *space, "--data", tiny.npz, "-o", "a.emb"],
        "lso --teacher": [
            *("lso", tiny.networks["lenetlike"], *space, "--data", tiny.npz, "-o", "a.emb"),
            *("--teacher", path),
        ],
        "train --teacher": ["train", tiny.zoo.path, "--data", tiny.npz, "-o", "s.safetensors", "--teacher", path],
        "prep": ["prep", path, *space, "-o", "a.npy"],
    }


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_checkpoint_is_named_with_its_fault(tiny: Tiny, work: Path, refused: Refused, kind: str) -> None:
    path = write_bad(tiny, kind)
    for command in commands(tiny, path).values():
        said = refused(3, *command)
        assert str(path) in said and BAD[kind] in said, command
    assert not Path("canary").exists()


def test_a_misfit_is_told_with_what_differs(tiny: Tiny, work: Path, refused: Refused) -> None:
    said = refused(3, *commands(tiny, write_bad(tiny, "misfit"))["encode"])
    for part in ("1 missing: fc3.bias", "1 unexpected: extra.weight", "fc1.weight: (120, 65), expected (120, 64)"):
        assert part in said
    assert "--arch package.module:function" in said


@pytest.mark.parametrize("kind", ["truncated", "header", "pickle", "page", "empty", "no tensors"])
def test_bad_files_in_the_place_of_embeddings_and_spaces(
    tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused, kind: str
) -> None:
    bad = write_bad(tiny, kind).rename("bad.emb")
    assert "bad.emb" in refused(3, "decode", bad, "--space", tiny.space.path, "-o", "a.pt")
    assert "bad.emb" in refused(3, "interp", bad, emb["resnet8"], "--space", tiny.space.path)
    assert "bad.emb" in refused(3, "lso", bad, "--space", tiny.space.path, "--data", tiny.npz)
    assert "bad.emb" in refused(3, "decode", emb["resnet8"], "--space", bad, "-o", "a.pt")
    assert "bad.emb" in refused(3, "inspect", bad)
    assert not Path("canary").exists()


def forged(tiny: Tiny, emb: dict[str, Path], **changes: Any) -> Path:
    """The resnet8's embedding with another record or other values."""
    values = changes.pop("values", load_file(emb["resnet8"])["embedding"])
    record = {
        "format": "netspace-embedding",
        "version": 1,
        "space": "tiny",
        "space_sha256": tiny.space.sha256,
        "networks": [{"arch": "resnet8"}],
    } | changes
    save_file({"embedding": values}, "forged.emb", {"netspace.embedding": json.dumps(record)})
    return Path("forged.emb")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"networks": []}, "networks"),
        ({"networks": [{"nonsense": 1}]}, "nonsense"),
        ({"networks": 7}, "complete embedding file"),
        ({"values": torch.full((1, 64), float("nan"))}, "NaN or infinity"),
        ({"values": torch.zeros(1, 63)}, "63"),
        ({"values": torch.zeros(64)}, "forged.emb"),
        ({"space_sha256": "0" * 64, "space": "another"}, "another"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_forged_embeddings_are_refused(
    tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused, changes: dict[str, Any], expected: str
) -> None:
    path = forged(tiny, emb, **changes)
    assert expected in refused(3, "decode", path, "--space", tiny.space.path, "-o", "a.pt")


@pytest.mark.parametrize("changes", [{"version": 99}, {"format": "other"}], ids=str)
def test_embeddings_of_another_version_say_both(
    tiny: Tiny, emb: dict[str, Path], work: Path, cli: Cli, changes: dict[str, Any]
) -> None:
    result = cli("decode", forged(tiny, emb, **changes), "--space", tiny.space.path, "-o", "a.pt")
    (changed,) = changes.values()
    assert result.exit_code == 3 and str(changed) in result.stderr and "version 1" in result.stderr


@pytest.mark.parametrize("source", ["../../escaped.pt", "/tmp/escaped.pt", "a\x00b", "..", "x" * 5000, "\x1b[2J.pt"])
def test_a_source_s_name_leads_nowhere_else(
    tiny: Tiny, emb: dict[str, Path], work: Path, cli: Cli, source: str
) -> None:
    path = forged(tiny, emb, networks=[{"arch": "resnet8", "source": source}])
    result = cli("decode", path, "--space", tiny.space.path, "-o", "out")
    assert "internal error" not in result.stderr and "\x1b" not in result.output
    assert result.exit_code in (0, 2, 3)
    assert all(p.parent == Path("out") for p in Path(".").rglob("*.pt"))
    assert not Path("../escaped.pt").exists() and not Path("../../escaped.pt").exists()


def test_what_is_no_file_is_refused_at_once(tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused) -> None:
    for name, command in commands(tiny, Path("missing.pt")).items():
        said = refused(2, *command)
        assert "'missing.pt' does not exist" in said and "--help" in said, name
    Path("folder").mkdir()
    assert "'folder' is a directory" in refused(2, *commands(tiny, Path("folder"))["encode"])
    assert "/dev/zero" in refused(3, *commands(tiny, Path("/dev/zero"))["encode"])


def test_a_named_pipe_is_refused_and_not_waited_for(tiny: Tiny, work: Path, cli: Cli) -> None:
    os.mkfifo("pipe.pt")
    for name, command in commands(tiny, Path("pipe.pt")).items():
        result = cli(*command)
        assert result.exit_code == 3 and "this is a named pipe" in result.stderr, name
    result = cli("decode", "pipe.pt", "--space", tiny.space.path, "-o", "a.pt")
    assert result.exit_code == 3 and "this is a named pipe" in result.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(
    tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused
) -> None:
    Path("locked").mkdir(mode=0o555)
    space = ["--space", tiny.space.path]
    assert "no permission" in refused(2, "encode", tiny.networks["resnet8"], *space, "-o", "locked/a.emb")
    assert "no permission" in refused(2, "decode", emb["resnet8"], *space, "-o", "locked/out")
    options = ["--save-dir", "locked/steps"]
    assert "no permission" in refused(2, "interp", emb["resnet8"], emb["resnet8"], *space, *options)


def test_data_that_are_not_there_are_refused_by_every_command(
    tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused
) -> None:
    space = ["--space", tiny.space.path]
    options: dict[str, list[object]] = {
        "encode": ["encode", tiny.networks["resnet8"], *space, "-o", "a.emb"],
        "decode": ["decode", emb["resnet8"], *space, "-o", "a.pt"],
        "interp": ["interp", emb["resnet8"], emb["lenetlike"], *space],
        "lso": ["lso", emb["resnet8"], *space, "-o", "a.emb"],
        "eval": ["eval", tiny.zoo.path, *space],
        "train": ["train", tiny.single_zoo.path, "-o", "s.safetensors"],
        "zoo train": ["zoo", "train", "new", "--arch", "resnet8"],
    }
    for command in options.values():
        assert "unknown data set 'digitz'" in refused(2, *command, "--data", "digitz")
        assert "none.npz" in refused(2, *command, "--data", "none.npz")


def test_a_mistyped_path_is_answered_with_the_nearest(tiny: Tiny, work: Path, refused: Refused) -> None:
    Path("network.pt").touch()
    Path("zoo").mkdir()
    assert "'netwrok.pt' does not exist. Did you mean 'network.pt'?" in refused(
        2, "encode", "netwrok.pt", "-o", "a.emb"
    )
    assert "Did you mean" not in refused(2, "encode", "unlike", "-o", "a.emb")
    assert "Did you mean 'zoo'?" in refused(2, "zoo", "verify", "zooo")
