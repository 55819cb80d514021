"""netspace experiment merging: merge draws of a zoo's instances."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.commands.choices import Share
from netspace_cli.commands.experiment.parts import run_experiment
from netspace_cli.core.merging.plan import WAYS
from netspace_cli.terminal.console import Console

if TYPE_CHECKING:
    from netspace_cli.core.experiments.report import Report


@click.command()
@click.argument("zoo", type=options.INPUT_DIRECTORY)
@options.output(metavar="DIR", help="Folder for the tables and the figure.")
@click.option("-n", "--count", type=click.IntRange(min=2), default=8, show_default=True, help="Members per draw.")
@click.option("--draws", type=click.IntRange(min=1), default=10, show_default=True, help="Draws of members.")
@click.option(
    "--top",
    type=Share(),
    default="25%",
    show_default=True,
    help="Draw from this share of the instances, the best on validation.",
)
@click.option(
    "--labels",
    type=click.Choice(["yes", "no", "both"]),
    default="both",
    show_default=True,
    help="Whether the labels of training and validation images are used.",
)
@click.option("--steps", type=click.IntRange(min=1), help="Steps of each way. [default: as in `netspace merge`]")
@click.option("--method", type=click.Choice(list(WAYS)), help="Try this way alone. [default: all]")
@click.option("--arch", callback=options.trust_named, metavar="NAME", help="Architecture, if the zoo has several.")
@click.option(
    "--into",
    callback=options.trust_named,
    metavar="NAME|PKG.MODULE:FACTORY",
    help="Architecture of what they become. [default: the members' own]",
)
@options.space_or_none
@options.data
@options.running
@options.shared
def merging(running: options.RunnerOptions, console: Console, **asked: Any) -> None:
    """Merge several draws of a zoo's instances, and show how much of the ensemble's gain each way keeps.

    Members are drawn from the best instances, so that they are of like strength. Finished merges are kept: the same
    command goes on after a stop, and with more --draws. The tables are of what the command asks for.

    Example: netspace experiment merging zoo/ -o results/merging
    """
    from netspace_cli.core.experiments.merging.request import MergingRequest
    from netspace_cli.core.experiments.merging.runs import Merging

    plan = Merging(**{field.name: asked.pop(field.name) for field in fields(Merging)})
    run_experiment(MergingRequest(**asked, plan=plan), running, console, remarks=_remarks)


def _remarks(report: Report) -> Iterator[str]:
    """Say where there was nothing to gain."""
    return iter(report.facts["remarks"])
