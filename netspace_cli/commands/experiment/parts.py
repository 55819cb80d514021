"""What the experiment commands share: lists of numbers on the command line, and how they begin, and what
is done with a report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netspace_cli.terminal.console import Console

if TYPE_CHECKING:
    from netspace_cli.core.data.images import ImageData
    from netspace_cli.core.experiments.report import Report
    from netspace_cli.core.networks.network import Network
    from netspace_cli.core.requests.inputs import Teacher
    from netspace_cli.core.spaces.space import Space
    from netspace_cli.core.zoos.zoo import Zoo

# Longer tables are for the files, not for the eye.
SHOWN_ROWS = 24


def words(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    """A callback: words with commas between them."""
    return tuple(word.strip() for word in value.split(",") if word.strip())


def counts(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """A callback: whole numbers with commas between them."""
    given = words(ctx, param, value)
    wrong = next((word for word in given if not word.isdecimal()), None)
    if wrong is not None:
        raise click.BadParameter(f"{wrong!r} is no whole number. Write them as in 5,20,100.", ctx, param)
    return tuple(int(word) for word in given)


def begin(folder: Path, zoo: Path, data: str | None, teacher: Teacher) -> tuple[Zoo, ImageData, Network | None]:
    """What an experiment works on, read once its folder is known to take the results."""
    from netspace_cli.core.files.figures import check_figure
    from netspace_cli.core.files.outputs import check_folder
    from netspace_cli.core.requests.choose_data import choose_images_of_zoo
    from netspace_cli.core.requests.inputs import read_wanted_teacher
    from netspace_cli.core.zoos.zoo import open_zoo

    check_folder(folder)
    check_figure(folder / "figure.png")
    opened = open_zoo(zoo)
    images = choose_images_of_zoo(opened, data)
    return opened, images, read_wanted_teacher(teacher, opened.io)


def finish(
    console: Console, folder: Path, report: Report, data: ImageData, cost: dict[str, Any], space: Space | None = None
) -> None:
    """Write a report into a folder, and show the tables that are short enough to be read.

    `space` is the one measured, None for an experiment that has spaces of its own.
    """
    from netspace_cli.core.experiments.report import write_report
    from netspace_cli.core.requests.choose_data import recorded

    facts = {**report.facts, "data": recorded(data), "cost": cost}
    if space is not None:
        facts |= {"space": space.name, "space_sha256": space.sha256}
    written = write_report(folder, replace(report, facts=facts))
    for table in report.tables:
        if len(table.rows) <= SHOWN_ROWS:
            cells = [[c.shown(v) for c, v in zip(table.columns, row, strict=True)] for row in table.rows]
            console.table(table.title, [c.name for c in table.columns], cells)
    tables = {
        t.name: [dict(zip((c.name for c in t.columns), row, strict=True)) for row in t.rows] for t in report.tables
    }
    console.document({"experiment": report.name, "tables": tables, "files": written, **facts})
    console.cost(cost)
    console.note(f"Wrote {len(written)} files into {folder}: README.md has all tables.")
