"""netspace experiment backbones, and rate: curves of fidelity against time and against size."""

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
@options.output(metavar="DIR", help="Folder of the spaces, the tables and the figure.")
@click.option(
    "--recipe", "recipes", type=options.INPUT_FILE, multiple=True, required=True, metavar="F.toml", help="One or more."
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    required=True,
    help="Of training with each recipe; in place of its steps.",
)
@click.option("--marks", type=click.IntRange(min=1), default=8, help="Moments of measuring; the clock stops.")
@options.data
@options.teacher(help="Network whose answers guide the training of several.")
@options.running
@options.shared
def backbones(recipes: tuple[Path, ...], running: options.RunnerOptions, console: Console, **asked: Any) -> None:
    """Recipes beside each other: how faithful each space is after the same time of training.

    The validation instances are measured along the way, the held-out ones in the end, refined as each recipe says.
    The learning rate of each recipe falls with the clock: its steps are those that fit into the time, its warm-up
    a tenth of them at most. A recipe without time for a single step is told so. Finished recipes are kept: the
    same command goes on with the others, and more --recipe add to what is there.

    Example: netspace experiment backbones zoo/ --recipe tokens.toml --recipe conv.toml --seconds 600 -o results/
    """
    from netspace_cli.core.experiments.requests import BackbonesRequest

    named = {path.stem: path for path in recipes}
    if len(named) < len(recipes):
        names = ", ".join(str(path) for path in recipes)
        raise click.UsageError(f"{len(recipes)} recipes have {len(named)} names: {names}. Rename those that are alike.")
    run_experiment(BackbonesRequest(**asked, recipes=named), running, console, remarks=_time_remarks)


def _time_remarks(report: Report) -> Iterator[str]:
    """What a recipe's time was not enough for."""
    return (f"{name}: {remark}" for name, remark in report.facts["remarks"].items())


@click.command()
@click.argument("zoo", type=options.INPUT_DIRECTORY)
@options.output(metavar="DIR", help="Folder of the spaces, the tables and the figure.")
@options.recipe
@options.settings
@click.option(
    "--sizes", callback=counts, default="64,256,1024,4096,16384", metavar="E,…", help="Values in an embedding."
)
@options.data
@options.teacher(help="Optimise towards its answers. [default: the labels]")
@click.option("--search-steps", type=click.IntRange(min=0), default=600, help="Of each optimisation; 0 for none.")
@click.option("--search-images", type=click.IntRange(min=1), default=128, help="Images a step.")
@click.option(
    "--teacher-images",
    type=click.IntRange(min=0),
    default=10_000,
    help="Optimise on the first so many training images, unchanged; 0 for all, augmented.",
)
@options.running
@options.shared
def rate(running: options.RunnerOptions, console: Console, **asked: Any) -> None:
    """How small can a network be told: fidelity of held-out instances against the size of their embeddings.

    A space of each size is trained with the recipe, and refines as many steps as it says; latents that do not
    divide a size are the most that do. Beside it, with the same steps on the same images: a random subspace of
    that size around the best training instance. Finished sizes are kept: the same command goes on.

    Example: netspace experiment rate zoo/ --recipe examples/recipes/cifar10-lenetlike.toml -o results/rate
    """
    from netspace_cli.core.experiments.requests import RateRequest

    run_experiment(RateRequest(**asked), running, console, remarks=_size_remarks)


def _size_remarks(report: Report) -> Iterator[str]:
    """What of a recipe does not divide a size."""
    return (f"size {size}: {cut}" for size, cut in report.facts["adapted"].items())
