"""Shared by the experiment commands: lists on the command line, and running a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from netspace_cli import options
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.interrupts import continues

if TYPE_CHECKING:
    from netspace_cli.core.experiments.report import Report
    from netspace_cli.core.experiments.requests import ExperimentRequest

# Longer tables are written to files but not printed.
SHOWN_ROWS = 24


def words(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    """Callback: parse words separated by commas."""
    return tuple(word.strip() for word in value.split(",") if word.strip())


def counts(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """Callback: parse whole numbers separated by commas."""
    given = words(ctx, param, value)
    wrong = next((word for word in given if not word.isdecimal()), None)
    if wrong is not None:
        raise click.BadParameter(f"{wrong!r} is not a whole number. Write numbers as in 5,20,100.", ctx, param)
    return tuple(int(word) for word in given)


def no_remarks(report: Report) -> Iterator[str]:
    """No remarks: for experiments whose tables need none."""
    return iter(())


def run_experiment(
    request: ExperimentRequest,
    running: options.RunnerOptions,
    console: Console,
    *,
    remarks: Callable[[Report], Iterator[str]] = no_remarks,
) -> None:
    """Run an experiment, write its results into its folder, and print the short tables.

    Args:
        remarks: notes on a report to print, one sentence each.
    """
    runner = running.runner(console)
    task = request.prepare()
    with runner, continues():
        found = task.run(runner)
        cost = runner.report()
    report = found.report
    for remark in remarks(report):
        console.note(remark)
    written = found.write(request.output, cost)
    for table in report.tables:
        if len(table.rows) <= SHOWN_ROWS:
            cells = [[c.shown(v) for c, v in zip(table.columns, row, strict=True)] for row in table.rows]
            console.table(table.title, [c.name for c in table.columns], cells)
    tables = {
        t.name: [dict(zip((c.name for c in t.columns), row, strict=True)) for row in t.rows] for t in report.tables
    }
    console.document({"experiment": report.name, "tables": tables, "files": written, **found.facts(cost)})
    console.cost(cost)
    console.note(f"Wrote {len(written)} files into {request.output}; README.md has all tables.")
