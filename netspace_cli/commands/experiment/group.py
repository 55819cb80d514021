"""netspace experiment: from a zoo to tables and a figure, with one command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from netspace_cli import options
from netspace_cli.commands.experiment.curves import backbones, rate
from netspace_cli.commands.experiment.few_labels import few_labels
from netspace_cli.commands.experiment.parts import run_experiment
from netspace_cli.commands.experiment.sampling import sampling
from netspace_cli.terminal.console import Console

if TYPE_CHECKING:
    from netspace_cli.core.experiments.requests import WantedRecipe

F = TypeVar("F", bound=Callable[..., Any])


@click.group(no_args_is_help=True)
def experiment() -> None:
    """Measure a space on the held-out instances of a zoo; tables and a figure go into a folder.

    Without --space the space is trained first, into the same folder; the same command goes on where it was
    stopped, and keeps the searches that were finished.

    Example: netspace experiment single zoo/ --recipe examples/recipes/cifar10-lenetlike.toml -o results/single
    """


def zoo_to_report(command: F) -> F:
    """What experiments on a zoo share: passes the fields of `HeldOutRequest`, but recipe, settings and space apart."""
    number = click.IntRange(min=0)
    for option in reversed(
        [
            click.argument("zoo", type=options.INPUT_DIRECTORY),
            options.output(metavar="DIR", help="Folder of the space, the tables and the figure."),
            options.recipe,
            options.settings,
            options.space,
            options.data,
            options.teacher(help="Network whose answers guide training and search."),
            click.option(
                "--refine", type=number, metavar="N", help="Refining steps. [default: what the space records]"
            ),
            click.option(
                "--path-steps", type=click.IntRange(min=1), default=100, show_default=True, help="Of the path."
            ),
            click.option(
                "--search-steps", type=number, default=600, show_default=True, help="Of each optimisation; 0 for none."
            ),
            click.option(
                "--search-images", type=click.IntRange(min=1), default=128, show_default=True, help="Images a step."
            ),
            click.option(
                "--teacher-images",
                type=number,
                default=10_000,
                show_default=True,
                help="Optimise on the first so many training images, unchanged; 0 for all, augmented.",
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
    """One architecture: fidelity, a path from the weakest to the strongest instance, optimising from both.

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
    """Several architectures: fidelity, a path through them, optimising in each; also with some unseen.

    Architectures that the recipe names as space.unseen take no part in the training.

    Example: netspace experiment several zoo/ --teacher resnet56.pt --recipe examples/recipes/cifar10.toml -o out
    """
    from netspace_cli.core.experiments.requests import HeldOutRequest
    from netspace_cli.core.experiments.several import several as measure

    if asked["teacher"].path is None and space is None:
        raise click.UsageError(
            "Missing option '--teacher': a space of several architectures is trained with one. A space that is trained "
            "(--space) needs none."
        )
    wanted = space_or_recipe(space, recipe, settings)
    run_experiment(HeldOutRequest(measure, space=wanted, **asked), running, console)


def space_or_recipe(space: str | None, recipe: Path | None, settings: dict[str, str]) -> str | WantedRecipe:
    """The space that the options name, or the recipe of one to be trained."""
    from netspace_cli.core.experiments.requests import WantedRecipe

    if space is None:
        return WantedRecipe(recipe, settings)
    if recipe is not None or settings:
        raise click.UsageError("--space is trained already: leave out --recipe and -s.")
    return space


for _command in (few_labels, backbones, rate, sampling):
    experiment.add_command(_command)
