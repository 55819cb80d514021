"""Reports of experiments: tables as CSV and Markdown, a figure, and how they were made."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from netspace_cli.core.files.outputs import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal["text", "count", "share", "number"]


@dataclass(frozen=True)
class Column:
    """A column: its header, and the kind of its cells. A "share" is a fraction, shown in per cent."""

    name: str
    kind: Kind = "text"

    def shown(self, value: Any) -> str:
        """A cell as text for people; "" for a missing value."""
        if value is None:
            return ""
        if self.kind == "share":
            return f"{100 * value:.2f}"
        if self.kind == "number":
            return f"{value:.4g}"
        return f"{value:,}" if self.kind == "count" else str(value)


@dataclass(frozen=True)
class Table:
    """Rows under columns; `name` is the stem of its files.

    Raises:
        ValueError: a row of another length than the columns.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]

    def __post_init__(self) -> None:
        odd = next((row for row in self.rows if len(row) != len(self.columns)), None)
        if odd is not None:
            raise ValueError(f"{self.name}: {len(odd)} cells for {len(self.columns)} columns: {odd}")

    def csv(self) -> str:
        """As CSV with all digits; shares are fractions."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([c.name for c in self.columns])
        writer.writerows([["" if v is None else v for v in row] for row in self.rows])
        return text.getvalue()

    def markdown(self) -> str:
        """As Markdown for people; shares are in per cent."""
        lines = [
            f"**{self.title}**",
            "",
            "| " + " | ".join(c.name for c in self.columns) + " |",
            "|" + "|".join("---" if c.kind == "text" else "---:" for c in self.columns) + "|",
        ]
        for row in self.rows:
            cells = (c.shown(v).replace("|", "\\|") for c, v in zip(self.columns, row, strict=True))
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Report:
    """The result of an experiment.

    Attributes:
        name: of the experiment.
        tables: in the order of reading.
        figures: by stem, how each is drawn.
        undrawn: stems of figures that have nothing to show; those of an earlier run are removed.
        facts: settings, scale and cost: plain JSON values; "remarks": sentences on the tables, or
            such by what they are of.
    """

    name: str
    tables: tuple[Table, ...]
    figures: dict[str, Callable[[], Figure]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    undrawn: tuple[str, ...] = ()


def write_report(folder: Path, report: Report) -> list[Path]:
    """Write a report into a folder, which is made if needed; files of an earlier run are replaced.

    Writes <table>.csv for each table, all tables in README.md, <figure>.png and report.json.

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {f"{table.name}.csv": table.csv() for table in report.tables}
    pictures = [f"![{stem}]({stem}.png)\n" for stem in report.figures]
    told = report.facts.get("remarks", ())
    sentences = [f"{name}: {remark}" for name, remark in told.items()] if isinstance(told, dict) else told
    remarks = [f"{sentence}\n" for sentence in sentences]
    texts["README.md"] = "\n".join([f"# {report.name}\n", *(t.markdown() for t in report.tables), *remarks, *pictures])
    texts["report.json"] = json.dumps({"experiment": report.name, **report.facts}, indent=1) + "\n"
    written = []
    for name, text in texts.items():
        written.append(_written(folder / name, text))
    for stem, draw in report.figures.items():
        written.append(_drawn(folder / f"{stem}.png", draw()))
    for stem in report.undrawn:
        (folder / f"{stem}.png").unlink(missing_ok=True)
    return written


def _written(path: Path, text: str) -> Path:
    atomic_write(path, lambda p: p.write_text(text, encoding="utf-8"), force=True)
    return path


def _drawn(path: Path, figure: Figure) -> Path:
    # No metadata, so no date: the same numbers give the same bytes.
    atomic_write(path, lambda p: figure.savefig(p, format="png", dpi=150, metadata={}), force=True)
    return path
