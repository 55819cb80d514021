"""netspace experiment sampling: compare samples of every method with trained networks."""

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
    """Callback: parse NAME=FILE, or a file that is named by its stem."""
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
        raise click.BadParameter(f"{wrong!r} lacks a file or a valid folder name. Write NAME=FILE.", ctx, param)
    if len(named) < len(pairs):
        names = [name for name, _ in pairs]
        alike = next(name for name in names if names.count(name) > 1)
        raise click.BadParameter(f"{names.count(alike)} have the name {alike!r}. Name them: NAME=FILE.", ctx, param)
    return named


def named_files(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> Mapping[str, Path]:
    """Callback: `named_sources`, for files that exist."""
    named = named_sources(ctx, param, value)
    return {name: Path(options.INPUT_FILE.convert(path, param, ctx)) for name, path in named.items()}


@click.command()
@click.argument("zoo", type=options.INPUT_DIRECTORY)
@options.output(metavar="DIR", help="Folder for the spaces, the tables and the figure.")
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    callback=named_files,
    metavar="[NAME=]F.toml",
    help="Recipe of a space to train; repeat for several.",
)
@options.settings
@click.option(
    "--space",
    "spaces",
    multiple=True,
    callback=named_sources,
    metavar="[NAME=]SPACE",
    help="Trained space; repeat for several.",
)
@options.data
@options.teacher(help="Teacher for training spaces of several architectures.")
@click.option("-n", "--count", type=click.IntRange(min=2), default=10, show_default=True, help="Networks per draw.")
@click.option("--draws", type=click.IntRange(min=1), default=3, show_default=True, help="Draws per method.")
@click.option(
    "--methods",
    callback=words,
    default="kde,kde-narrow,kde-one-seed,kde-joint,neighbours,gan,flow,starts",
    metavar="NAME,…",
    help="Methods to draw by, if a space allows them.",
)
@click.option(
    "--top",
    type=Share(),
    default="30%",
    show_default=True,
    help="Learn from this share of the instances, the best on validation.",
)
@click.option(
    "--polish",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Label steps for samples of the method starts.",
)
@click.option("--arch", callback=options.trust_named, metavar="NAME", help="Architecture, if the zoo has several.")
@options.running
@options.shared
def sampling(
    recipes: Mapping[str, Path],
    spaces: Mapping[str, str],
    running: options.RunnerOptions,
    console: Console,
    **asked: Any,
) -> None:
    """Compare networks drawn by every method with trained ones: accuracy, novelty, and both together.

    kde-narrow uses the published bandwidth of 0.002 in independent dimensions; kde-one-seed uses it as the published
    code does, with all dimensions drawn from one seed. Rivals are noise copies, mixes and soups of training
    instances. Finished work is kept: the same command continues, and more recipes, --draws, --methods or --polish
    add to the results.

    Example: netspace experiment sampling zoo/ --recipe starts.toml --recipe hyper.toml -o results/sampling
    """
    from netspace_cli.core.experiments.sampling.request import SamplingRequest
    from netspace_cli.core.experiments.sampling.runs import Sampling

    if not recipes and not spaces:
        raise click.UsageError("No space to draw from: give --recipe F.toml to train one, or --space SPACE.")
    plan = Sampling(**{field.name: asked.pop(field.name) for field in fields(Sampling)})
    run_experiment(
        SamplingRequest(**asked, recipes=recipes, spaces=spaces, plan=plan), running, console, remarks=_remarks
    )


def _remarks(report: Report) -> Iterator[str]:
    """Say what was left out."""
    return iter(report.facts["remarks"])
