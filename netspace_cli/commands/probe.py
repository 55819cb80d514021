"""netspace probe: predict properties of networks from their embeddings."""

from __future__ import annotations

from typing import Any

import click

from netspace_cli import options
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer


@click.command()
@click.argument("zoo", type=options.INPUT_DIRECTORY)
@click.option("--arch", callback=options.trust_named, metavar="NAME", help="Architecture to probe. [default: each]")
@options.space
@options.dry_run
@options.running
@options.shared
def probe(dry_run: bool, running: options.RunnerOptions, console: Console, **asked: Any) -> None:
    """Predict accuracy, epochs and generalisation gap of a zoo's test instances by linear regression.

    The features are embeddings, statistics of each layer's weights, both, and the weights themselves. The regression
    is fitted on the training instances; validation instances choose its settings.

    Example: netspace probe zoo/ --space space.safetensors
    """
    from netspace_cli.core.requests.probe import ProbeRequest

    runner = running.runner(console)
    task = ProbeRequest(**asked).prepare()
    if dry_run:
        counts = task.counts()
        console.table(
            "would probe",
            ["arch", Column("train", integer), Column("test", integer)],
            [(name, each["train"], each["test"]) for name, each in counts.items()],
        )
        console.document({**task.record(), "counts": counts, "dry_run": True})
        return
    with runner:
        found = task.run(runner)
        report = runner.report()
    console.cost(report)
    console.table(
        f"{task.request.zoo} in space {task.space.name}, on test instances",
        ["arch", "property", "features", Column("n", integer), Column("R²", decimal), Column("tau", decimal)],
        [(each.arch, each.property, each.features, each.test, each.r2, each.tau) for each in found],
    )
    console.document({**task.record(), "probes": found, "report": report})
