"""netspace zoo align: align the hidden units of a zoo's networks."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from netspace_cli import options
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer
from netspace_cli.terminal.interrupts import continues


@click.command()
@click.argument("directory", type=options.INPUT_DIRECTORY)
@options.output(metavar="DIR", help="Folder for the aligned zoo.")
@click.option(
    "--reference",
    "references",
    multiple=True,
    metavar="ID",
    help="Instance to align to; repeat for several architectures. [default: the best training instance on validation]",
)
@click.option(
    "--tries",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of searches for an order; the result nearest to the reference is kept.",
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
    """Reorder the hidden units of a zoo's networks to be nearest to a reference's.

    The networks still compute the same, so splits and accuracies do not change; no data are used. Run the same
    command again to continue after a stop.

    Example: netspace zoo align zoo -o aligned/
    """
    from netspace_cli.core.zoos.align import AlignPlan, align_zoo, left_to_align, references_of
    from netspace_cli.core.zoos.zoo import open_zoo

    runner = running.runner(console)
    zoo, chosen = open_zoo(directory), AlignPlan(**plan)
    todo = left_to_align(zoo, output, chosen, running.seed)
    if not todo:
        console.note(f"{output} already has all these instances: nothing to align.")
    if dry_run:
        references = references_of(zoo, chosen)
        rows = [(i.id, i.arch, i.split, references[i.arch].id) for i in todo]
        console.table("would align", ["id", "arch", "split", "reference"], rows)
        console.document({"jobs": [{"id": i.id, "reference": references[i.arch].id} for i in todo]})
        return
    with runner, continues():
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
