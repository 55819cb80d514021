"""netspace train: a zoo in, a space out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from netspace_cli import options
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer

if TYPE_CHECKING:
    from netspace_cli.core.training.memory import Footprint
    from netspace_cli.core.training.step import Task

STOPPING = (
    "Stopping after this step, with a checkpoint. A second signal stops at once; the steps since the last "
    "checkpoint are lost then."
)


@click.command()
@click.argument("zoo", type=options.INPUT_DIRECTORY)
@options.output(help="Where the space goes (.safetensors).")
@options.recipe
@options.settings
@options.teacher(help="Teacher network; needed for several architectures.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint.")
@options.data
@options.force
@options.dry_run
@options.running
@options.shared
def train(
    zoo: Path,
    output: Path,
    recipe: Path | None,
    settings: dict[str, str],
    teacher: options.TeacherOptions,
    resume: bool,
    data: str | None,
    force: bool,
    dry_run: bool,
    running: options.RunnerOptions,
    console: Console,
) -> None:
    """Learn a space from the networks in ZOO.

    Ctrl-C ends the run after a whole step, with a checkpoint; the same command with --resume goes on.

    Example: netspace train zoo/ -o space.safetensors --recipe digits.toml --teacher resnet56.pt
    """
    from netspace_cli.core.files.outputs import check_no_input
    from netspace_cli.core.requests.choose_data import data_of_zoo
    from netspace_cli.core.runtime.runner import memory_of
    from netspace_cli.core.spaces.recipe import load_recipe
    from netspace_cli.core.training.loop import prepare
    from netspace_cli.core.training.loop import train as learn
    from netspace_cli.core.training.memory import footprint
    from netspace_cli.core.training.run_folder import check_run
    from netspace_cli.core.zoos.zoo import open_zoo

    runner = running.runner(console)
    chosen = load_recipe(recipe, settings).named(output)
    check_no_input([output], [teacher.path, recipe])
    folder = check_run(output, resume=resume, force=force)
    opened = open_zoo(zoo)
    needed = footprint(chosen, opened)
    images = data_of_zoo(opened, data)
    guide = teacher.read(opened.signal)
    with runner:
        warning = needed.warning(chosen, memory_of(runner.device))
        if warning is not None:
            console.note(f"warning: {warning}")
        if dry_run:
            task = prepare(opened, chosen, images, runner, teacher=guide)
            _show_plan(console, task, needed)
            return
        space = learn(
            opened,
            output,
            chosen,
            images,
            runner,
            teacher=guide,
            resume=resume,
            force=force,
            on_stop=lambda: console.note(STOPPING),
        )
        report = runner.report()
    console.cost(report)
    best = space.record["best"]
    console.table(
        f"space {space.name}",
        [
            "space",
            "architectures",
            Column("embedding", integer),
            "best step",
            Column("val loss", decimal),
            Column("seconds", decimal),
        ],
        [
            (
                output,
                ", ".join(a.name for a in space.architectures),
                space.model.embedding_size,
                best["step"],
                best["val_loss"],
                report["seconds"],
            )
        ],
    )
    console.document(
        {
            "output": output,
            "space": space.name,
            "space_sha256": space.sha256,
            "record": space.record,
            "report": report,
        }
    )
    console.note(f"Wrote {output}; the run's settings, metrics and checkpoint are in {folder.path}.")


def _show_plan(console: Console, task: Task, needed: Footprint) -> None:
    settings = task.recipe.model_dump(mode="json")
    rows = [(f"{section}.{key}", str(value)) for section, table in settings.items() for key, value in table.items()]
    rows += [("parameters", f"{needed.parameters:,}"), ("memory, about", f"{needed.total_bytes / 2**30:.1f} GiB")]
    console.table("would train with", ["setting", "value"], rows)
    counts = {
        a.name: {split: len(task.training.instances.get((split, a.name), ())) for split in ("train", "val")}
        for a in task.training.architectures
    }
    for name, by_split in counts.items():
        console.note(f"{name}: {by_split['train']} instances to train on, {by_split['val']} to validate on")
    console.document(
        {
            "recipe": settings,
            "instances": counts,
            "parameters": needed.parameters,
            "estimated_memory_bytes": needed.total_bytes,
            "dry_run": True,
        }
    )
