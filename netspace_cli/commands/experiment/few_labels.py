"""netspace experiment few-labels: adapt to few labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from netspace_cli import options
from netspace_cli.commands.experiment.parts import counts, run_experiment, words
from netspace_cli.terminal.console import Console


@click.command("few-labels")
@click.argument("zoo", type=options.INPUT_DIRECTORY)
@options.output(metavar="DIR", help="Folder for the runs, the tables and the figure.")
@options.space
@options.data
@click.option(
    "--arch",
    callback=options.trust_named,
    metavar="NAME",
    help="Architecture of the instance. [default: the zoo's smallest]",
)
@click.option(
    "--per-class", callback=counts, default="5,20,100", metavar="K,…", help="Numbers of labelled images per class."
)
@click.option("--seeds", type=click.IntRange(min=1), default=5, help="Runs of each method; seeds count up from --seed.")
@click.option(
    "--shift",
    "shifts",
    callback=words,
    default="none,blur,noise,invert",
    metavar="WORD,…",
    help="Changes to all images: none, blur, noise, invert.",
)
@click.option(
    "--steps", type=click.IntRange(min=1), default=300, help="Steps of each run; the best step on validation is kept."
)
@click.option("--images", type=click.IntRange(min=2), default=128, help="Images per step.")
@click.option(
    "--val-images",
    type=click.IntRange(min=1),
    default=2000,
    help="Most validation images to choose rates and steps by.",
)
@click.option(
    "--refine", "refine_steps", type=click.IntRange(min=0), default=300, help="Steps that refine the embedding."
)
@options.running
@options.shared
def few_labels(
    zoo: Path,
    output: Path,
    space: str | None,
    data: str | None,
    arch: str | None,
    running: options.RunnerOptions,
    console: Console,
    **plan: Any,
) -> None:
    """Adapt to few labelled images without a teacher: the space, fine-tuning, and training from scratch.

    The best training instance on validation is adapted to the images, unchanged or shifted, in four ways: only its
    embedding, a random subspace around it, all its weights, and a new network of its architecture. Learning rates
    and steps are chosen on validation. Every finished run is kept: the same command continues after a stop, and more
    --seeds, --shift or --per-class add to the results.

    Example: netspace experiment few-labels zoo/ --space s.safetensors -o results/few
    """
    from netspace_cli.core.experiments.few_labels.request import FewLabelsRequest
    from netspace_cli.core.experiments.few_labels.runs import FewLabels

    run_experiment(FewLabelsRequest(zoo, output, FewLabels(**plan), space, data, arch), running, console)
