"""SECURITY.md names tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def named_in(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def missing(text: str) -> list[str]:
    """Tests that a text names and that are not there."""
    return [
        f"{file}::{name}"
        for file, name in NAMED.findall(text)
        if not (ROOT / file).is_file() or name not in named_in(ROOT / file)
    ]


def test_every_test_that_security_names_exists() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    assert missing(text) == []
    assert len(set(NAMED.findall(text))) > 60
    # Each row has a test, or says why it has none.
    lines = text.partition("\n## Faults and their tests\n")[2].splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| fault ")]
    assert [row for row in rows if "::test_" not in row and "no test:" not in row] == []
    assert len(rows) >= 40


@pytest.mark.parametrize("name", ["tests/test_security.py::test_nothing", "tests/nothing.py::test_a"])
def test_a_test_that_does_not_exist_is_found(name: str) -> None:
    assert missing(f"See `{name}`.") == [name]


def test_every_promise_names_a_test() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    promises = re.findall(r"^\d\. .*?(?=^\d\. |^\n?#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(promises) == 6
    assert all(NAMED.search(promise) for promise in promises)


def test_the_supported_torch_is_that_of_the_package() -> None:
    lowest = re.search(r'"torch>=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert lowest and f"torch {lowest[1]}" in (ROOT / "SECURITY.md").read_text()
