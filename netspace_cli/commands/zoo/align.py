"""netspace zoo align: a zoo whose hidden units are in one order."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from netspace_cli import options
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer


@click.command()
@click.argument("directory", type=options.INPUT_DIRECTORY)
@options.output(metavar="DIR", help="Folder of the aligned zoo.")
@click.option(
    "--reference",
    "references",
    multiple=True,
    metavar="ID",
    help="Align to this instance; one for each architecture. [default: the best training instance by validation]",
)
@click.option(
    "--tries",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Searches for an order from other beginnings; the nearest result is kept.",
)
@options.dry_run
@options.running
@options.shared
def align(
    directory: Path,
    output: Path,
    dry_run: bool,
    running: options.RunnerOptions,
    console: Console,
    **plan: Any,
) -> None:
    """Bring the hidden units of a zoo's networks into the order nearest to a reference's.

    The networks compute what they did, so splits and accuracies stay; no data are used. The same command again goes
    on where it was stopped.

    Example: netspace zoo align zoo -o aligned/
    """
    from netspace_cli.core.zoos.align import AlignPlan, align_zoo, left_to_align, references_of
    from netspace_cli.core.zoos.zoo import open_zoo

    runner = running.runner(console)
    zoo, chosen = open_zoo(directory), AlignPlan(**plan)
    todo = left_to_align(zoo, output, chosen, running.seed)
    if not todo:
        console.note(f"{output} has all these instances; nothing is left to align.")
    if dry_run:
        references = references_of(zoo, chosen)
        rows = [(i.id, i.arch, i.split, references[i.arch].id) for i in todo]
        console.table("would align", ["id", "arch", "split", "reference"], rows)
        console.document({"jobs": [{"id": i.id, "reference": references[i.arch].id} for i in todo]})
        return
    with runner:
        aligned = align_zoo(zoo, output, chosen, runner)
        report = runner.report()
    console.cost(report)
    measured = ("before", "after", "nearest before", "nearest after")
    console.table(
        f"{output}: mean distance of weights, to the reference and to the nearest other instance",
        ["arch", "reference", Column("instances", integer), *(Column(name, decimal) for name in measured)],
        [tuple(asdict(row).values()) for row in aligned],
    )
    console.document({"zoo": output, "aligned": aligned, "report": report})
    console.note(f"{output}: {len(zoo.instances)} instances, {len(todo)} of them new; {report['seconds']:.0f} s.")
