"""Spaces that learn weights: resumed with their contrastive head, validated by their own loss, and what is refused."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.errors import ConfigError, Interrupted
from safetensors import safe_open

from netspace_cli.core.data.points import field_data
from netspace_cli.core.networks.network import Network, read_network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.recipe_reading import load_recipe, recipe_from
from netspace_cli.core.spaces.space import load_space
from netspace_cli.core.training.first_model import new_state
from netspace_cli.core.training.loop import prepare, train
from netspace_cli.core.training.memory import footprint
from netspace_cli.core.training.step import take_step, validate
from netspace_cli.core.training.training_set import layer_scale
from tests.core.training.test_loop import Signals, assert_same_run, metrics_of
from tests.worlds import Solids, Tiny

NEURONS = {"kind": "neurons", "embedding_size": 8, "width": 16, "heads": 2, "depth": 1}
CONTRAST: dict[str, Any] = {"objective": "both", "instances": 2, "contrast": {"gamma": 0.3, "width": 8}, "erase": 0.1}


def recipe_of(tiny: Tiny, backbone: dict[str, Any] | None = None, **settings: Any) -> Recipe:
    table = tiny.recipe.model_dump()
    table["backbone"] = NEURONS if backbone is None else backbone
    table["train"] |= {"steps": 6, "validate_every": 2, "checkpoint_every": 2, "warmup": 0, **settings}
    return recipe_from(table)


def learn(tiny: Tiny, path: Path, recipe: Recipe, progress: Signals | None = None, **options: Any) -> None:
    with Runner("cpu", progress=progress) as runner:
        train(tiny.single_zoo, path, recipe, tiny.data, runner, **options)


@pytest.mark.parametrize("objective", ["imitate", "reconstruct", "both"])
def test_a_run_with_a_contrastive_head_goes_on_to_the_same_bits(tiny: Tiny, tmp_path: Path, objective: str) -> None:
    recipe = recipe_of(tiny, **(CONTRAST | {"objective": objective}))
    whole, path = tmp_path / "whole" / "s.safetensors", tmp_path / "s.safetensors"
    whole.parent.mkdir()
    learn(tiny, whole, recipe)
    with pytest.raises(Interrupted):
        learn(tiny, path, recipe, Signals(3, signal.SIGTERM))
    saved = torch.load(path.with_suffix(".run") / "checkpoint.pt", weights_only=True)
    assert set(saved["contrast"]) == {"hidden.weight", "hidden.bias", "out.weight", "out.bias"}
    learn(tiny, path, recipe, resume=True)
    assert_same_run(path, whole)
    with safe_open(path, "pt") as file:
        assert not any("hidden" in name or "contrast" in name for name in file.keys())  # noqa: SIM118
    assert all("contrast" in line for line in metrics_of(path))


def test_the_head_changes_no_first_value_of_the_space_and_is_learnt(tiny: Tiny) -> None:
    with Runner("cpu") as runner:
        with_head, without = (
            new_state(prepare(tiny.single_zoo, recipe_of(tiny, **settings), tiny.data, runner))
            for settings in (CONTRAST, dict[str, Any](objective="both"))
        )
        assert with_head.contrast is not None and without.contrast is None
        first, second = with_head.model.state_dict(), without.model.state_dict()
        assert all(torch.equal(first[name], second[name]) for name in second)
        before = [p.clone() for p in with_head.contrast.parameters()]
        take_step(prepare(tiny.single_zoo, recipe_of(tiny, **CONTRAST), tiny.data, runner), with_head)
        assert all(not torch.equal(a, b) for a, b in zip(before, with_head.contrast.parameters(), strict=True))


@pytest.mark.parametrize("normalised", [True, False])
def test_validation_is_the_same_loss_without_augmentation_or_contrast(tiny: Tiny, normalised: bool) -> None:
    settings = {**CONTRAST, "objective": "reconstruct", "reconstruct": {"layer_normalisation": normalised}}
    with Runner("cpu") as runner:
        task = prepare(tiny.single_zoo, recipe_of(tiny, **settings), tiny.data, runner)
        state = new_state(task)
        found = validate(task, state)
        (architecture,) = task.training.architectures
        weights = task.training.weights["val", "lenetlike"]
        scale = layer_scale(architecture, task.training.weights["train", "lenetlike"])
        with torch.no_grad():
            errors = state.model.decode("lenetlike", state.model.encode("lenetlike", weights)) - weights
        parts = [errors[:, layer.start : layer.stop] for layer in architecture.spec.layers]
        sizes = scale if normalised else torch.ones_like(scale)
        by_hand = sum(float((part / own).square().sum()) for part, own in zip(parts, sizes, strict=True))
    assert found == pytest.approx(by_hand / weights.numel(), rel=1e-4)


def test_training_lowers_the_error_of_weights(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    backbone = {**NEURONS, "start": "none", "width": 32}
    learn(tiny, path, recipe_of(tiny, backbone, objective="reconstruct", instances=3, steps=40, lr=1e-2, shuffle=False))
    losses = [line["structure"] for line in metrics_of(path)]
    assert losses[0] > 0.95, "in deviations of each layer: nothing is known yet"
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("kind", ["tokens", "neurons"])
@pytest.mark.parametrize("objective", ["reconstruct", "both"])
def test_several_architectures_need_no_teacher(tiny: Tiny, tmp_path: Path, kind: str, objective: str) -> None:
    backbone = tiny.recipe.model_dump()["backbone"] if kind == "tokens" else NEURONS
    path = tmp_path / "s.safetensors"
    recipe = recipe_of(tiny, backbone, **(CONTRAST | {"objective": objective, "steps": 2}))
    with Runner("cpu") as runner:
        train(tiny.zoo, path, recipe, tiny.data, runner)
    terms = {"structure", "class", "contrast"} | ({"pred"} if objective == "both" else set())
    assert set(metrics_of(path)[0]) - {"step", "loss"} == terms
    assert [a.name for a in load_space(path).architectures] == ["lenetlike", "vanillacnn", "resnet8"]


def test_networks_that_are_shapes_learn_both_at_points_of_their_own(solids: Solids) -> None:
    table = solids.recipe.model_dump()
    table["train"] |= {**CONTRAST, "stretch": 1.5}
    with Runner("cpu") as runner:
        task = prepare(solids.zoo, recipe_from(table), field_data(solids.zoo.data), runner)
        state = new_state(task)
        assert set(take_step(task, state)) == {"loss", "structure", "pred", "interp", "contrast"}
        assert validate(task, state) > 0


def test_a_run_begun_before_there_were_objectives_goes_on(tiny: Tiny, tmp_path: Path) -> None:
    path, recipe = tmp_path / "s.safetensors", recipe_of(tiny)
    with pytest.raises(Interrupted):
        learn(tiny, path, recipe, Signals(3, signal.SIGTERM))
    settings = path.with_suffix(".run") / "settings.json"
    table = json.loads(settings.read_text())
    for key in ("objective", "multiplicative_noise", "erase", "erase_kind", "reconstruct", "contrast"):
        del table["recipe"]["train"][key]
    settings.write_text(json.dumps(table))
    with pytest.raises(ConfigError, match=r"recipe\.train\.objective \('imitate', now 'reconstruct'\)"):
        learn(tiny, path, recipe_of(tiny, objective="reconstruct"), resume=True)
    learn(tiny, path, recipe, resume=True)
    assert path.exists()


def test_two_views_take_twice_as_much_and_weights_alone_run_no_network(tiny: Tiny) -> None:
    table: dict[str, Any] = {"instances": 2, "images": 64}
    both = footprint(recipe_of(tiny, objective="both", **table), tiny.single_zoo).step_bytes
    contrasted = footprint(recipe_of(tiny, objective="both", contrast={"gamma": 0.1}, **table), tiny.single_zoo)
    alone = footprint(recipe_of(tiny, objective="reconstruct", **table), tiny.single_zoo).step_bytes
    assert both and alone and contrasted.step_bytes and 1.7 * both < contrasted.step_bytes < 2.3 * both
    assert alone < both


@pytest.mark.parametrize(
    ("several", "with_teacher", "settings", "words", "hint"),
    [
        (False, True, {"objective": "both"}, "'both' a space learns from the zoo's own instances", "to 'imitate'"),
        (True, True, {"objective": "reconstruct"}, "it does not use a teacher", "Leave out `teacher`"),
        (
            True,
            False,
            {"objective": "both", "self_imitation": 0.5},
            "train.self_imitation = 0.5 needs a teacher",
            "Leave it out",
        ),
        (True, True, {"contrast": {"gamma": 0.5}, "instances": 2}, "train.contrast.gamma = 0.5 cannot", "'both'"),
        (False, False, {"contrast": {"gamma": 0.5}}, "train.instances is 1", "`train.instances = 16`"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tiny: Tiny, several: bool, with_teacher: bool, settings: dict[str, Any], words: str, hint: str
) -> None:
    teacher: Network | None = read_network(tiny.teacher, io=tiny.data.io) if with_teacher else None
    zoo = tiny.zoo if several else tiny.single_zoo
    with Runner("cpu") as runner, pytest.raises(ConfigError) as refused:
        prepare(zoo, recipe_of(tiny, **settings), tiny.data, runner, teacher=teacher)
    assert words in refused.value.message and hint in refused.value.hint


@pytest.mark.parametrize("settings", [{"objective": "both"}, {"contrast": {"gamma": 0.5}, "instances": 2}])
def test_further_starting_points_are_for_imitation_alone(tiny: Tiny, settings: dict[str, Any]) -> None:
    table = recipe_of(tiny, tiny.recipe.model_dump()["backbone"], **settings).model_dump()
    table["space"]["starts"] = 2
    with Runner("cpu") as runner, pytest.raises(ConfigError, match="space.starts = 2 is for the objective") as refused:
        prepare(tiny.single_zoo, recipe_from(table), tiny.data, runner)
    assert "`space.starts = 1` in the recipe" in refused.value.hint


def test_an_unseen_architecture_has_nothing_to_be_reconstructed_from(tiny: Tiny) -> None:
    table = recipe_of(tiny, objective="reconstruct").model_dump()
    table["space"]["unseen"] = ["vanillacnn"]
    with Runner("cpu") as runner, pytest.raises(ConfigError, match="nothing would train vanillacnn") as refused:
        prepare(tiny.zoo, recipe_from(table), tiny.data, runner)
    assert "give a teacher" in refused.value.hint


def test_tables_of_training_are_set_by_their_keys() -> None:
    recipe = load_recipe(
        None, {"train.objective": "both", "train.reconstruct.beta": "0.2", "train.contrast.gamma": "0.5"}
    )
    assert recipe.train.structure == 0.2 and recipe.train.contrast.gamma == 0.5
    assert recipe.values()["train.reconstruct.layer_normalisation"] is True
    assert recipe_from(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("table", "words", "hint"),
    [
        ({"contrast": {"gama": 1}}, "no key 'train.contrast.gama'", "'train.contrast.gamma'"),
        ({"contrast": {"gamma": 1}}, "train.contrast.gamma = 1", "examples"),
        ({"reconstruct": 5}, "train.reconstruct = 5 in the recipe: input should be a table", "examples"),
        ({"reconstruct": {"beta": 2}}, "train.reconstruct.beta = 2", "examples"),
        ({"objective": "copy"}, "train.objective = 'copy'", "examples"),
        ({"erase": 1.0}, "train.erase = 1.0", "examples"),
    ],
)
def test_values_of_these_tables_are_checked(table: dict[str, Any], words: str, hint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        recipe_from({"train": table})
    assert words in refused.value.message and hint in refused.value.hint


def test_an_override_of_a_key_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no key 'train\.contrast\.gama'\.") as refused:
        load_recipe(None, {"train.contrast.gama": "0.5"})
    assert "Did you mean 'train.contrast.gamma'?" in refused.value.hint
