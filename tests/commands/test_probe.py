"""`netspace probe`: every property from every kind of features, and what is refused."""

from __future__ import annotations

from pathlib import Path

from netspace_cli.core.zoos.zoo import Zoo
from tests.worlds import Ask, Refused, Rows, Solids, Tiny


def test_the_command_shows_every_probe(tiny: Tiny, planted: Zoo, work: Path, ask: Ask, rows: Rows) -> None:
    table = rows("probe", planted.path, "--space", tiny.single_space.path)
    assert [row["features"] for row in table] == ["embeddings", "statistics", "both", "weights"]
    found = ask("probe", planted.path, "--space", tiny.single_space.path)
    assert [(p["property"], p["features"]) for p in found["probes"]][1] == ("accuracy", "statistics")
    plan = ask("probe", planted.path, "--space", tiny.single_space.path, "--dry-run")
    assert plan["counts"] == {"lenetlike": {"train": 20, "test": 10}}


def test_what_cannot_be_probed_is_refused(
    tiny: Tiny, planted: Zoo, solids: Solids, work: Path, refused: Refused
) -> None:
    assert "a probe needs 5" in refused(2, "probe", tiny.single_zoo.path, "--space", tiny.single_space.path)
    assert "is for neural fields" in refused(2, "probe", solids.zoo.path, "--space", solids.space.path)
    wrong = refused(2, "probe", planted.path, "--space", tiny.space.path, "--arch", "resnet8")
    assert "has no instances of resnet8" in wrong
