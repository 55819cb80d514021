"""netspace experiment merging: a reduced run, what it leaves, and what it refuses."""

from __future__ import annotations

from pathlib import Path

from tests.worlds import Ask, Refused, Tiny


def test_a_table_and_a_figure_and_nothing_twice(tiny: Tiny, work: Path, ask: Ask, refused: Refused) -> None:
    zoo = ["experiment", "merging", tiny.single_zoo.path, "--data", tiny.npz, "-o", "out", "--top", "all"]
    command = [*zoo, "-n", 2, "--draws", 1, "--method", "mean", "--labels", "no"]
    found = ask(*command)
    rows = found["tables"]["merging"]
    figure = {"figure.png"} if rows[-1]["gaining"] else set()
    assert {p.name for p in Path("out").iterdir()} == {"merging.csv", "README.md", "report.json", "runs.jsonl"} | figure
    assert found["remarks"], "else nothing is looked for"
    assert all(remark in Path("out/README.md").read_text() for remark in found["remarks"])
    assert [row["way"] for row in rows] == ["best", "mean", "ensemble", "written"]
    made = Path("out/runs.jsonl").read_bytes()
    assert ask(*command)["tables"] == found["tables"] and Path("out/runs.jsonl").read_bytes() == made
    assert "a draw has 9" in refused(2, *zoo, "-n", 9)
    assert "vanilacnn" in refused(3, *command, "--into", "vanilacnn")
