"""netspace train: a zoo in, a space out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.commands.several_processes import devices
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, in_words, integer
from netspace_cli.terminal.interrupts import continues

if TYPE_CHECKING:
    from netspace_cli.core.requests.inputs import Teacher
    from netspace_cli.core.requests.train import TrainTask
    from netspace_cli.core.runtime.runner import Runner
    from netspace_cli.core.spaces.space import Space

STOPPING = (
    "Stopping after this step, with a checkpoint. A second signal stops at once and loses the steps since the last "
    "checkpoint."
)


def _print_recipe(context: click.Context, option: click.Parameter, asked: bool) -> None:
    if not asked:
        return
    from netspace_cli.core.spaces.recipe_text import recipe_text

    click.echo(recipe_text(), nl=False)
    context.exit()


@click.command()
@click.argument("zoo", type=options.INPUT_DIRECTORY)
@options.output(help="File for the space (.safetensors).")
@options.recipe
@options.settings
@options.teacher(
    help="Teacher network; required for several architectures. May be given several times: they teach together.",
    several=True,
)
@click.option(
    "--extend",
    metavar="NAME|PATH",
    help="Add starting points to this finished space, and keep the rest of it.",
)
@click.option("--resume", is_flag=True, help="Continue from the last checkpoint.")
@options.data
@options.force
@options.dry_run
@options.running
@options.shared
@devices
@click.option(
    "--help-recipe",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_recipe,
    help="Print every setting of a recipe, with its meaning and default, and exit.",
)
def train(
    teacher: Teacher,
    dry_run: bool,
    running: options.RunnerOptions,
    console: Console,
    **asked: Any,
) -> None:
    """Learn a space from the networks in ZOO.

    Ctrl-C ends the run after the current step, with a checkpoint; the same command with --resume continues.

    With --devices 4, or started by torchrun, several processes share each step and learn the same space;
    a run may be resumed with another number of them.

    With --extend a finished space gets further starting points
    (-s space.starts=10), so that each embedding decodes to several networks.

    Example: netspace train zoo/ -o space.safetensors --recipe digits.toml --teacher resnet56.pt
    """
    from netspace_cli.core.requests.train import TrainRequest

    runner = running.runner(console)
    task = TrainRequest(**asked, teacher=teacher).prepare()
    with runner, continues(not dry_run, task.folder.how_to_continue):
        warning = task.warning(runner)
        if warning is not None:
            console.note(f"warning: {warning}")
        if dry_run:
            _show_plan(console, task, runner)
            return
        space = task.run(runner, on_stop=lambda: console.note(STOPPING))
        report = runner.report()
    console.cost(report)
    _show(console, task, space, report)


def _show(console: Console, task: TrainTask, space: Space, report: dict[str, Any]) -> None:
    best, output = space.record["best"], task.request.output
    names, size = ", ".join(a.name for a in space.architectures), space.model.embedding_size
    measures = [Column("val loss", decimal), Column("seconds", decimal)]
    console.table(
        f"space {space.name}",
        ["space", "architectures", Column("embedding", integer), "best step", *measures],
        [(output, names, size, best["step"], best["val_loss"], report["seconds"])],
    )
    identity = {"output": output, "space": space.name, "space_sha256": space.sha256}
    console.document({**identity, "record": space.record, "report": report})
    console.note(f"Wrote {output}; the run's settings, metrics and checkpoint are in {task.folder.path}.")


def _show_plan(console: Console, task: TrainTask, runner: Runner) -> None:
    prepared, needed = task.plan(runner), task.footprint.on(runner.device)
    step, rows = task.resumes_at(prepared), [(key, in_words(value)) for key, value in prepared.recipe.values().items()]
    if step is not None:
        rows.append(("resumed after step", f"{step:,}"))
    each = "" if runner.processes.count == 1 else f" in each of {runner.processes.count} processes"
    rows += [("parameters", f"{needed.parameters:,}"), ("memory, about", f"{needed.total_bytes / 2**30:.1f} GiB{each}")]
    if prepared.views is not None:
        views, drawn = prepared.views, task.recipe.train.steps * task.recipe.train.images
        rows.append(("teacher asked about", f"{views.asked(task.recipe.train.steps):,} images, not {drawn:,}"))
        rows.append(("its answers, about", f"{needed.answers_bytes / 2**20:.1f} MiB"))
    console.table("would train with", ["setting", "value"], rows)
    counts = {
        a.name: {split: len(prepared.training.instances.get((split, a.name), ())) for split in ("train", "val")}
        for a in prepared.training.architectures
    }
    for name, by_split in counts.items():
        console.note(f"{name}: {by_split['train']} instances to train on, {by_split['val']} to validate on")
    console.document(
        {
            "recipe": task.recipe.model_dump(mode="json"),
            "instances": counts,
            "parameters": needed.parameters,
            "estimated_memory_bytes": needed.total_bytes,
            **({} if prepared.views is None else {"answers_bytes": needed.answers_bytes}),
            **({} if step is None else {"resumed_step": step}),
            "dry_run": True,
        }
    )
