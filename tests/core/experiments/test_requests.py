"""What is asked of an experiment: what is left open, and what is opened before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
from netspace_models.errors import ConfigError, OutputExists

from netspace_cli.core.experiments.held_out import Scale
from netspace_cli.core.experiments.report import Report, Table
from netspace_cli.core.experiments.requests import Found, HeldOutRequest, WantedRecipe
from netspace_cli.core.experiments.single import single
from netspace_cli.core.runtime.runner import Runner
from netspace_cli.core.spaces.recipe import Recipe
from tests.worlds import Tiny


def request(tiny: Tiny, output: Path, *, refine: int | None = None, train: bool = False) -> HeldOutRequest:
    assert tiny.single_space.path is not None
    space = WantedRecipe(None, {"train.steps": "1"}) if train else str(tiny.single_space.path)
    return HeldOutRequest(single, tiny.single_zoo.path, output, space, str(tiny.npz), refine=refine, search_steps=3)


def test_steps_that_are_left_open_are_the_spaces(tiny: Tiny, tmp_path: Path) -> None:
    own = tiny.single_space.recipe.refine.steps
    usual = Scale()
    for refine, steps in ((None, own), (0, 0), (7, 7)):
        wanted = Scale(steps, usual.path_steps, 3, usual.search_images, usual.teacher_images)
        assert request(tiny, tmp_path, refine=refine).scale(tiny.single_space) == wanted


def test_a_space_is_opened_and_a_recipe_read_before_any_work(tiny: Tiny, tmp_path: Path) -> None:
    space = request(tiny, tmp_path).prepare().space
    assert not isinstance(space, Recipe) and space.sha256 == tiny.single_space.sha256
    recipe = request(tiny, tmp_path, train=True).prepare().space
    assert isinstance(recipe, Recipe) and recipe.train.steps == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_take_the_results_is_refused_before_anything_is_read(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((ConfigError, OutputExists), match="file"):
        request(tiny, tmp_path / "file").prepare()


def test_a_report_says_which_space_and_images_it_is_of(tiny: Tiny) -> None:
    report = Report("one", (Table("t", "title", (), ()),), {}, {"scale": 1})
    with Runner("cpu") as runner:
        cost = runner.report()
    facts = Found(report, tiny.data, tiny.single_space).facts(cost)
    assert list(facts) == ["scale", "data", "cost", "space", "space_sha256"]
    assert facts["space_sha256"] == tiny.single_space.sha256 and facts["data"] == tiny.data.record()
    assert list(Found(report, tiny.data).facts(cost)) == ["scale", "data", "cost"]


def test_results_take_no_place_of_something_else(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is an input or another output of this command"):
        request(tiny, tiny.single_zoo.path).prepare()
    (tmp_path / "README.md").write_text("my notes")
    with pytest.raises(ConfigError, match="has a README.md and no results of an experiment") as refusal:
        request(tiny, tmp_path).prepare()
    assert refusal.value.hint == "Choose a new folder."
    (tmp_path / "report.json").write_text("{}")
    request(tiny, tmp_path).prepare()
