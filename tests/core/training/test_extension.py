"""Further starting points for a finished space: they alone are learnt, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from netspace_models.errors import ConfigError, WrongSpace

from netspace_cli.core.encoding.decode import decode
from netspace_cli.core.networks.network import read_network
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.embeddings import Origin, check_space, embeddings_of
from netspace_cli.core.spaces.recipe import Recipe
from netspace_cli.core.spaces.recipe_reading import recipe_from
from netspace_cli.core.spaces.space import Space, load_space
from netspace_cli.core.training.extension import check_extension, extended_recipe
from netspace_cli.core.training.loop import extend
from netspace_cli.core.zoos.zoo import Zoo
from tests.worlds import Stopper, Tiny

TRAIN = {"steps": 3, "images": 8, "instances": 1, "warmup": 0, "validate_every": 2, "checkpoint_every": 1}


def recipe_of(starts: int = 3, **tables: Any) -> Recipe:
    return recipe_from({"space": {"starts": starts, "parents": 1}, "train": TRAIN, **tables})


def extended(tiny: Tiny, zoo: Zoo, path: Path, **options: Any) -> Space:
    with Runner("cpu") as runner:
        return extend(tiny.space, zoo, path, recipe_of(), tiny.data, runner, **options)


@pytest.fixture(scope="module")
def of_all(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Space:
    path = tmp_path_factory.mktemp("extended") / "all.safetensors"
    extended(tiny, tiny.zoo, path)
    return load_space(path)


@pytest.fixture(scope="module")
def of_lenets(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Space:
    path = tmp_path_factory.mktemp("extended") / "lenets.safetensors"
    extended(tiny, tiny.single_zoo, path)
    return load_space(path)


def test_everything_but_the_further_starts_is_kept_to_the_last_bit(tiny: Tiny, of_all: Space) -> None:
    before, after = tiny.space.model.state_dict(), of_all.model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert {name.rpartition(".")[2] for name in after.keys() - before.keys()} == {"further"}
    assert torch.equal(of_all.embeddings, tiny.space.embeddings)
    assert of_all.record["zoo"] == tiny.space.record["zoo"] and of_all.record["teacher"] == tiny.space.record["teacher"]
    assert of_all.record["extends"]["sha256"] == tiny.space.sha256 and of_all.name == "all"


def test_every_architecture_of_the_zoo_gets_starts_and_no_other(tiny: Tiny, of_all: Space, of_lenets: Space) -> None:
    names = [a.name for a in tiny.space.architectures]
    assert [of_all.starts_of(name) for name in names] == [3, 3, 3]
    assert [of_lenets.starts_of(name) for name in names] == [3, 1, 1]
    assert of_lenets.starts == 3 and of_lenets.recipe.space.starts_for == ("lenetlike",)


def test_rates_of_architectures_that_the_zoo_lacks_are_kept(tiny: Tiny, tmp_path: Path) -> None:
    recorded = {**tiny.space.record["recipe"], "lso": {"rates": {"resnet8": 0.5}}}
    space = replace(tiny.space, record={**tiny.space.record, "recipe": recorded})
    with Runner("cpu") as runner:
        found = extend(space, tiny.single_zoo, tmp_path / "a.safetensors", recipe_of(), tiny.data, runner)
    assert found.recipe.lso.rates == {"resnet8": 0.5}


def test_members_are_of_the_architecture_s_own_starts(tiny: Tiny, of_lenets: Space) -> None:
    vector = of_lenets.embeddings[:1]
    lenet, resnet = (embeddings_of(of_lenets, vector, [Origin(name)]) for name in ("lenetlike", "resnet8"))
    with Runner("cpu") as runner:
        members = decode(lenet, of_lenets, runner, members=3)
        plain = decode(embeddings_of(tiny.space, vector, [Origin("lenetlike")]), tiny.space, runner)
        with pytest.raises(ConfigError, match="decodes to 1 resnet8 network, one from each starting point; 3 were"):
            decode(resnet, of_lenets, runner, members=3)
        with pytest.raises(ConfigError, match="no start 1: this space has one starting point for resnet8"):
            decode(resnet, of_lenets, runner, start=1)
    assert torch.equal(members[0].weights, plain[0].weights)
    assert len(torch.stack([m.weights for m in members]).unique(dim=0)) == 3


def test_starts_move_from_where_they_were_recombined(tiny: Tiny, tmp_path: Path, of_lenets: Space) -> None:
    slow = recipe_from({"space": {"starts": 3, "parents": 1}, "train": TRAIN | {"lr": 1e-12}})
    with Runner("cpu") as runner:
        begun = extend(tiny.space, tiny.single_zoo, tmp_path / "a.safetensors", slow, tiny.data, runner)
    vector, moved = begun.embeddings[:1], []
    for start in range(3):
        first, last = (space.model.decode("lenetlike", vector, start) for space in (begun, of_lenets))
        moved.append(float((first - last).abs().max()))
    assert moved[0] == 0 and max(moved) > 1e-3


def test_an_embedding_of_the_space_is_one_of_the_extended_space(tiny: Tiny, of_all: Space) -> None:
    embeddings = embeddings_of(tiny.space, tiny.space.embeddings[:1], [Origin("lenetlike")])
    check_space("a.emb", embeddings, of_all)
    with pytest.raises(WrongSpace, match="an embedding of space"):
        check_space("a.emb", replace(embeddings, space_sha256="0" * 64), of_all)


def test_a_stopped_extension_goes_on(tiny: Tiny, tmp_path: Path, of_lenets: Space, stopper: type[Stopper]) -> None:
    path = tmp_path / "lenets.safetensors"
    # Four instances are encoded; the second step breaks off.
    with Runner("cpu", progress=stopper(6)) as runner, pytest.raises(KeyboardInterrupt):
        extend(tiny.space, tiny.single_zoo, path, recipe_of(), tiny.data, runner)
    resumed = extended(tiny, tiny.single_zoo, path, resume=True)
    wanted = of_lenets.model.state_dict()
    assert all(torch.equal(t, wanted[name]) for name, t in resumed.model.state_dict().items())


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"space": {}}, "space.starts = 1: extending a space adds starting points"),
        ({"backbone": {"embedding_size": 7}}, "the backbone of space 'tiny' cannot be changed"),
        ({"space": {"starts": 3, "start": "random"}}, "space.start and space.unseen say how a new space begins"),
    ],
)
def test_settings_of_a_new_space_are_refused(tiny: Tiny, table: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        extended_recipe(tiny.space, recipe_from({"space": {"starts": 3}, **table}), tiny.zoo)
    assert refused.value.hint


def test_a_teacher_another_objective_and_a_second_extension_are_refused(tiny: Tiny, of_all: Space) -> None:
    with pytest.raises(ConfigError, match="needs no teacher: starting points learn from labels"):
        check_extension(tiny.space, read_network(tiny.teacher, io=tiny.data.io), recipe_of())
    with pytest.raises(ConfigError, match="train.objective = 'reconstruct' and train.contrast are for new spaces"):
        check_extension(tiny.space, None, recipe_of(train={"objective": "reconstruct"}))
    with pytest.raises(ConfigError, match=r'alone, by Adam; `train.optimizer = "muon"` in the recipe is for new'):
        check_extension(tiny.space, None, recipe_of(train={"optimizer": "muon"}))
    with pytest.raises(ConfigError, match="space 'all' has 3 starting points already"):
        extended_recipe(of_all, recipe_of(), tiny.zoo)


def test_a_zoo_of_other_architectures_is_refused(tiny: Tiny) -> None:
    with pytest.raises(WrongSpace, match="space 'tiny' has no vanillacnn, resnet8; it has lenetlike") as refused:
        extended_recipe(tiny.single_space, recipe_of(), tiny.zoo)
    assert "a zoo of its architectures alone" in refused.value.hint


def test_a_zoo_of_images_normalised_otherwise_is_refused(tiny: Tiny) -> None:
    zoo = replace(tiny.zoo, data={**tiny.zoo.data, "std": [0.5]})
    with pytest.raises(WrongSpace, match=r"knows images normalised by a std of \[0.5\]; space 'tiny' by") as refused:
        extended_recipe(tiny.space, recipe_of(), zoo)
    assert "as the space has them" in refused.value.hint
