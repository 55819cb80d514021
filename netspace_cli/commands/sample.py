"""netspace sample: draw new networks from a space, and say what they are worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.commands.choices import BandwidthType, Share
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer, percent

if TYPE_CHECKING:
    from netspace_cli.core.requests.sample import SampleTask
    from netspace_cli.core.sampling.audit import Audit


@click.command()
@click.option("-n", "--count", type=click.IntRange(min=1), default=10, show_default=True, help="How many networks.")
@click.option(
    "--method",
    metavar="NAME",
    show_default="starts where the space has several starting points, else kde",
    help="kde, kde-joint, neighbours, gan, flow, starts; on weights noise, mix, soup.",
)
@click.option(
    "--top",
    type=Share(),
    default="30%",
    show_default=True,
    help="Learn from these training instances, the best by validation; or all.",
)
@click.option("--arch", callback=options.trust_named, metavar="NAME", help="Of a space of several architectures, this.")
@click.option("--zoo", type=options.INPUT_DIRECTORY, help="The zoo that the space was trained on, for its weights.")
@click.option("--bandwidth", type=BandwidthType(), help="Of kde: a number, scott or silverman. [default: scott]")
@click.option("--accuracy", type=click.FloatRange(0, 1), help="Of flow: draw networks of this accuracy, as a fraction.")
@click.option("--scale", type=click.FloatRange(min=0), help="Of noise: in deviations of each layer. [default: 0.1]")
@click.option("--parents", type=click.IntRange(min=2), help="Of soup: instances to take the mean of. [default: 8]")
@click.option(
    "--polish", type=click.IntRange(min=0), default=0, show_default=True, help="Label steps on each embedding."
)
@click.option("--refresh-norms", is_flag=True, help="Give batch norms a training instance's statistics; needs --zoo.")
@click.option(
    "--rivals",
    type=click.Choice(["none", "quick", "all"]),
    default="quick",
    show_default=True,
    help="Judge samples beside these: noise copies, mixes and soups; all trains fresh networks as well.",
)
@options.output(metavar="DIR", help="A folder for the zoo of samples.")
@options.space_to_draw_from
@options.data
@options.dry_run
@options.running
@options.shared
def sample(dry_run: bool, running: options.RunnerOptions, console: Console, zoo: Path | None, **asked: Any) -> None:
    """Draw networks that were never trained, as a zoo.

    The table judges them on the test images: as accurate as training instances, as good together, no copies of them
    (overlap of mistakes, distance of aligned weights; for training instances beside the nearest other), as widely
    spread (1 is right)? Stored embeddings have an "apart" of 0; "predicted instances" are what these decode to.

    Example: netspace sample -n 10 -o new
    """
    from netspace_cli.core.requests.sample import SampleRequest

    runner = running.runner(console)
    task = SampleRequest(**asked, zoo=zoo).prepare()
    if dry_run:
        _show_plan(console, task)
        return
    with runner:
        samples = task.run(runner)
        written = task.write(samples, runner)
        table = task.audit(samples, runner)
        report = runner.report()
    console.cost(report)
    if table is not None:
        _show_audit(console, task, table)
    rows = [{"id": i.id, "accuracy": i.accuracy, "training": i.training} for i in written.instances]
    console.document({**task.record(), "samples": rows, "audit": table, "report": report})
    for note in (task.missing(), *(() if table is None else table.notes)):
        if note is not None:
            console.note(note)
    console.note(f"Wrote {task.request.output}: {len(samples)} networks.")


def _show_audit(console: Console, task: SampleTask, table: Audit) -> None:
    columns: list[str | Column] = [
        "networks",
        Column("n", integer),
        Column("members", percent),
        Column("deviation", percent),
    ]
    columns += [Column("ensemble", percent), Column("agreement", percent), Column("overlap", decimal)]
    columns += [Column("distance", decimal), Column("spread", decimal), Column("apart", decimal)]
    columns += [Column("images", integer)]
    console.table(
        f"{task.population.architecture.name} drawn from {task.space.name}, on test images",
        columns,
        [
            (
                row.name,
                row.networks,
                row.members,
                row.deviation,
                row.ensemble,
                row.agreement,
                row.overlap,
                row.distance,
                row.spread,
                row.apart,
                row.images,
            )
            for row in table.rows
        ],
    )


def _show_plan(console: Console, task: SampleTask) -> None:
    record = task.record()
    console.table(
        "would draw",
        ["arch", "method", Column("networks", integer), Column("learnt from", integer), Column("polish", integer)],
        [(record["arch"], record["method"], record["count"], record["instances"], record["polish"])],
    )
    console.document({**record, "dry_run": True})
    for note in (task.missing(), f"{task.request.output} would be written."):
        if note is not None:
            console.note(note)
