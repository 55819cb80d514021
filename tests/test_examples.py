"""The examples run: the scripts at a small size, and every recipe on a tiny zoo of its kind.

`plain_pytorch.py` and `scan.py` run beside the built-in spaces that they use: test_shipped.py, test_shipped_shapes.py.
"""

from __future__ import annotations

import ast
import runpy
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

import netspace_cli
from netspace_cli.core.spaces.recipe_reading import load_recipe
from tests.worlds import Cli, Solids, Tiny

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
FEW_STEPS = {f"NETSPACE_{command}_REFINE": "1" for command in ("ENCODE", "INTERP")}
RECIPES = sorted((EXAMPLES / "recipes").glob("*.toml"))
RUN_ELSEWHERE = {"plain_pytorch.py": "test_shipped.py", "scan.py": "test_shipped_shapes.py"}

# Sizes and lengths, never what a recipe is about: how its backbone reads, asks, answers and writes.
SMALL = {
    "tokens": {"embedding_size": 64, "latents": 4, "width": 16, "heads": 2, "chunk": 64, "probes": 4},
    "conv": {"embedding_size": 64, "side": 8, "height": 32, "width": 2800},
    "neurons": {"embedding_size": 16, "width": 16, "heads": 2},
}
ONE_ARCHITECTURE = {
    *("cifar10-lenetlike", "cifar10-resnet8", "digits-lenetlike", "published-single"),
    "hyper-representation",
}
T = TypeVar("T")
ONE_STEP = {"steps": 1, "instances": 1, "images": 8, "warmup": 0, "validate_every": 1, "checkpoint_every": 1}


@pytest.fixture(autouse=True)
def in_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the examples are run from."""
    monkeypatch.chdir(ROOT)


def test_every_script_is_run_somewhere() -> None:
    here = Path(__file__).read_text()
    for script in EXAMPLES.glob("*.py"):
        where = RUN_ELSEWHERE.get(script.name)
        assert f'"{script.name}"' in (here if where is None else (ROOT / "tests" / where).read_text()), script.name


def fewer(function: Callable[..., T], **steps: int) -> Callable[..., T]:
    """The same function, which takes so many steps where it was asked for more."""

    def called(*args: Any, **given: Any) -> T:
        assert all(given[name] > count for name, count in steps.items())
        return function(*args, **{**given, **steps})

    return called


@pytest.mark.slow
def test_the_library_example_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    few = {"encode": {"refine_steps": 2}, "optimise": {"steps": 2}}
    for name, steps in few.items():
        monkeypatch.setattr(netspace_cli, name, fewer(getattr(netspace_cli, name), **steps))
    runpy.run_path(str(EXAMPLES / "library.py"), run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in printed if line.startswith(("0.0 ", "1.0 "))] == ["lenetlike", "resnet32"]
    assert printed[-1].startswith("lso: loss")


@pytest.mark.slow
def test_the_demo_runs(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run: Callable[..., Any] = subprocess.run

    def here(command: list[str], **settings: object) -> object:
        if command[:3] != [sys.executable, "-m", "netspace_cli"]:
            return run(command, **settings)  # matplotlib asks the system for its fonts, once on a new machine
        return SimpleNamespace(returncode=cli(*command[3:], env=FEW_STEPS).exit_code)

    out = tmp_path / "demo"
    monkeypatch.setattr(subprocess, "run", here)
    assert runpy.run_path(str(EXAMPLES / "demo.py"))["main"](str(out), 1) == 0
    assert f"$ netspace decode {out}/lenet.emb -o {out}/lenet2.pt" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == (
        {"all.emb", "lenet.emb", "lenet2.pt", "path.png", "path.csv", "best.emb", "best.pt"}
    )


@pytest.mark.slow
def test_fitting_together_runs(capsys: pytest.CaptureFixture[str]) -> None:
    script = runpy.run_path(str(EXAMPLES / "fit_together.py"))
    script["main"](2, 1)
    assert capsys.readouterr().out.count("2 networks of") == len(script["CASES"])


@pytest.mark.slow
def test_merging_runs(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "merge.py"))["main"](2)
    lines = capsys.readouterr().out.splitlines()
    ways = [line.split()[0] for line in lines]
    assert ways[0] == "best" and {"space-mean", "ensemble", "from-best", "space-from-best"} <= set(ways)
    assert sum("<- chosen" in line for line in lines) == 1


def snippets(text: str) -> list[str]:
    """The blocks of Python in a document."""
    return [block.removeprefix("python\n") for block in text.split("```") if block.startswith("python\n")]


def lines_not_in(snippet: str, script: str) -> list[str]:
    """What of a snippet does not stand in a script: its lines in their order, and the names that it imports."""
    imported = {
        alias.name for node in ast.walk(ast.parse(script)) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    there = iter([line.strip() for line in script.splitlines()])
    missing = []
    for line in filter(None, map(str.strip, snippet.splitlines())):
        if line.startswith("from netspace_cli import "):
            names = line.removeprefix("from netspace_cli import ").split(", ")
            missing += [name for name in names if name not in imported]
        elif line not in there:
            missing.append(line)
    return missing


def test_the_library_example_has_the_snippet_of_the_readme() -> None:
    (snippet,) = snippets((ROOT / "README.md").read_text())
    assert lines_not_in(snippet, (EXAMPLES / "library.py").read_text()) == []


def test_a_snippet_that_differs_is_found() -> None:
    script = textwrap.dedent(
        """\
        from netspace_cli import encode, decode

        def main():
            a = encode(1)
            print(a)
            b = decode(a)
        """
    )
    assert lines_not_in("from netspace_cli import encode\n\na = encode(1)\nb = decode(a)", script) == []
    assert lines_not_in("from netspace_cli import lso", script) == ["lso"]
    assert lines_not_in("a = encode(2)", script) == ["a = encode(2)"]
    assert lines_not_in("b = decode(a)\na = encode(1)", script) == ["a = encode(1)"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_trains_a_step(path: Path, tiny: Tiny, solids: Solids, tmp_path: Path, cli: Cli) -> None:
    recipe = load_recipe(path)
    small: dict[str, object] = {f"backbone.{key}": value for key, value in SMALL[recipe.backbone.kind].items()}
    small |= {f"train.{key}": value for key, value in ONE_STEP.items()} | {"refine.images": 8}
    if recipe.train.contrast.gamma:
        small["train.instances"] = 2  # there is nothing to contrast one with
    command: list[object] = ["train", "--recipe", path, "-o", tmp_path / "space.safetensors"]
    if path.stem == "shapes":
        command += [solids.zoo.path]
    elif path.stem in ONE_ARCHITECTURE:
        command += [tiny.single_zoo.path, "--data", tiny.npz]
    else:
        command += [tiny.zoo.path, "--data", tiny.npz, "--teacher", tiny.teacher]
    if recipe.space.unseen:
        small["space.unseen"] = '["vanillacnn"]'  # two are left between which it is drawn
    if recipe.lso.rates:
        small["lso.rates"] = "{ resnet8 = 0.01 }"  # of an architecture of the tiny zoo
    result = cli(*command, *(word for key, value in small.items() for word in ("-s", f"{key}={value}")))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "space.safetensors").exists()
