"""What holds for every command: help, one JSON document, rows in a pipe, no network, nobody's folders in the way."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from netspace_cli.cli import COMMANDS, cli
from netspace_cli.core.shapes import grids
from netspace_cli.core.zoos.zoo import Zoo
from tests.worlds import Ask, Cli, ReadTree, Solids, Tiny


def everything() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands and subcommands, groups among them, with their words."""
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        yield (name,), command
        if isinstance(command, click.Group):
            for sub, inner in command.commands.items():
                yield (name, sub), inner


ALL = list(everything())
LEAVES = [(words, command) for words, command in ALL if not isinstance(command, click.Group)]
by_name = pytest.mark.parametrize(("words", "command"), ALL, ids=[" ".join(words) for words, _ in ALL])


@by_name
def test_every_help_ends_with_an_example_that_is_a_command_line(
    words: tuple[str, ...], command: click.Command, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = cli(*words, "--help")
    assert result.exit_code == 0
    shown = " ".join(result.stdout.split())
    found = re.search(r"Example: netspace (.+?) (?:Options|Commands):", shown)
    assert found, "an example line"
    example = found.group(1).split()
    assert tuple(example[: len(words)]) == words
    if not isinstance(command, click.Group):
        names = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
        used = {word for word in example if word.startswith("-")}
        assert used <= names, "options that there are"


@by_name
def test_every_option_says_what_it_does(words: tuple[str, ...], command: click.Command) -> None:
    for param in command.params:
        if isinstance(param, click.Option):
            assert param.help and param.help.endswith((".", "]", ")")), param.name


@pytest.mark.parametrize("words", [words for words, _ in LEAVES], ids=" ".join)
def test_every_command_answers_nonsense_with_one_document(words: tuple[str, ...], cli: Cli, work: Path) -> None:
    result = cli(*words, "--json", "--nonsense")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["kind"] == "usage" and "\x1b" not in result.output
    if words != ("spaces",):
        result = cli(*words, "--json")
        assert result.exit_code == 2 and "Missing" in json.loads(result.stdout)["error"]["message"]
    assert list(work.iterdir()) == []


def jobs(tiny: Tiny, emb: dict[str, Path], solids: Solids, planted: Zoo) -> dict[str, list[object]]:
    """A command line that works for every command; outputs go to the current directory."""
    space, data = ["--space", tiny.space.path], ["--data", tiny.npz]
    small = [f"backbone.{k}={v}" for k, v in {"embedding_size": 64, "latents": 4, "width": 16, "heads": 2}.items()]
    small += ["train.steps=2", "train.images=8", "train.instances=1", "refine.steps=0"]
    lenet, resnet = tiny.networks["lenetlike"], emb["resnet8"]
    return {
        "encode": ["encode", lenet, *space, *data, "-o", "a.emb"],
        "decode": ["decode", emb["both"], *space, *data, "-o", "out"],
        "interp": [
            *("interp", lenet, resnet, *space, *data, "--steps", 2),
            *("--csv", "a.csv", "--save-dir", "steps", "--plot", "a.svg"),
        ],
        "lso": ["lso", resnet, *space, *data, "--steps", 2, "-o", "best.emb", "--decode", "best.safetensors"],
        "merge": [
            *("merge", *(tiny.single_zoo.file_of(i) for i in tiny.single_zoo.instances[:3]), *data),
            *("--steps", 2, "--images", 8, "-o", "one.pt"),
        ],
        "sample": [
            *("sample", "--space", tiny.single_space.path, "--zoo", tiny.single_zoo.path, *data),
            *("--top", "all", "-n", 2, "--polish", 1, "-o", "drawn"),
        ],
        "ensemble": ["ensemble", "drawn", *data, "--select", "top:2"],
        "finetune": ["finetune", "drawn", *data, "--epochs", "0,1", "--select", "top:1", "-o", "tuned"],
        "train": [
            *("train", tiny.single_zoo.path, *data, "-o", "s.safetensors"),
            *(word for setting in small for word in ("-s", setting)),
        ],
        "zoo train": ["zoo", "train", "zoo", *data, "--arch", "lenetlike", "--counts", "1/1/0", "--epochs", "1"],
        "zoo index": ["zoo", "index", "zoo", *data],
        "zoo fit": ["zoo", "fit", solids.grids, "-o", "solids", "--arch", "siren-8x1", "--steps", 2, "--points", 16],
        "zoo align": ["zoo", "align", "zoo", "-o", "aligned"],
        "zoo show": ["zoo", "show", "zoo"],
        "zoo verify": ["zoo", "verify", "zoo"],
        "zoo export": ["zoo", "export", "zoo", "lenetlike-0000", "-o", "one.safetensors"],
        "eval": ["eval", tiny.zoo.path, *space, *data, "--plot", "fidelity.pdf"],
        "map": ["map", tiny.zoo.path, *space, "--over", emb["both"], "-o", "map.svg"],
        "probe": ["probe", planted.path, "--space", tiny.single_space.path],
        "mesh": ["mesh", solids.networks[0], "--resolution", 8, "-o", "solid.svg"],
        "prep": ["prep", lenet, *space, "-o", "a.npy"],
        "inspect": ["inspect", "a.emb"],
        "spaces": ["spaces"],
    }


def test_there_is_a_job_for_every_command(tiny: Tiny, emb: dict[str, Path], solids: Solids, planted: Zoo) -> None:
    """Experiments tell how long they took, so never the same bytes: their own tests run them."""
    assert set(jobs(tiny, emb, solids, planted)) == {" ".join(words) for words, _ in LEAVES if words[0] != "experiment"}


@pytest.mark.slow
def test_all_works_without_a_network_and_always_with_the_same_bytes(
    tiny: Tiny,
    emb: dict[str, Path],
    solids: Solids,
    planted: Zoo,
    work: Path,
    ask: Ask,
    tree: ReadTree,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("something asks for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("NETSPACE_DEVICE", "cpu")  # elsewhere sums may come in another order each time
    monkeypatch.setattr(grids, "FINEST", 24)  # as coarse as they are
    trees, documents = [], []
    for name in ("one", "two"):
        (work / name).mkdir()
        monkeypatch.chdir(work / name)
        documents.append({job: ask(*command) for job, command in jobs(tiny, emb, solids, planted).items()})
        found = tree(work / name)
        del found["s.run/checkpoint.pt"]  # no output, but what a stopped run goes on from
        trees.append(found)
    assert trees[0].keys() == trees[1].keys()
    assert [name for name in trees[0] if trees[0][name] != trees[1][name]] == []
    for job, document in documents[0].items():
        other = documents[1][job]
        for each in (document, other):
            each.pop("report", None)
        assert document == other, job
    masks = [path.stat().st_mode & 0o777 for path in (work / "one").rglob("*") if path.is_file()]
    assert {mode & 0o044 for mode in masks} == {0o044 & ~_umask()}, "as readable as other files"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("name", ["interp", "eval", "zoo train"])
def test_a_bar_s_worth_of_news_goes_to_stderr_unless_quiet(
    tiny: Tiny, emb: dict[str, Path], solids: Solids, planted: Zoo, work: Path, cli: Cli, name: str
) -> None:
    command = jobs(tiny, emb, solids, planted)[name]
    result = cli(*command, "--quiet")
    assert result.exit_code == 0 and result.stderr == "" and "\x1b" not in result.stdout
    assert result.stdout.count("\t") > 3


def process(*arguments: object, **settings: Any) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "netspace_cli", *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, **(streams | settings))


@pytest.mark.slow
def test_somebody_s_own_folders_of_the_same_names_are_not_imported(tiny: Tiny, work: Path) -> None:
    for name in ("models", "examples", "tests"):
        Path(name).mkdir()
        (Path(name) / "__init__.py").write_text("raise SystemExit('the wrong package')")
    with process("inspect", tiny.networks["resnet8"], "--json") as run:
        out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert json.loads(out)["arch"] == "resnet8"


@pytest.mark.slow
def test_a_reader_that_leaves_does_not_stop_the_work(tiny: Tiny, emb: dict[str, Path], work: Path) -> None:
    command = ["interp", emb["lenetlike"], emb["resnet8"], "--space", tiny.space.path, "--steps", "4", "--csv", "a.csv"]
    with process(*command, env={**os.environ, "COLUMNS": "20", "TERM": "dumb"}) as run:
        assert run.stdout is not None and run.stderr is not None
        run.stdout.close()
        err = run.stderr.read()
    assert run.returncode == 0 and "Traceback" not in err and "BrokenPipe" not in err
    assert len(Path("a.csv").read_text().splitlines()) == 6
