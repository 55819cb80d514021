"""Read recipes from TOML and tables, with older keys and single settings, and explain what is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, get_type_hints

from netspace_models.backbones.registry import BACKBONES, DEFAULT
from netspace_models.backbones.settings import BackboneSettings
from netspace_models.errors import ConfigError, InputFileError
from pydantic import ValidationError

from netspace_cli.core.files.structure import MOST_TOML_BYTES, StructureError, parse_toml, read_text

from .recipe import (
    WITH_TABLES,
    LsoRecipe,
    Recipe,
    RefineRecipe,
    Section,
    SpaceRecipe,
    TrainRecipe,
    backbone_from,
    flattened,
    key_names,
)

# What pydantic calls a key that a section does not have, of models and of dataclasses.
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
# Older keys of `[train]` and those of today. Those of `[backbone]` are its settings' to know.
_TRAIN_KEYS = {"own": "self_imitation", "near": "near_surface_share", "fresh": "untrained_lr_factor"}
# Tables whose keys are names of architectures.
_BY_NAME = ("lso.rates",)
# What pydantic says in the words of its classes, by its name of the fault.
_REASONS = {
    "dataclass_type": "input should be a table",
    "model_type": "input should be a table",
    "dict_type": "input should be a table, e.g. {resnet8 = 0.01}",
    "tuple_type": 'input should be a list, e.g. ["resnet8", "lenetlike"]',
    "string_type": "input should be text",
    "int_type": "input should be a whole number",
    "int_parsing": "input should be a whole number",
    "int_from_float": "input should be a whole number",
    "float_type": "input should be a number",
    "float_parsing": "input should be a number",
    "bool_type": "input should be true or false",
    "bool_parsing": "input should be true or false",
}
_LONGEST_VALUE = 200  # characters of a value in a message


def load_recipe(path: Path | str | None, overrides: Mapping[str, str] | None = None) -> Recipe:
    """Read a recipe and override single values of it.

    Args:
        path: a TOML file; None for the defaults.
        overrides: by "section.key" or "section.table.key", values in TOML's notation; a bare word is taken as a string.
    Raises:
        ConfigError: not TOML, an unknown key (with the nearest), or a value that does not fit.
    """
    path = None if path is None else Path(path)
    table = {} if path is None else _read_table(path)
    values = {key: _value(text) for key, text in (overrides or {}).items()}
    try:
        return _overridden({**table}, values)
    except ConfigError as failure:
        if path is None or _is_recipe(table):
            raise
        raise ConfigError(f"{path}: {failure.message}", failure.hint) from failure


def _is_recipe(table: Mapping[str, Any]) -> bool:
    try:
        recipe_from(table)
    except ConfigError:
        return False
    return True


def _read_table(path: Path) -> dict[str, Any]:
    """Read the tables of a TOML file. Raises ConfigError."""
    try:
        return parse_toml(read_text(path, most=MOST_TOML_BYTES))
    except InputFileError as failure:
        raise ConfigError(f"{path} cannot be read as a recipe: {failure.reason}", failure.hint) from failure
    except StructureError as fault:
        raise ConfigError(f"{path} cannot be read as a recipe: {fault}.", "See examples/recipes.") from fault


def _overridden(table: dict[str, Any], values: dict[str, Any]) -> Recipe:
    """Make a recipe from tables, with single values replaced."""
    # First, as it says how other keys are read.
    if "backbone.kind" in values:
        _set(table, "backbone.kind", values.pop("backbone.kind"))
    table = translated_recipe(table)
    for key, value in values.items():
        for name, each in _translated_override(table, key, value).items():
            _set(table, name, each)
    return recipe_from(table)


def recipe_from(table: Mapping[str, Any]) -> Recipe:
    """Make a recipe from nested tables; keys of older recipes are read too.

    Raises:
        ConfigError: an unknown key (with the nearest), or a value that does not fit.
    """
    table = translated_recipe(table)
    try:
        backbone = backbone_from(table.get("backbone", {}))
    except ValidationError as failure:
        raise ConfigError(*_explain(failure, "backbone")) from failure
    try:
        recipe = Recipe.model_validate({**table, "backbone": backbone})
    except ValidationError as failure:
        raise ConfigError(*_explain(failure)) from failure
    truths = any(isinstance(value, bool) for value in flattened(table).values())
    wrong = _number_as_truth(table, recipe.model_dump(mode="json")) if truths else None
    if wrong:
        reason = f"invalid {wrong[0]} = {wrong[1]} in the recipe: input should be a number."
        raise ConfigError(reason, "See examples/recipes.")
    return recipe


def _number_as_truth(given: Mapping[str, Any], made: Mapping[str, Any], place: str = "") -> tuple[str, bool] | None:
    """The first key that was given true or false for a number, which pydantic reads as 1 or 0."""
    for key, value in given.items():
        if isinstance(value, Mapping) and isinstance(made.get(key), Mapping):
            found = _number_as_truth(value, made[key], f"{place}{key}.")
            if found:
                return found
        elif isinstance(value, bool) and key in made and not isinstance(made[key], bool):
            return f"{place}{key}", value
    return None


def translated_recipe(table: Mapping[str, Any]) -> dict[str, Any]:
    """Rename older keys in a recipe's tables to present ones; nothing is checked or added.

    Raises:
        ConfigError: a value has both an older key and one of today.
    """
    table = {**table}
    if isinstance(table.get("backbone"), dict):
        table["backbone"] = _settings(table["backbone"]).translate(table["backbone"])
    if isinstance(table.get("train"), dict):
        table["train"] = _translated_train(table["train"])
    return table


def _translated_train(table: Mapping[str, Any]) -> dict[str, Any]:
    """Rename older keys in `[train]` to present ones.

    Raises:
        ConfigError: a value has both.
    """
    for old, today in _TRAIN_KEYS.items():
        if old in table and today in table:
            raise ConfigError(
                f"the recipe has both train.{old} and its present name train.{today}.", f"Keep only train.{today}."
            )
    return {_TRAIN_KEYS.get(key, key): value for key, value in table.items()}


def completed_recipe(table: Mapping[str, Any]) -> dict[str, Any]:
    """Complete a recorded recipe to the present form.

    Missing keys could not be set then, and get their defaults. A recipe that cannot be read is left unchanged.
    """
    try:
        return recipe_from(table).model_dump(mode="json")
    except ConfigError:
        return dict(table)


def _settings(backbone: Mapping[str, Any]) -> type[BackboneSettings]:
    """Settings of a backbone's kind; for an unknown kind, settings without renamed keys."""
    kind = backbone.get("kind", DEFAULT)
    return BACKBONES.get(kind, BackboneSettings) if isinstance(kind, str) else BackboneSettings


def _value(text: str) -> Any:
    """Parse a value in TOML's notation; a bare word is a string."""
    try:
        return parse_toml(f"x = {text}")["x"]
    except StructureError:
        return text


def _translated_override(table: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Present keys and their values.

    Raises:
        ConfigError: a key that cannot be set.
    """
    settable = settable_keys()
    if key in settable or _by_name(key) is not None:
        return {key: value}
    backbone = table.get("backbone", {})
    own = _settings(backbone) if isinstance(backbone, dict) else BackboneSettings
    # What only another kind knows is refused with the recipe as a whole, which has the better words for it.
    for kind in (own, *BACKBONES.values()):
        values = _translated_key(kind, key, value)
        if values.keys() <= set(settable):
            return values
    whole = key.count(".") == 1 or (key.partition(".")[0] in WITH_TABLES and key.count(".") == 2)
    form = "" if whole else ": keys are section.key, or section.part.key"
    near = _nearest(key, settable)
    hint = f"Did you mean {near!r}?" if near else "Keys look like train.steps; see examples/recipes."
    raise ConfigError(f"the recipe has no key {key!r}{form}.", hint)


def _translated_key(kind: type[BackboneSettings], key: str, value: Any) -> dict[str, Any]:
    """Present keys for a dotted key of a backbone kind; the key itself if it was not renamed."""
    section, _, last = key.partition(".")
    if section == "train":
        return {f"train.{_TRAIN_KEYS.get(last, last)}": value}
    if section != "backbone" or not last:
        return {key: value}
    return {f"backbone.{name}": each for name, each in flattened(kind.translate({last: value})).items()}


def _by_name(key: str) -> tuple[str, str] | None:
    """A table whose keys are names, and a name in it, which may have dots; None for other keys."""
    parts = ((each, key.removeprefix(f"{each}.")) for each in _BY_NAME if key.startswith(f"{each}."))
    return next(((table, name) for table, name in parts if name), None)


def _set(table: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key. Raises ConfigError if a part of the key is a value, not a table."""
    named = _by_name(key)
    *sections, last = key.split(".") if named is None else (*named[0].split("."), named[1])
    for i, name in enumerate(sections):
        # Tables may be the caller's own, so they are copied.
        section = table.get(name, {})
        if not isinstance(section, dict):
            raise ConfigError(f"{'.'.join(sections[: i + 1])} is not a section of a recipe.", "See examples/recipes.")
        table[name] = table = {**section}
    table[last] = value


def _nearest(key: str, known: Sequence[str]) -> str | None:
    """The known key most like `key`, as a whole or in its last word; None if none is similar."""
    # Of keys with the same last word those of a section come before those of a table in it, then the first.
    by_last: dict[str, str] = {}
    for each in sorted(known, key=lambda k: k.count(".")):
        by_last.setdefault(each.rpartition(".")[2], each)
    whole = difflib.get_close_matches(key, known, n=1)
    last = difflib.get_close_matches(key.rpartition(".")[2], by_last, n=1)
    return whole[0] if whole else by_last[last[0]] if last else None


def _explain(failure: ValidationError, section: str = "") -> tuple[str, str]:
    """Explain the first fault, with the next step.

    Args:
        section: in which places lie, where they are not those of the whole recipe.
    """
    fault = failure.errors()[0]
    place = [str(p) for p in fault["loc"]]
    # The tag of the backbone's union is pydantic's own step in the place, not the user's.
    kind = place.pop(0) if section and place and place[0] in BACKBONES else ""
    key = ".".join([section, *place] if section else place)
    known = _known_keys()
    of_other = any(_translated_key(other, key, None).keys() <= set(known) for other in BACKBONES.values())
    if fault["type"] in _UNKNOWN and of_other:
        return f"the {kind} backbone has no {key}.", "Leave it out: it belongs to the other kind."
    if fault["type"] in _UNKNOWN:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        return (
            f"the recipe has no key {key!r}.",
            f"Did you mean {near[0]!r}?" if near else "See examples/recipes.",
        )
    reason, value = _REASONS.get(fault["type"], fault["msg"].lower()), fault["input"]
    if fault["type"] == "union_tag_invalid":
        key, value = f"{key}.kind", fault["ctx"]["tag"]
        *others, last = map(repr, BACKBONES)
        reason = f"input should be {', '.join(others)} or {last}"
    return f"invalid {key} = {_brief(value)} in the recipe: {reason}.", "See examples/recipes."


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _known_keys() -> Sequence[str]:
    """Keys of sections, of tables in them, and of values."""
    return _keys_with(tuple(BACKBONES.values()))


@lru_cache(maxsize=4)
def _keys_with(backbones: tuple[type, ...]) -> tuple[str, ...]:
    keys = []
    for name, kinds in (
        ("space", (SpaceRecipe,)),
        ("backbone", backbones),
        ("train", (TrainRecipe,)),
        ("refine", (RefineRecipe,)),
        ("lso", (LsoRecipe,)),
    ):
        keys += [name, *(f"{name}.{key}" for kind in kinds for key in _keys_of(kind))]
    return tuple(dict.fromkeys(keys))


def _keys_of(section: type) -> list[str]:
    types, keys = get_type_hints(section), []
    for name in key_names(section):
        keys.append(name)
        if is_dataclass(types[name]) or (isinstance(types[name], type) and issubclass(types[name], Section)):
            keys += [f"{name}.{key}" for key in _keys_of(types[name])]
    return keys


def settable_keys() -> Sequence[str]:
    """The dotted keys of all values that a recipe can set, of every backbone."""
    return _settable(tuple(_known_keys()))


@lru_cache(maxsize=4)
def _settable(known: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(key for key in known if "." in key and not any(other.startswith(f"{key}.") for other in known))
