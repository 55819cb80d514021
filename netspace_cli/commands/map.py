"""netspace map: embeddings in two dimensions."""

from __future__ import annotations

from typing import Any

import click

from netspace_cli import options
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal
from netspace_cli.views.view import view_of


@click.command("map")
@click.argument("source", metavar="SPACE|ZOO")
@options.output(help="The figure (.png, .svg, .pdf).")
@click.option(
    "--over",
    type=options.INPUT,
    multiple=True,
    metavar="FILE|ZOO",
    help="Draw these embeddings, or a zoo such as samples, over the map. May be given many times.",
)
@click.option(
    "--colour",
    type=click.Choice(["accuracy", "r2", "epochs", "arch", "split"]),
    help="What points are coloured by; r2 for regressors. [default: arch where there are several, else the score]",
)
@click.option(
    "--method",
    type=click.Choice(["pca", "umap"]),
    default="pca",
    show_default=True,
    help="Principal directions, or UMAP (extra `umap`), which keeps neighbours together.",
)
@options.space
@options.force
@options.running
@options.shared
def embedding_map(running: options.RunnerOptions, console: Console, **asked: Any) -> None:
    """Draw the embeddings of a space's or a zoo's networks in two dimensions.

    The map is made without the embeddings that are drawn over it.

    Example: netspace map digits -o map.png
    """
    from netspace_cli.core.requests.map import MapRequest

    runner = running.runner(console)
    task = MapRequest(**asked).prepare()
    with runner:
        found = task.run(runner)
        task.write(found)
        report = runner.report()
    console.cost(report)
    rows = [(p.id, p.arch, p.split, p.over, p.accuracy, p.x, p.y) for p in found.points]
    console.table(
        f"{task.request.source} in space {task.space.name}",
        [
            "network",
            "arch",
            "split",
            "over",
            view_of(task.space.kind).score,
            Column("x", decimal),
            Column("y", decimal),
        ],
        rows,
    )
    console.document(
        {
            "space": task.space.name,
            "output": task.request.output,
            "method": task.request.method,
            "colour": task.measure if task.colouring == "accuracy" else task.colouring,
            "explained": found.explained,
            "points": [point.row() for point in found.points],
            "report": report,
        }
    )
    console.note(f"Wrote {task.request.output}.")
