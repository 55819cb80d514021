"""netspace zoo: make, adopt and inspect zoos of trained networks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from netspace_cli import options
from netspace_cli.commands.choices import normalised, workers
from netspace_cli.commands.zoo.align import align
from netspace_cli.commands.zoo.fit import fit
from netspace_cli.commands.zoo.index import Counts, image_data, index, summary
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, integer
from netspace_cli.terminal.interrupts import continues
from netspace_cli.views.view import view_of


class Range(click.ParamType):
    """One number, or LOW-HIGH."""

    name = "n|low-high"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", str(value))
        if not match:
            self.fail(f"invalid range {value!r}: write a number or LOW-HIGH, as in 0-20.", param, ctx)
        low, high = match.group(1), match.group(2) or match.group(1)
        return int(low), int(high)


class Epochs(click.ParamType):
    """Numbers and ranges, separated by commas."""

    name = "n,n,…|low-high"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        found: list[int] = []
        for part in filter(None, str(value).split(",")):
            match = re.fullmatch(r"\s*(\d{1,6})(?:-(\d{1,6}))?\s*", part)
            if not match:
                self.fail(f"invalid epochs {part!r}: write numbers or LOW-HIGH, as in 5,10,20-25.", param, ctx)
            found += range(int(match[1]), int(match[2] or match[1]) + 1)
        return tuple(found)


@click.group()
def zoo() -> None:
    """Make, adopt and inspect zoos of trained networks.

    Example: netspace zoo train zoo --data digits --arch lenetlike
    """


for _command in (index, fit, align):
    zoo.add_command(_command)


@zoo.command()
@click.argument("directory", type=options.OUTPUT_PATH)
@click.option(
    "--arch",
    "arch",
    multiple=True,
    required=True,
    callback=options.trust_named,
    metavar="NAME|PKG.MODULE:FACTORY",
    help="Architecture; repeat for several.",
)
@click.option(
    "--counts", type=Counts(), default="16/2/8", show_default=True, help="Instances per architecture in each split."
)
@click.option(
    "--epochs",
    type=Range(),
    show_default="20, or the last one kept",
    help="Epochs of each run; a range spreads the runs' epochs over it, for varied accuracy.",
)
@click.option(
    "--keep-epochs",
    type=Epochs(),
    default="",
    show_default="the last one only",
    help="Save each run after these epochs; its instances share a split.",
)
@click.option(
    "--spacing",
    type=click.Choice(["even", "geometric"]),
    default="even",
    show_default=True,
    help="Spacing of the epochs in their range; geometric spreads accuracies more evenly.",
)
@click.option(
    "--init",
    type=click.Choice(
        ["default", "uniform", "normal", *(f"{k}-{d}" for k in ("kaiming", "xavier") for d in ("uniform", "normal"))]
    ),
    default="default",
    show_default=True,
    help="Initial weights: the architecture's own, or torch's rule of that name with biases of 0.01, as in published "
    "zoos; uniform is between 0 and 1.",
)
@click.option(
    "--optimizer", type=click.Choice(["adam", "adamw", "sgd"]), default="adam", show_default=True, help="Optimiser."
)
@click.option(
    "--lr",
    type=click.FloatRange(min=0, min_open=True),
    default=1e-3,
    show_default=True,
    help="Peak learning rate.",
)
@click.option(
    "--schedule",
    type=click.Choice(["cosine", "constant"]),
    default="cosine",
    show_default=True,
    help="Learning rate schedule: falls to zero by a cosine, or constant.",
)
@options.weight_decay
@options.batch
@options.epoch_images
@click.option(
    "--together",
    type=click.IntRange(min=1),
    metavar="N",
    show_default="for small ones 64, or 8 on a processor; else 1",
    help="Number of networks trained at once, as one tensor; networks with batch norms are trained one by one.",
)
@workers
@click.option(
    "--licence",
    default="CC0-1.0",
    show_default=True,
    help="Licence of the weights; recorded with each instance.",
)
@click.option(
    "--size",
    type=click.IntRange(min=1),
    metavar="PIXELS",
    show_default="their own size",
    help="Resize images to this width; commands that use the zoo, or a space of it, do the same.",
)
@image_data
@normalised("recorded in the zoo: ")
@options.dry_run
@options.running
@options.shared
def train(
    directory: Path,
    data: str | None,
    size: int | None,
    dry_run: bool,
    running: options.RunnerOptions,
    console: Console,
    **plan: Any,
) -> None:
    """Train a zoo in DIRECTORY: many instances from different seeds.

    Run the same command again to continue after a stop; another --arch adds to the zoo.

    Example: netspace zoo train zoo --data digits --arch lenetlike --arch resnet8 --counts 16/2/8
    """
    from netspace_cli.core.requests.zoo import TrainZooRequest
    from netspace_cli.core.zoos.plan import ZooPlan

    if data is None:
        raise click.UsageError("Missing option '--data': a zoo is trained on images.")
    how = {name: plan.pop(name) for name in ("normalisation", "workers", "cluster")}
    runner = running.runner(console)
    task = TrainZooRequest(directory, ZooPlan(**plan), data, size, **how).prepare(runner)
    if not task.jobs:
        console.note(f"{directory} already has all these instances: nothing to train. Another --seed adds more.")
    if dry_run:
        rows = [(id, job.split, epoch) for job in task.jobs for epoch, id in job.instances().items()]
        console.table("would train", ["id", "split", "epochs"], rows)
        console.document({"jobs": task.jobs})
        return
    with runner, continues():
        trained = task.run(runner)
        report = runner.report()
    console.cost(report)
    summary(console, trained)
    console.note(f"{directory}: {len(trained.instances)} instances; {report['seconds']:.0f} s on {report['device']}.")


@zoo.command()
@click.argument("directory", type=options.INPUT_DIRECTORY)
@options.threads
@options.shared
def show(directory: Path, console: Console) -> None:
    """List the instances of a zoo.

    Example: netspace zoo show zoo
    """
    from netspace_cli.core.zoos.zoo import open_zoo

    opened = open_zoo(directory)
    view = view_of(opened.kind)
    rows = [(i.id, i.arch, i.split, *view.instance_row(i)) for i in opened.instances]
    console.table(f"{directory}: {opened.data['name']}", ["id", "arch", "split", *view.instance], rows)
    console.document({"zoo": str(directory), "data": opened.data, "instances": opened.records()})


@zoo.command()
@click.argument("directory", type=options.INPUT_DIRECTORY)
@options.threads
@options.shared
def verify(directory: Path, console: Console) -> None:
    """Check every instance's file against the zoo's manifest.

    Example: netspace zoo verify zoo
    """
    from netspace_cli.core.zoos.zoo import open_zoo
    from netspace_cli.core.zoos.zoo import verify as check

    report = check(open_zoo(directory))
    console.table(str(directory), ["id", "file", "state"], [(i.id, i.file, state) for i, state in report])
    bad = [i.id for i, state in report if state != "ok"]
    rows = [{"id": i.id, "file": i.file, "state": state} for i, state in report]
    console.document({"zoo": str(directory), "instances": rows, "bad": bad})
    console.note(f"{len(report) - len(bad)} of {len(report)} files match the manifest.")
    if bad:
        console.note(
            f"Restore the others, or delete their lines from {directory / 'instances.jsonl'}. Those that are gone "
            "`netspace zoo train` makes again, if it made them."
        )
        raise click.exceptions.Exit(3)


@zoo.command()
@click.argument("directory", type=options.INPUT_DIRECTORY)
@click.argument("instance")
@options.output(help="Checkpoint (.pt or .safetensors).")
@options.force
@options.threads
@options.shared
def export(directory: Path, instance: str, output: Path, force: bool, console: Console) -> None:
    """Write one instance of a zoo as a separate checkpoint.

    Example: netspace zoo export zoo lenetlike-0003 -o lenet.pt
    """
    from netspace_cli.core.zoos.export import export_instance
    from netspace_cli.core.zoos.zoo import open_zoo

    network = export_instance(open_zoo(directory), instance, output, force=force)
    architecture = network.architecture
    console.table(
        str(output),
        ["id", "arch", Column("parameters", integer)],
        [(instance, architecture.name, architecture.parameter_count)],
    )
    console.document(
        {"id": instance, "arch": architecture.name, "parameters": architecture.parameter_count, "output": output}
    )
    console.note(f"Wrote {output}.")
