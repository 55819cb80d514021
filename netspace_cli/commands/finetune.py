"""netspace finetune: train a zoo's instances further, beside networks from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.commands.choices import Epochs, Selection, workers
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, integer
from netspace_cli.terminal.interrupts import continues
from netspace_cli.views.view import view_of

if TYPE_CHECKING:
    from netspace_cli.core.runtime.cluster import Cluster


@click.command()
@click.argument("zoo", type=options.INPUT_DIRECTORY)
@options.output(
    required=False,
    metavar="DIR",
    help="Folder for the zoo of the networks after their last epoch. Given again, it continues after a stop. "
    "[default: none is kept]",
)
@click.option(
    "--epochs",
    type=Epochs(),
    default="0,1,5,25",
    show_default=True,
    help="Measure after these numbers of epochs; 0 is before training.",
)
@click.option(
    "--select",
    type=Selection(),
    default="all",
    show_default=True,
    help="Instances: the N best on validation images, or all.",
)
@click.option("--no-scratch", is_flag=True, help="Do not train networks from scratch for comparison.")
@click.option("--optimizer", type=click.Choice(["adam", "sgd"]), default="adam", show_default=True, help="Optimiser.")
@click.option(
    "--lr",
    type=click.FloatRange(min=0, min_open=True),
    default=1e-3,
    show_default=True,
    help="Learning rate (constant).",
)
@options.weight_decay
@options.batch
@options.epoch_images
@options.data
@workers
@options.dry_run
@options.running
@options.shared
def finetune(
    zoo: Path,
    output: Path | None,
    select: int | None,
    no_scratch: bool,
    data: str | None,
    workers: int,
    cluster: Cluster | None,
    dry_run: bool,
    running: options.RunnerOptions,
    console: Console,
    **plan: Any,
) -> None:
    """Train a zoo's instances further, on their own images or on others of as many classes, resized to theirs.

    Use it to judge sampled networks as starts of training, to measure transfer, or to get the networks (-o). The table
    has accuracies on the test images after each number of epochs, beside networks trained from scratch on the same
    images.

    Example: netspace finetune new/ --data digits --epochs 0,1,5 -o tuned/
    """
    from netspace_cli.core.requests.finetune import FinetuneRequest
    from netspace_cli.core.zoos.finetune import FineTuning, summarised

    runner = running.shared_by(workers, cluster).runner(console)
    request = FinetuneRequest(zoo, FineTuning(**plan), select, not no_scratch, output, data, workers, cluster)
    task = request.prepare(running.seed)
    if dry_run:
        last = task.request.plan.epochs[-1]
        console.table("would train", ["zoo", Column("networks", integer), "epochs"], [(zoo, task.count, last)])
        if task.there:
            console.note(f"{output} has {task.there} of the zoo's {len(task.zoo.instances)} networks already.")
        console.document({**task.record(), "count": task.count, "dry_run": True})
        return
    undivided = task.undivided()
    if undivided is not None:
        console.note(undivided)
    with runner, continues(kept=output is not None):
        found = task.run(runner)
        report = runner.report()
    console.cost(report)
    score = view_of(task.zoo.kind).score
    console.table(
        f"{zoo} trained further on {task.data.name}",
        [
            "start",
            Column("epoch", integer),
            Column("n", integer),
            score,
            Column("deviation", score.show),
        ],
        [(row["start"], row["epoch"], row["n"], row["accuracy"], row.get("deviation")) for row in summarised(found)],
    )
    written = task.written()
    if written is not None:
        console.note(written)
    console.document({**task.document(found), "report": report})
