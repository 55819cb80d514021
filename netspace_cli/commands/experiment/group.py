"""netspace experiment: from a zoo to tables and a figure, with one command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from netspace_cli import options
from netspace_cli.commands.experiment.curves import backbones, rate
from netspace_cli.commands.experiment.few_labels import few_labels
from netspace_cli.commands.experiment.parts import begin, finish
from netspace_cli.terminal.console import Console

if TYPE_CHECKING:
    from netspace_cli.core.data.images import ImageData
    from netspace_cli.core.experiments.report import Report
    from netspace_cli.core.networks.network import Network
    from netspace_cli.core.requests.inputs import Teacher
    from netspace_cli.core.runtime.runner import Runner
    from netspace_cli.core.spaces.space import Space
    from netspace_cli.core.zoos.zoo import Zoo

F = TypeVar("F", bound=Callable[..., Any])


@click.group(no_args_is_help=True)
def experiment() -> None:
    """Measure a space on the held-out instances of a zoo; tables and a figure go into a folder.

    Without --space the space is trained first, into the same folder; the same command goes on where it was
    stopped, and keeps the searches that were finished.

    Example: netspace experiment single zoo/ --recipe examples/recipes/cifar10-lenetlike.toml -o results/single
    """


def zoo_to_report(command: F) -> F:
    """What experiments on a zoo share: passes zoo, output, recipe, settings, space, data, teacher, scale."""
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
def single(**given: Any) -> None:
    """One architecture: fidelity, a path from the weakest to the strongest instance, optimising from both.

    Example: netspace experiment single zoo/ --recipe examples/recipes/cifar10-lenetlike.toml -o results/single
    """
    from netspace_cli.core.experiments.single import single as measure

    _run(measure, **given)


@experiment.command()
@zoo_to_report
def several(**given: Any) -> None:
    """Several architectures: fidelity, a path through them, optimising in each; also with some unseen.

    Architectures that the recipe names as space.unseen take no part in the training.

    Example: netspace experiment several zoo/ --teacher resnet56.pt --recipe examples/recipes/cifar10.toml -o out
    """
    from netspace_cli.core.experiments.several import several as measure

    if given["teacher"].path is None and given["space"] is None:
        raise click.UsageError(
            "Missing option '--teacher': a space of several architectures is trained with one. A space that is trained "
            "(--space) needs none."
        )
    _run(measure, **given)


def _run(
    measure: Callable[..., Report],
    *,
    zoo: Path,
    output: Path,
    recipe: Path | None,
    settings: dict[str, str],
    space: str | None,
    data: str | None,
    teacher: Teacher,
    running: options.RunnerOptions,
    console: Console,
    refine: int | None,
    **scale: int,
) -> None:
    from netspace_cli.core.experiments.held_out import Scale

    runner = running.runner(console)
    opened, images, guide = begin(output, zoo, data, teacher)
    with runner:
        known = _space(space, opened, output, recipe, settings, images, runner, guide, console)
        steps = known.recipe.refine.steps if refine is None else refine
        chosen = Scale(refine_steps=steps, **scale)
        report = measure(opened, output, known, images, runner, scale=chosen, teacher=guide)
        cost = runner.report()
    finish(console, output, report, images, cost, known)


def _space(
    space: str | None,
    zoo: Zoo,
    folder: Path,
    recipe: Path | None,
    settings: dict[str, str],
    data: ImageData,
    runner: Runner,
    teacher: Network | None,
    console: Console,
) -> Space:
    from netspace_cli.core.experiments.held_out import trained_space
    from netspace_cli.core.spaces.recipe import load_recipe
    from netspace_cli.core.spaces.space import load_space

    if space is not None:
        if recipe is not None or settings:
            raise click.UsageError("--space is trained already: leave out --recipe and -s.")
        return load_space(space)
    several = len({i.arch for i in zoo.instances}) > 1
    return trained_space(
        zoo,
        folder,
        load_recipe(recipe, settings),
        data,
        runner,
        teacher=teacher if several else None,
    )


for _command in (few_labels, backbones, rate):
    experiment.add_command(_command)
