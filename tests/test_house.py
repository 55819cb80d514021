"""How long a function may be and how much it may ask for; what commits are called."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINES, PARAMETERS, COMMAND_LINES = 60, 8, 40
# What is over a limit: nothing is, and these lists stay empty.
TOO_LONG: frozenset[str] = frozenset()
TOO_MANY_PARAMETERS: frozenset[str] = frozenset()

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(body: ast.AST, within: str = "") -> Iterator[tuple[str, Function]]:
    """Every function of a file, methods and inner ones too, by its dotted name."""
    for node in ast.iter_child_nodes(body):
        name = within
        if isinstance(node, Function | ast.ClassDef):
            name = f"{within}.{node.name}".lstrip(".")
        if isinstance(node, Function):
            yield name, node
        yield from functions(node, name)


def lines(function: Function) -> int:
    """From `def` to the last line; decorators do not count."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def body_lines(function: Function) -> int:
    """Of the body alone, without its docstring."""
    first = function.body[1 if ast.get_docstring(function) and len(function.body) > 1 else 0]
    return (function.end_lineno or first.lineno) - first.lineno + 1


def parameters(function: Function) -> int:
    """What a caller may give: neither `self` nor what `*` and `**` collect."""
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def is_command(function: Function) -> bool:
    """Whether click calls it, with every option that a person can give: `@click.command()`, `@zoo.command("fit")`."""
    called = (each.func if isinstance(each, ast.Call) else each for each in function.decorator_list)
    return any(isinstance(each, ast.Attribute) and each.attr in ("command", "group") for each in called)


@dataclass(frozen=True)
class Measured:
    """A function of the package: `file:name`, and how long it is and what it asks for."""

    place: str
    lines: int
    body_lines: int
    parameters: int
    is_command: bool


@cache
def measured() -> tuple[Measured, ...]:
    """Every function of the package."""
    return tuple(
        Measured(
            f"{path.relative_to(ROOT).as_posix()}:{name}",
            lines(function),
            body_lines(function),
            parameters(function),
            is_command(function),
        )
        for package in ("netspace_cli", "models")
        for path in (ROOT / package).rglob("*.py")
        for name, function in functions(ast.parse(path.read_text()))
    )


def test_no_function_is_too_long_but_those_listed() -> None:
    found = {each.place for each in measured() if each.lines > LINES}
    assert found - TOO_LONG == set(), f"at most {LINES} lines"
    assert TOO_LONG - found == set(), "mended or gone: take these out of TOO_LONG"


def test_commands_are_translations() -> None:
    commands = [each for each in measured() if each.is_command]
    assert commands, "there are some"
    assert {each.place for each in commands if each.body_lines > COMMAND_LINES} == set()
    (long,) = (function for _, function in functions(ast.parse('def f():\n    """Doc."""\n' + "    g()\n" * 41)))
    assert body_lines(long) == 41


def test_no_function_has_too_many_parameters_but_those_listed() -> None:
    found = {each.place for each in measured() if each.parameters > PARAMETERS and not each.is_command}
    assert found - TOO_MANY_PARAMETERS == set(), f"at most {PARAMETERS} parameters"
    assert TOO_MANY_PARAMETERS - found == set(), "mended or gone: take these out of TOO_MANY_PARAMETERS"


def only(source: str) -> Function:
    """The first function of a source."""
    return next(function for _, function in functions(ast.parse(source)))


def test_lines_and_parameters_are_counted() -> None:
    assert lines(only("@cache\n\ndef f():\n    a = 1\n    return a")) == 3
    assert parameters(only("class A:\n    def f(self, a, /, b, *c, d=1, **e): ...")) == 3
    assert parameters(only("async def f(a, b): ...")) == 2
    nested = "class A:\n    if x:\n        def f(self):\n            def g(): ..."
    assert [name for name, _ in functions(ast.parse(nested))] == ["A.f", "A.f.g"]


@pytest.mark.parametrize(
    ("decorator", "is_one"),
    [
        ("@click.command()", True),
        ("@click.group(invoke_without_command=True)", True),
        ("@zoo.command('fit')", True),
        ("@zoo.command", True),
        ("@options.shared", False),
        ("@property", False),
    ],
)
def test_a_command_is_known_by_its_decorator(decorator: str, is_one: bool) -> None:
    assert is_command(only(f"{decorator}\ndef f(): ...")) is is_one


@pytest.mark.parametrize(
    ("message", "is_refused"),
    [
        ("Add a subject\n\nMore of it. And more.\n", False),
        ("x" * 72 + "\n\n" + "y" * 100, False),
        ("x" * 73, True),
        ("Add a full stop.", True),
        ("Add a full stop. \n\nMore of it\n", True),
        ("Read version 1.2\n", False),
    ],
)
def test_the_hook_for_subjects_refuses_long_ones_and_full_stops(message: str, is_refused: bool) -> None:
    (rule,) = re.findall(r"entry: '(.+)'", (ROOT / ".pre-commit-config.yaml").read_text())
    assert (re.search(rule, message, re.MULTILINE | re.DOTALL) is not None) is is_refused
