"""`netspace map`: spaces, zoos, and what is drawn over them."""

from __future__ import annotations

from pathlib import Path

from tests.worlds import Ask, Refused, Tiny


def test_a_zoo_is_drawn_with_embeddings_and_a_zoo_over_it(
    tiny: Tiny, emb: dict[str, Path], work: Path, ask: Ask
) -> None:
    over = ("--over", emb["both"], "--over", tiny.single_zoo.path)
    found = ask("map", tiny.zoo.path, "--space", tiny.space.path, *over, "-o", "map.png")
    assert Path("map.png").stat().st_size > 5_000 and found["colour"] == "arch"
    own = [point for point in found["points"] if "over" not in point]
    assert [point["id"] for point in own] == [
        i.id for a in tiny.zoo.architectures() for i in tiny.zoo.select(arch=a.name)
    ]
    assert {point["over"] for point in found["points"] if "over" in point} == {emb["both"].stem, "single"}


def test_a_space_is_drawn_from_what_it_records(tiny: Tiny, work: Path, ask: Ask) -> None:
    found = ask("map", tiny.space.path, "--colour", "split", "-o", "map.svg")
    assert found["colour"] == "split" and len(found["points"]) == len(tiny.space.embeddings)
    assert "first principal direction" not in found and len(found["explained"]) == 2


def test_what_cannot_be_drawn_is_refused(tiny: Tiny, emb: dict[str, Path], work: Path, refused: Refused) -> None:
    assert "written as .png, .svg, .pdf" in refused(2, "map", tiny.space.path, "-o", "map.jpg")
    assert "epochs is not recorded" in refused(2, "map", tiny.space.path, "--colour", "epochs", "-o", "map.png")
    assert "Leave out --space" in refused(2, "map", tiny.space.path, "--space", "digits", "-o", "map.png")
    checkpoint = tiny.networks["lenetlike"]
    assert "neither an embedding file nor a zoo" in refused(
        2, "map", tiny.space.path, "--over", checkpoint, "-o", "m.png"
    )
    said = refused(3, "map", "digits", "--over", emb["both"], "-o", "map.png")
    assert "both.emb: an embedding of space 'tiny'" in said
    assert list(work.glob("*.png")) == []
