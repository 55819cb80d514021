"""netspace ensemble: the score of a zoo's instances together."""

from __future__ import annotations

from typing import Any

import click

from netspace_cli import options
from netspace_cli.commands.choices import Selection, workers
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer, percent
from netspace_cli.views.view import view_of


@click.command()
@click.argument("zoo", type=options.INPUT_DIRECTORY)
@click.option(
    "--select",
    type=Selection(),
    default="all",
    show_default=True,
    help="Members: the N best instances on validation images, or all.",
)
@options.data
@workers
@options.dry_run
@options.running
@options.shared
def ensemble(dry_run: bool, running: options.RunnerOptions, console: Console, **asked: Any) -> None:
    """Score a zoo's instances as an ensemble on the test images, by the mean of their probabilities.

    The zoo may be trained or sampled, and its instances may be of several architectures. Of regressors, outputs are
    averaged, and R² takes the place of accuracy.

    Example: netspace ensemble new/ --select top:10
    """
    from netspace_cli.core.requests.ensemble import EnsembleRequest

    runner = running.shared_by(asked["workers"], asked["cluster"]).runner(console)
    task = EnsembleRequest(**asked).prepare()
    if dry_run:
        console.table("would judge", ["zoo", Column("members", integer)], [(task.request.zoo, task.count)])
        console.document({**task.record(), "count": task.count, "dry_run": True})
        return
    undivided = task.undivided()
    if undivided is not None:
        console.note(undivided)
    with runner:
        found = task.run(runner)
        report = runner.report()
    console.cost(report)
    each, show = found.found, view_of(task.zoo.kind).score.show
    console.table(
        f"{task.request.zoo}: {len(found.ids)} members, on test {task.data.io.one}s",
        [
            Column("n", integer),
            Column("members", show),
            Column("deviation", show),
            Column("ensemble", show),
            Column("loss", decimal),
            Column("calibration error", percent),
            Column("agreement", show),
        ],
        [
            (
                len(found.ids),
                each.members,
                each.deviation,
                each.ensemble,
                each.loss,
                each.calibration_error,
                each.agreement,
            )
        ],
    )
    console.document({**task.document(found), "report": report})
