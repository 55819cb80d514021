"""The built-in space `digits-starts`: ten networks drawn at once, offline, no copies, as good as its card says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netspace_cli.core.requests.choose_space import choose_space
from netspace_cli.core.spaces.built_in import BUILT_IN
from netspace_cli.core.spaces.recipe_reading import load_recipe
from netspace_cli.core.spaces.space import Space, load_space
from netspace_cli.core.zoos.zoo import open_zoo
from tests.worlds import Cli

ROOT = Path(__file__).parent.parent
LENET = ROOT / "examples" / "digits" / "lenet.pt"
# The card has 98.6 % and 99.2 % of 400 images; the ten best training instances have 97.3 % and 98.0 %.
MEMBERS, ENSEMBLE = 0.976, 0.983


@pytest.fixture(scope="module")
def space() -> Space:
    return load_space("digits-starts")


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def document(cli: Cli, *arguments: object) -> dict[str, Any]:
    result = cli(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_it_is_small_and_made_by_its_recipe(space: Space) -> None:
    assert (BUILT_IN / "digits-starts.safetensors").stat().st_size < 5_000_000
    recipe = load_recipe(ROOT / "examples" / "recipes" / "digits-starts.toml")
    assert space.recipe == recipe.named(Path("digits-starts.safetensors"))
    assert space.starts == 10 and [a.name for a in space.architectures] == ["lenetlike"]
    splits = [row["split"] for row in space.record["zoo"]]
    assert (splits.count("train"), splits.count("val"), len(splits)) == (100, 15, 115)


def test_networks_are_still_encoded_by_the_space_that_is_made_for_it() -> None:
    assert choose_space(None, [LENET]).name == "digits"


def test_ten_networks_are_drawn_at_once_as_good_as_promised_and_no_copies(away: Path, cli: Cli) -> None:
    found = document(cli, "sample", "-n", 10, "--rivals", "none", "-o", "new")
    assert (found["space"], found["method"], found["instances"]) == ("digits-starts", "starts", 30)
    drawn, stored = found["audit"]["rows"][:2]
    assert (drawn["name"], stored["name"]) == ("starts", "predicted instances")
    assert drawn["members"] >= MEMBERS and drawn["ensemble"] >= ENSEMBLE
    assert drawn["ensemble"] >= drawn["members"], "each makes mistakes of its own"
    assert drawn["overlap"] < 0.6 and drawn["distance"] > 0.8, "no copies"
    assert 0.8 <= drawn["spread"] <= 1.2
    assert len({i.sha256 for i in open_zoo(Path("new")).instances}) == 10
    together = document(cli, "ensemble", "new")
    assert together["ensemble_accuracy"] == pytest.approx(drawn["ensemble"])
    assert together["agreement"] < 0.995


def test_one_embedding_decodes_to_ten_members_better_together(away: Path, cli: Cli) -> None:
    document(cli, "encode", LENET, "--space", "digits-starts", "--refine", 0, "-o", "a.emb")
    found = document(cli, "decode", "a.emb", "--members", 10, "-o", "members")
    (together,) = found["ensembles"]
    accuracies = [network["accuracy"] for network in found["networks"]]
    assert len(accuracies) == 10 and min(accuracies) >= 0.95
    assert together["accuracy"] >= ENSEMBLE and together["accuracy"] >= sum(accuracies) / 10
    assert together["agreement"] < 0.995
