"""Fixtures for tests of commands: an empty place to work in, and commands asked as a program asks them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from netspace_cli.cli import cli as netspace
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.training.loop import train
from tests.worlds import Ask, Cli, ReadTree, Refused, Rows, Tiny, Tree


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory: no data at hand unless they are named."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def tree() -> ReadTree:
    """All below a folder: bytes by path, None for folders."""

    def read(folder: Path) -> Tree:
        found = sorted(folder.rglob("*"))
        return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in found}

    return read


def one_document(result: Result) -> dict[str, Any]:
    """The JSON document that is all of stdout: valid (no NaN), of this schema, without escape codes."""
    assert "\x1b" not in result.stdout

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    document: dict[str, Any] = json.loads(result.stdout, parse_constant=refuse)
    assert document["schema"] == 1
    return document


@pytest.fixture
def ask(cli: Cli) -> Ask:
    """Run a command with --json; it must work. Returns its document."""

    def run(*arguments: object) -> dict[str, Any]:
        result = cli(*arguments, "--json")
        assert result.exit_code == 0, result.output
        document = one_document(result)
        assert "error" not in document
        return document

    return run


@pytest.fixture
def rows(cli: Cli) -> Rows:
    """Run a command as in a pipe; it must work. Returns its tab-separated rows by column."""

    def run(*arguments: object) -> list[dict[str, str]]:
        result = cli(*arguments)
        assert result.exit_code == 0, result.output
        assert "\x1b" not in result.output
        header, *lines = (line.split("\t") for line in result.stdout.splitlines())
        assert all(len(line) == len(header) for line in lines)
        return [dict(zip(header, line, strict=True)) for line in lines]

    return run


@pytest.fixture
def refused(cli: Cli, tree: ReadTree) -> Refused:
    """Run a command that must be refused with an exit code, in words and as a document alike, and write
    nothing into the current directory. Returns what it said: message, then hint."""

    def run(code: int, *arguments: object) -> str:
        before = tree(Path.cwd())
        result = cli(*arguments)
        assert (result.exit_code, result.stdout) == (code, ""), result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        told = cli(*arguments, "--json")
        assert told.exit_code == code
        error = one_document(told)["error"]
        assert error["message"] and error["hint"], "a message, and the next step"
        spoken = [line for line in result.stderr.splitlines() if line.startswith(("error: ", "hint: "))]
        assert spoken == [f"error: {error['message']}", f"hint: {error['hint']}"]
        assert "Traceback" not in result.output and "internal error" not in result.output
        assert tree(Path.cwd()) == before, "nothing is written"
        return f"{error['message']} {error['hint']}"

    return run


@pytest.fixture(scope="session")
def emb(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Embedding files: one of each of the tiny networks by architecture, "both" of lenetlike and resnet8, and
    "other" of the space of lenetlike alone."""
    folder = tmp_path_factory.mktemp("emb")
    networks = tiny.networks
    wanted = {name: ([path], tiny.space.path) for name, path in networks.items()}
    wanted["both"] = ([networks["lenetlike"], networks["resnet8"]], tiny.space.path)
    wanted["other"] = ([networks["lenetlike"]], tiny.single_space.path)
    for name, (paths, space) in wanted.items():
        command = ["encode", *paths, "--space", space, "-o", folder / f"{name}.emb", "--refine", "0"]
        result = CliRunner().invoke(netspace, [str(each) for each in command])
        assert result.exit_code == 0, result.output
    return {name: folder / f"{name}.emb" for name in wanted}


@pytest.fixture(scope="session")
def starting(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A space with three starting points."""
    table = tiny.recipe.model_dump()
    table["space"] |= {"name": "starting", "starts": 3}
    table["train"]["steps"] = 2
    path = tmp_path_factory.mktemp("starts") / "s.safetensors"
    with Runner("cpu") as runner:
        train(tiny.single_zoo, path, recipe_from(table), tiny.data, runner)
    return path
