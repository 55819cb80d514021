"""netspace experiment backbones, and rate: curves of fidelity against time and against size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from netspace_cli import options
from netspace_cli.commands.experiment.parts import begin, counts, finish
from netspace_cli.terminal.console import Console

if TYPE_CHECKING:
    from netspace_cli.core.requests.inputs import Teacher


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
def backbones(
    zoo: Path,
    output: Path,
    recipes: tuple[Path, ...],
    seconds: float,
    marks: int,
    data: str | None,
    teacher: Teacher,
    running: options.RunnerOptions,
    console: Console,
) -> None:
    """Recipes beside each other: how faithful each space is after the same time of training.

    The validation instances are measured along the way, the held-out ones in the end, refined as each recipe says.
    The learning rate of each recipe falls with the clock: its steps are those that fit into the time, its warm-up
    a tenth of them at most. A recipe without time for a single step is told so. Finished recipes are kept: the
    same command goes on with the others, and more --recipe add to what is there.

    Example: netspace experiment backbones zoo/ --recipe tokens.toml --recipe conv.toml --seconds 600 -o results/
    """
    from netspace_cli.core.experiments.backbones import backbones as measure
    from netspace_cli.core.spaces.recipe import load_recipe

    named = {path.stem: path for path in recipes}
    if len(named) < len(recipes):
        names = ", ".join(str(path) for path in recipes)
        raise click.UsageError(f"{len(recipes)} recipes have {len(named)} names: {names}. Rename those that are alike.")
    runner = running.runner(console)
    opened, images, guide = begin(output, zoo, data, teacher)
    with runner:
        report = measure(
            opened,
            output,
            {name: load_recipe(path) for name, path in named.items()},
            images,
            runner,
            seconds=seconds,
            marks=marks,
            teacher=guide,
        )
        cost = runner.report()
    for name, remark in report.facts["remarks"].items():
        console.note(f"{name}: {remark}")
    finish(console, output, report, images, cost)


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
def rate(
    zoo: Path,
    output: Path,
    recipe: Path | None,
    settings: dict[str, str],
    sizes: tuple[int, ...],
    data: str | None,
    teacher: Teacher,
    running: options.RunnerOptions,
    console: Console,
    **scale: int,
) -> None:
    """How small can a network be told: fidelity of held-out instances against the size of their embeddings.

    A space of each size is trained with the recipe, and refines as many steps as it says; latents that do not
    divide a size are the most that do. Beside it, with the same steps on the same images: a random subspace of
    that size around the best training instance. Finished sizes are kept: the same command goes on.

    Example: netspace experiment rate zoo/ --recipe examples/recipes/cifar10-lenetlike.toml -o results/rate
    """
    from netspace_cli.core.experiments.held_out import Scale
    from netspace_cli.core.experiments.rate import rate as measure
    from netspace_cli.core.spaces.recipe import load_recipe

    runner = running.runner(console)
    opened, images, guide = begin(output, zoo, data, teacher)
    with runner:
        report = measure(
            opened,
            output,
            load_recipe(recipe, settings),
            images,
            runner,
            sizes=sizes,
            scale=Scale(**scale),
            teacher=guide,
        )
        cost = runner.report()
    for size, cut in report.facts["adapted"].items():
        console.note(f"size {size}: {cut}")
    finish(console, output, report, images, cost)
