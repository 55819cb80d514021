"""netspace experiment: from a zoo to tables and a figure in one command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from netspace_cli import options
from netspace_cli.commands.experiment.curves import backbones, rate
from netspace_cli.commands.experiment.few_labels import few_labels
from netspace_cli.commands.experiment.merging import merging
from netspace_cli.commands.experiment.parts import run_experiment
from netspace_cli.commands.experiment.sampling import sampling
from netspace_cli.terminal.console import Console

if TYPE_CHECKING:
    from netspace_cli.core.experiments.requests import WantedRecipe

F = TypeVar("F", bound=Callable[..., Any])


@click.group(no_args_is_help=True)
def experiment() -> None:
    """Measure a space on the held-out instances of a zoo, and write tables and a figure into a folder.

    `single` and `several` train a space first, into the same folder, where --space names none. Run the same command
    again to continue after a stop; finished searches are kept.

    Example: netspace experiment single zoo/ --recipe examples/recipes/cifar10-lenetlike.toml -o results/single
    """


def zoo_to_report(command: F) -> F:
    """Add the options that experiments on a zoo share.

    Passes the fields of `HeldOutRequest`, with recipe, settings and space as separate parameters.
    """
    number = click.IntRange(min=0)
    for option in reversed(
        [
            click.argument("zoo", type=options.INPUT_DIRECTORY),
            options.output(metavar="DIR", help="Folder for the space, the tables and the figure."),
            options.recipe,
            options.settings,
            options.space_to_measure,
            options.data,
            options.teacher(help="Teacher for training and for optimising."),
            click.option(
                "--refine",
                type=number,
                metavar="N",
                help="Steps that refine each embedding. [default: as the space records]",
            ),
            click.option(
                "--path-steps", type=click.IntRange(min=1), default=100, show_default=True, help="Steps of the path."
            ),
            click.option(
                "--search-steps",
                type=number,
                default=600,
                show_default=True,
                help="Steps of each optimisation; 0 for none.",
            ),
            click.option(
                "--search-images",
                type=click.IntRange(min=1),
                default=128,
                show_default=True,
                help="Images per optimisation step.",
            ),
            click.option(
                "--teacher-images",
                type=number,
                default=10_000,
                show_default=True,
                help="Optimise on the first N training images, not augmented; 0 for all, augmented.",
            ),
            options.running,
            options.shared,
        ]
    ):
        command = option(command)
    return command


@experiment.command()
@zoo_to_report
def single(
    space: str | None,
    recipe: Path | None,
    settings: dict[str, str],
    running: options.RunnerOptions,
    console: Console,
    **asked: Any,
) -> None:
    """Measure a space of one architecture: fidelity, paths, optimisation.

    The path leads from the weakest to the strongest held-out instance, and optimisation starts from both.

    Example: netspace experiment single zoo/ --recipe examples/recipes/cifar10-lenetlike.toml -o results/single
    """
    from netspace_cli.core.experiments.requests import HeldOutRequest
    from netspace_cli.core.experiments.single import single as measure

    wanted = space_or_recipe(space, recipe, settings)
    run_experiment(HeldOutRequest(measure, space=wanted, **asked), running, console)


@experiment.command()
@zoo_to_report
def several(
    space: str | None,
    recipe: Path | None,
    settings: dict[str, str],
    running: options.RunnerOptions,
    console: Console,
    **asked: Any,
) -> None:
    """Measure a space of several architectures: fidelity, a path through them, optimisation in each.

    Architectures that the recipe names under space.unseen are left out of training and measured too.

    Example: netspace experiment several zoo/ --teacher resnet56.pt --recipe examples/recipes/cifar10.toml -o out
    """
    from netspace_cli.core.experiments.requests import HeldOutRequest
    from netspace_cli.core.experiments.several import several as measure

    if asked["teacher"].path is None and space is None:
        raise click.UsageError(
            "Missing option '--teacher': training a space of several architectures needs a teacher. A trained space "
            "(--space) does not."
        )
    wanted = space_or_recipe(space, recipe, settings)
    run_experiment(HeldOutRequest(measure, space=wanted, **asked), running, console)


def space_or_recipe(space: str | None, recipe: Path | None, settings: dict[str, str]) -> str | WantedRecipe:
    """Return the space that the options name, or the recipe of a space to train."""
    from netspace_cli.core.experiments.requests import WantedRecipe

    if space is None:
        return WantedRecipe(recipe, settings)
    if recipe is not None or settings:
        raise click.UsageError("--space names a trained space: leave out --recipe and -s.")
    return space


for _command in (few_labels, backbones, rate, sampling, merging):
    experiment.add_command(_command)
