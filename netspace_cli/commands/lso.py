"""netspace lso: latent space optimisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from netspace_cli import options
from netspace_cli.commands.unused_options import note_unused
from netspace_cli.terminal.console import Console
from netspace_cli.terminal.formats import Column, decimal, integer
from netspace_cli.views.view import view_of

if TYPE_CHECKING:
    from netspace_cli.core.requests.inputs import Teacher
    from netspace_cli.core.requests.lso import LsoRequest, LsoTask
    from netspace_cli.core.search.lso import Optimised


@click.command()
@click.argument("init", type=options.INPUT_FILE)
@options.teacher(
    help="Network to imitate. May be given many times: then the mean of their probabilities. [default: none; learn "
    "from the labels]",
    several=True,
)
@click.option(
    "--towards",
    cls=options.RenamedOption,
    older=["--target"],
    type=options.INPUT_FILE,
    help="Neural fields only: target shape (mesh, grid or samples), or points of its surface, ideally with normals "
    "(.npy, .xyz, .ply).",
)
@click.option("--repair", is_flag=True, help="Close --towards if it is an open mesh, as `zoo fit` does.")
@click.option(
    "--method",
    type=click.Choice(["adam", "gauss-newton"]),
    help="Optimiser. [default: adam; for neural fields, the method the space refines with]",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="Number of optimiser steps. [default: as the space records; for gauss-newton, as many as it refines with]",
)
@click.option(
    "--lr",
    type=click.FloatRange(min=0, min_open=True),
    help="Learning rate; adam only. [default: as the space records for the architecture]",
)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    help="Images or points per step. [default: as the space records; for gauss-newton, as many as it refines with]",
)
@options.output(required=False, help="File for the best embedding (.emb).")
@click.option("--decode", "decoded", type=options.OUTPUT_PATH, metavar="FILE", help="Also write the best network.")
@click.option(
    "--plot",
    type=options.OUTPUT_PATH,
    metavar="F.png",
    help="Plot the score on validation images after each tenth of the steps (.png, .svg, .pdf).",
)
@click.option("--arch", metavar="NAME", help="Architecture to optimise for. [default: that of INIT]")
@options.refine
@options.space
@options.data
@options.key
@options.force
@options.dry_run
@options.running
@options.shared
def lso(
    teacher: Teacher,
    refine: int | None,
    dry_run: bool,
    running: options.RunnerOptions,
    console: Console,
    **asked: Any,
) -> None:
    """Optimise an embedding so that its network does a task better; the decoder is frozen.

    INIT is an embedding or a checkpoint. The best embedding on the validation split is kept, and scored on the
    test split beside the first one. --arch optimises for another architecture of the space than that of INIT. In a
    space of several the loss is the network's and the classifier's, which is to recognise the architecture.

    Regressors are scored by R². Neural fields are optimised towards the shape given by --towards. Their accuracy is
    the share of its values, or of a scan's points, that are within 0.01.

    Example: netspace lso init.emb --teacher resnet56.pt -o best.emb --decode best.pt
    """
    from netspace_cli.core.requests.lso import LsoRequest

    runner = running.runner(console)
    task = LsoRequest(**asked, teacher=teacher, refine_steps=refine).prepare(runner)
    # Here --arch is the architecture to optimise for, so it applies to embeddings too.
    note_unused(console, [task.request.init], task.space.kind, among=("refine", "key"))
    if dry_run:
        _show_plan(console, task)
        return
    with runner:
        found, _ = task.run(runner)
        report = runner.report()
    console.cost(report)
    _show(console, task, found)
    ends = {"initial": found.initial, "optimized": found.optimised}
    outcome = {"arch": found.arch, "lr": found.lr, "best_step": found.step, **ends}
    console.document({**task.record(), **outcome, "history": found.history, "report": report})
    _remark(console, task.request, found)


def _show(console: Console, task: LsoTask, found: Optimised) -> None:
    ends = (("initial", found.initial), ("optimized", found.optimised))
    console.table(
        f"{found.arch}: best after {found.step} of {task.optimiser.steps} steps",
        ["", "recognised", view_of(task.space.kind).score, Column("loss", decimal)],
        [(name, end.arch, end.accuracy, end.loss) for name, end in ends],
    )


def _remark(console: Console, asked: LsoRequest, found: Optimised) -> None:
    """Add notes that explain the table, and say which files were written."""
    if found.step == 0:
        lr = found.lr
        rates = "" if lr is None else f" another --lr ({3 * lr:.2g} or {lr / 3:.2g}) or"
        console.note(f"No step improved on the start on the validation split: try{rates} more --steps.")
    if found.optimised.arch != found.arch:
        console.note(
            f"The space still recognises the best embedding as {found.optimised.arch}, not {found.arch}: "
            "try more --steps or a higher --lr."
        )
    for path in filter(None, (asked.output, asked.decoded, asked.plot)):
        console.note(f"Wrote {path}.")
    if asked.output is None and asked.decoded is None:
        console.note("Nothing was written: give -o for the embedding, --decode for the network.")


def _show_plan(console: Console, task: LsoTask) -> None:
    plan, asked = task.plan(), task.request
    start, towards = plan["input"], task.objective_name
    console.table(
        "would optimise",
        ["network", "arch", Column("refined", integer), "wanted", "towards", Column("steps", integer)],
        [(start["path"], start["arch"], start["refine_steps"], plan["arch"], towards, task.optimiser.steps)],
    )
    console.document({**task.record(), **plan, "dry_run": True})
    for path in filter(None, (asked.output, asked.decoded, asked.plot)):
        console.note(f"{path} would be written.")
