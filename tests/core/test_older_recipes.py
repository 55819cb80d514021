"""Keys of older recipes: each has one name today, and is read wherever recipes are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.errors import ConfigError

from netspace_cli.core.experiments.run_log import run_log
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe_reading import load_recipe, recipe_from, translated_recipe
from netspace_cli.core.spaces.space import load_space, save_space
from netspace_cli.core.training.loop import train
from tests.worlds import Stopper, Tiny

# Older key, its value; key of today, its value.
OLDER = [
    ("path", "learnt", "direct.kind", "learnt"),
    ("gain", 0.5, "direct.gain", 0.5),
    ("read", "all", "reader.kind", "weights"),
    ("read", "answers", "reader.kind", "answers"),
    ("read", "none", "reader.kind", "constant"),
    ("probes", 7, "reader.probes", 7),
    ("write", "all", "writer.kind", "attention"),
    ("write", "direct", "writer.kind", "direct"),
    ("feedback", 2, "feedback.rounds", 2),
    ("second_order", True, "feedback.second_order", True),
    ("solve", 3, "solve.steps", 3),
    ("solve_points", 100, "solve.points", 100),
    ("solve_near", 0.25, "solve.near_surface_share", 0.25),
]
# `[backbone]` of the record in a space of before, whole.
OLD_RECORD = {
    "kind": "tokens",
    "embedding_size": 64,
    "latents": 4,
    "chunk": 64,
    "width": 16,
    "depth": 2,
    "heads": 2,
    "path": "sketch",
    "gain": 1.0,
    "read": "all",
    "write": "all",
    "feedback": 0,
    "second_order": False,
    "solve": 0,
    "solve_points": 8192,
    "solve_near": 0.0,
    "probes": 64,
}


# Likewise of `[train]`.
OLDER_OF_TRAIN = [
    ("own", 2.0, "self_imitation"),
    ("near", 0.25, "near_surface_share"),
    ("fresh", 3.0, "untrained_lr_factor"),
]


@pytest.mark.parametrize(("old", "value", "key"), OLDER_OF_TRAIN)
def test_an_older_key_of_train_is_read_in_records_files_and_overrides(
    tmp_path: Path, old: str, value: float, key: str
) -> None:
    wanted = recipe_from({"train": {key: value}})
    assert wanted.values()[f"train.{key}"] == value and wanted != recipe_from({})
    assert recipe_from({"train": {old: value}}) == wanted
    older, newer = tmp_path / "old.toml", tmp_path / "new.toml"
    older.write_text(f"[train]\n{old} = {value}\n")
    newer.write_text(f"[train]\n{key} = {value}\n")
    assert load_recipe(older) == load_recipe(newer) == wanted
    assert load_recipe(None, {f"train.{old}": str(value)}) == load_recipe(None, {f"train.{key}": str(value)}) == wanted
    for path in (older, newer):
        changed = [load_recipe(path, {f"train.{each}": "0.5"}) for each in (old, key)]
        assert changed == [recipe_from({"train": {key: 0.5}})] * 2
    with pytest.raises(ConfigError, match=rf"has both train\.{old} and its present name train\.{key}") as refused:
        recipe_from({"train": {old: value, key: value}})
    assert refused.value.hint == f"Keep only train.{key}."


@pytest.mark.parametrize(("old", "value", "key", "today"), OLDER, ids=lambda v: str(v))
def test_an_older_key_is_read_in_records_files_and_overrides(
    tmp_path: Path, old: str, value: object, key: str, today: object
) -> None:
    name, _, last = key.partition(".")
    wanted = recipe_from({"backbone": {name: {last: today}}})
    assert recipe_from({"backbone": {old: value}}) == wanted
    assert recipe_from({"backbone": {"kind": "tokens", old: value}}) == wanted
    path = tmp_path / "r.toml"
    path.write_text(f"[backbone]\n{old} = {json.dumps(value)}\n")
    assert load_recipe(path) == wanted
    text = value if isinstance(value, str) else json.dumps(value)
    assert load_recipe(None, {f"backbone.{old}": text}) == wanted
    assert load_recipe(None, {f"backbone.{key}": today if isinstance(today, str) else json.dumps(today)}) == wanted
    assert wanted.values()[f"backbone.{key}"] == today


def test_a_recipe_has_one_name_for_each_value() -> None:
    whole = {**OLD_RECORD}
    recipe = recipe_from({"backbone": whole})
    backbone = recipe.model_dump(mode="json")["backbone"]
    assert not set(backbone) & {old for old, *_ in OLDER if old not in ("feedback", "solve")}
    assert backbone == translated_recipe({"backbone": whole})["backbone"], "nothing is lost or added"
    assert translated_recipe(translated_recipe({"backbone": whole})) == translated_recipe({"backbone": whole})
    assert whole == OLD_RECORD, "the record is left as it is"


def test_an_override_of_today_changes_an_older_file_and_the_other_way_round(tmp_path: Path) -> None:
    older, newer = tmp_path / "old.toml", tmp_path / "new.toml"
    older.write_text('[backbone]\nfeedback = 1\nsecond_order = true\npath = "learnt"\n')
    newer.write_text('[backbone.feedback]\nrounds = 1\nsecond_order = true\n[backbone.direct]\nkind = "learnt"\n')
    assert load_recipe(older) == load_recipe(newer)
    for overrides in ({"backbone.feedback.rounds": "3"}, {"backbone.feedback": "3"}):
        assert load_recipe(older, overrides) == load_recipe(newer, overrides)
        assert load_recipe(older, overrides).values()["backbone.feedback.rounds"] == 3
        assert load_recipe(older, overrides).values()["backbone.feedback.second_order"] is True


def test_both_names_at_once_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"has both backbone\.path and its present name backbone\.direct\.kind"
    ) as refused:
        recipe_from({"backbone": {"path": "sketch", "direct": {"kind": "learnt"}}})
    assert refused.value.hint == "Keep only backbone.direct.kind."


@pytest.mark.parametrize(
    ("old", "value", "words"),
    [
        ("feedback", -1, "backbone.feedback.rounds = -1"),
        ("read", "sideways", "backbone.reader.kind = 'sideways'"),
        ("gain", float("nan"), "backbone.direct.gain = nan"),
        ("solve_near", 2, "backbone.solve.near_surface_share = 2"),
        ("reader", 5, "backbone.reader = 5 in the recipe: input should be a table"),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_its_key_of_today(old: str, value: object, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        recipe_from({"backbone": {old: value}})
    assert words in refused.value.message


@pytest.mark.parametrize("old", ["path", "feedback"])
def test_the_conv_backbone_has_no_older_keys_of_the_other(old: str) -> None:
    for table, overrides in (({"backbone": {"kind": "conv", old: 1}}, None), (None, {f"backbone.{old}": "1"})):
        with pytest.raises(ConfigError, match=r"the conv backbone has no backbone\.") as refused:
            if overrides is None:
                recipe_from(table or {})
            load_recipe(None, {"backbone.kind": "conv", **(overrides or {})})
        assert "other kind" in refused.value.hint


def test_a_table_of_a_part_can_be_given_whole_by_an_override() -> None:
    recipe = load_recipe(None, {"backbone.solve": "{steps = 2, points = 9}"})
    assert {key: recipe.values()[f"backbone.solve.{key}"] for key in ("steps", "points")} == {"steps": 2, "points": 9}


def older_recipe(recipe: dict[str, Any]) -> dict[str, Any]:
    """A record's recipe with the keys of before."""
    older = {key: old for old, _, key in OLDER_OF_TRAIN}
    return {**recipe, "backbone": OLD_RECORD, "train": {older.get(k, k): v for k, v in recipe["train"].items()}}


def older_name(name: str) -> str:
    """Of a value of the tokens backbone, as spaces of before have it: the names are written out here by hand."""
    for today, old in (
        ("probes.inputs", "probes"),
        ("reader.sources.answers.positions", "probe_positions"),
        ("reader.sources.answers.read_answer.", "read_answer."),
        ("reader.sources.weights.read_", "read_"),
        ("writer.positions", "latent_positions"),
        ("writer.queries.0", "codecs.0.queries"),
        ("reader.sources.weights.positions.0.chunks", "codecs.0.positions"),
        ("reader.sources.weights.positions.0.layers", "codecs.0.layers"),
        ("heads.0.", "codecs.0."),
        ("feedback.corrections", "corrections"),
        ("reader.", ""),
        ("writer.", ""),
    ):
        if name.startswith(today):
            return name.replace(today, old, 1).replace(".direct.", ".bases.")
    return name


def test_a_space_of_before_opens_with_the_same_values(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record has older keys, its tensors older names."""
    space = tiny.single_space
    record = {**space.record, "recipe": older_recipe(space.record["recipe"])}
    path = tmp_path / "before.safetensors"
    state = space.model.state_dict()
    older = {
        f"backbone.{older_name(name.removeprefix('backbone.'))}" if name.startswith("backbone.") else name: tensor
        for name, tensor in state.items()
    }
    assert not set(older) & {name for name in state if name.startswith("backbone.")}

    monkeypatch.setattr(type(space.model), "state_dict", lambda self: older)
    save_space(path, replace(space, record=record))
    monkeypatch.undo()
    opened = load_space(path)
    assert opened.recipe == space.recipe
    assert all(torch.equal(tensor, state[name]) for name, tensor in opened.model.state_dict().items())
    assert opened.model.state_dict().keys() == state.keys()


def test_a_run_begun_with_older_keys_goes_on(tiny: Tiny, tmp_path: Path, stopper: type[Stopper]) -> None:
    table = {**tiny.recipe.model_dump(), "train": {**tiny.recipe.model_dump()["train"], "steps": 6}}
    table["train"]["checkpoint_every"] = 2
    recipe, path = recipe_from(table), tmp_path / "s.safetensors"
    with Runner("cpu", progress=stopper(5)) as runner, pytest.raises(KeyboardInterrupt):
        train(tiny.single_zoo, path, recipe, tiny.data, runner)
    with Runner("cpu") as runner:
        settings = tmp_path / "s.run/settings.json"
        saved = json.loads(settings.read_text())
        saved["recipe"] = older_recipe(saved["recipe"])
        settings.write_text(json.dumps(saved))
        space = train(tiny.single_zoo, path, recipe, tiny.data, runner, resume=True)
    assert space.record["best"]["step"] == 6
    assert len((tmp_path / "s.run/metrics.jsonl").read_text().splitlines()) == 6


def test_an_experiments_run_of_an_older_recipe_is_found(tmp_path: Path) -> None:
    path, recipe = tmp_path / "runs.jsonl", recipe_from({"backbone": OLD_RECORD}).model_dump(mode="json")
    with run_log(path, {"seed": 0}) as log:
        log.add({"size": 64, "recipe": older_recipe(recipe), "told": []})
        log.add({"size": 65, "told": []})
    with run_log(path, {"seed": 0}) as log:
        found = log.find({"size": 64, "recipe": recipe})
        assert found is not None and found["told"] == []
        assert log.find({"size": 65}) is not None
