"""What messages of the library name is there: in Python by that name, on the command line by its flag."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import pytest
from netspace_models.errors import ConfigError
from netspace_models.wording import Call, Value, setting, worded

import netspace_cli
from netspace_cli.cli import cli
from netspace_cli.core.spaces.recipe_reading import load_recipe
from netspace_cli.terminal.flags import COMMANDS, FLAGS, OFF, OPTIONS, SEPARATORS, CommandLineWording, flag

ROOT = Path(netspace_cli.__file__).parent.parent


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("teacher", None, "--teacher"),
        ("per_class", None, "--per-class"),
        ("device", "cpu", "--device cpu"),
        ("space", "with a space ", "--space with a space "),
        ("force", True, "--force"),
        ("scale", False, "--as-is"),
        ("refine_steps", 0, "--refine 0"),
        ("folder", None, "-o"),
        ("lr", 0.0100, "--lr 0.01"),
        ("counts", (16, 2, 8), "--counts 16/2/8"),
        ("sizes", (64, 256), "--sizes 64,256"),
        ("train.images", 64, "-s train.images=64"),
        ("train.shuffle", False, "-s train.shuffle=false"),
        ("train.images", None, "train.images"),
        ("data", Call("load_data", "digits"), "--data digits"),
    ],
)
def test_a_setting_is_written_as_the_command_line_has_it(name: str, value: Value, words: str) -> None:
    with worded(CommandLineWording()):
        assert setting(name, value) == words


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (Call("interpolate_weights"), "--weights"),
        (Call("trusting", "nets:make"), "--trust nets:make"),
        (Call("read_teacher", key=None), "--teacher-key"),
        (Call("index_folder", force=True), "`netspace zoo index --force`"),
        (Call("ZooPlan", counts=(16, 2, 8)), "`netspace zoo train --counts 16/2/8`"),
    ],
)
def test_a_call_is_written_as_a_command_or_an_option(call: Call, words: str) -> None:
    with worded(CommandLineWording()):
        assert str(call) == words


def test_the_words_cross_to_worker_processes() -> None:
    again = pickle.loads(pickle.dumps(CommandLineWording()))  # noqa: S301 (our own bytes)
    assert again.setting("teacher", None) == "--teacher"


@dataclass(frozen=True)
class Named:
    """What a message of the library names, and where."""

    place: str
    call: ast.Call

    @property
    def words(self) -> list[str]:
        """The texts that its first argument may be; more than one where it is chosen."""
        return [
            n.value for n in ast.walk(self.call.args[0]) if isinstance(n, ast.Constant) and isinstance(n.value, str)
        ]


@cache
def trees() -> dict[str, ast.Module]:
    files = [*(ROOT / "netspace_cli/core").rglob("*.py"), *(ROOT / "models").rglob("*.py")]
    return {str(f.relative_to(ROOT)): ast.parse(f.read_text()) for f in sorted(files)}


def named(function: str) -> Iterator[Named]:
    """Every `setting(...)` or `Call(...)` of the library and the models."""
    for file, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function:
                yield Named(f"{file}:{node.lineno}", node)


@cache
def parameters() -> dict[str, set[str]]:
    """What can be given to each public function and class: parameters, and fields of dataclasses."""
    found: dict[str, set[str]] = {}

    def of(node: ast.FunctionDef) -> set[str]:
        return {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}

    for tree in trees().values():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                found.setdefault(node.name, set()).update(of(node))
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                fields = {
                    n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
                }
                made = [of(n) for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
                found.setdefault(node.name, set()).update(fields, *made)
    return found


@cache
def options() -> dict[str, set[str]]:
    """The flags of every command, by its name without `netspace`."""
    found: dict[str, set[str]] = {}

    def walk(command: click.Command, name: str, context: click.Context) -> None:
        if isinstance(command, click.Group):
            for each in command.list_commands(context):
                child = command.get_command(context, each)
                assert child is not None
                walk(child, f"{name} {each}".strip(), context)
            return
        found[name] = {o for p in command.params for o in (*p.opts, *p.secondary_opts) if o.startswith("-")}

    walk(cli, "", click.Context(cli))
    return found


def test_what_is_named_is_found() -> None:
    assert len(list(named("setting"))) > 80 and len(list(named("Call"))) > 10
    assert {"teacher", "output", "resume"} <= parameters()["train"] and "counts" in parameters()["ZooPlan"]
    assert {"--teacher", "-o", "--resume"} <= options()["train"] and "--counts" in options()["zoo train"]


def test_every_setting_is_a_parameter_in_python_and_an_option_of_a_command() -> None:
    known, flags = set().union(*parameters().values()), set().union(*options().values())
    for each in named("setting"):
        assert each.words, f"{each.place}: the name of a setting is no literal"
        for word in each.words:
            if "." in word:
                assert is_key(word), f"{each.place}: no recipe has {word}"
                continue
            off = len(each.call.args) > 1 and ast.unparse(each.call.args[1]) == "False"
            assert word in known, f"{each.place}: nothing takes {word}"
            assert flag(word, False if off else None) in flags, f"{each.place}: no command takes {word}"


def is_key(word: str) -> bool:
    """Whether a recipe has such a key, whatever a value of it is."""
    try:
        load_recipe(None, {word: "1"})
    except ConfigError as refused:
        return "no key" not in str(refused)
    return True


def test_every_call_is_one_of_the_library_and_a_command_or_an_option() -> None:
    every = set().union(*options().values())
    for each in named("Call"):
        (function,) = each.words
        given = {str(k.arg) for k in each.call.keywords}
        assert given <= parameters().get(function, set()), f"{each.place}: {function} takes no {given}"
        assert function in parameters(), f"{each.place}: the library has no {function}"
        if function in COMMANDS:
            assert {flag(name) for name in given} <= options()[COMMANDS[function]], each.place
        elif function in OPTIONS:
            assert OPTIONS[function] in every, each.place
        else:
            assert function in netspace_cli.__all__ and not given, f"{each.place}: only as the value of a setting"


def test_the_tables_hold_what_is_named_and_no_more() -> None:
    settings = {word for each in named("setting") for word in each.words}
    given = {str(k.arg) for each in named("Call") for k in each.call.keywords}
    assert {*FLAGS, *OFF, *SEPARATORS} <= settings | given
    assert {*COMMANDS, *OPTIONS} <= {word for each in named("Call") for word in each.words}


@pytest.mark.parametrize(("key", "there"), [("train.images", True), ("train.imagse", False), ("nothing.images", False)])
def test_a_key_that_no_recipe_has_is_found(key: str, there: bool) -> None:
    assert is_key(key) == there
