"""Further starting points: where they come from, how they are learnt, and who may have none."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.architectures import FieldIO, ImageIO, build
from netspace_models.backbones import TokensBackbone
from netspace_models.errors import ConfigError

from netspace_cli.core.networks.network import read_network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.model import build_model
from netspace_cli.core.spaces.recipe import Recipe, SpaceRecipe
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.spaces.space import load_space
from netspace_cli.core.training.first_model import new_state
from netspace_cli.core.training.loop import prepare, train
from netspace_cli.core.training.memory import footprint
from netspace_cli.core.training.starts import check_starts, parents_each, ranked, recombined_starts
from netspace_cli.core.training.step import Task, rate_at, take_step, validate
from netspace_cli.core.training.training_set import load_training_set
from netspace_cli.core.zoos.zoo import Instance
from tests.small_networks import seeded
from tests.worlds import Solids, Tiny

LENET = build("lenetlike", ImageIO(1, 8, 3))


def recipe_of(tiny: Tiny, starts: int = 4, *, train: dict[str, Any] | None = None, **space: Any) -> Recipe:
    table = tiny.recipe.model_dump()
    table["space"] |= {"starts": starts, **space}
    table["train"] |= train or {}
    return recipe_from(table)


def task_of(tiny: Tiny, recipe: Recipe, runner: Runner, *, several: bool = False) -> Task:
    if not several:
        return prepare(tiny.single_zoo, recipe, tiny.data, runner)
    teacher = read_network(tiny.teacher, io=tiny.data.io)
    return prepare(tiny.zoo, recipe, tiny.data, runner, teacher=teacher)


def instances(*accuracies: float) -> list[Instance]:
    return [
        Instance(f"n{i}", "lenetlike", "train", "f", "s", accuracy={"val": a, "test": 1 - a})
        for i, a in enumerate(accuracies)
    ]


def test_parents_are_two_with_convolutions_and_four_without_or_as_many_as_the_recipe_says() -> None:
    field = build("siren-6x2", FieldIO(2, 1))
    assert parents_each(LENET, SpaceRecipe(starts=3)) == 2
    assert parents_each(field, SpaceRecipe(starts=3)) == 4
    assert parents_each(LENET, SpaceRecipe(starts=3, parents=5)) == 5


def test_ranks_are_by_validation_images_alone() -> None:
    assert ranked(instances(0.2, 0.9, 0.4, 0.9)) == [1, 3, 2, 0]


def test_every_unit_of_a_start_is_one_of_the_best_instances_aligned_to_the_best() -> None:
    weights = 0.2 * torch.randn(10, LENET.parameter_count, generator=seeded())
    rows = instances(0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.1, 0.1, 0.1, 0.1)
    with Runner("cpu") as runner:
        found = recombined_starts(LENET, weights, rows, SpaceRecipe(starts=6), runner)
        fewer = recombined_starts(LENET, weights, rows, SpaceRecipe(starts=3), runner)
    with Runner("cpu", seed=1) as runner:
        other = recombined_starts(LENET, weights, rows, SpaceRecipe(starts=3), runner)
    assert found.shape == (5, LENET.parameter_count)
    assert torch.equal(found[:2], fewer) and not torch.equal(fewer, other)
    # The top 30 % of ten. Aligning reorders units, and the inputs of each.
    units = [LENET.spec.unflatten(weights[i])["fc1.weight"].sort(dim=1).values for i in (1, 3, 5)]
    owners = []
    for start in found:
        rows_of_start = LENET.spec.unflatten(start)["fc1.weight"].sort(dim=1).values
        of_parent = [sum(any(torch.equal(row, u) for u in own) for row in rows_of_start) for own in units]
        assert sum(of_parent) == len(rows_of_start), "every unit is whole"
        owners.append({i for i, count in enumerate(of_parent) if count})
    assert all(len(own) == 2 for own in owners), "parents"
    assert set.union(*owners) == {0, 1, 2}


def test_units_of_the_best_instance_stay_in_their_places() -> None:
    """All are aligned to it, so it is not reordered."""
    weights = 0.2 * torch.randn(2, LENET.parameter_count, generator=seeded())
    with Runner("cpu") as runner:
        (start,) = recombined_starts(LENET, weights, instances(0.5, 0.9), SpaceRecipe(starts=2), runner)
    best, found = LENET.spec.unflatten(weights[1])["fc1.weight"], LENET.spec.unflatten(start)["fc1.weight"]
    kept = (best == found).all(dim=1)
    assert 0.3 < kept.double().mean() < 0.7
    twin = LENET.shuffle(weights[1], seeded(4))
    with Runner("cpu") as runner:
        (start,) = recombined_starts(
            LENET, torch.stack([twin, weights[1]]), instances(0.5, 0.9), SpaceRecipe(starts=2), runner
        )
    assert torch.equal(start, weights[1]), "a twin with its units in another order"


def test_a_decoder_begins_at_the_best_and_at_what_is_recombined(tiny: Tiny) -> None:
    with Runner("cpu") as runner:
        one = new_state(task_of(tiny, recipe_of(tiny, 1), runner)).model.state_dict()
        task = task_of(tiny, recipe_of(tiny), runner)
        backbone, training = new_state(task).model.backbone, task.training
        several = new_state(task).model.state_dict()
        wanted = recombined_starts(
            training.architectures[0],
            training.weights["train", "lenetlike"],
            training.instances["train", "lenetlike"],
            recipe_of(tiny).space,
            runner,
        )
    added = several.keys() - one.keys()
    assert added == {"backbone.heads.0.further"}
    assert all(torch.equal(several[name], one[name]) for name in one)
    assert isinstance(backbone, TokensBackbone)
    torch.testing.assert_close(several[added.pop()] * backbone.head("lenetlike").sigma(), wanted)


def test_random_starts_are_fresh_networks_each(tiny: Tiny) -> None:
    recipe = recipe_of(tiny, 7, start="random")
    with Runner("cpu") as runner:
        task = task_of(tiny, recipe, runner)
        found = new_state(task).model.state_dict()
        alone = new_state(task_of(tiny, recipe_of(tiny, 1, start="random"), runner)).model.state_dict()
    assert all(torch.equal(found[name], alone[name]) for name in alone)
    further = found["backbone.heads.0.further"]
    every = torch.cat([found["backbone.heads.0.bias"][None], further])
    assert len(further) == 6 and len(every.unique(dim=0)) == 7
    assert 0.2 < further.std() / alone["backbone.heads.0.bias"].std() < 5


@pytest.mark.parametrize("several", [False, True])
def test_a_step_teaches_the_starts_that_it_draws(tiny: Tiny, several: bool) -> None:
    recipe = recipe_of(tiny, 3, train={"instances": 2, "clip": 0}, parents=1)
    with Runner("cpu") as runner:
        task = task_of(tiny, recipe, runner, several=several)
        state = new_state(task)
        backbone = state.model.backbone
        before = {name: p.detach().clone() for name, p in backbone.named_parameters() if name.endswith("further")}
        terms = take_step(task, state)
        assert terms["level"] > 0 and terms["loss"] == pytest.approx(sum(terms.values()) - terms["loss"], rel=1e-5)
    assert len(before) == (3 if several else 1)
    rate = recipe.train.untrained_lr_factor * rate_at(0, recipe.train)
    assert isinstance(backbone, TokensBackbone)
    assert set(state.unfolded) == ({"resnet8"} if several else set()), "batch norms"
    for arch, index in backbone.index.items():
        moved = (backbone.get_parameter(f"heads.{index}.further") - before[f"heads.{index}.further"]).abs()
        sizes = (moved * backbone.head(arch).sigma()).amax(dim=1)
        assert (sizes.max() == 0) if arch in state.unfolded else (sizes.max() > 0.3 * rate), (
            "as a network's own weights"
        )


def resnet_task(tiny: Tiny, runner: Runner, **train: Any) -> Task:
    """A space of resnet8 with two further starting points."""
    instances = tuple(i for i in tiny.zoo.instances if i.arch == "resnet8")
    recipe = recipe_of(tiny, 3, train={"instances": 2, "warmup": 0, **train}, parents=1)
    return prepare(replace(tiny.zoo, instances=instances), recipe, tiny.data, runner)


def test_starts_with_batch_norms_begin_as_the_networks_that_they_are_recombined_from(tiny: Tiny) -> None:
    with Runner("cpu") as runner:
        state = new_state(resnet_task(tiny, runner))
    weights = state.model.backbone.further_weights("resnet8")
    folded, images = state.unfolded["resnet8"].weights(), tiny.data.batch("train", torch.arange(9))[0]
    architecture = state.model.architecture("resnet8")
    for one, other in zip(weights, folded, strict=True):
        torch.testing.assert_close(architecture.run(one, images), architecture.run(other, images), atol=1e-3, rtol=1e-3)


def test_a_space_gets_its_starts_with_batch_norms_where_it_is_validated(tiny: Tiny) -> None:
    with Runner("cpu") as runner:
        task = resnet_task(tiny, runner, level_loss="labels")
        state = new_state(task)
        first = state.model.backbone.further_weights("resnet8").clone()
        own = [p.detach().clone() for p in state.unfolded["resnet8"].parameters()]
        for _ in range(6):
            take_step(task, state)
        assert torch.equal(state.model.backbone.further_weights("resnet8"), first)
        moved = [
            float((p.detach() - q).abs().max())
            for p, q in zip(state.unfolded["resnet8"].parameters(), own, strict=True)
        ]
        assert min(moved) > 0.3 * task.recipe.train.untrained_lr_factor * rate_at(0, task.recipe.train)
        validate(task, state)
    found = state.model.backbone.further_weights("resnet8")
    torch.testing.assert_close(found, state.unfolded["resnet8"].weights())
    assert not torch.allclose(found, first)
    name = "backbone.heads.0.further"
    assert torch.equal(state.best[name], state.model.state_dict()[name])


def test_starts_with_batch_norms_go_on_from_a_checkpoint_as_if_never_stopped(tiny: Tiny) -> None:
    with Runner("cpu") as runner:
        task = resnet_task(tiny, runner, level_loss="labels")
        state, other = new_state(task), new_state(task)
        take_step(task, state)
        other.load_state_dict(deepcopy(state.state_dict()))
        terms = [(take_step(task, each), validate(task, each)) for each in (state, other)]
    assert terms[0] == terms[1]
    assert torch.equal(*(s.model.backbone.further_weights("resnet8") for s in (state, other)))


def test_level_and_its_loss_say_nothing_where_there_is_one_start(tiny: Tiny) -> None:
    found = []
    with Runner("cpu") as runner:
        for settings in ({}, {"level": 7.0, "level_loss": "labels"}):
            task = task_of(tiny, recipe_of(tiny, 1, train=settings), runner)
            state = new_state(task)
            found.append((take_step(task, state), validate(task, state)))
    assert found[0] == found[1] and "level" not in found[0][0]


def test_validation_asks_every_start_in_turn(tiny: Tiny) -> None:
    """A start that is broken shows, whichever it is."""
    val = tiny.single_zoo.select(split="val")[0]
    many = tuple(replace(val, id=f"v{i}") for i in range(3))
    zoo = replace(tiny.single_zoo, instances=(*tiny.single_zoo.select(split="train"), *many))
    losses = []
    with Runner("cpu") as runner:
        task = prepare(zoo, recipe_of(tiny, 4, train={"level_loss": "labels"}), tiny.data, runner)
        state = new_state(task)
        losses.append(validate(task, state))
        for row in range(3):
            state = new_state(task)
            with torch.no_grad():
                state.model.backbone.get_parameter("heads.0.further")[row] *= 20
            losses.append(validate(task, state))
    assert min(losses[1:]) > losses[0] + 0.1


def test_a_space_with_starts_is_trained_resumed_and_opened(tiny: Tiny, tmp_path: Path) -> None:
    recipe = recipe_of(tiny, 3, train={"steps": 4, "validate_every": 2, "checkpoint_every": 2, "warmup": 0})
    with Runner("cpu") as runner:
        whole = train(tiny.single_zoo, tmp_path / "a.safetensors", recipe, tiny.data, runner)
    opened = load_space(tmp_path / "a.safetensors")
    assert (whole.starts, opened.starts, tiny.single_space.starts) == (3, 3, 1)
    embedding = opened.embeddings[:1]
    networks = [opened.model.decode("lenetlike", embedding, k) for k in range(3)]
    assert torch.equal(networks[2], whole.model.decode("lenetlike", embedding, 2))
    assert not torch.equal(networks[1], networks[2])


@pytest.mark.parametrize("several", [False, True])
def test_the_parameters_and_the_memory_of_further_starts_are_counted(tiny: Tiny, several: bool) -> None:
    zoo = tiny.zoo if several else tiny.single_zoo
    one, more = (footprint(recipe_of(tiny, starts), zoo) for starts in (1, 4))
    assert more.parameters - one.parameters == 3 * sum(a.parameter_count for a in zoo.architectures())
    assert one.step_bytes is not None and more.step_bytes is not None and more.step_bytes > 1.2 * one.step_bytes


def test_fields_have_one_start(solids: Solids) -> None:
    table = solids.recipe.model_dump()
    table["space"]["starts"] = 2
    with (
        Runner("cpu") as runner,
        pytest.raises(ConfigError, match="and siren-16x2 is a neural field, which has none") as refused,
    ):
        load_training_set(solids.zoo, recipe_from(table), runner)
    assert "space.starts = 2 is for classifiers" in refused.value.message
    assert "`space.starts = 1` in the recipe" in refused.value.hint


def test_an_unseen_architecture_has_one_start(tiny: Tiny) -> None:
    recipe = recipe_of(tiny, 2, unseen=["vanillacnn"], parents=1)
    with Runner("cpu") as runner, pytest.raises(ConfigError, match="training instances, and vanillacnn is unseen"):
        load_training_set(tiny.zoo, recipe, runner)


def test_too_few_parents_and_unknown_units_are_refused() -> None:
    with pytest.raises(ConfigError, match="recombined from 2 training instances of lenetlike, and the zoo has 1"):
        check_starts(SpaceRecipe(starts=3), [(LENET, 1)])
    with pytest.raises(ConfigError, match="from 9 training instances of lenetlike, and the zoo has 4") as refused:
        check_starts(SpaceRecipe(starts=3, parents=9), [(LENET, 4)])
    assert "`space.parents = 4` in the recipe" in refused.value.hint
    unknown = replace(LENET, own_groups=())
    with pytest.raises(ConfigError, match="the hidden units of lenetlike are not known") as refused:
        check_starts(SpaceRecipe(starts=3), [(unknown, 9)])
    assert "hidden_groups()" in refused.value.hint
    check_starts(SpaceRecipe(starts=3, start="random"), [(unknown, 9)])
    check_starts(SpaceRecipe(), [(unknown, 0)])


def test_the_conv_backbone_has_one_start(tiny: Tiny) -> None:
    table = {"space": {"starts": 5}, "backbone": {"kind": "conv"}}
    with pytest.raises(ConfigError, match="the conv backbone has one starting point for each architecture, not 5"):
        build_model(recipe_from(table), [LENET])
