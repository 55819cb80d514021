"""netspace zoo index: adopt a folder of checkpoints as a zoo."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.commands.choices import normalised, workers
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column
from netspace_cli.views.view import view_of

if TYPE_CHECKING:
    from netspace_cli.core.data.normalise import Normalisation
    from netspace_cli.core.zoos.adopt import Adopted
    from netspace_cli.core.zoos.zoo import Zoo


class Counts(click.ParamType):
    """TRAIN/VAL/TEST instances of each architecture."""

    name = "train/val/test"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"\d+/\d+/\d+", str(value)):
            self.fail(f"{value!r} is not TRAIN/VAL/TEST, as in 16/2/8.", param, ctx)
        counts = tuple(int(n) for n in str(value).split("/"))
        if not any(counts):
            self.fail(f"{value!r} has no instances. Give at least one, as in 16/2/8.", param, ctx)
        return counts


image_data = click.option(
    "--data",
    cls=options.SharedOption,
    envvar="NETSPACE_DATA",
    metavar="SPEC",
    help="Images: digits, cifar10[:DIR|:FILE.npz], tiny-imagenet:DIR, folder:DIR or FILE.npz (also of a table).  "
    "[required]",
)
"""Passes `data: str | None`; the commands that make a zoo of classifiers require it."""


@click.command()
@click.argument("directory", type=options.INPUT_DIRECTORY)
@click.option(
    "--list",
    "lists",
    type=options.INPUT_FILE,
    multiple=True,
    metavar="FILE",
    help="Adopt the networks that this file lists, one a line: class_name;parameter;…;path. A file named after "
    "train, val or test sets the split. Repeatable.",
)
@click.option(
    "--counts",
    "shares",
    type=Counts(),
    default="16/2/8",
    show_default=True,
    help="Proportions of the splits, per architecture.",
)
@click.option("--licence", default="", help="Licence of the weights; recorded with each instance.")
@options.arch
@options.key
@image_data
@normalised("recorded in the zoo: ")
@workers
@click.option(
    "--force",
    cls=options.SharedOption,
    envvar="NETSPACE_FORCE",
    is_flag=True,
    help="Index again from scratch: forget the list and draw new splits.",
)
@options.dry_run
@options.running
@options.shared
def index(
    directory: Path,
    data: str | None,
    force: bool,
    dry_run: bool,
    normalisation: Normalisation,
    running: options.RunnerOptions,
    console: Console,
    **wanted: Any,
) -> None:
    """Adopt a folder of checkpoints as a zoo: recognise, score and list them; files are not changed.

    The list is written into the folder: zoo.json and instances.jsonl. A network in several files is listed once.
    Run the same command again to add new files.

    Example: netspace zoo index checkpoints/ --data cifar10:data
    """
    from netspace_cli.core.requests.zoo import IndexRequest
    from netspace_cli.core.zoos.adopt import IndexPlan

    if data is None:
        raise click.UsageError("Missing option '--data': the images the networks were trained on.")
    how = {name: wanted.pop(name) for name in ("workers", "cluster")}
    runner = running.shared_by(**how).runner(console)
    task = IndexRequest(directory, data, IndexPlan(**wanted), force, normalisation, **how).prepare()
    with runner:
        adopted = task.plan(runner) if dry_run else task.run(runner)
        report = runner.report()
    console.cost(report)
    _show(console, adopted, dry_run=dry_run)
    console.note(_outcome(directory, adopted, force=force, dry_run=dry_run))


def _show(console: Console, adopted: Adopted, *, dry_run: bool) -> None:
    for each in adopted.refused:
        console.note(f"left out {each.path}: {each.reason}")
    for hint in dict.fromkeys(each.hint for each in adopted.refused if each.hint):
        console.note(f"hint: {hint}")
    if dry_run:
        console.table(
            "would be listed", ["id", "arch", "split", "file"], [(i.id, i.arch, i.split, i.file) for i in adopted.added]
        )
    more = {"refused": adopted.refused, "added": len(adopted.added), "already": adopted.already, "dry_run": dry_run}
    summary(console, adopted.zoo, table=not dry_run, notes=adopted.notes, **more)
    for note in adopted.notes:
        console.note(note)


def _outcome(directory: Path, adopted: Adopted, *, force: bool, dry_run: bool) -> str:
    """Summarise what happened to the folder in one line."""
    added, already = len(adopted.added), adopted.already
    would = "would be " if dry_run else ""
    if force and already:
        return f"{directory}: {would}indexed again, {_instances(added)} in place of {already}."
    if already and not added:
        return f"{directory} had {_instances(already)}; nothing is new. --force indexes again from scratch."
    had = f" had {_instances(already)};" if already else ":"
    return f"{directory}{had} {added if already else _instances(added)} {would}added."


def _instances(count: int) -> str:
    return f"{count} instance{'' if count == 1 else 's'}"


def summary(console: Console, zoo: Zoo, *, table: bool = True, **more: Any) -> None:
    """Show instances and test accuracies by architecture, and the zoo as a document with `more` added."""
    rows = []
    for architecture in zoo.architectures() if table else ():
        own = zoo.select(arch=architecture.name)
        accuracies = [i.accuracy["test"] for i in own if "test" in i.accuracy]
        counts = "/".join(str(len(zoo.select(arch=architecture.name, split=s))) for s in ("train", "val", "test"))
        spread = (min(accuracies), sum(accuracies) / len(accuracies), max(accuracies)) if accuracies else (None,) * 3
        rows.append((architecture.name, architecture.parameter_count, counts, *spread))
    if table:
        spread_columns = [Column(name, view_of(zoo.kind).score.show) for name in ("lowest", "mean", "highest")]
        console.table(str(zoo.path), ["arch", "parameters", "train/val/test", *spread_columns], rows)
    console.document({"zoo": str(zoo.path), "data": zoo.data, "instances": zoo.instances, **more})
