"""netspace sample: draw new networks from a space, and judge them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.commands.choices import BandwidthType, Share, workers
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer
from netspace_cli.views.view import view_of

if TYPE_CHECKING:
    from netspace_cli.core.requests.sample import SampleTask
    from netspace_cli.core.sampling.audit import Audit


@click.command()
@click.option("-n", "--count", type=click.IntRange(min=1), default=10, show_default=True, help="Number of networks.")
@click.option(
    "--method",
    metavar="NAME",
    show_default="starts where the space has several starting points, else kde",
    help="Method: kde, kde-joint, neighbours, gan, flow or starts; on weights: noise, mix or soup.",
)
@click.option(
    "--top",
    type=Share(),
    default="30%",
    show_default=True,
    help="Learn from this share of the training instances, the best on validation, or from all.",
)
@click.option(
    "--arch", callback=options.trust_named, metavar="NAME", help="Architecture to draw, if the space has several."
)
@click.option(
    "--zoo", type=options.INPUT_DIRECTORY, help="Zoo that the space was trained on; methods on weights need it."
)
@click.option(
    "--bandwidth",
    type=BandwidthType(),
    help="For kde, kde-joint and starts: a number, scott or silverman. [default: scott]",
)
@click.option(
    "--accuracy", type=click.FloatRange(0, 1), help="For flow: accuracy of the networks to draw, as a fraction."
)
@click.option(
    "--scale",
    type=click.FloatRange(min=0),
    help="For noise: its size, in standard deviations of each layer. [default: 0.1]",
)
@click.option("--parents", type=click.IntRange(min=2), help="For soup: number of instances to average. [default: 8]")
@click.option(
    "--polish", type=click.IntRange(min=0), default=0, show_default=True, help="Label steps for each embedding."
)
@click.option(
    "--polish-lr",
    type=click.FloatRange(min=0, min_open=True),
    help="Highest learning rate of these steps; a low one keeps the spread. [default: the space's own of optimising]",
)
@click.option("--refresh-norms", is_flag=True, help="Set batch norm statistics from a training instance; needs --zoo.")
@click.option(
    "--rivals",
    type=click.Choice(["none", "quick", "all"]),
    default="quick",
    show_default=True,
    help="Compare with noise copies, mixes and soups; `all` also trains fresh networks.",
)
@options.output(metavar="DIR", help="Folder for the zoo of samples.")
@options.space_to_draw_from
@options.data
@workers
@options.dry_run
@options.running
@options.shared
def sample(dry_run: bool, running: options.RunnerOptions, console: Console, zoo: Path | None, **asked: Any) -> None:
    """Draw networks that were never trained, and write them as a zoo.

    The table compares them with training instances on the test images: their accuracy, alone and as an ensemble;
    whether they are copies ("overlap" of mistakes and "distance" of aligned weights to the nearest training instance,
    for a training instance to the nearest other); and their "spread" (1 is right). "apart" is 0 for stored embeddings.
    "predicted instances" are the networks that these decode to.

    Example: netspace sample -n 10 -o new
    """
    from netspace_cli.core.requests.sample import SampleRequest

    runner = running.shared_by(asked["workers"], asked["cluster"]).runner(console)
    task = SampleRequest(**asked, zoo=zoo).prepare()
    if dry_run:
        _show_plan(console, task)
        return
    undivided = task.undivided()
    if undivided is not None:
        console.note(undivided)
    with runner, task.workers(runner) as workers:
        samples = task.run(runner, workers)
        written = task.write(samples, runner, workers)
        table = task.audit(samples, runner, workers)
        report = runner.report()
    console.cost(report)
    if table is not None:
        _show_audit(console, task, table)
    key = task.space.io.problem.key
    rows = [{"id": i.id, key: i.accuracy, "training": i.training} for i in written.instances]
    console.document({**task.record(), "samples": rows, "audit": table, "report": report})
    for note in (task.missing(), *(() if table is None else table.notes)):
        if note is not None:
            console.note(note)
    console.note(f"Wrote {task.request.output}: {len(samples)} networks.")


def _show_audit(console: Console, task: SampleTask, table: Audit) -> None:
    show = view_of(task.space.kind).score.show
    columns: list[str | Column] = ["networks", Column("n", integer), Column("members", show), Column("deviation", show)]
    columns += [Column("ensemble", show), Column("agreement", show), Column("overlap", decimal)]
    columns += [Column("distance", decimal), Column("spread", decimal), Column("apart", decimal)]
    columns += [Column("images", integer)]
    console.table(
        f"{task.population.architecture.name} drawn from {task.space.name}, on test {task.space.io.one}s",
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
