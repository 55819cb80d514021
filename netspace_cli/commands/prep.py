"""netspace prep: write a network's PRep."""

from __future__ import annotations

from typing import Any

import click

from netspace_cli import options
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, integer


@click.command()
@click.argument("network", type=options.INPUT_FILE)
@options.output(help="Array (.npy) or picture (.png).")
@click.option("--height", type=click.IntRange(min=1), help="Rows. [default: the lowest published height that fits]")
@click.option("--width", type=click.IntRange(min=1), default=10_000, show_default=True, help="Columns.")
@options.space
@options.arch
@options.key
@options.force
@options.dry_run
@options.threads
@options.shared
def prep(dry_run: bool, console: Console, **asked: Any) -> None:
    """Write a network's PRep: its parameters in order, batch norms folded, row after row.

    --space is needed only to recognise a network for images of unusual size.

    Example: netspace prep resnet8.pt -o resnet8.png
    """
    from netspace_cli.core.requests.prep import PrepRequest

    task = PrepRequest(**asked).prepare()
    if not dry_run:
        task.run()
    architecture, output = task.network.architecture, task.request.output
    console.table(
        "PRep",
        ["network", "arch", Column("parameters", integer), "height", "width", "output"],
        [(task.request.network, architecture.name, architecture.parameter_count, *task.grid, output)],
    )
    height, width = task.grid
    console.document(
        {
            "path": task.request.network,
            "arch": architecture.name,
            "parameters": architecture.parameter_count,
            "height": height,
            "width": width,
            "output": output,
            "dry_run": dry_run,
        }
    )
    if dry_run:
        console.note(f"{output} would be written.")
