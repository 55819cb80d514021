"""Tables and reports: exact for programs, short for people, refused where rows do not fit."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import cast

import pytest

from netspace_cli.core.experiments.paths import runs, spearman
from netspace_cli.core.experiments.report import Column, Report, Table, write_report
from netspace_cli.core.networks.path_step import Step

COLUMNS = (Column("name"), Column("n", "count"), Column("accuracy", "share"), Column("r", "number"))


def table() -> Table:
    return Table("kept", "What is kept", COLUMNS, (("a|b", 12345, 1 / 3, 0.99871), ("c", 0, None, None)))


def test_csv_has_all_digits_and_markdown_what_people_read() -> None:
    rows = list(csv.reader(io.StringIO(table().csv())))
    assert rows == [["name", "n", "accuracy", "r"], ["a|b", "12345", str(1 / 3), "0.99871"], ["c", "0", "", ""]]
    lines = table().markdown().splitlines()
    assert lines[0] == "**What is kept**"
    assert lines[3] == "|---|---:|---:|---:|"
    assert lines[4] == r"| a\|b | 12,345 | 33.33 | 0.9987 |"
    assert lines[5] == "| c | 0 |  |  |"


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="kept: 1 cells for 4 columns"):
        Table("kept", "", COLUMNS, (("a",),))


def test_a_report_replaces_the_one_before_and_gives_the_same_bytes(tmp_path: Path) -> None:
    report = Report("Trial", (table(),), facts={"steps": 3})
    first = write_report(tmp_path / "out", report)
    before = [p.read_bytes() for p in first]
    assert [p.read_bytes() for p in write_report(tmp_path / "out", report)] == before
    assert json.loads((tmp_path / "out/report.json").read_text()) == {"experiment": "Trial", "steps": 3}
    assert (tmp_path / "out/README.md").read_text().startswith("# Trial\n")


@pytest.mark.parametrize("remarks", [["little: of few images."], {"little": "of few images."}])
def test_remarks_are_under_the_tables(tmp_path: Path, remarks: object) -> None:
    write_report(tmp_path, Report("Trial", (table(),), facts={"remarks": remarks}))
    assert (tmp_path / "README.md").read_text().endswith("|\n\nlittle: of few images.\n")


def test_a_figure_that_has_nothing_to_show_is_removed(tmp_path: Path) -> None:
    (tmp_path / "figure.png").touch()
    written = write_report(tmp_path, Report("Trial", (table(),), undrawn=("figure", "other")))
    assert not (tmp_path / "figure.png").exists() and "figure" not in (tmp_path / "README.md").read_text()
    assert tmp_path / "figure.png" not in written


def test_rank_correlation_needs_something_to_rank() -> None:
    assert spearman([(0, 0.1), (0.5, 0.2), (1, 0.9)]) == pytest.approx(1)
    assert spearman([(0, 0.9), (0.5, 0.2), (1, 0.1)]) == pytest.approx(-1)
    assert spearman([(0, 0.1), (1, 0.2)]) is None
    assert spearman([(0, 0.1), (0.5, 0.1), (1, 0.1)]) is None


def test_an_architecture_that_comes_back_is_told_twice() -> None:
    class Named:
        def __init__(self, step: int, name: str) -> None:
            self.step = step
            self.network = type("N", (), {"architecture": type("A", (), {"name": name})})

    path = [cast(Step, Named(i, name)) for i, name in enumerate("aabba")]
    assert runs(path) == [("a", 0, 1), ("b", 2, 3), ("a", 4, 4)]
