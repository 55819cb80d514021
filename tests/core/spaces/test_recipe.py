"""Recipes: what is not understood is refused, by name, before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
from netspace_models.backbones.conv import ConvSettings
from netspace_models.backbones.tokens import TokensSettings
from netspace_models.errors import ConfigError

from netspace_cli.core.spaces.recipe_reading import load_recipe, recipe_from

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "recipes").glob("*.toml"))


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_every_example_loads(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.space.name is None, "so that a space is called like its file"
    assert recipe_from(recipe.model_dump(mode="json")) == recipe


def test_no_file_gives_the_defaults() -> None:
    recipe = load_recipe(None)
    assert recipe == recipe_from({})
    assert isinstance(recipe.backbone, TokensSettings)


@pytest.mark.parametrize(
    ("table", "key", "nearest"),
    [
        ({"train": {"step": 5}}, "train.step", "train.steps"),
        ({"train": {"learning": 5}}, "train.learning", ""),
        ({"backbone": {"kind": "tokens", "latent": 5}}, "backbone.latent", "backbone.latents"),
        ({"backbone": {"latent": 5}}, "backbone.latent", "backbone.latents"),
        ({"backbone": {"kind": "conv", "heigth": 8}}, "backbone.heigth", "backbone.height"),
        ({"spaces": {"name": "x"}}, "spaces", "space"),
        ({"refine": {"stepz": 5}}, "refine.stepz", "refine.steps"),
    ],
)
def test_an_unknown_key_names_the_nearest(table: dict[str, object], key: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"the recipe has no key '{key}'") as refused:
        recipe_from(table)
    assert nearest in refused.value.hint
    assert refused.value.exit_code == 2


def test_a_size_of_the_other_backbone_is_told_as_such() -> None:
    with pytest.raises(ConfigError, match="the conv backbone has no backbone.latents") as refused:
        recipe_from({"backbone": {"kind": "conv", "latents": 5}})
    assert "other kind" in refused.value.hint


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"train": {"steps": "ten"}}, "train.steps = 'ten' in the recipe: input should be a whole number."),
        ({"train": {"steps": 0}}, "train.steps = 0"),
        ({"train": {"steps": 2.5}}, "train.steps = 2.5 in the recipe: input should be a whole number."),
        ({"train": {"lr": "fast"}}, "train.lr = 'fast' in the recipe: input should be a number."),
        ({"train": {"lr": -1}}, "train.lr = -1"),
        ({"train": {"lr": float("nan")}}, "train.lr = nan"),
        ({"train": {"lr": float("inf")}}, "train.lr = inf"),
        ({"train": {"alpha": 1.5}}, "train.alpha = 1.5"),
        ({"train": {"schedule": "linear"}}, "train.schedule = 'linear'"),
        ({"space": {"start": "worst"}}, "space.start = 'worst'"),
        ({"space": {"unseen": "resnet8"}}, "space.unseen = 'resnet8' in the recipe: input should be a list, e.g."),
        ({"space": {"unseen": [5]}}, "space.unseen.0 = 5 in the recipe: input should be text."),
        ({"lso": {"rates": 5}}, "lso.rates = 5 in the recipe: input should be a table, e.g."),
        ({"backbone": {"kind": "mlp"}}, "backbone.kind = 'mlp' in the recipe: input should be 'tokens', 'conv' or "),
        ({"backbone": 5}, "backbone = 5"),
        ({"train": 5}, "train = 5"),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_its_key(table: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        recipe_from(table)
    assert words in refused.value.message


def test_single_values_are_overridden(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('[train]\nsteps = 7\nlr = 0.5\n[space]\nname = "mine"\n')
    recipe = load_recipe(
        path, {"train.steps": "9", "space.name": "other", "space.unseen": '["resnet8"]', "train.shuffle": "false"}
    )
    assert (recipe.train.steps, recipe.train.lr, recipe.space.name) == (9, 0.5, "other")
    assert recipe.space.unseen == ("resnet8",)
    assert recipe.train.shuffle is False


def test_a_space_without_a_name_gets_that_of_its_file() -> None:
    assert recipe_from({}).named(Path("zoo/mine.v2.safetensors")).space.name == "mine.v2"
    named = recipe_from({"space": {"name": "other"}})
    assert named.named(Path("mine.safetensors")) == named
    with pytest.raises(ConfigError, match="space.name = ''"):
        recipe_from({"space": {"name": ""}})


def test_the_backbone_is_chosen_by_its_kind() -> None:
    conv = load_recipe(None, {"backbone.kind": "conv", "backbone.side": "32"}).backbone
    assert isinstance(conv, ConvSettings)
    assert conv.side == 32
    assert isinstance(load_recipe(None, {"backbone.latents": "16"}).backbone, TokensSettings)


@pytest.mark.parametrize(
    ("key", "words", "hint"),
    [
        ("train.step", "no key 'train.step'", "train.steps"),
        ("steps", "keys are section.key", "steps"),
        ("latent", "keys are section.key", "backbone.latents"),
        ("a.b.c", "keys are section.key", "look like train.steps"),
        ("nothing.x", "no key 'nothing.x'", "look like train.steps"),
        ("trainsteps", "keys are section.key", "Did you mean 'train.steps'?"),
        ("space", "keys are section.key", "Did you mean 'space.name'?"),
        ("spaces.name", "no key 'spaces.name'", "Did you mean 'space.name'?"),
        ("learning.lr", "no key 'learning.lr'", "Did you mean 'train.lr'?"),
    ],
)
def test_an_override_of_nothing_is_refused(key: str, words: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        load_recipe(None, {key: "5"})
    assert hint in refused.value.hint


def test_a_rate_of_one_architecture_can_be_overridden() -> None:
    recipe = load_recipe(None, {"lso.rates.lenetlike": "0.5", "lso.rates.resnet8": "0.25"})
    assert recipe.lso.rates == {"lenetlike": 0.5, "resnet8": 0.25}
    own = load_recipe(None, {"lso.rates.mynets.small:make": "0.5"})
    assert own.lso.rates == {"mynets.small:make": 0.5}
    with pytest.raises(ConfigError, match=r"no key 'lso\.rates\.'"):
        load_recipe(None, {"lso.rates.": "0.5"})
    with pytest.raises(ConfigError, match=r"lso\.rates\.lenetlike = 'x' in the recipe: input should be a number"):
        load_recipe(None, {"lso.rates.lenetlike": "x"})


@pytest.mark.parametrize("content", [b"[train\n", b"\xff\xfe\x00", b"steps 5"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"r.toml cannot be read as a recipe"):
        load_recipe(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"r.toml cannot be read"):
        load_recipe(tmp_path / "r.toml")


def test_an_override_of_a_key_where_the_file_has_no_section(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text("train = 5\n")
    with pytest.raises(ConfigError, match="train is not a section"):
        load_recipe(path, {"train.steps": "5"})


def test_recipes_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        recipe_from({}).train.steps = 5  # type: ignore[misc]
