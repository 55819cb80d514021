"""netspace interp: walk between two networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.commands.unused_options import note_unused
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, integer
from netspace_cli.views.view import view_of

if TYPE_CHECKING:
    from netspace_cli.core.paths.walks import Walks
    from netspace_cli.core.requests.interp import InterpTask


@click.command()
@click.argument("start", type=options.INPUT_FILE)
@click.argument("end", type=options.INPUT_FILE)
@click.option(
    "--steps", type=click.IntRange(min=1), default=20, show_default=True, help="Number of steps (prints N + 1 rows)."
)
@click.option("--weights", is_flag=True, help="Also walk between the weights, raw and with hidden units aligned.")
@click.option(
    "--bend/--straight",
    default=None,
    help="Shapes only. --bend solves for a path of evenly spaced blends of both ends, and shows the straight line "
    "beside it; --straight walks the straight line alone, in seconds.  [default: --bend if the space's decoder can be "
    "solved for]",
)
@click.option("--save-dir", type=options.OUTPUT_PATH, help="Write a checkpoint of every step into this folder.")
@click.option(
    "--plot",
    type=options.OUTPUT_PATH,
    metavar="F.png",
    help="Plot the accuracy along the path, or draw the shapes (.png, .svg, .pdf).",
)
@click.option("--csv", "csv_path", type=options.OUTPUT_PATH, metavar="F.csv", help="Write the rows as CSV.")
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="Images to score on.",
)
@options.refine
@options.space
@options.data
@options.arch
@options.key
@options.force
@options.dry_run
@options.running
@options.shared
def interp(
    csv_path: Path | None,
    refine: int | None,
    dry_run: bool,
    running: options.RunnerOptions,
    console: Console,
    **asked: Any,
) -> None:
    """Walk from START to END (checkpoints or embeddings) and score every network on the way.

    The space's classifier decides the architecture of each step, so a path may pass through several. For shapes,
    --plot draws the row of shapes, with the walks between the weights below it.

    Example: netspace interp lenet.pt resnet32.pt --steps 20 --plot path.png

    Example: netspace interp chair-a.pt chair-b.pt --steps 5 --plot row.png
    """
    from netspace_cli.core.requests.interp import InterpRequest

    runner = running.runner(console)
    request = InterpRequest(**asked, csv=csv_path, refine_steps=refine)
    task = request.prepare()
    note_unused(console, (request.start, request.end), task.space.kind)
    if dry_run:
        _show_plan(console, task)
        return
    with runner:
        found = task.run(runner)
        report = runner.report()
    console.cost(report)
    task.write(found)
    view_of(task.space.kind).show_path(console, found)
    console.document({**task.record(), **task.document(found), "report": report})
    _remark(console, task, found)
    for output in request.outputs:
        console.note(f"Wrote {output}.")


def _show_plan(console: Console, task: InterpTask) -> None:
    inputs, asked = task.plan(), task.request
    console.table(
        f"would walk in {asked.steps} {'step' if asked.steps == 1 else 'steps'} between",
        ["network", "arch", Column("parameters", integer), Column("refined", integer)],
        [(row["path"], row["arch"], row["parameters"], row["refine_steps"]) for row in inputs],
    )
    if task.bend and task.can_bend:
        console.note("The path would be bent (solved for step by step); --straight walks the straight line alone.")
    plan = {"inputs": inputs, "rows": asked.steps + 1, "outputs": asked.outputs, "dry_run": True}
    console.document({**task.record(), **plan})
    for output in asked.outputs:
        console.note(f"{output} would be written.")


def _remark(console: Console, task: InterpTask, found: Walks) -> None:
    """Add notes that explain the table."""
    from netspace_cli.core.requests.choose_data import missing_images_note
    from netspace_cli.views.shapes import note_jumps

    if task.can_bend:
        note_jumps(console, found.path, bent=task.bend)
    if task.request.weights and found.decoded_ends:
        console.note(
            "Both ends are embeddings: the walk between weights uses the networks that they decode to, not those that "
            "were encoded."
        )
    if task.data is None:
        console.note(missing_images_note(task.space))
