"""netspace experiment sampling: samples of every method beside trained networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.commands.choices import Share
from netspace_cli.commands.experiment.parts import run_experiment, words
from netspace_cli.terminal.console import Console

if TYPE_CHECKING:
    from netspace_cli.core.experiments.report import Report


def named_sources(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> Mapping[str, str]:
    """A callback: NAME=FILE, or a file that is called by its stem."""
    pairs = []
    for given in value:
        name, equals, path = given.partition("=")
        pairs.append((name, path) if equals else (Path(given).stem, given))
    named = dict(pairs)
    wrong = next(
        (g for g, (name, path) in zip(value, pairs, strict=True) if not name or not path or Path(name).name != name),
        None,
    )
    if wrong is not None:
        raise click.BadParameter(f"{wrong!r} has no name for a folder, or no file. Write NAME=FILE.", ctx, param)
    if len(named) < len(pairs):
        names = [name for name, _ in pairs]
        alike = next(name for name in names if names.count(name) > 1)
        raise click.BadParameter(f"{names.count(alike)} are called {alike!r}. Name them: NAME=FILE.", ctx, param)
    return named


def named_files(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> Mapping[str, Path]:
    """A callback: `named_sources` of files that are there."""
    named = named_sources(ctx, param, value)
    return {name: Path(options.INPUT_FILE.convert(path, param, ctx)) for name, path in named.items()}


@click.command()
@click.argument("zoo", type=options.INPUT_DIRECTORY)
@options.output(metavar="DIR", help="Folder of the spaces, the tables and the figure.")
@click.option(
    "--recipe", "recipes", multiple=True, callback=named_files, metavar="[NAME=]F.toml", help="Train these spaces."
)
@options.settings
@click.option(
    "--space", "spaces", multiple=True, callback=named_sources, metavar="[NAME=]SPACE", help="Spaces that are trained."
)
@options.data
@options.teacher(help="Network whose answers guide the training of several.")
@click.option("-n", "--count", type=click.IntRange(min=2), default=10, show_default=True, help="Networks of a draw.")
@click.option("--draws", type=click.IntRange(min=1), default=3, show_default=True, help="Of each method.")
@click.option(
    "--methods",
    callback=words,
    default="kde,kde-narrow,kde-one-seed,kde-joint,neighbours,gan,flow,starts",
    metavar="NAME,…",
    help="Draw by these, where a space allows it. [default: all]",
)
@click.option(
    "--top", type=Share(), default="30%", show_default=True, help="Learn from these instances, the best by validation."
)
@click.option(
    "--polish", type=click.IntRange(min=0), default=0, show_default=True, help="Label steps on samples of starts."
)
@click.option("--arch", callback=options.trust_named, metavar="NAME", help="Of a zoo of several architectures, this.")
@options.running
@options.shared
def sampling(
    recipes: Mapping[str, Path],
    spaces: Mapping[str, str],
    running: options.RunnerOptions,
    console: Console,
    **asked: Any,
) -> None:
    """Networks drawn by every method, beside those they were learnt from: accuracy, novelty, and both together.

    kde-narrow has the published bandwidth, 0.002, in independent dimensions; kde-one-seed has it in the published
    code's form, which draws all dimensions from one seed. Rivals are noise copies, mixes and soups of training
    instances. What is finished is kept: the same command goes on, and more recipes, --draws, --methods or --polish
    add to what is there.

    Example: netspace experiment sampling zoo/ --recipe starts.toml --recipe hyper.toml -o results/sampling
    """
    from netspace_cli.core.experiments.requests import SamplingRequest
    from netspace_cli.core.experiments.sampling.runs import Sampling

    if not recipes and not spaces:
        raise click.UsageError("No space to draw from: give --recipe F.toml, or --space SPACE that is trained.")
    plan = Sampling(**{field.name: asked.pop(field.name) for field in fields(Sampling)})
    run_experiment(
        SamplingRequest(**asked, recipes=recipes, spaces=spaces, plan=plan), running, console, remarks=_remarks
    )


def _remarks(report: Report) -> Iterator[str]:
    """What was left out."""
    return iter(report.facts["remarks"])
