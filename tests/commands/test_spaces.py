"""netspace spaces, and choosing among the built-in spaces."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.worlds import Ask, Cli, Refused, Rows, Tiny, space_file


@pytest.fixture
def built_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No built-in spaces but those that a test puts there."""
    folder = tmp_path / "spaces"
    folder.mkdir()
    monkeypatch.setattr("netspace_cli.core.spaces.built_in.BUILT_IN", folder)
    return folder


def test_none(built_in: Path, ask: Ask, cli: Cli) -> None:
    assert ask("spaces")["spaces"] == []
    assert "netspace train" in cli("spaces").stderr


def test_they_are_listed(tiny: Tiny, built_in: Path, ask: Ask, rows: Rows) -> None:
    shutil.copy(space_file(tiny.space), built_in / "mini.safetensors")
    (found,) = ask("spaces")["spaces"]
    assert (found["name"], found["data"], found["embedding_size"]) == ("mini", "npz:tiny.npz", 64)
    (row,) = rows("spaces")
    assert (row["name"], row["architectures"], row["starts"]) == ("mini", "lenetlike, vanillacnn, resnet8", "1")


def test_the_one_that_knows_the_architecture_is_chosen(
    tiny: Tiny, emb: dict[str, Path], built_in: Path, work: Path, ask: Ask, refused: Refused
) -> None:
    shutil.copy(space_file(tiny.single_space), built_in / "a.safetensors")
    said = refused(3, "encode", tiny.networks["resnet8"], "-o", "a.emb")
    assert "no built-in space (a) has its architecture, resnet8" in said and "--space" in said
    assert "they belong to space 'tiny'" in refused(3, "decode", emb["resnet8"], "-o", "a.pt")
    shutil.copy(space_file(tiny.space), built_in / "b.safetensors")
    assert ask("encode", tiny.networks["resnet8"], "-o", "a.emb")["space_sha256"] == tiny.space.sha256
    assert ask("decode", emb["resnet8"], "-o", "a.pt")["networks"][0]["arch"] == "resnet8"
    assert ask("encode", tiny.networks["resnet8"], "--space", "b", "-o", "b.emb")["space_sha256"] == tiny.space.sha256
    assert ask("eval", tiny.zoo.path, "--data", tiny.npz)["summary"]["n"] == 3


def test_one_of_several_starting_points_is_chosen_to_draw_from_and_the_others_to_encode(
    tiny: Tiny, starting: Path, built_in: Path, work: Path, ask: Ask, refused: Refused
) -> None:
    drawing = ["sample", "--top", "all", "-n", 2]
    shutil.copy(space_file(tiny.single_space), built_in / "b.safetensors")
    assert "no space was named to draw from. Name one: --space NAME" in refused(2, *drawing, "-o", "new")
    shutil.copy(starting, built_in / "a.safetensors")
    assert ask("encode", tiny.networks["lenetlike"], "-o", "a.emb")["space_sha256"] == tiny.single_space.sha256
    assert ask("eval", tiny.single_zoo.path, "--data", tiny.npz)["space"] == tiny.single_space.name
    found = ask(*drawing, "-o", "new")
    assert (found["space"], found["method"]) == ("starting", "starts")
    assert ask(*drawing, "--method", "kde", "-o", "by-kde")["method"] == "kde"
    assert ask(*drawing, "--space", "b", "-o", "of-one")["method"] == "kde"
    assert "the method starts does not use accuracy" in refused(2, *drawing, "--accuracy", "0.9", "-o", "again")
    shutil.copy(starting, built_in / "c.safetensors")
    assert "2 built-in spaces have 3 starting points: a, c. Name one: --space a" in refused(2, *drawing, "-o", "again")


def test_a_name_comes_before_longer_names_that_begin_with_it(tiny: Tiny, built_in: Path, work: Path, ask: Ask) -> None:
    for name in ("mini-more", "mini"):
        shutil.copy(space_file(tiny.single_space), built_in / f"{name}.safetensors")
    assert [space["name"] for space in ask("spaces")["spaces"]] == ["mini", "mini-more"]


def test_without_any_or_by_a_wrong_name_it_says_what_to_give(
    tiny: Tiny, built_in: Path, work: Path, refused: Refused
) -> None:
    assert "--space PATH" in refused(2, "encode", tiny.networks["resnet8"], "-o", "a.emb")
    shutil.copy(space_file(tiny.space), built_in / "mini.safetensors")
    said = refused(2, "encode", tiny.networks["resnet8"], "--space", "digitz", "-o", "a.emb")
    assert "unknown space 'digitz'" in said and "mini" in said


def test_a_card_is_shown_as_it_is_written_and_a_missing_one_is_said(
    tiny: Tiny, built_in: Path, work: Path, ask: Ask, cli: Cli, refused: Refused
) -> None:
    shutil.copy(space_file(tiny.space), built_in / "mini.safetensors")
    assert "space 'mini' has no card" in refused(2, "spaces", "mini")
    card = "# mini\n\n| arch | accuracy |\n|---|---|\n| lenetlike | 12 % |\n"
    (built_in / "mini.md").write_text(card, encoding="utf-8")
    assert cli("spaces", "mini").stdout == card
    assert ask("spaces", "mini") == {"schema": 1, "name": "mini", "card": card}
    said = refused(2, "spaces", "maxi")
    assert "unknown built-in space 'maxi'" in said and "mini" in said


def test_every_space_that_ships_has_a_card_that_tells_of_its_architectures(ask: Ask) -> None:
    found = ask("spaces")["spaces"]
    assert found
    for space in found:
        card = ask("spaces", space["name"])["card"]
        assert card.startswith(f"# {space['name']}\n")
        assert all(name in card for name in space["architectures"])
        assert f"{space['embedding_size']:,}" in card
