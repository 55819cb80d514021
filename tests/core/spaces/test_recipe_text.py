"""The recipe of defaults that is printed: it is a recipe, it has every setting, and each has a meaning."""

from __future__ import annotations

import tomllib
from typing import ClassVar

import pytest
from netspace_models.backbones.registry import BACKBONES

from netspace_cli.core.spaces.recipe import Recipe, Section
from netspace_cli.core.spaces.recipe_reading import recipe_from, settable_keys
from netspace_cli.core.spaces.recipe_text import meanings, recipe_text


def test_it_is_a_recipe_of_all_defaults() -> None:
    assert recipe_from(tomllib.loads(recipe_text())) == Recipe()


@pytest.mark.parametrize("kind", [kind for kind in BACKBONES if kind != "tokens"])
def test_commented_out_backbones_are_recipes_too(kind: str) -> None:
    text = recipe_text().partition(f'kind = "{kind}":\n')[2].partition("\n\n")[0]
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    assert recipe_from(tomllib.loads("\n".join(lines))).backbone == recipe_from({"backbone": {"kind": kind}}).backbone


def test_every_setting_is_there_with_a_meaning() -> None:
    lines = recipe_text().splitlines()
    for key in settable_keys():
        name = key.rpartition(".")[2]
        at = [i for i, line in enumerate(lines) if line.lstrip("# ").startswith(f"{name} =")]
        assert at and all(lines[i - 1].startswith("# ") and lines[i - 1].endswith(".") for i in at), key


class Example(Section):
    """What is read.

    Attributes:
        one: the first,
            on two lines.
        two, three: both; of them one; four: apart.
    """

    not_a_setting: ClassVar[int] = 0
    one: int = 1
    two: int = 2
    three: int = 3
    four: int = 4


def test_meanings_are_read_from_docstrings() -> None:
    both = "both; of them one"
    assert meanings(Example) == {"one": "the first, on two lines.", "two": both, "three": both, "four": "apart."}
