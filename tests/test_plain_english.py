"""Plain English in what people read: phrases that were given up stay out of help, messages and docstrings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from netspace_cli.cli import cli

ROOT = Path(__file__).resolve().parent.parent
# What is not to be written, as a regular expression, and what to write.
PHRASES = {
    r"so many": "the number itself: N steps, `count` inputs",
    r"\btold (?:of|how|so|as)\b|\btells? of\b": "warn about, report, show",
    r"\bwhat stands\b|\bstands? (?:for|there|between|twice|in it)\b": "is, gives, appears",
    r"\b(?:has|have|had|take|takes|took) no part in\b": "does not use, is not part of",
    r"\bthere (?:is|are) none\b": "without any; or name what is missing",
    r"\b(?:is|are) (?-i:none)\b": "is invalid, is missing",
    r"(?<!\bthere )\b(?:is|are) no (?!more|longer|faster|better)\w": "is not a",
    r"\bno [\w -]{1,30} is called\b|\bis called so\b": "unknown NAME",
    r"\bsays? (?:both|something) (?:what|how|of)\b": "cannot be combined",
    r"\b(?:does not|would) do\b(?=[.,:;)]|$)": "invalid; is enough",
    r"\bwhat it takes\b": "its inputs, its memory",
    r"\bat hand\b": "available",
    r"\bin vain\b": "without success",
    r"\bas of `": "as in `",
    r"\b(?:refused|understood|known|kept) are\b": "known: …",
    r"\b(?:is|are) asked about\b": "is evaluated at",
    r"\b(?:begin|begins|begun|index|indexed|indexes) anew\b": "start again, index again",
    r"\b(?:have|has|had) not\b(?=[.,:;)]|$)": "does not have",
}
# A docstring's first line is an imperative or a noun phrase.
OPENINGS = ("Of ", "As of ", "As people ", "There ", "None of ", "Such ", "Those ")
# Labels of rows in the files of experiments, which stay as they are.
IN_FILES = frozenset({"as it stands"})


def sources() -> Iterator[tuple[str, ast.Module]]:
    for folder in ("netspace_cli", "models"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def faults(text: str) -> list[str]:
    """The phrases of a text that were given up, with what to write instead."""
    words = " ".join(text.split())
    found = ((re.search(pattern, words, re.IGNORECASE), plain) for pattern, plain in PHRASES.items())
    return [f"{match[0]!r}: write {plain!r}" for match, plain in found if match]


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every text of a module with its line; what is put into one is left out."""
    inside: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [each for each in node.values if isinstance(each, ast.Constant)]
            inside |= set(parts)
            yield node.lineno, "".join(str(part.value) if part in parts else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inside:
            yield node.lineno, node.value


def openings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The first lines of docstrings, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            written = ast.get_docstring(node)
            if written:
                yield node.body[0].lineno, written.splitlines()[0]


def commands(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(("netspace", *words)), command
    if isinstance(command, click.Group):
        context = click.Context(command, **command.context_settings)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner, (*words, name))


def test_texts_are_plain() -> None:
    found = [
        f"{path}:{line}: {fault}"
        for path, tree in sources()
        for line, text in texts(tree)
        if text not in IN_FILES
        for fault in faults(text)
    ]
    assert found == []


def test_docstrings_begin_with_what_is_done_or_what_it_is() -> None:
    found = [
        f"{path}:{line}: {text}"
        for path, tree in sources()
        for line, text in openings(tree)
        if text.startswith(OPENINGS)
    ]
    assert found == []


@pytest.mark.parametrize(("name", "command"), [pytest.param(*each, id=each[0]) for each in commands(cli)])
def test_the_help_is_plain(name: str, command: click.Command) -> None:
    assert faults(command.get_help(click.Context(command, info_name=name, help_option_names=["-h", "--help"]))) == []


@pytest.mark.parametrize(
    "text",
    [
        "Measure after so many epochs.",
        "Options that were given: they are told of, not swallowed.",
        "What stands between two shapes.",
        "{} says something of a teacher, and there is none: give both.",
        "x is no table of numbers",
        "no device is called 'gpu'.",
        "they say both what is built.",
        "train.lr = 'x' does not do: it is not a number.",
        "the images of digits are not at hand.",
        "a teacher has no part in it.",
        "The settings, as of `train`.",
        "accuracies, which neural fields have not.",
        "a share of 0 is none.",
    ],
)
def test_a_phrase_that_comes_back_is_found(text: str) -> None:
    tree = ast.parse(f"def f(x):\n    raise ValueError(f{text!r})" if "{" not in text else f"x = {text!r}")
    assert [fault for _, each in texts(tree) for fault in faults(each)]


def test_a_text_broken_over_lines_and_one_with_values_in_it_are_read_whole() -> None:
    tree = ast.parse('a = (\n    "there is "\n    "none"\n)\nb = f"{x} is {y} no {z}"\nc = f"{x} is no zoo"')
    assert sorted(text for _, text in texts(tree)) == ["there is none", "{} is no zoo", "{} is {} no {}"]
    assert faults("There is no surface, it is no more than that, and the zoo has not been trained.") == []


def test_an_opening_is_found() -> None:
    tree = ast.parse('"""Of networks."""\ndef f():\n    """Of two.\n\n    More.\n    """')
    assert [text for _, text in openings(tree)] == ["Of networks.", "Of two."]
    assert all(text.startswith(OPENINGS) for _, text in openings(tree))
