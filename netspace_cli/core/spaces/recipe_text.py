"""All settings of a recipe with their defaults and meanings, as a commented TOML file that is a recipe itself."""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

from netspace_models.backbones.registry import BACKBONES, DEFAULT
from netspace_models.backbones.settings import BackboneSettings

from .recipe import Recipe, Section, backbone_from, key_names

WIDTH = 100
INTRODUCTION = "Every setting of a recipe with its default. Keep the lines that you change; the others may go."
_ITEM = re.compile(r"^ {4}(\w+(?:, \w+)*): ", re.MULTILINE)


def recipe_text() -> str:
    """A whole recipe of defaults in TOML, with a comment on each key; settings of other backbones are commented out."""
    recipe = Recipe()
    lines = [f"# {INTRODUCTION}"]
    for name in type(recipe).model_fields:
        lines += _table(name, getattr(recipe, name))
    others = [kind for kind in BACKBONES if kind != DEFAULT]
    for kind in others:
        lines += ["", f'# In place of the {DEFAULT} backbone, kind = "{kind}":']
        lines += [f"# {line}".rstrip() for line in _table("backbone", backbone_from({"kind": kind})) if line]
    return "\n".join(lines) + "\n"


def meanings(section: type) -> dict[str, str]:
    """What each setting of a section means, from the section's docstring."""
    text = inspect.cleandoc(section.__doc__ or "").partition("Attributes:\n")[2]
    names = set(key_names(section))
    found: dict[str, str] = {}
    if issubclass(section, BackboneSettings):
        found["kind"] = f"which backbone: {', '.join(BACKBONES)}."
    starts = [*_ITEM.finditer(text)]
    for item, after in zip(starts, [*starts[1:], None], strict=True):
        meaning = " ".join(text[item.end() : after.start() if after else None].split())
        found |= dict(_parted(item[1], meaning, names))
    return found


def _parted(listed: str, meaning: str, names: set[str]) -> Iterator[tuple[str, str]]:
    """A docstring's item, "a, b: what both are; c: what that is", setting by setting."""
    first, *others = re.split(rf"; (?=(?:{'|'.join(map(re.escape, sorted(names)))}): )", meaning)
    for name in listed.split(", "):
        yield name, first
    for other in others:
        name, _, rest = other.partition(": ")
        yield name, rest


def _table(name: str, section: Any) -> list[str]:
    """A section and the tables in it."""
    values = {key: getattr(section, key) for key in key_names(type(section))}
    said, inner = meanings(type(section)), {k: v for k, v in values.items() if _is_section(v)}
    summary = inspect.cleandoc(type(section).__doc__ or "").partition("\n")[0]
    lines = ["", f"# {_sentence(summary.removeprefix(f'`[{name}]`: '))}", f"[{name}]"]
    for key, value in values.items():
        if key in inner:
            continue
        lines += textwrap.wrap(_sentence(said[key]), WIDTH, initial_indent="# ", subsequent_indent="# ")
        lines.append(f"{key} = {_toml(value)}" if value is not None else f"# {key} =")
    for key, each in inner.items():
        lines += _table(f"{name}.{key}", each)
    return lines


def _is_section(value: Any) -> bool:
    return isinstance(value, Section) or (is_dataclass(value) and not isinstance(value, type))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(list(value) if isinstance(value, tuple) else value)
