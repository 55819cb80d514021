"""Pages of the site that are made from the code: the library, recipes; and documents from outside docs/."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import netspace_cli
from netspace_cli.core.spaces.recipe_text import recipe_text

OUTSIDE = {
    "results": "RESULTS.md",
    "contributing": "CONTRIBUTING.md",
    "changes": "CHANGELOG.md",
    "security": "SECURITY.md",
}
LINK = re.compile(r"\]\((?!https?:|#)([^)]+)\)")


def generated(root: Path) -> dict[str, str]:
    """The text of each page by its name."""
    return {"library": library(), "recipes": recipes()} | {
        name: moved((root / file).read_text()) for name, file in OUTSIDE.items()
    }


def moved(text: str) -> str:
    """A document of the top folder as a page of docs/generated: its links lead to the same files."""
    pages = {file: f"{name}.md" for name, file in OUTSIDE.items()}
    return LINK.sub(lambda link: f"]({pages.get(link[1]) or _from_generated(link[1])})", text)


def inside(text: str) -> str:
    """A page of docs/ with links to documents of the top folder led to their pages."""
    for name, file in OUTSIDE.items():
        text = text.replace(f"](../{file})", f"](generated/{name}.md)")
    return text


def _from_generated(path: str) -> str:
    return f"../{path.removeprefix('docs/')}" if path.startswith("docs/") else f"../../{path}"


def library() -> str:
    """Every public name of `netspace_cli`, from its docstring."""
    parts = ["# The library\n", "`from netspace_cli import …`: names are imported when they are first used.\n"]
    for name in netspace_cli.__all__:
        value = getattr(netspace_cli, name)
        kind, members = ("class", "\n   :members:") if inspect.isclass(value) else ("function", "")
        where = f"{value.__module__}.{name}"
        parts.append(f"## {name}\n\n```{{eval-rst}}\n.. auto{kind}:: {where}{members}\n```\n")
    return "\n".join(parts)


def recipes() -> str:
    """Every setting of a recipe."""
    return (
        "# Recipes\n\nA recipe says how a space is trained: "
        "`netspace train zoo/ -o space.safetensors --recipe mine.toml`. "
        "Single settings are changed by `-s train.steps=3000`. `netspace train --help-recipe` prints this page. "
        f"`examples/recipes` has recipes for many cases.\n\n```toml\n{recipe_text()}```\n"
    )
