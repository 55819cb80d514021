"""netspace experiment backbones and rate: fidelity against training time and embedding size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.commands.experiment.parts import counts, run_experiment
from netspace_cli.terminal.console import Console

if TYPE_CHECKING:
    from netspace_cli.core.experiments.report import Report


@click.command()
@click.argument("zoo", type=options.INPUT_DIRECTORY)
@options.output(metavar="DIR", help="Folder for the spaces, the tables and the figure.")
@click.option(
    "--recipe",
    "recipes",
    type=options.INPUT_FILE,
    multiple=True,
    required=True,
    metavar="F.toml",
    help="Recipe; repeat to compare several.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    required=True,
    help="Training time for each recipe, in place of its number of steps.",
)
@click.option(
    "--marks",
    type=click.IntRange(min=1),
    default=8,
    help="Number of measurements along the way; the clock is stopped for them.",
)
@options.data
@options.teacher(help="Teacher for training spaces of several architectures.")
@options.running
@options.shared
def backbones(recipes: tuple[Path, ...], running: options.RunnerOptions, console: Console, **asked: Any) -> None:
    """Compare recipes: how faithful the space of each is after the same training time.

    Validation instances are measured along the way, held-out instances at the end, refined as each recipe says.
    Each learning rate schedule covers the steps that fit into the time, with a tenth of them at most as warm-up. A
    note names recipes that had no time for a single step. Finished recipes are kept: the same command continues with
    the others, and more --recipe options add to the results.

    Example: netspace experiment backbones zoo/ --recipe tokens.toml --recipe conv.toml --seconds 600 -o results/
    """
    from netspace_cli.core.experiments.requests import BackbonesRequest

    named = {path.stem: path for path in recipes}
    if len(named) < len(recipes):
        names = ", ".join(str(path) for path in recipes)
        raise click.UsageError(f"{len(recipes)} recipes have {len(named)} names: {names}. Rename the duplicates.")
    run_experiment(BackbonesRequest(**asked, recipes=named), running, console, remarks=_time_remarks)


def _time_remarks(report: Report) -> Iterator[str]:
    """Name the recipes that had too little time, and for what."""
    return (f"{name}: {remark}" for name, remark in report.facts["remarks"].items())


@click.command()
@click.argument("zoo", type=options.INPUT_DIRECTORY)
@options.output(metavar="DIR", help="Folder for the spaces, the tables and the figure.")
@options.recipe
@options.settings
@click.option("--sizes", callback=counts, default="64,256,1024,4096,16384", metavar="E,…", help="Embedding sizes.")
@options.data
@options.teacher(help="Network to imitate when optimising. [default: none; learn from the labels]")
@click.option("--search-steps", type=click.IntRange(min=0), default=600, help="Steps of each optimisation; 0 for none.")
@click.option("--search-images", type=click.IntRange(min=1), default=128, help="Images per optimisation step.")
@click.option(
    "--teacher-images",
    type=click.IntRange(min=0),
    default=10_000,
    help="Optimise on the first N training images, not augmented; 0 for all, augmented.",
)
@options.running
@options.shared
def rate(running: options.RunnerOptions, console: Console, **asked: Any) -> None:
    """Measure the fidelity of held-out instances against the size of their embeddings.

    A space of each size is trained with the recipe and refines with the recipe's number of steps. If the recipe's
    latents do not divide a size, the largest number below that does is used. A random subspace of the same size
    around the best training instance is fitted for comparison, with the same steps on the same images. Finished
    sizes are kept: the same command continues.

    Example: netspace experiment rate zoo/ --recipe examples/recipes/cifar10-lenetlike.toml -o results/rate
    """
    from netspace_cli.core.experiments.requests import RateRequest

    run_experiment(RateRequest(**asked), running, console, remarks=_size_remarks)


def _size_remarks(report: Report) -> Iterator[str]:
    """Name settings of the recipe that were lowered since they do not divide a size."""
    return (f"size {size}: {cut}" for size, cut in report.facts["adapted"].items())
